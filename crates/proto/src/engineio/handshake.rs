//! What a request's query asks for, what is wrong with it, and the packet that opens a session.

use std::time::Duration;

use super::Revision;

/// The parameters of a request, as the client wrote them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pub eio: Option<&'a str>,
    pub transport: Option<&'a str>,
    /// The session; `None` asks for a new one.
    pub sid: Option<&'a str>,
    /// The client cannot take binary answers (revision 3).
    pub b64: bool,
    /// It asks for JSONP.
    pub jsonp: bool,
}

/// The transport that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Polling,
    WebSocket,
}

/// Why a request is refused; upstream's numbers and words, with which clients compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    /// The word says what of it was bad.
    BadRequest(&'static str),
    Forbidden,
    UnsupportedRevision,
    /// An answer in the form of a script; any page could read it.
    Jsonp,
}

impl Fault {
    /// The HTTP status of the refusal.
    pub fn status(self) -> u16 {
        if self == Fault::Forbidden { 403 } else { 400 }
    }

    /// `{"code":1,"message":"Session ID unknown"}`
    pub fn body(self) -> String {
        let (code, message) = match self {
            Fault::UnknownTransport => (0, "Transport unknown"),
            Fault::UnknownSid => (1, "Session ID unknown"),
            Fault::BadHandshakeMethod => (2, "Bad handshake method"),
            Fault::BadRequest(_) => (3, "Bad request"),
            Fault::Jsonp => (3, "JSONP is not spoken here: poll without j="),
            Fault::Forbidden => (4, "Forbidden"),
            Fault::UnsupportedRevision => (5, "Unsupported protocol version"),
        };
        format!("{{\"code\":{code},\"message\":\"{message}\"}}")
    }

    /// What was wrong, for people; `None` where the message says it.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Fault::BadRequest(detail) => Some(detail),
            _ => None,
        }
    }
}

impl Query<'_> {
    /// The transport and the revision. Revision 3 is taken only where a setting allows it.
    ///
    /// # Errors
    /// What upstream answers to the same query.
    pub fn check(&self, allow_v3: bool) -> Result<(Wanted, Revision), Fault> {
        if self.jsonp {
            return Err(Fault::Jsonp);
        }
        let wanted = match self.transport {
            Some("polling") => Wanted::Polling,
            Some("websocket") => Wanted::WebSocket,
            _ => return Err(Fault::UnknownTransport),
        };
        match self.eio {
            Some("4") => Ok((wanted, Revision::V4)),
            // A request about a session may name another than the session's; the session says no.
            Some("3") if allow_v3 || self.sid.is_some() => Ok((wanted, Revision::V3)),
            // A request of a session that exists need not repeat it.
            None if self.sid.is_some() => Ok((wanted, Revision::V4)),
            _ => Err(Fault::UnsupportedRevision),
        }
    }
}

/// What the server says of a new session.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    pub sid: &'a str,
    /// A polling session may go on over WebSocket.
    pub upgrade: bool,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Bytes that one payload or frame of the client may hold.
    pub max_payload: usize,
}

impl Open<'_> {
    /// Appends the open packet: `0{"sid":…}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let upgrades = if self.upgrade { "[\"websocket\"]" } else { "[]" };
        let (interval, timeout) = (self.ping_interval.as_millis(), self.ping_timeout.as_millis());
        let open = format!(
            "0{{\"sid\":\"{}\",\"upgrades\":{upgrades},\"pingInterval\":{interval},\"pingTimeout\":{timeout},\
             \"maxPayload\":{}}}",
            self.sid, self.max_payload
        );
        out.extend_from_slice(open.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(transport: &str, eio: &str, sid: Option<&str>, expected: Result<(Wanted, Revision), Fault>) {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let query = Query { eio: some(eio), transport: some(transport), sid, ..Query::default() };
        assert_eq!(query.check(false), expected, "{query:?}");
    }

    #[test]
    fn a_query_is_refused_with_upstreams_codes() {
        check("polling", "4", None, Ok((Wanted::Polling, Revision::V4)));
        check("websocket", "4", Some("x"), Ok((Wanted::WebSocket, Revision::V4)));
        check("polling", "", Some("x"), Ok((Wanted::Polling, Revision::V4)));
        check("", "4", None, Err(Fault::UnknownTransport));
        check("abc", "4", None, Err(Fault::UnknownTransport));
        check("polling", "", None, Err(Fault::UnsupportedRevision));
        check("polling", "abc", None, Err(Fault::UnsupportedRevision));
        check("polling", "3", None, Err(Fault::UnsupportedRevision));
    }

    #[test]
    fn revision_3_is_spoken_where_it_is_allowed_and_jsonp_nowhere() {
        let query = Query { eio: Some("3"), transport: Some("polling"), ..Query::default() };
        assert_eq!(query.check(true), Ok((Wanted::Polling, Revision::V3)));
        let refused = Query { jsonp: true, ..query }.check(true).unwrap_err();
        assert_eq!(refused.body(), r#"{"code":3,"message":"JSONP is not spoken here: poll without j="}"#);
    }

    #[test]
    fn the_open_packet_has_upstreams_fields() {
        let open = Open {
            sid: "abc",
            upgrade: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
        };
        let mut out = Vec::new();
        open.write(&mut out);
        let expected = r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
