//! The bodies of long polling: packets in one HTTP request or answer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Revision;
use super::packet::{Kind, Packet};
use crate::limits::POLL_PACKETS_OUT;
use crate::ws::Role;
use crate::ws::frame::{Header, Opcode};

/// What stands between the packets of a revision 4 payload.
const SEPARATOR: u8 = 0x1e;
/// What stands between length and packet in a binary payload of revision 3.
const END_OF_LENGTH: u8 = 0xff;

/// One packet of a payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Text(Packet<'a>),
    /// A binary message.
    Binary(Vec<u8>),
}

/// The payload is not one: the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPayload;

impl fmt::Display for BadPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not an Engine.IO payload")
    }
}

/// The packets of a request's body, read one after the other: a body of separators costs nothing before the first
/// bad packet ends it.
#[derive(Debug)]
pub struct Records<'a> {
    rest: Option<&'a [u8]>,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Separated,
    /// `length:packet`, the length in UTF-16 units.
    Counted,
    /// Kind, decimal digits as bytes, 255, packet.
    Binary,
}

impl<'a> Records<'a> {
    /// `binary`: the request says that its body is `application/octet-stream`, which only revision 3 has.
    pub fn new(body: &'a [u8], revision: Revision, binary: bool) -> Records<'a> {
        let form = match revision {
            Revision::V4 => Form::Separated,
            Revision::V3 if binary => Form::Binary,
            Revision::V3 => Form::Counted,
        };
        // An empty body is one empty packet, which is none.
        Records { rest: Some(body), form }
    }

    /// Bytes that lie behind the last packet that was read; `None` at the end.
    pub fn rest(&self) -> Option<usize> {
        self.rest.map(<[u8]>::len)
    }

    fn take(&mut self, body: &'a [u8]) -> Result<Record<'a>, BadPayload> {
        match self.form {
            Form::Separated => {
                let end = memchr::memchr(SEPARATOR, body);
                self.rest = end.map(|end| &body[end + 1..]);
                let record = &body[..end.unwrap_or(body.len())];
                match record.strip_prefix(b"b") {
                    Some(encoded) => binary(encoded),
                    None => text(record),
                }
            }
            Form::Counted => {
                let colon = memchr::memchr(b':', body).ok_or(BadPayload)?;
                let units = number(&body[..colon], b'0')?;
                let (record, rest) = split_utf16(&body[colon + 1..], units)?;
                self.rest = (!rest.is_empty()).then_some(rest);
                match record.strip_prefix(b"b4") {
                    Some(encoded) => binary(encoded),
                    None => text(record),
                }
            }
            Form::Binary => {
                let (&kind, body) = body.split_first().ok_or(BadPayload)?;
                let end = memchr::memchr(END_OF_LENGTH, body).ok_or(BadPayload)?;
                let length = number(&body[..end], 0)?;
                let record = body[end + 1..].get(..length).ok_or(BadPayload)?;
                let rest = &body[end + 1 + length..];
                self.rest = (!rest.is_empty()).then_some(rest);
                match (kind, record) {
                    (0, record) => text(record),
                    (1, [4, data @ ..]) => Ok(Record::Binary(data.to_vec())),
                    _ => Err(BadPayload),
                }
            }
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BadPayload>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.rest.take()?;
        let record = self.take(body);
        if record.is_err() {
            self.rest = None;
        }
        Some(record)
    }
}

fn text(record: &[u8]) -> Result<Record<'_>, BadPayload> {
    let text = simdutf8::basic::from_utf8(record).map_err(|_| BadPayload)?;
    Packet::parse(text).map(Record::Text).map_err(|_| BadPayload)
}

fn binary(encoded: &[u8]) -> Result<Record<'static>, BadPayload> {
    // Some clients leave the padding out.
    let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded));
    decoded.map(Record::Binary).map_err(|_| BadPayload)
}

/// A length of at most nine digits; `zero` is the byte that stands for 0.
fn number(digits: &[u8], zero: u8) -> Result<usize, BadPayload> {
    if digits.is_empty() || digits.len() > 9 {
        return Err(BadPayload);
    }
    digits.iter().try_fold(0, |number, digit| match digit.checked_sub(zero) {
        Some(digit @ 0..=9) => Ok(number * 10 + usize::from(digit)),
        _ => Err(BadPayload),
    })
}

