//! The server's reader of request heads, for programs without an HTTP library.

use super::check::{Accepted, Rejection, check};
use super::head::{Head, HeadError, HeadReader, http_version};
use super::is_token;

/// Reads request heads that arrive in any pieces.
#[derive(Debug, Default)]
pub struct RequestReader {
    head: HeadReader,
}

/// The answer to a request that [comes from elsewhere](Request::is_from_elsewhere).
pub const FOREIGN: Rejection =
    Rejection { status: 403, headers: &[], message: "Pages of other servers may not connect here." };

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    head: Head,
    method_len: usize,
    target_len: usize,
    version: (u8, u8),
}

impl RequestReader {
    pub fn new() -> RequestReader {
        RequestReader::default()
    }

    /// Takes what arrived. When a head is complete, gives it and how many of `bytes` belong to it; the others are
    /// the first frames. A rejection ends the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<(Request, usize)>, Rejection> {
        let Some((head, used)) = self.head.receive(bytes)? else { return Ok(None) };
        Ok(Some((Request::new(head)?, used)))
    }
}

impl Request {
    fn new(head: Head) -> Result<Request, HeadError> {
        let mut words = head.first().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadError::BadFirstLine);
        };
        let version = http_version(version).ok_or(HeadError::BadFirstLine)?;
        if !is_token(method) || target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HeadError::BadFirstLine);
        }
        let (method_len, target_len) = (method.len(), target.len());
        Ok(Request { head, method_len, target_len, version })
    }

    pub fn method(&self) -> &str {
        &self.head.first()[..self.method_len]
    }

    /// Path and query as they were written: visible ASCII.
    pub fn target(&self) -> &str {
        &self.head.first()[self.method_len + 1..][..self.target_len]
    }

    /// Major and minor.
    pub fn version(&self) -> (u8, u8) {
        self.version
    }

    /// Names as they were written; values without the blanks around them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.fields()
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Whether it wants something else than an upgrade.
    pub fn is_plain(&self) -> bool {
        self.method() == "GET" && self.header("Upgrade").is_none()
    }

    /// Whether a page sent it that is another server's (RFC 6455 section 10.2): a browser says so in `Origin`. Pages of
    /// this machine are as good as this server's own.
    pub fn is_from_elsewhere(&self) -> bool {
        let Some(origin) = self.header("Origin") else { return false };
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let name = host.split(':').next().unwrap_or_default();
        Some(host) != self.header("Host") && !["127.0.0.1", "localhost"].contains(&name)
    }

    /// Whether it may be answered with 101.
    pub fn check(&self) -> Result<Accepted, Rejection> {
        check(self.method(), self.version(), self.headers())
    }
}

impl From<HeadError> for Rejection {
    fn from(error: HeadError) -> Rejection {
        let (status, message) = match error {
            HeadError::FirstLineTooLong => (414, "The request line is longer than 8 KB."),
            HeadError::TooLong => {
                (431, "A header is longer than 8 KB, or all of them are longer than 16 KB.")
            }
            HeadError::TooManyHeaders => (431, "The request has more than 64 headers."),
            HeadError::BadLine => (400, "A header line is ill-formed."),
            HeadError::BadFirstLine => (400, "The request line is not one of HTTP/1.1."),
        };
        Rejection { status, headers: &[], message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, headers: &str) -> Request {
        let head = format!("{method} / HTTP/1.1\r\nHost: h:1\r\n{headers}\r\n");
        RequestReader::new().receive(head.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn pages_of_this_server_and_of_this_machine_are_not_from_elsewhere() {
        let check = |origin: &str, elsewhere| {
            let request = read("GET", &format!("Origin: {origin}\r\n"));
            assert_eq!(request.is_from_elsewhere(), elsewhere, "{origin}");
        };
        assert!(!read("GET", "").is_from_elsewhere());
        for origin in ["http://h:1", "https://h:1", "http://localhost:63342", "http://127.0.0.1"] {
            check(origin, false);
        }
        for origin in ["http://h:2", "http://h", "null", "", "h:1", "http://127.0.0.1.evil.example"] {
            check(origin, true);
        }
    }

    #[test]
    fn what_asks_for_an_upgrade_is_not_plain() {
        assert!(read("GET", "").is_plain());
        assert!(!read("GET", "upgrade: h2c\r\n").is_plain());
        assert!(!read("POST", "").is_plain());
    }
}
