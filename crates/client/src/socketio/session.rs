//! What outlives a connection to a Socket.IO server, and the packets of the one that is open. No sockets here.
//!
//! ```text
//!   Away ──opening──> Opening ──"0{…}"──> Entering ──"40{…}"──> Open
//!    ^                   │                    │                   │
//!    └────────────── disconnected ────────────┴───────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parlor_proto::engineio::{Kind, Packet};
use parlor_proto::native::decode::ServerMessage;
use parlor_proto::socketio::client::{Entry, Opened, ServerDecoder, ServerPacket, enter, split_offset};
use parlor_proto::socketio::{Arguments, encode};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use super::outbox::Outbox;
use super::{Ack, Asked, Caller, Disconnect, Incoming, Shared, SocketIoEvent};
use crate::driver::Given;
use crate::error::Error;
use crate::socket::Received;

/// What waits to be handed out.
pub(super) type Queue = VecDeque<Given<SocketIoEvent, Caller, Arguments>>;

/// One WebSocket message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Text(String),
    Binary(Bytes),
}

/// State of a client from its first connection to its end.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    /// The JSON text of an object.
    auth: Option<String>,
    /// By which the server knows this connection again, and its last event.
    pid: Option<String>,
    offset: Option<String>,
    /// Where the program's acks are to be handed in.
    door: mpsc::WeakSender<Asked>,

    stage: Stage,
    /// How many connections there have been: an ack belongs to one.
    connection: u64,
    decoder: ServerDecoder,
    /// Events that came before the CONNECT: so Node's server sends what a recovered connection has missed.
    early: Vec<Early>,
    /// From one ping of the server to when it is dead.
    patience: Duration,
    /// The server is dead then.
    due: Instant,
    /// Of the connection itself; sent before the outbox.
    control: VecDeque<Frame>,
    /// A pong may still lie in the socket: a server that pings and never reads gets one, not thousands.
    ponged: bool,
    outbox: Outbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Away,
    Opening,
    Entering,
    Open,
}

