//! What arrives: frames are unmasked in place, put together to messages where that is needed, and lent.

use std::ops::Range;
use std::time::Instant;

use super::conn::Phase;
use super::frame::{Header, Opcode};
use super::message::{Frame, Message, Whole};
use super::{Connection, Failure, Kind, close, mask, utf8};

/// Bytes that arrived, on their way to become events.
///
/// Poll until `None`: then all bytes are used, and the connection has kept what belongs to an unfinished frame or
/// message. Dropping it earlier uses up the rest and throws the events away (pings are answered all the same), so that
/// the stream stays in step; a driver that must stop reading takes [`Received::into_unread`] instead.
#[derive(Debug)]
pub struct Received<'a> {
    conn: &'a mut Connection,
    now: Instant,
    bytes: &'a mut [u8],
    /// How many of `bytes` are used up.
    at: usize,
    /// A payload that did not lie whole in `bytes`, while it is lent.
    kept: Kept,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// Has been answered already.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The closing handshake is over, or the connection ended without one (1006). 1005: the Close frame had no code.
    Closed {
        code: u16,
        reason: &'a str,
        by: ClosedBy,
    },
    /// The peer broke a rule or a limit. It is being told; nothing more of it is looked at.
    Failed(Failure),
}

/// Who began to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    Peer,
    /// We did, and the peer has answered.
    Us,
    /// The TCP connection ended before a Close frame came.
    Lost,
}

#[derive(Debug)]
enum Kept {
    Nothing,
    Message(Whole),
    Control(Vec<u8>),
}

/// A frame or message that is complete.
enum Complete {
    /// Its payload lies in the bytes that arrived.
    Here(Opcode, Range<usize>),
    /// Its payload has been put into `kept`.
    Kept(Opcode),
}

