//! The client's side: what it reads from a server, and how it enters a namespace.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::arguments::Arguments;
use super::decode::{Decoder, Packet, ParseError, bad, parse_header};
use super::encode::head;
use crate::json::{compact, text as json_text, write_text};

/// A packet of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerPacket {
    /// The namespace is open. `pid` is there when the server can recover this connection after a break.
    Connect { namespace: String, sid: String, pid: Option<String> },
    /// The namespace refuses; `data` is JSON text.
    ConnectError { namespace: String, message: String, data: Option<String> },
    /// The server has ended the namespace's connection.
    Disconnect { namespace: String },
    /// `id`: it wants an ack.
    Event { namespace: String, id: Option<u64>, event: String, arguments: Arguments },
    /// The answer to an event that asked for one.
    Ack { namespace: String, id: u64, arguments: Arguments },
}

/// The machine of what one server says. It differs from [`Decoder`] in the two answers to a CONNECT.
#[derive(Debug, Default)]
pub struct ServerDecoder {
    inner: Decoder,
}

impl ServerDecoder {
    /// Takes a text message. `None`: its attachments follow.
    ///
    /// # Errors
    /// It is no packet of a server of revision 5.
    pub fn receive_text(&mut self, text: &str) -> Result<Option<ServerPacket>, ParseError> {
        if !text.starts_with(['0', '4']) {
            return Ok(self.inner.receive_text(text)?.and_then(of_server));
        }
        if self.inner.is_waiting() {
            return Err(ParseError::Unexpected);
        }
        let (header, payload) = parse_header(text)?;
        let namespace = header.namespace;
        Ok(Some(if text.starts_with('0') {
            entered(namespace, payload)?
        } else {
            refused(namespace, payload)
        }))
    }

    /// Takes a binary message, which is an attachment.
    ///
    /// # Errors
    /// No packet waits for one, or the packet is none.
    pub fn receive_binary(&mut self, data: Bytes) -> Result<Option<ServerPacket>, ParseError> {
        Ok(self.inner.receive_binary(data)?.and_then(of_server))
    }
}

/// What both sides send alike.
fn of_server(packet: Packet) -> Option<ServerPacket> {
    match packet {
        // Begins with a digit that does not come here.
        Packet::Connect { .. } => None,
        Packet::Disconnect { namespace } => Some(ServerPacket::Disconnect { namespace }),
        Packet::Event { namespace, id, event, arguments } => {
            Some(ServerPacket::Event { namespace, id, event, arguments })
        }
        Packet::Ack { namespace, id, arguments } => Some(ServerPacket::Ack { namespace, id, arguments }),
    }
}

fn entered(namespace: String, payload: &str) -> Result<ServerPacket, ParseError> {
    #[derive(Deserialize)]
    struct Entered {
        sid: String,
        pid: Option<String>,
    }
    if payload.is_empty() {
        return Err(ParseError::BadPayload("a server of Socket.IO 2 answers; 3 or newer is wanted".into()));
    }
    let Entered { sid, pid } = serde_json::from_str(payload).map_err(bad)?;
    Ok(ServerPacket::Connect { namespace, sid, pid })
}

/// Servers may put anything here; a refusal is one all the same.
fn refused(namespace: String, payload: &str) -> ServerPacket {
    #[derive(Deserialize)]
    struct Refusal<'a> {
        message: String,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    match serde_json::from_str::<Refusal<'_>>(payload) {
        Ok(Refusal { message, data }) => {
            let data = data.map(|data| compact(data.get()).into_owned());
            ServerPacket::ConnectError { namespace, message, data }
        }
        Err(_) => ServerPacket::ConnectError { namespace, message: payload.to_owned(), data: None },
    }
}

