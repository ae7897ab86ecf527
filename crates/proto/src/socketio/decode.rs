//! `Decoder`: the messages of an Engine.IO session become packets; attachments are waited for.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::arguments::Arguments;
use super::{MAIN, RESERVED};
use crate::json;
use crate::limits::{ATTACHMENTS, DEPTH, EVENT};

/// A packet of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// It wants to enter a namespace; `auth` is one object.
    Connect {
        namespace: String,
        auth: Option<Arguments>,
    },
    Disconnect {
        namespace: String,
    },
    /// `id`: it wants an ack.
    Event {
        namespace: String,
        id: Option<u64>,
        event: String,
        arguments: Arguments,
    },
    Ack {
        namespace: String,
        id: u64,
        arguments: Arguments,
    },
}

/// The peer does not speak Socket.IO: its connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    UnknownType,
    BadNamespace,
    BadId,
    /// The JSON is none, or not what this kind of packet carries; the sentence says more.
    BadPayload(String),
    ReservedEvent,
    /// More than [`ATTACHMENTS`], or not a number.
    BadAttachmentCount,
    /// Text came where an attachment should, or the other way round.
    Unexpected,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownType => f.write_str("this type of packet is unknown"),
            ParseError::BadNamespace => f.write_str("this is no name of a namespace"),
            ParseError::BadId => f.write_str("the number of the ack is none"),
            ParseError::BadPayload(why) => write!(f, "bad payload: {why}"),
            ParseError::ReservedEvent => f.write_str("this event name is reserved"),
            ParseError::BadAttachmentCount => write!(f, "a packet announces 1 to {ATTACHMENTS} attachments"),
            ParseError::Unexpected => f.write_str("text and attachments came out of order"),
        }
    }
}

impl std::error::Error for ParseError {}

/// The machine of one session's incoming packets. At rest it owns nothing.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A packet whose attachments are not all there.
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    header: Header,
    /// The payload's text.
    payload: String,
    attachments: Vec<Bytes>,
}

/// What stands before the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    kind: u8,
    attachments: usize,
    pub(super) namespace: String,
    id: Option<u64>,
}

/// A namespace's name: upstream sets no limit; a room's name is behind it in ours.
const NAMESPACE: usize = 128;

impl Decoder {
    /// Takes a text message. `None`: its attachments follow.
    pub fn receive_text(&mut self, text: &str) -> Result<Option<Packet>, ParseError> {
        if self.waiting.take().is_some() {
            return Err(ParseError::Unexpected);
        }
        let (header, payload) = parse_header(text)?;
        // CONNECT_ERROR is for servers to say.
        if header.kind == b'4' {
            return Err(ParseError::UnknownType);
        }
        if header.attachments == 0 {
            return header.packet(payload, Vec::new()).map(Some);
        }
        let payload = payload.to_owned();
        self.waiting = Some(Box::new(Waiting { header, payload, attachments: Vec::new() }));
        Ok(None)
    }

    /// Whether attachments are to follow.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes a binary message, which is an attachment.
    pub fn receive_binary(&mut self, data: Bytes) -> Result<Option<Packet>, ParseError> {
        let waiting = self.waiting.as_mut().ok_or(ParseError::Unexpected)?;
        waiting.attachments.push(data);
        if waiting.attachments.len() < waiting.header.attachments {
            return Ok(None);
        }
        let Some(waiting) = self.waiting.take() else { return Ok(None) };
        let Waiting { header, payload, attachments } = *waiting;
        header.packet(&payload, attachments).map(Some)
    }
}

/// `<type>[<attachments>-][<namespace>,][<id>]<payload>`
pub(super) fn parse_header(text: &str) -> Result<(Header, &str), ParseError> {
    let kind = *text.as_bytes().first().ok_or(ParseError::UnknownType)?;
    if !matches!(kind, b'0'..=b'6') {
        return Err(ParseError::UnknownType);
    }
    let mut rest = &text[1..];
    let mut attachments = 0;
    if matches!(kind, b'5' | b'6') {
        let (count, behind) = rest.split_once('-').ok_or(ParseError::BadAttachmentCount)?;
        let count = digits(count).filter(|&count| (1..=ATTACHMENTS as u64).contains(&count));
        attachments = count.ok_or(ParseError::BadAttachmentCount)? as usize;
        rest = behind;
    }
    let mut namespace = MAIN;
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        if namespace.len() > NAMESPACE || namespace.contains(|c: char| c.is_control()) {
            return Err(ParseError::BadNamespace);
        }
    }
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let id = match &rest[..end] {
        "" => None,
        id => Some(digits(id).ok_or(ParseError::BadId)?),
    };
    Ok((Header { kind, attachments, namespace: namespace.to_owned(), id }, &rest[end..]))
}

/// A decimal number that JavaScript has exactly.
fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all).filter(|&number| number <= MAX_ID)
}

/// `Number.MAX_SAFE_INTEGER`.
const MAX_ID: u64 = (1 << 53) - 1;

impl Header {
    fn packet(self, payload: &str, attachments: Vec<Bytes>) -> Result<Packet, ParseError> {
        let Header { kind, namespace, id, .. } = self;
        match kind {
            b'0' => Ok(Packet::Connect { namespace, auth: auth(payload)? }),
            b'1' if payload.is_empty() => Ok(Packet::Disconnect { namespace }),
            b'1' => Err(ParseError::BadPayload("a disconnect carries none".into())),
            b'2' | b'5' => {
                let (event, arguments) = event(payload, attachments)?;
                Ok(Packet::Event { namespace, id, event, arguments })
            }
            _ => {
                let id = id.ok_or(ParseError::BadId)?;
                let arguments = Arguments::parse(payload, attachments).map_err(bad)?;
                Ok(Packet::Ack { namespace, id, arguments })
            }
        }
    }
}

fn auth(payload: &str) -> Result<Option<Arguments>, ParseError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let value: &RawValue = serde_json::from_str(payload).map_err(bad)?;
    if !value.get().starts_with('{') {
        return Err(ParseError::BadPayload("auth is an object".into()));
    }
    if json::depth(payload) > DEPTH {
        return Err(ParseError::BadPayload(format!("auth is nested deeper than {DEPTH} levels")));
    }
    Ok(Some(Arguments::join(&[value])))
}

/// Splits `["name",…]`.
fn event(payload: &str, attachments: Vec<Bytes>) -> Result<(String, Arguments), ParseError> {
    let values: Vec<&RawValue> = serde_json::from_str(payload).map_err(bad)?;
    let name = values.first().and_then(|name| json::text(name));
    let name = name.ok_or_else(|| ParseError::BadPayload("an event begins with its name".into()))?;
    check_name(&name)?;
    let arguments = if attachments.is_empty() {
        if json::depth(payload) > DEPTH {
            return Err(ParseError::BadPayload(format!("it is nested deeper than {DEPTH} levels")));
        }
        Arguments::join(&values[1..])
    } else {
        let rest: Vec<&str> = values[1..].iter().map(|value| value.get()).collect();
        Arguments::parse(&format!("[{}]", rest.join(",")), attachments).map_err(bad)?
    };
    Ok((name.into_owned(), arguments))
}

/// Whether a client may send an event of this name.
pub(super) fn check_name(name: &str) -> Result<(), ParseError> {
    if RESERVED.contains(&name) {
        return Err(ParseError::ReservedEvent);
    }
    if name.len() > EVENT {
        return Err(ParseError::BadPayload(format!("an event name has at most {EVENT} bytes")));
    }
    Ok(())
}

pub(super) fn bad(error: impl fmt::Display) -> ParseError {
    ParseError::BadPayload(error.to_string())
}
