//! The WebSocket connection after its opening handshake: states, closing, control frames and the deadline.
//!
//! What arrives is parsed in `receive.rs`, messages are written in `send.rs`.

use std::time::{Duration, Instant};

use super::deflate::{Agreement, Streams};
use super::mask::{self, Keys};
use super::message::Partial;
use super::{CloseCode, ClosedBy, Config, Event, Failure, Received, close, frame, frame::Opcode};

/// One end of a WebSocket connection.
///
/// **After every call that hands something in, poll events until none comes, write what [`poll_transmit`] gives,
/// then wait for more bytes or for the deadline of [`poll_timeout`].** When [`state`] is [`State::Closed`] and all is
/// written, end the writing side of the TCP connection, go on handing in (or throw away) what arrives, and drop the
/// socket when [`is_over`] says so. Dropping it at once loses the Close frame if unread bytes are waiting: the
/// kernel then answers with a reset.
///
/// An idle connection without compression context owns no heap memory (a client's owns its masking keys).
///
/// [`poll_transmit`]: Connection::poll_transmit
/// [`poll_timeout`]: Connection::poll_timeout
/// [`state`]: Connection::state
/// [`is_over`]: Connection::is_over
#[derive(Debug)]
pub struct Connection {
    /// Control frames to be sent. Invariant: a Close frame is the last of them.
    queued: Vec<u8>,
    /// When the peer must have answered our Close frame. Invariant: `None` while open.
    deadline: Option<Instant>,
    /// A header, frame or message of which only a part has arrived. Invariant: `None` when nothing is under way.
    pub(super) partial: Option<Box<Partial>>,
    /// Compression state that must last from message to message, or for the message under way.
    pub(super) streams: Option<Box<Streams>>,
    /// Invariant: `Some` exactly for a client.
    pub(super) keys: Option<Box<Keys>>,
    pub(super) max_message: usize,
    pub(super) max_fragments: u32,
    pub(super) compress_from: u32,
    close_timeout_ms: u32,
    pub(super) agreement: Option<Agreement>,
    pub(super) compress_level: u8,
    /// Bytes of the Close frame at the end of `queued`; 0 if there is none.
    close_len: u8,
    pub(super) role: Role,
    pub(super) phase: Phase,
}

// The whole point of the layout above: ten thousand idle connections are one megabyte.
const _: () = assert!(size_of::<Connection>() <= 96);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

/// Where the connection stands, as far as its driver is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// The closing handshake is under way: nothing more can be sent once [`Connection::poll_transmit`] has given the
    /// Close frame; reading goes on.
    Closing,
    /// Nothing more will be written after what is queued: write that and end the writing side.
    Closed,
}

/// The state inside:
///
/// ```text
///            close()                 the peer's Close
///    Open ────────────► Closing ───────────────────────┐
///     │                    │ fail(), a broken rule     ▼
///     │ the peer's Close, fail(), a broken rule   Discarding ──────────────────► Over
///     ├──────────────────────────────────────────────► ▲  the peer's end, deadline ▲
///     └── the peer's end without a Close ──────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// Our Close frame is queued or sent; the peer's has not come.
    Closing,
    /// Our Close frame is queued or sent and nothing that arrives is looked at any more.
    Discarding,
    Over,
}

impl Connection {
    pub fn new(role: Role, config: &Config) -> Connection {
        Connection {
            queued: Vec::new(),
            deadline: None,
            partial: None,
            streams: None,
            keys: (role == Role::Client).then(|| Box::new(Keys::new(config.mask_seed))),
            max_message: config.max_message,
            max_fragments: config.max_fragments,
            compress_from: config.compress_from.try_into().unwrap_or(u32::MAX),
            close_timeout_ms: config.close_timeout.as_millis().try_into().unwrap_or(u32::MAX),
            agreement: config.deflate,
            compress_level: config.compress_level,
            close_len: 0,
            role,
            phase: Phase::Open,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn state(&self) -> State {
        match (self.phase, self.role) {
            (Phase::Open, _) => State::Open,
            (Phase::Closing, _) => State::Closing,
            // RFC 6455 section 7.1.1: the server ends the TCP connection, the client waits for that.
            (Phase::Discarding, Role::Client) => State::Closing,
            (Phase::Discarding, Role::Server) | (Phase::Over, _) => State::Closed,
        }
    }

    /// Whether the closing handshake is over: [`State::Closed`].
    pub fn is_closed(&self) -> bool {
        self.state() == State::Closed
    }

    /// Whether the socket may be dropped: the peer has ended its side, or the deadline has passed.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes what arrived. Frames are unmasked and decoded in place; see [`Received`].
    pub fn receive<'a>(&'a mut self, now: Instant, bytes: &'a mut [u8]) -> Received<'a> {
        Received::new(self, now, bytes)
    }

    /// The peer has ended its side of the TCP connection, or it broke. Gives [`Event::Closed`] with 1006 and
    /// [`ClosedBy::Lost`] if no other end has been told.
    pub fn receive_eof(&mut self) -> Option<Event<'static>> {
        let lost = self.phase < Phase::Discarding;
        self.end_reading(Phase::Over);
        lost.then_some(Event::Closed { code: CloseCode::LOST.0, reason: "", by: ClosedBy::Lost })
    }

    /// Starts the closing handshake: the only polite way to end. A code that may not travel sends an empty Close
    /// frame; a reason over 123 bytes is cut. Does nothing when the connection is closing already.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str) {
        if self.phase == Phase::Open {
            let before = self.queued.len();
            self.queue(Opcode::Close, &close::write_payload(code, reason));
            // At most 6 bytes of header and 125 of payload.
            self.close_len = (self.queued.len() - before) as u8;
            self.phase = Phase::Closing;
            self.set_deadline(now);
        }
    }

