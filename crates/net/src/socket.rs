//! `Socket`: a TCP stream that a worker owns, its WebSocket machine and its conversation.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::task::Waker;
use std::time::Instant;

use mio::net::TcpStream;
use parlor_hub::{ConnectionId, Shard};
use parlor_proto::engineio::Reason;
use parlor_proto::ws;

use crate::admission::Admitted;
use crate::application::Conversation;
use crate::engineio::{Held, Part};
use crate::liveness::Liveness;

/// One connection as its worker holds it. At rest it owns no buffer: what is read goes through the worker's, what is
/// to be written is shared with others.
#[repr(C, align(64))]
pub(crate) struct Socket {
    // What a write touches comes first and fills one line of the cache; see the hub's `Entry`.
    pub(crate) liveness: Liveness,
    /// `None` while it polls.
    pub(crate) stream: Option<TcpStream>,
    pub(crate) flags: Flags,
    /// What was read while the conversation took nothing more; looked at before anything else. At most one read.
    pub(crate) unread: Vec<u8>,
    pub(crate) id: ConnectionId,
    pub(crate) ws: ws::Connection,
    /// `None` once it is over.
    pub(crate) conversation: Option<Box<dyn Conversation>>,
    pub(crate) waker: Option<Waker>,
    /// When a closing connection ends at the latest.
    pub(crate) deadline: Option<Instant>,
    pub(crate) engine_io: Option<Part>,
    /// The place among its address's connections.
    pub(crate) _admitted: Option<Box<Admitted>>,
}

const _: () = assert!(std::mem::offset_of!(Socket, unread) < 64);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The conversation takes nothing more at the moment.
    pub(crate) paused: bool,
    /// Readiness was reported and not used up.
    pub(crate) readable: bool,
    /// The last write fell short; the system says when there is room.
    pub(crate) blocked: bool,
    /// The peer has ended its side.
    pub(crate) ended: bool,
    /// Our side is ended; the rest is read and thrown away.
    pub(crate) lingering: bool,
    /// It has left the hub's rooms and gets nothing more from them. Always so once the WebSocket is closed.
    pub(crate) leaving: bool,
    /// The conversation has sent something since it was told that all is written.
    pub(crate) sent: bool,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The system takes nothing more for now. `progress`: some of it went out.
    Blocked {
        progress: bool,
    },
    Broken,
}

/// Slices of one vectored write: a turn's chunks of a connection in several rooms; more go in a second write.
const SLICES: usize = 64;

impl Socket {
    /// The Engine.IO session, if it is one.
    pub(crate) fn held(&mut self) -> Option<&mut Held> {
        match &mut self.engine_io {
            Some(Part::Session(held)) => Some(held),
            _ => None,
        }
    }

    /// Why it ended if nobody said: upstream's words for a session, none for other connections.
    pub(crate) fn reason_of_loss(&self) -> &'static str {
        match self.engine_io {
            Some(Part::Session(_) | Part::Probe(_)) => Reason::TransportClose.as_str(),
            _ => "",
        }
    }

    /// Whether it polls: then it has no stream, and answers instead of writes.
    pub(crate) fn is_polling(&self) -> bool {
        self.stream.is_none()
    }

    /// One read into the worker's buffer. `Ok(None)`: nothing is there now.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            match stream.read(buffer) {
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what is queued, in as few calls as it takes.
    pub(crate) fn flush(&mut self, slot: u32, shard: &mut Shard) -> Flushed {
        let mut progress = false;
        let Some(stream) = &mut self.stream else { return Flushed::Blocked { progress } };
        loop {
            let Some(outbox) = shard.outbox(slot).filter(|outbox| !outbox.is_empty()) else {
                self.flags.blocked = false;
                return Flushed::All;
            };
            let (result, wanted) = match outbox.single() {
                Some(bytes) => (stream.write(bytes), bytes.len()),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let filled = outbox.slices(&mut slices);
                    let wanted = slices[..filled].iter().map(|slice| slice.len()).sum();
                    (stream.write_vectored(&slices[..filled]), wanted)
                }
            };
            match result {
                Ok(written) => {
                    progress |= written > 0;
                    shard.advance(slot, written);
                    // A short write means that the system's buffer is full: another call would only say so.
                    if written < wanted {
                        self.flags.blocked = true;
                        return Flushed::Blocked { progress };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flags.blocked = true;
                    return Flushed::Blocked { progress };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Broken,
            }
        }
    }

    /// Ends our side, so that the peer reads everything up to here and then the end.
    pub(crate) fn end_writing(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
        self.flags.lingering = true;
    }
}
