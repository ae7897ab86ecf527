//! The client's side of the opening handshake: the request, and the check of the answer (RFC 6455 section 4.1).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::head::{Head, HeadError, HeadReader, http_version};
use super::{accept_key, elements, write_header};
use crate::ws::deflate::{self, Agreement, Offer};

/// What the client asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientRequest<'a> {
    /// Name and port as in the URL, the port only if it is not the scheme's own.
    pub host: &'a str,
    /// Path and query. Bytes that may not stand in a request line are percent-encoded.
    pub target: &'a str,
    /// In the order of preference.
    pub protocols: &'a [&'a str],
    pub deflate: Option<Offer>,
    /// Further headers, such as `Origin`, `Cookie` or `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

/// A client that waits for the answer.
#[derive(Debug)]
pub struct ClientHandshake {
    reader: HeadReader,
    accept: [u8; 28],
    protocols: Vec<String>,
    deflate: Option<Offer>,
}

/// What the server agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    pub protocol: Option<String>,
    /// For [`Config::deflate`](crate::ws::Config::deflate).
    pub deflate: Option<Agreement>,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The server answered with another status: a redirect, a request for credentials, an error.
    Status(Response),
    /// The answer is not one to a WebSocket handshake; the sentence says what is wrong.
    BadAnswer(&'static str),
    /// The answer is not HTTP, or too long.
    BadHead(HeadError),
}

/// An answer other than 101.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    head: Head,
}

impl Response {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }
}

impl ClientHandshake {
    /// Appends the request to `out`. `nonce` is 16 random bytes, drawn for this connection.
    pub fn new(request: &ClientRequest<'_>, nonce: [u8; 16], out: &mut Vec<u8>) -> ClientHandshake {
        let key = BASE64_STANDARD.encode(nonce);
        out.extend_from_slice(b"GET ");
        for byte in request.target.bytes() {
            match byte {
                b'!'..=b'~' => out.push(byte),
                _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_header(out, "Host", request.host);
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
        write_header(out, "Sec-WebSocket-Key", &key);
        if !request.protocols.is_empty() {
            write_header(out, "Sec-WebSocket-Protocol", &request.protocols.join(", "));
        }
        if let Some(offer) = &request.deflate {
            write_header(out, "Sec-WebSocket-Extensions", &offer.to_string());
        }
        for (name, value) in request.headers {
            write_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        ClientHandshake {
            reader: HeadReader::default(),
            accept: accept_key(key.as_bytes()),
            protocols: request.protocols.iter().map(|protocol| (*protocol).to_owned()).collect(),
            deflate: request.deflate,
        }
    }

    /// Takes what arrived. When the answer is complete and right, gives what was agreed and how many of `bytes`
    /// belong to it; the others are the first frames. After a refusal the connection must be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<(Established, usize)>, Refused> {
        let Some((head, used)) = self.reader.receive(bytes).map_err(Refused::BadHead)? else {
            return Ok(None);
        };
        let mut words = head.first().split(' ');
        let version = words.next().and_then(http_version);
        let three_digits = |word: &&str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        let status = words.next().filter(three_digits).and_then(|word| word.parse().ok());
        let (Some((1, _)), Some(status)) = (version, status) else {
            return Err(Refused::BadHead(HeadError::BadFirstLine));
        };
        if status != 101 {
            return Err(Refused::Status(Response { status, head }));
        }
        let established = self.check(&head).map_err(Refused::BadAnswer)?;
        Ok(Some((established, used)))
    }

    /// The rules of section 4.1 for an answer with status 101.
    fn check(&self, head: &Head) -> Result<Established, &'static str> {
        let has = |name, word: &str| {
            all(head, name).flat_map(elements).any(|element| element.eq_ignore_ascii_case(word))
        };
        if !has("Upgrade", "websocket") {
            return Err("the answer lacks Upgrade: websocket");
        }
        if !has("Connection", "Upgrade") {
            return Err("the answer lacks Connection: Upgrade");
        }
        if one(head, "Sec-WebSocket-Accept")?.map(str::as_bytes) != Some(&self.accept) {
            return Err("Sec-WebSocket-Accept does not answer the key");
        }
        let protocol = one(head, "Sec-WebSocket-Protocol")?.map(str::to_owned);
        if protocol.as_ref().is_some_and(|chosen| !self.protocols.contains(chosen)) {
            return Err("the server chose a subprotocol that was not offered");
        }
        let deflate = match (one(head, "Sec-WebSocket-Extensions")?, self.deflate) {
            (None, _) => None,
            (Some(_), None) => return Err("the server chose an extension that was not offered"),
            (Some(value), Some(offer)) => match deflate::check_response(&offer, value) {
                Ok(agreement) => Some(agreement),
                Err(deflate::BadResponse) => return Err("the server's compression is not what was offered"),
            },
        };
        Ok(Established { protocol, deflate })
    }
}

fn all<'h>(head: &'h Head, name: &'h str) -> impl Iterator<Item = &'h str> {
    head.fields()
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
}

fn one<'h>(head: &'h Head, name: &'h str) -> Result<Option<&'h str>, &'static str> {
    let mut values = all(head, name);
    let value = values.next();
    if values.next().is_some() { Err("a handshake header stands in the answer twice") } else { Ok(value) }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Status(response) => write!(f, "the server answered with status {}", response.status),
            Refused::BadAnswer(sentence) => f.write_str(sentence),
            Refused::BadHead(_) => f.write_str("the server's answer is not one of HTTP/1.1"),
        }
    }
}

impl std::error::Error for Refused {}