/// The first `units` UTF-16 units of the text, and the rest.
fn split_utf16(bytes: &[u8], units: usize) -> Result<(&[u8], &[u8]), BadPayload> {
    let (mut at, mut seen) = (0, 0);
    while seen < units {
        let (length, wide) = match bytes.get(at).ok_or(BadPayload)? {
            0x00..=0x7f => (1, 1),
            0xc0..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            0xf0..=0xf7 => (4, 2),
            _ => return Err(BadPayload),
        };
        at += length;
        seen += wide;
    }
    if seen != units || at > bytes.len() {
        return Err(BadPayload);
    }
    Ok(bytes.split_at(at))
}

/// The body of an answer while it is filled with what waits for a poller.
#[derive(Debug)]
pub struct Answer {
    revision: Revision,
    /// The client takes binary answers (revision 3 without `b64`).
    binary: bool,
    body: Vec<u8>,
    packets: usize,
    limit: usize,
}

impl Answer {
    /// At most `limit` bytes before base64, unless the first packet alone is longer, and at most
    /// [`POLL_PACKETS_OUT`] packets.
    pub fn new(revision: Revision, b64: bool, limit: usize) -> Answer {
        let binary = revision == Revision::V3 && !b64;
        Answer { revision, binary, body: Vec::new(), packets: 0, limit }
    }

    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    pub fn is_full(&self) -> bool {
        self.packets >= POLL_PACKETS_OUT || self.body.len() >= self.limit
    }

    /// Appends a packet of text, with its digit.
    pub fn push_text(&mut self, packet: &[u8]) {
        self.packets += 1;
        match self.revision {
            Revision::V4 => {
                if !self.body.is_empty() {
                    self.body.push(SEPARATOR);
                }
                self.body.extend_from_slice(packet);
            }
            Revision::V3 if self.binary => {
                self.push_length(0, packet.len());
                self.body.extend_from_slice(packet);
            }
            Revision::V3 => {
                let units = String::from_utf8_lossy(packet).encode_utf16().count();
                self.body.extend_from_slice(format!("{units}:").as_bytes());
                self.body.extend_from_slice(packet);
            }
        }
    }

    /// Appends a binary message.
    pub fn push_binary(&mut self, data: &[u8]) {
        self.packets += 1;
        match self.revision {
            Revision::V4 => {
                if !self.body.is_empty() {
                    self.body.push(SEPARATOR);
                }
                self.body.push(b'b');
                self.body.extend_from_slice(STANDARD.encode(data).as_bytes());
            }
            Revision::V3 if self.binary => {
                self.push_length(1, data.len() + 1);
                self.body.push(4);
                self.body.extend_from_slice(data);
            }
            Revision::V3 => {
                let encoded = STANDARD.encode(data);
                self.body.extend_from_slice(format!("{}:b4{encoded}", encoded.len() + 2).as_bytes());
            }
        }
    }

    fn push_length(&mut self, kind: u8, length: usize) {
        self.body.push(kind);
        self.body.extend(length.to_string().bytes().map(|digit| digit - b'0'));
        self.body.push(END_OF_LENGTH);
    }

    /// Appends the packets of whole WebSocket frames of a server, as an outbox holds them, and returns how many bytes
    /// of them were taken: a frame is taken whole or not at all.
    pub fn push_frames(&mut self, mut frames: &[u8]) -> usize {
        let before = frames.len();
        while !self.is_full() {
            let Ok(Some((header, length))) = Header::parse(frames, Role::Client) else { break };
            let Some(payload) = frames.get(length..length + header.len as usize) else { break };
            if !self.is_empty() && self.body.len() + payload.len() > self.limit {
                break;
            }
            match header.opcode {
                Opcode::Text => self.push_text(payload),
                // Revision 3 marks binary messages inside the frame too.
                Opcode::Binary if self.revision == Revision::V3 => {
                    self.push_binary(payload.get(1..).unwrap_or_default());
                }
                Opcode::Binary => self.push_binary(payload),
                // Of the transport, not of the session.
                _ => {}
            }
            frames = &frames[length + payload.len()..];
        }
        before - frames.len()
    }

    /// The body and its content type.
    pub fn finish(self) -> (Vec<u8>, &'static str) {
        let kind = if self.binary { "application/octet-stream" } else { "text/plain; charset=UTF-8" };
        (self.body, kind)
    }

    /// The body of an answer with one packet without data.
    pub fn single(revision: Revision, b64: bool, kind: Kind) -> (Vec<u8>, &'static str) {
        let mut answer = Answer::new(revision, b64, usize::MAX);
        answer.push_text(&[kind as u8]);
        answer.finish()
    }
}
