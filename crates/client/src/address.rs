//! Where a server is: `ws://…`, `http://…` and their TLS forms, taken apart.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address, without the brackets of IPv6.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Whether TLS is spoken there: `wss` and `https`.
    pub tls: bool,
    /// Host and port as the `Host` header wants them.
    pub authority: String,
    /// Path and query; begins with a slash.
    pub target: String,
}

/// What may not stand in a request line as it is; people type names with spaces and umlauts into addresses.
const UNWRITABLE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// What stands for itself in a query value (RFC 3986 section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Address {
    /// Reads `ws://host[:port][/path][?query]`, or the same with `wss`, `http` or `https`; without a scheme, `ws` is
    /// meant. The port is 80 by default, with TLS 443.
    ///
    /// # Errors
    /// [`Error::BadAddress`] with a sentence that shows a correct one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::BadAddress(format!("{text} is not an address: {why}; one is ws://localhost:9527/ws"))
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("ws", text));
        let tls = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            other => return Err(bad(&format!("there is no {other}:// here, only ws, wss, http and https"))),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{}", utf8_percent_encode(path, UNWRITABLE));
        let authority: http::uri::Authority =
            authority.parse().map_err(|_| bad("between :// and the path stand a host and a port"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(bad("it has a host, and no user or password"));
        }
        // `Authority::port` is silent about ports that are none.
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            Some(port) => {
                port.parse().ok().filter(|&port| port > 0).ok_or_else(|| bad("a port is 1 to 65535"))?
            }
            None if tls => 443,
            None => 80,
        };
        Ok(Self { host, port, tls, authority: authority.as_str().to_owned(), target })
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The same server with another path and query.
    pub fn with_target(&self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self.clone() }
    }

    /// The same address with one more query parameter.
    pub fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        self.with_target(format!("{}{separator}{name}={}", self.target, query_value(value)))
    }
}

/// A value as it stands in a query or as one segment of a path.
pub fn query_value(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: &str, port: u16, authority: &str, target: &str) {
        let address = Address::parse(text).unwrap();
        let expected = (host, port, authority, target);
        assert_eq!((&*address.host, address.port, &*address.authority, &*address.target), expected, "{text}");
    }

    #[test]
    fn addresses_are_taken_apart() {
        check("ws://localhost:9527/ws", "localhost", 9527, "localhost:9527", "/ws");
        check("localhost:9527", "localhost", 9527, "localhost:9527", "/");
        check("ws://example.org", "example.org", 80, "example.org", "/");
        check("http://[::1]:80/a/b?c=d#e", "::1", 80, "[::1]:80", "/a/b?c=d");
        check("ws://h?room=大 厅", "h", 80, "h", "/?room=%E5%A4%A7%20%E5%8E%85");
    }

    #[test]
    fn tls_has_schemes_and_a_port_of_its_own() {
        for (text, port, tls) in [
            ("wss://h/", 443, true),
            ("https://h", 443, true),
            ("wss://h:9527/", 9527, true),
            ("ws://h:443/", 443, false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.port, address.tls), (port, tls), "{text}");
        }
    }

    #[test]
    fn a_query_value_cannot_become_another_parameter() {
        let address =
            Address::parse("ws://h/ws").unwrap().with_query("name", "a&b=c").with_query("room", "é");
        assert_eq!(address.target, "/ws?name=a%26b%3Dc&room=%C3%A9");
        assert_eq!(address.path(), "/ws");
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, part) in [
            ("ftp://h/", "no ftp://"),
            ("ws://", "a host and a port"),
            ("ws://:9527", "it has a host"),
            ("ws://u:p@h/", "no user or password"),
            ("ws://h:99999/", "1 to 65535"),
            ("ws://h:0/", "1 to 65535"),
            ("ws://h:x/", "1 to 65535"),
            ("ws://a b/", "a host and a port"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("ws://localhost:9527/ws"), "{text}: {error}");
        }
    }
}