impl<'a> Received<'a> {
    pub(super) fn new(conn: &'a mut Connection, now: Instant, bytes: &'a mut [u8]) -> Received<'a> {
        Received { conn, now, bytes, at: 0, kept: Kept::Nothing }
    }

    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.kept = Kept::Nothing;
        let event = match self.advance() {
            Ok(None) => {
                if self.conn.partial.as_ref().is_some_and(|partial| partial.is_empty()) {
                    self.conn.partial = None;
                }
                return None;
            }
            Ok(Some(Complete::Here(opcode, range))) => {
                deliver(self.conn, self.now, opcode, &self.bytes[range])
            }
            Ok(Some(Complete::Kept(opcode))) => match &self.kept {
                Kept::Message(Whole::Text(text)) => Ok(Event::Text(text)),
                Kept::Message(Whole::Binary(binary)) => Ok(Event::Binary(binary)),
                Kept::Control(payload) => deliver(self.conn, self.now, opcode, payload),
                Kept::Nothing => return None,
            },
            Err(failure) => Err(failure),
        };
        Some(event.unwrap_or_else(|failure| {
            self.conn.fail(self.now, failure);
            Event::Failed(failure)
        }))
    }

    /// Stops here: how many bytes at the end have not been looked at. They must be handed in again, before any others.
    pub fn into_unread(mut self) -> usize {
        let unread = self.bytes.len() - self.at;
        self.at = self.bytes.len();
        unread
    }

    /// Goes through the bytes up to the end of the next message or control frame.
    fn advance(&mut self) -> Result<Option<Complete>, Failure> {
        loop {
            if self.conn.phase >= Phase::Discarding {
                self.at = self.bytes.len();
                return Ok(None);
            }
            let Some(mut frame) = self.next_frame()? else { return Ok(None) };
            let rest = self.bytes.len() - self.at;
            let here = self.at..self.at + usize::try_from(frame.left).map_or(rest, |left| left.min(rest));
            mask::apply(frame.key, &mut self.bytes[here.clone()]);
            self.at = here.end;
            frame.left -= here.len() as u64;
            frame.key = mask::continue_at(frame.key, here.len());

            let complete = if frame.opcode.is_control() {
                self.take_control(frame, here)
            } else {
                self.take_data(frame, here)?
            };
            if complete.is_some() {
                return Ok(complete);
            }
            if frame.left > 0 {
                self.conn.partial.get_or_insert_default().frame = Some(frame);
                return Ok(None);
            }
        }
    }

    /// The frame under way, or the next one; `None` when its header has not arrived.
    fn next_frame(&mut self) -> Result<Option<Frame>, Failure> {
        let bytes = &self.bytes[self.at..];
        let found = match &mut self.conn.partial {
            Some(partial) => {
                if let Some(frame) = partial.frame.take() {
                    return Ok(Some(frame));
                }
                partial.header(bytes, self.conn.role)?
            }
            None => {
                let found = Header::parse(bytes, self.conn.role)?;
                if found.is_none() && !bytes.is_empty() {
                    self.conn.partial.get_or_insert_default().header(bytes, self.conn.role)?;
                }
                found
            }
        };
        let Some((header, used)) = found else {
            self.at = self.bytes.len();
            return Ok(None);
        };
        self.at += used;
        self.admit(header).map(Some)
    }

    /// The rules between frames, and the limits: all that can be said before any payload is there.
    fn admit(&mut self, header: Header) -> Result<Frame, Failure> {
        let conn = &mut *self.conn;
        let Header { fin, rsv1, opcode, key, len } = header;
        // RFC 7692 section 6: the bit stands on the first frame of a message only.
        if rsv1 && (conn.agreement.is_none() || !matches!(opcode, Opcode::Text | Opcode::Binary)) {
            return Err(Failure::ReservedBits);
        }
        let mut compressed = rsv1;
        if !opcode.is_control() {
            let message = conn.partial.as_mut().and_then(|partial| partial.message.as_mut());
            let mut announced = len;
            match (opcode, message) {
                (Opcode::Continuation, None) => return Err(Failure::UnexpectedContinuation),
                (Opcode::Continuation, Some(message)) => {
                    compressed = message.compressed;
                    message.fragments += 1;
                    if message.fragments > conn.max_fragments {
                        return Err(Failure::TooManyFragments);
                    }
                    message.announced = message.announced.saturating_add(len);
                    announced = message.announced;
                }
                (_, Some(_)) => return Err(Failure::InterruptedMessage),
                (_, None) => {}
            }
            // Compressed data can be longer than its content, but hardly: deflate stores what it cannot shrink at
            // the price of five bytes per block. Twice and 64 KB is room for senders that flush after every few
            // bytes, and an end to frames that inflate to nothing.
            let max = conn.max_message as u64;
            let max = if compressed { max.saturating_mul(2).saturating_add(64 * 1024) } else { max };
            if announced > max {
                return Err(Failure::MessageTooBig);
            }
        }
        Ok(Frame { fin, opcode, compressed, key, left: len })
    }

    fn take_control(&mut self, frame: Frame, here: Range<usize>) -> Option<Complete> {
        let kept = self.conn.partial.as_ref().is_some_and(|partial| !partial.control.is_empty());
        if frame.left == 0 && !kept {
            return Some(Complete::Here(frame.opcode, here));
        }
        let piece = &self.bytes[here];
        let control = &mut self.conn.partial.get_or_insert_default().control;
        control.extend_from_slice(piece);
        if frame.left > 0 {
            return None;
        }
        self.kept = Kept::Control(std::mem::take(control));
        Some(Complete::Kept(frame.opcode))
    }

    fn take_data(&mut self, frame: Frame, here: Range<usize>) -> Result<Option<Complete>, Failure> {
        let begun = self.conn.partial.as_ref().is_some_and(|partial| partial.message.is_some());
        let ends = frame.fin && frame.left == 0;
        if ends && !begun && !frame.compressed {
            return Ok(Some(Complete::Here(frame.opcode, here)));
        }
        if here.is_empty() && frame.left > 0 {
            return Ok(None);
        }

        let conn = &mut *self.conn;
        let message = conn.partial.get_or_insert_default().message.get_or_insert_with(|| {
            let kind = if frame.opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
            Message::new(kind, frame.compressed, frame.left + here.len() as u64)
        });
        let mut push = |bytes: &[u8]| message.push(bytes, conn.max_message);
        match conn.agreement {
            Some(agreement) if frame.compressed => {
                let streams = conn.streams.get_or_insert_default();
                streams.inflate(agreement, conn.role, &self.bytes[here], ends, &mut push)?;
                if streams.is_empty() {
                    conn.streams = None;
                }
            }
            _ => push(&self.bytes[here])?,
        }
        if !ends {
            return Ok(None);
        }
        let message = conn.partial.as_mut().and_then(|partial| partial.message.take());
        self.kept = match message {
            Some(message) => Kept::Message(message.finish()?),
            None => Kept::Nothing,
        };
        Ok(Some(Complete::Kept(frame.opcode)))
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        while self.poll_event().is_some() {}
    }
}

/// Gives a complete payload its meaning. Fragmented and compressed messages come ready from `take_data`.
fn deliver<'p>(
    conn: &mut Connection,
    now: Instant,
    opcode: Opcode,
    payload: &'p [u8],
) -> Result<Event<'p>, Failure> {
    match opcode {
        Opcode::Text => utf8::check(payload).map(Event::Text),
        Opcode::Binary | Opcode::Continuation => Ok(Event::Binary(payload)),
        Opcode::Ping => {
            conn.answer_ping(payload);
            Ok(Event::Ping(payload))
        }
        Opcode::Pong => Ok(Event::Pong(payload)),
        Opcode::Close => {
            let (code, reason) = close::read_payload(payload)?;
            let by = conn.answer_close(now, code);
            Ok(Event::Closed { code: code.0, reason, by })
        }
    }
}