/// An event whose offset does not count before it is handed out.
#[derive(Debug)]
struct Early {
    id: Option<u64>,
    name: String,
    arguments: Arguments,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, auth: Option<String>, door: mpsc::WeakSender<Asked>) -> Session {
        Session {
            shared,
            auth,
            pid: None,
            offset: None,
            door,
            stage: Stage::Away,
            connection: 0,
            decoder: ServerDecoder::default(),
            early: Vec::new(),
            patience: Duration::ZERO,
            due: Instant::now(),
            control: VecDeque::new(),
            ponged: false,
            outbox: Outbox::default(),
        }
    }

    /// A WebSocket is open.
    pub(super) fn opening(&mut self) {
        self.reset();
        self.stage = Stage::Opening;
        self.connection += 1;
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// All that was to be sent has been written.
    pub(super) fn drained(&mut self) {
        self.ponged = false;
    }

    /// Takes what the program asks for.
    pub(super) fn ask(&mut self, asked: Asked) {
        match asked {
            // Another connection does not know what is answered here.
            Asked::Ack { connection, .. } if connection != self.connection || !self.is_open() => {}
            asked => self.outbox.push(asked),
        }
    }

    /// The next message to send, if there is one and the connection is at that point.
    pub(super) fn poll_transmit(&mut self, given: &mut Queue) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        if self.is_open() { self.outbox.pop(given) } else { None }
    }

    /// Takes what arrived.
    ///
    /// # Errors
    /// The connection is over; this is why.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        received: Received,
        given: &mut Queue,
    ) -> Result<(), Error> {
        let packet = match received {
            Received::Text(text) => return self.text(now, &text, given),
            Received::Binary(bytes) if self.stage >= Stage::Entering => {
                self.decoder.receive_binary(bytes.into()).map_err(garbled)?
            }
            Received::Binary(_) => return Err(not_socketio()),
            Received::Alive => None,
            Received::Closed { code: 1005 | 1006, .. } => return Err(Error::Disconnected),
            Received::Closed { code, reason } => {
                return Err(Error::Ended { code, reason, retry_after: None });
            }
        };
        packet.map_or(Ok(()), |packet| self.packet(packet, given))
    }

    fn text(&mut self, now: Instant, text: &str, given: &mut Queue) -> Result<(), Error> {
        let packet = Packet::parse(text).map_err(|_| not_socketio())?;
        match (self.stage, packet.kind) {
            (Stage::Opening, Kind::Open) => {
                let opened = Opened::parse(packet.data).map_err(|_| not_socketio())?;
                self.patience = opened.ping_interval + opened.ping_timeout;
                self.shared.max_payload.store(opened.max_payload.unwrap_or(usize::MAX), Ordering::Relaxed);
                self.due = now + self.patience;
                self.stage = Stage::Entering;
                let (auth, pid) = (self.auth.as_deref(), self.pid.as_deref());
                let entry = Entry { auth, pid, offset: self.offset.as_deref() };
                let connect = message(|out| enter(out, &self.shared.namespace, entry));
                self.control.push_back(Frame::Text(connect));
                Ok(())
            }
            (Stage::Entering | Stage::Open, Kind::Ping) => {
                self.due = now + self.patience;
                if !std::mem::replace(&mut self.ponged, true) {
                    let pong = Packet { kind: Kind::Pong, data: packet.data };
                    self.control.push_back(Frame::Text(written(|out| pong.write(out))));
                }
                Ok(())
            }
            (Stage::Entering | Stage::Open, Kind::Message) => {
                match self.decoder.receive_text(packet.data).map_err(garbled)? {
                    Some(packet) => self.packet(packet, given),
                    None => Ok(()),
                }
            }
            (Stage::Entering | Stage::Open, Kind::Noop) => Ok(()),
            (Stage::Entering | Stage::Open, Kind::Close) => Err(Error::Disconnected),
            _ => Err(not_socketio()),
        }
    }

    fn packet(&mut self, packet: ServerPacket, given: &mut Queue) -> Result<(), Error> {
        match (self.stage, packet) {
            (Stage::Entering, ServerPacket::Connect { namespace, sid, pid })
                if namespace == self.shared.namespace =>
            {
                let recovered = pid.is_some() && pid == self.pid;
                if !recovered {
                    self.offset = None;
                }
                self.pid = pid;
                self.stage = Stage::Open;
                given.push_back(Given::Event(SocketIoEvent::Connected { sid, recovered }));
                for Early { id, name, arguments } in std::mem::take(&mut self.early) {
                    self.event(id, name, arguments, given);
                }
                Ok(())
            }
            (Stage::Entering, ServerPacket::ConnectError { namespace, message, data })
                if namespace == self.shared.namespace =>
            {
                // Parlor's refusals are the same on every protocol, and say whether to try again.
                match data.as_deref().map(ServerMessage::parse) {
                    Some(Ok(ServerMessage::Error(error))) => Err(Error::Refused(error.into())),
                    _ => Err(Error::NamespaceRefused { message, data }),
                }
            }
            (_, ServerPacket::Disconnect { namespace }) if namespace == self.shared.namespace => {
                Err(Error::Dismissed)
            }
            (Stage::Open, ServerPacket::Event { namespace, id, event, arguments })
                if namespace == self.shared.namespace =>
            {
                self.event(id, event, arguments, given);
                Ok(())
            }
            (Stage::Entering, ServerPacket::Event { namespace, id, event, arguments })
                if namespace == self.shared.namespace =>
            {
                if self.early.len() >= MAX_EARLY {
                    return Err(not_socketio());
                }
                self.early.push(Early { id, name: event, arguments });
                Ok(())
            }
            (Stage::Open, ServerPacket::Ack { namespace, id, arguments })
                if namespace == self.shared.namespace =>
            {
                if let Some(caller) = self.outbox.acked(id) {
                    given.push_back(Given::Answer(caller, Ok(arguments)));
                }
                Ok(())
            }
            // Of another namespace, or answered already.
            _ => Ok(()),
        }
    }

    fn event(&mut self, id: Option<u64>, name: String, arguments: Arguments, given: &mut Queue) {
        // What wants an ack is not stored by the server, and carries no offset.
        let recovers = self.pid.is_some() && id.is_none();
        let (arguments, offset) = if recovers { split_offset(arguments) } else { (arguments, None) };
        if offset.is_some() {
            self.offset.clone_from(&offset);
        }
        let (door, connection) = (self.door.clone(), self.connection);
        let shared = self.shared.clone();
        let ack = id.map(|id| Ack { door, shared, connection, id });
        let incoming = Incoming { name, arguments, offset, ack };
        given.push_back(Given::Event(SocketIoEvent::Event(incoming)));
    }

    /// When [`Session::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.outbox.deadline().map_or(self.due, |deadline| deadline.min(self.due))
    }

    /// The time has come.
    ///
    /// # Errors
    /// The connection is over; this is why.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.expire(now);
        if now >= self.due { Err(Error::Timeout(self.patience)) } else { Ok(()) }
    }

    /// Forgets what nobody waits for any more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.outbox.expire(now);
    }

    /// The last words of a client that leaves by itself.
    pub(super) fn leave(&mut self) {
        if self.is_open() {
            self.outbox.push_last(message(|out| encode::disconnect(out, &self.shared.namespace)));
        }
    }

    /// The connection ended, which had been open.
    pub(super) fn disconnected(&mut self, error: &Error, given: &mut Queue) {
        self.reset();
        given.push_back(Given::Event(SocketIoEvent::Disconnected(Disconnect::of(error))));
        self.outbox.broke(given);
    }

    /// All is over: everybody who waits is told.
    pub(super) fn closed(&mut self, given: &mut Queue) {
        self.outbox.closed(given);
    }

    /// Nothing of the last connection concerns the next.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Away;
        self.decoder = ServerDecoder::default();
        self.control.clear();
        self.early.clear();
    }
}

/// Events before the CONNECT: far more than a replay holds, and still a bound on what a broken server costs.
const MAX_EARLY: usize = 100_000;

/// A Socket.IO packet as the text of an Engine.IO message.
pub(super) fn message(write: impl FnOnce(&mut Vec<u8>)) -> String {
    written(|out| {
        out.push(Kind::Message as u8);
        write(out);
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    // Everything that writes here writes text.
    String::from_utf8(out).unwrap_or_default()
}

fn garbled(error: parlor_proto::socketio::ParseError) -> Error {
    Error::BadAnswer(format!("the server sent what is not Socket.IO: {error}"))
}

fn not_socketio() -> Error {
    Error::BadAnswer("whatever answers there does not speak Socket.IO 3 or newer".into())
}

#[cfg(test)]
mod tests;