/// Takes off the offset that a server which recovers connections puts behind an event's arguments: a last argument that
/// is text. The protocol has no other mark, so that of an event that a server sends without one, that argument is taken.
pub fn split_offset(arguments: Arguments) -> (Arguments, Option<String>) {
    let (text, count) = (arguments.text(), arguments.len());
    if !text.ends_with('"') {
        return (arguments, None);
    }
    let list = format!("[{text}]");
    let values: Vec<&RawValue> = serde_json::from_str(&list).unwrap_or_default();
    let Some((last, offset)) = values.last().and_then(|last| Some((last.get(), json_text(last)?))) else {
        return (arguments, None);
    };
    let rest = &text[..text.len() - last.len()];
    let attachments = arguments.attachments().to_vec();
    (Arguments::from_parts(rest.trim_end_matches(','), count - 1, attachments), Some(offset.into_owned()))
}

/// What a client shows at the door.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The JSON text of an object.
    pub auth: Option<&'a str>,
    /// The `pid` of the connection that is to be recovered.
    pub pid: Option<&'a str>,
    /// The offset of its last event.
    pub offset: Option<&'a str>,
}

/// Appends `0{"pid":…,"offset":…,…}`; fields of `auth` come last, so that they win, as in the JavaScript client.
pub fn enter(out: &mut Vec<u8>, namespace: &str, entry: Entry<'_>) {
    head(out, [b'0', b'0'], 0, namespace, None);
    let fields = [("pid", entry.pid), ("offset", entry.offset.filter(|_| entry.pid.is_some()))];
    let mut between = "{";
    for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        out.extend_from_slice(format!("{between}\"{name}\":").as_bytes());
        write_text(out, value);
        between = ",";
    }
    let auth = entry.auth.map(compact);
    let rest = auth.as_deref().and_then(|auth| auth.strip_prefix('{')).unwrap_or("}");
    match (between, entry.auth, rest) {
        // Nothing to show: a CONNECT without payload.
        ("{", None, _) => return,
        (",", _, "}") => {}
        _ => out.extend_from_slice(between.as_bytes()),
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The parameters with which an Engine.IO server opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub sid: String,
    /// The server pings this often.
    pub ping_interval: Duration,
    /// A ping that is later than this is one of a dead server.
    pub ping_timeout: Duration,
    /// Bytes that one message of the client may hold, if the server says.
    pub max_payload: Option<usize>,
}

