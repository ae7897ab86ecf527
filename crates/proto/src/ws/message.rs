//! What is kept of a header, a frame or a message while the rest of it has not arrived.

use super::frame::{self, Header, Opcode};
use super::{Failure, Kind, Role, utf8};

/// The unfinished beginning of what the peer is sending.
#[derive(Debug, Default)]
pub(super) struct Partial {
    header: [u8; frame::MAX_HEADER],
    header_len: u8,
    /// A frame whose payload is on its way.
    pub(super) frame: Option<Frame>,
    /// The payload of a control frame on its way: at most 125 bytes.
    pub(super) control: Vec<u8>,
    pub(super) message: Option<Message>,
}

impl Partial {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Adds to the header that is kept as much as it needs from `bytes`; gives the header and how many of `bytes`
    /// belong to it, or keeps them all.
    pub(super) fn header(&mut self, bytes: &[u8], role: Role) -> Result<Option<(Header, usize)>, Failure> {
        let kept = usize::from(self.header_len);
        let more = bytes.len().min(frame::MAX_HEADER - kept);
        self.header[kept..kept + more].copy_from_slice(&bytes[..more]);
        let found = Header::parse(&self.header[..kept + more], role)?;
        // An unfinished header is shorter than `MAX_HEADER`, so nothing of `bytes` is left out.
        self.header_len = if found.is_some() { 0 } else { (kept + more) as u8 };
        Ok(found.map(|(header, used)| (header, used - kept)))
    }
}

/// A frame whose header has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) compressed: bool,
    /// The masking key, turned so that it begins with the next byte of the payload.
    pub(super) key: [u8; 4],
    /// Bytes of payload still to come.
    pub(super) left: u64,
}

/// A message of which a part has arrived. Memory grows with what arrived, never with what was announced.
#[derive(Debug)]
pub(super) struct Message {
    body: Body,
    pub(super) compressed: bool,
    /// Frames begun.
    pub(super) fragments: u32,
    /// Bytes of payload announced so far, before inflating.
    pub(super) announced: u64,
}

#[derive(Debug)]
enum Body {
    Text(utf8::Text),
    Binary(Vec<u8>),
}

/// A complete message that had to be put together.
#[derive(Debug)]
pub(super) enum Whole {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    pub(super) fn new(kind: Kind, compressed: bool, announced: u64) -> Message {
        let body = match kind {
            Kind::Text => Body::Text(utf8::Text::default()),
            Kind::Binary => Body::Binary(Vec::new()),
        };
        Message { body, compressed, fragments: 1, announced }
    }

    /// Adds decoded payload.
    pub(super) fn push(&mut self, bytes: &[u8], max_message: usize) -> Result<(), Failure> {
        let len = match &self.body {
            Body::Text(text) => text.len(),
            Body::Binary(binary) => binary.len(),
        };
        if bytes.len() > max_message - len {
            return Err(Failure::MessageTooBig);
        }
        match &mut self.body {
            Body::Text(text) => text.push(bytes),
            Body::Binary(binary) => {
                binary.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<Whole, Failure> {
        Ok(match self.body {
            Body::Text(text) => Whole::Text(text.finish()?),
            Body::Binary(binary) => Whole::Binary(binary),
        })
    }
}
