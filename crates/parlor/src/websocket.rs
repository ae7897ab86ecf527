//! `WebSocket`: one connection of a raw route, as its handler holds it.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Uri};

use parlor_proto::codes::{Code, Refusal};
use parlor_proto::socketio::Binary;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::pipe::{Input, Pipe};
use crate::rooms::Audience;

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8 (RFC 6455 section 5.6).
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// The text.
    ///
    /// # Errors
    /// `unsupported_data` if it is bytes.
    pub fn text(&self) -> Result<&str, Refusal> {
        match self {
            Message::Text(text) => Ok(text),
            Message::Binary(_) => Err(Refusal::new(Code::UnsupportedData, "a message here is text")),
        }
    }

    /// Reads text as JSON.
    ///
    /// # Errors
    /// `unsupported_data` if it is bytes; `bad_message` if it is no JSON, or no `T`: the sentence says what is wrong.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let bad = |error| Refusal::new(Code::BadMessage, format!("this is not read: {error}"));
        serde_json::from_str(self.text()?).map_err(bad)
    }
}

/// The connection is over: nothing more can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// RFC 6455 section 7.4; 1006 if the connection broke, 1005 if the peer gave no code.
    pub code: u16,
    /// What the peer said with its code, at most 123 bytes; empty if nothing.
    pub reason: String,
}

/// A connection. Dropping it, or returning from the handler, closes it with 1000.
pub struct WebSocket {
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) request: Arc<Request>,
}

/// What the connection was opened with.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) address: IpAddr,
    /// Names and values of the path's parameters. Invariant: no value is empty.
    pub(crate) params: Vec<(String, String)>,
}

impl WebSocket {
    /// The next message; `None` when the connection is over. It may be dropped while it waits; nothing is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            match poll_fn(|cx| self.pipe.poll_recv(cx)).await {
                Some(Input::Message(message)) => return Some(message),
                // Only consumers are in groups.
                Some(Input::Event(_)) => {}
                None => return None,
            }
        }
    }

    /// Sends a message. Waits while much is waiting to be written already (1 MB), so a handler cannot run ahead of a
    /// slow reader.
    ///
    /// # Errors
    /// The connection is over; how it ended.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let mut message = Some(message);
        poll_fn(|cx| self.pipe.poll_send(cx, &mut message)).await
    }

    /// Closes with a code of RFC 6455 section 7.4 or from 4000 to 4999, and a reason of at most 123 bytes.
    pub fn close(self, code: u16, reason: &str) {
        self.pipe.close(code, reason);
    }

    /// How it ended, once [`WebSocket::recv`] has given `None`.
    pub fn closed(&self) -> Option<Closed> {
        self.pipe.closed()
    }

    /// Joins a room: from here on this connection gets what is sent to it, as [`Audience::send`] says. Nothing happens if
    /// it is in the room already, or over.
    ///
    /// # Errors
    /// `too_many_rooms` at 128 rooms.
    pub fn join(&self, room: &str) -> Result<(), Refusal> {
        self.pipe.membership().join(room)
    }

    /// Leaves a room; what is under way already still comes. A connection that is over has left all of them.
    pub fn leave(&self, room: &str) {
        self.pipe.membership().leave(room);
    }

    /// Connections in a room, on whatever protocol. Who has left in this moment may still be among them.
    pub fn count(&self, room: &str) -> usize {
        self.pipe.membership().count(room)
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<String> {
        self.pipe.membership().rooms()
    }

    /// All who are in this room but this connection, which need not be in it, and may be over.
    pub fn to(&self, room: &str) -> Audience {
        self.pipe.membership().to(room)
    }

    /// Path and query of the request.
    pub fn uri(&self) -> &Uri {
        &self.request.uri
    }

    /// The part of the path that stands where the route has `{name}`, percent-decoded (RFC 3986 section 2.1) and never
    /// empty; `None` if the route has no such parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.request.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// The client's address, as a proxy on this machine gives it or as the socket has it.
    pub fn address(&self) -> IpAddr {
        self.request.address
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.pipe.close(1000, "");
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("uri", &self.request.uri).finish_non_exhaustive()
    }
}

impl Serialize for Message {
    /// Text is a string, bytes are an attachment; see [`Audience::send`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Message::Text(text) => text.serialize(serializer),
            Message::Binary(binary) => Binary(binary.clone()).serialize(serializer),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Message {
        Message::Text(text.to_owned())
    }
}

impl From<Refusal> for Message {
    /// For whoever is refused, as JSON text: `{"error":"bad_message","message":"…"}`.
    fn from(refusal: Refusal) -> Message {
        let Refusal { code, message, .. } = refusal;
        serde_json::json!({ "error": code.as_str(), "message": message }).to_string().into()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(binary: Vec<u8>) -> Message {
        Message::Binary(binary.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_or_whoever_sent_it_hears_what_is_wrong() {
        fn check(message: impl Into<Message>, expected: Result<(String, u32), (&str, &str)>) {
            let refused = match (message.into().read::<(String, u32)>(), expected) {
                (Ok(read), expected) => return assert_eq!(Ok(read), expected),
                (Err(refusal), expected) => (Message::from(refusal), expected.unwrap_err()),
            };
            let (answer, (code, words)) = refused;
            let answer: serde_json::Value = answer.read().unwrap();
            assert_eq!(answer["error"], code);
            assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
        }
        check(r#"["a",1]"#, Ok(("a".to_owned(), 1)));
        check(r#"["a","b"]"#, Err(("bad_message", "expected u32 at line 1 column 8")));
        check("", Err(("bad_message", "EOF")));
        check("[".repeat(100_000), Err(("bad_message", "invalid type")));
        check(b"[]".to_vec(), Err(("unsupported_data", "text")));
    }
}