/// The longest time that an open packet may name: whoever says more says nothing.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Opened {
    /// Reads what stands behind the `0` of the open packet.
    ///
    /// # Errors
    /// It is no such packet.
    pub fn parse(text: &str) -> Result<Opened, ParseError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            sid: String,
            ping_interval: u64,
            ping_timeout: u64,
            max_payload: Option<usize>,
        }
        let fields: Fields = serde_json::from_str(text).map_err(bad)?;
        let time = |millis| Duration::from_millis(millis).min(LONGEST);
        Ok(Opened {
            sid: fields.sid,
            ping_interval: time(fields.ping_interval),
            ping_timeout: time(fields.ping_timeout),
            max_payload: fields.max_payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "/admin";

    #[track_caller]
    fn check(text: &str, expected: ServerPacket) {
        assert_eq!(ServerDecoder::default().receive_text(text), Ok(Some(expected)), "{text}");
    }

    fn main() -> String {
        "/".to_owned()
    }

    #[test]
    fn the_answers_to_a_connect_are_read() {
        let (sid, pid) = ("x1".to_owned(), Some("p2".to_owned()));
        check(r#"0{"sid":"x1"}"#, ServerPacket::Connect { namespace: main(), sid: sid.clone(), pid: None });
        check(
            r#"0/admin,{"sid":"x1","pid":"p2"}"#,
            ServerPacket::Connect { namespace: ADMIN.into(), sid, pid },
        );
        let refusal = |namespace: &str, message: &str, data: Option<&str>| ServerPacket::ConnectError {
            namespace: namespace.into(),
            message: message.into(),
            data: data.map(str::to_owned),
        };
        check(r#"4{"message":"no"}"#, refusal("/", "no", None));
        check(r#"4/admin,{"message":"no","data":{"code": 7}}"#, refusal(ADMIN, "no", Some(r#"{"code":7}"#)));
        check(r#"4"authentication failed""#, refusal("/", "\"authentication failed\"", None));
    }

    #[test]
    fn events_and_acks_are_read_as_a_server_reads_them() {
        let arguments = Arguments::of(&(1, "b")).unwrap();
        let event = "hi".to_owned();
        check(
            r#"2["hi",1,"b"]"#,
            ServerPacket::Event { namespace: main(), id: None, event, arguments: arguments.clone() },
        );
        check(r#"3/admin,12[1,"b"]"#, ServerPacket::Ack { namespace: ADMIN.into(), id: 12, arguments });
        check("1", ServerPacket::Disconnect { namespace: main() });

        let mut decoder = ServerDecoder::default();
        let text = r#"51-7["file",{"_placeholder":true,"num":0}]"#;
        assert_eq!(decoder.receive_text(text), Ok(None));
        let Ok(Some(ServerPacket::Event { id, arguments, .. })) =
            decoder.receive_binary(Bytes::from_static(b"\x00\xff"))
        else {
            panic!("no event")
        };
        assert_eq!((id, arguments.attachments()), (Some(7), &[Bytes::from_static(b"\x00\xff")][..]));
    }

    #[test]
    fn what_no_server_of_revision_5_says_is_an_error() {
        for text in ["", "0", "0{}", "0[1]", "0{\"sid\":1}", "7", "2[]", "2[\"connect\"]", "3[]", "9abc"] {
            assert!(ServerDecoder::default().receive_text(text).is_err(), "{text}");
        }
        // Nothing may come between a packet and its attachments.
        for text in ["0{\"sid\":\"x\"}", "4{\"message\":\"x\"}", "2[\"hi\"]"] {
            let mut decoder = ServerDecoder::default();
            decoder.receive_text(r#"51-["file",{"_placeholder":true,"num":0}]"#).unwrap();
            assert_eq!(decoder.receive_text(text), Err(ParseError::Unexpected), "{text}");
        }
        assert_eq!(ServerDecoder::default().receive_binary(Bytes::new()), Err(ParseError::Unexpected));
    }

    #[test]
    fn a_client_enters_with_what_it_has() {
        let check = |namespace: &str, entry: Entry<'_>, expected: &str| {
            let mut out = Vec::new();
            enter(&mut out, namespace, entry);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let (auth, pid, offset) = (Some(r#"{"token": "t"}"#), Some("p"), Some("o"));
        check("/", Entry::default(), "0");
        check("/admin", Entry::default(), "0/admin,");
        check("/", Entry { auth, ..Entry::default() }, r#"0{"token":"t"}"#);
        check("/", Entry { auth: Some("{}"), ..Entry::default() }, "0{}");
        check("/", Entry { pid, ..Entry::default() }, r#"0{"pid":"p"}"#);
        check("/", Entry { auth: Some("{}"), pid, offset }, r#"0{"pid":"p","offset":"o"}"#);
        check("/admin", Entry { auth, pid, offset }, r#"0/admin,{"pid":"p","offset":"o","token":"t"}"#);
        // An offset belongs to a connection.
        check("/", Entry { offset, ..Entry::default() }, "0");
    }

    #[test]
    fn an_offset_is_a_last_argument_that_is_text() {
        for (text, expected, offset) in [
            ("", "", None),
            ("1", "1", None),
            (r#""o""#, "", Some("o")),
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#, None),
            (r#""a,b",["c"],"o\"\\p""#, r#""a,b",["c"]"#, Some("o\"\\p")),
        ] {
            let arguments = Arguments::parse(&format!("[{text}]"), Vec::new()).unwrap();
            let expected = Arguments::parse(&format!("[{expected}]"), Vec::new()).unwrap();
            assert_eq!(split_offset(arguments), (expected, offset.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn the_open_packet_tells_the_times() {
        let text =
            r#"{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let opened = Opened {
            sid: "abc".into(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: Some(1_000_000),
        };
        assert_eq!(Opened::parse(text), Ok(opened));
        let far = r#"{"sid":"abc","pingInterval":18446744073709551615,"pingTimeout":0}"#;
        assert_eq!(Opened::parse(far).unwrap().ping_interval, LONGEST);
        for text in ["", "{}", r#"{"sid":"abc"}"#, r#"{"sid":"a","pingInterval":-1,"pingTimeout":1}"#] {
            assert!(Opened::parse(text).is_err(), "{text}");
        }
    }
}