    /// Fails the connection (RFC 6455 section 7.1.7): the peer is told why, and nothing that it sends is looked at
    /// any more. The only way to break a connection; the machine itself calls it for everything a peer does wrong.
    pub fn fail(&mut self, now: Instant, failure: Failure) {
        self.close(now, failure.close_code(), failure.reason());
        self.end_reading(Phase::Discarding);
    }

    /// Sends a ping of at most 125 bytes (more are cut off). Does nothing when the connection is closing.
    pub fn ping(&mut self, payload: &[u8]) {
        if self.phase == Phase::Open && self.queued.len() < MAX_QUEUED {
            self.queue(Opcode::Ping, &payload[..payload.len().min(frame::MAX_CONTROL)]);
        }
    }

    /// Lets time pass: after the deadline, the peer is not waited for any longer.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.end_reading(Phase::Over);
        }
    }

    /// When [`Connection::handle_timeout`] must be called. `None` while open: a connection at rest has no timer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Appends pings, pongs and Close frames that wait to be sent; says whether there were any. Everything written
    /// before this call must stand before these bytes: nothing may follow a Close frame.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.close_len = 0;
        if self.queued.is_empty() {
            return false;
        }
        out.append(&mut self.queued);
        self.queued = Vec::new();
        true
    }

    /// Makes way for a message: appends the pings and pongs that were queued before it. `false` if a Close frame has
    /// been handed out, so that nothing may follow (section 5.5.1).
    pub(super) fn begin_message(&mut self, out: &mut Vec<u8>) -> bool {
        let close_at = self.queued.len() - usize::from(self.close_len);
        if self.phase != Phase::Open && self.close_len == 0 {
            return false;
        }
        out.extend(self.queued.drain(..close_at));
        if self.queued.is_empty() {
            self.queued = Vec::new();
        }
        true
    }

    /// Answers a ping (section 5.5.2). If nobody sends what is queued, only the latest pings are answered, as
    /// section 5.5.3 allows.
    pub(super) fn answer_ping(&mut self, payload: &[u8]) {
        if self.phase == Phase::Open {
            if self.queued.len() >= MAX_QUEUED {
                self.queued.clear();
            }
            self.queue(Opcode::Pong, payload);
        }
    }

    /// The peer's Close frame: answered with its own code if it comes first.
    pub(super) fn answer_close(&mut self, now: Instant, code: CloseCode) -> ClosedBy {
        let by = if self.phase == Phase::Open { ClosedBy::Peer } else { ClosedBy::Us };
        self.close(now, code, "");
        self.end_reading(Phase::Discarding);
        by
    }

    /// Nothing that arrives from now on matters; what was kept of it is freed.
    fn end_reading(&mut self, phase: Phase) {
        self.phase = self.phase.max(phase);
        self.partial = None;
        self.streams = None;
        if self.phase == Phase::Over {
            self.deadline = None;
        }
    }

    fn set_deadline(&mut self, now: Instant) {
        self.deadline = Some(now + Duration::from_millis(self.close_timeout_ms.into()));
    }

    fn queue(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.keys.as_mut().map(|keys| keys.draw());
        let (header, used) = frame::header(true, false, opcode, payload.len(), key);
        self.queued.extend_from_slice(&header[..used]);
        let start = self.queued.len();
        self.queued.extend_from_slice(payload);
        if let Some(key) = key {
            mask::apply(key, &mut self.queued[start..]);
        }
    }
}

/// Bytes of control frames that may wait. A driver that polls after each call never gets near: a read of 64 KB full
/// of pings gives fewer bytes of pongs.
const MAX_QUEUED: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the connection owns heap memory besides a client's masking keys.
    fn at_rest(conn: &Connection) -> bool {
        conn.partial.is_none() && conn.streams.is_none() && conn.queued.capacity() == 0
    }

    #[test]
    fn an_idle_connection_owns_no_heap_memory() {
        let fresh = Agreement { client_no_context_takeover: true, ..Agreement::default() };
        let config = Config { deflate: Some(fresh), ..Config::default() };
        let mut conn = Connection::new(Role::Server, &config);
        let now = Instant::now();
        let frames: [&[u8]; 4] = [
            b"\x01\x83\0\0\0\0Hel\x89\x81\0\0\0\0p\x80\x82\0\0\0\0lo",
            b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x82\x80\0\0\0\0",
            b"\x82\xfe\x00\x7e\0\0\0\0",
        ];
        let mut bytes = frames.concat();
        bytes.extend([7; 126]);
        for size in [1, 3, 50, 1000] {
            let mut events = 0;
            for piece in bytes.clone().chunks_mut(size) {
                let mut received = conn.receive(now, piece);
                while received.poll_event().is_some() {
                    events += 1;
                }
            }
            assert_eq!(events, 5);
            assert!(conn.poll_transmit(&mut Vec::new()));
            assert!(at_rest(&conn), "pieces of {size}: {conn:?}");
        }
        conn.receive(now, &mut bytes[..3]);
        assert!(!at_rest(&conn));
    }
}
