//! Engine.IO connections as their worker holds them: a session that outlives the transport it stands on.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor_hub::ConnectionId;
use parlor_proto::engineio::handshake::Open;
use parlor_proto::engineio::payload::{Answer, Record, Records};
use parlor_proto::engineio::{
    Fault, Heartbeat, Kind, Packet, Reason, Received, Revision, Session, Transport,
};
use parlor_proto::limits::{CLOSE_TIMEOUT, PING_INTERVAL, SOCKETIO_PAYLOAD, SOCKETIO_PONG_TIMEOUT};
use tokio::sync::oneshot;

use crate::application::Incoming;
use crate::stream::Stream;

/// How Engine.IO is spoken at a path.
#[derive(Clone, Copy, Debug)]
pub struct EngineIo {
    /// The server asks so often whether a client is there.
    pub ping_interval: Duration,
    /// And waits so long for the answer.
    pub ping_timeout: Duration,
    /// A WebSocket that takes over from polling must be done by then.
    pub upgrade_timeout: Duration,
    /// Bytes of one payload, and of one WebSocket message.
    pub max_payload: usize,
    /// Clients of Engine.IO 3 (Socket.IO 1 and 2) are served too. They know their sockets by the session's id, so an
    /// application that tells others such a client's id gives its polling session away, as upstream does.
    pub allow_v3: bool,
    /// The name of a cookie with the session's id, for load balancers that look at it. Parlor itself needs none.
    pub cookie: Option<&'static str>,
}

impl Default for EngineIo {
    /// Upstream's: 25 s, 20 s, 10 s, 1,000,000 bytes, revision 4 only, no cookie.
    fn default() -> EngineIo {
        EngineIo {
            ping_interval: PING_INTERVAL,
            ping_timeout: SOCKETIO_PONG_TIMEOUT,
            upgrade_timeout: CLOSE_TIMEOUT,
            max_payload: SOCKETIO_PAYLOAD,
            allow_v3: false,
            cookie: None,
        }
    }
}

impl EngineIo {
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat { interval: self.ping_interval, timeout: self.ping_timeout }
    }
}

/// What a request for a new session is answered: a body, its content type, and the session's id.
pub(crate) type Opened = Result<(Vec<u8>, &'static str, String), Fault>;

/// What a request of a polling client is answered: a body and its content type.
pub(crate) type Answered = Result<(Vec<u8>, &'static str), Fault>;

/// What a socket is, if it is not a plain WebSocket.
pub(crate) enum Part {
    /// A response that does not end.
    Stream(Stream),
    /// It has no stream: what waits for it is fetched by requests.
    Fetched,
    /// A session, on whatever transport.
    Session(Box<Held>),
    /// A WebSocket that wants to take over this session.
    Probe(Box<ConnectionId>),
}

/// A session and what it waits for.
pub(crate) struct Held {
    pub(crate) session: Session,
    /// A poll that is held until there is something to say.
    pub(crate) poll: Option<Poll>,
    /// A body that was taken in part: the rest waits until the conversation takes more.
    pub(crate) body: Option<Body>,
    /// The WebSocket that is about to take over.
    pub(crate) probe: Option<ConnectionId>,
    /// The client has still to be told that it is over, in an answer by itself: clients handle a close before what stands
    /// in front of it.
    pub(crate) farewell: bool,
    /// Why it ended, once it did.
    pub(crate) over: Option<Reason>,
}

pub(crate) struct Poll {
    pub(crate) answer: oneshot::Sender<Answered>,
    pub(crate) b64: bool,
    /// `None`: the request does not say.
    pub(crate) revision: Option<Revision>,
}

pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) binary: bool,
    pub(crate) revision: Option<Revision>,
    pub(crate) answer: oneshot::Sender<Answered>,
}

/// What something of the client comes to.
pub(crate) enum Taken<'a> {
    Message(Incoming<'a>),
    /// Text of a packet to send back.
    Pong(String),
    Nothing,
    Over(Reason),
}

impl Held {
    pub(crate) fn new(settings: &EngineIo, revision: Revision, transport: Transport, now: Instant) -> Held {
        let session = Session::new(revision, transport, settings.heartbeat(), now);
        Held { session, poll: None, body: None, probe: None, farewell: false, over: None }
    }

    /// The packet that opens the session.
    pub(crate) fn opening(&self, settings: &EngineIo, sid: &str) -> String {
        let open = Open {
            sid,
            upgrade: self.is_polling(),
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            max_payload: settings.max_payload,
        };
        let mut out = Vec::with_capacity(160);
        open.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Whether a request that names this revision may be about this session.
    pub(crate) fn is_of(&self, revision: Option<Revision>) -> bool {
        revision.is_none_or(|revision| revision == self.session.revision())
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.session.transport() != Transport::WebSocket
    }

    /// Takes a WebSocket message.
    pub(crate) fn take_message<'a>(&mut self, now: Instant, message: Incoming<'a>) -> Taken<'a> {
        match message {
            Incoming::Text(text) => match Packet::parse(text) {
                Ok(packet) => self.take_packet(now, packet),
                Err(_) => Taken::Over(Reason::ParseError),
            },
            Incoming::Binary(data) => {
                self.session.receive_binary(now);
                match (self.session.revision(), data) {
                    (Revision::V4, data) | (Revision::V3, [4, data @ ..]) => {
                        Taken::Message(Incoming::Binary(data))
                    }
                    _ => Taken::Over(Reason::ParseError),
                }
            }
        }
    }

    pub(crate) fn take_packet<'a>(&mut self, now: Instant, packet: Packet<'a>) -> Taken<'a> {
        match self.session.receive(now, packet) {
            Received::Message(text) => Taken::Message(Incoming::Text(text)),
            Received::Nothing => Taken::Nothing,
            Received::Pong(data) => Taken::Pong(format!("3{data}")),
            Received::Over(reason) => Taken::Over(reason),
        }
    }

    /// Lets the waiting poll go with one packet that says nothing more.
    pub(crate) fn release(&mut self, kind: Kind) {
        if let Some(poll) = self.poll.take() {
            let answer = Answer::single(self.session.revision(), poll.b64, kind);
            // Whoever asked may be gone.
            let _ = poll.answer.send(Ok(answer));
        }
    }
}

impl Body {
    /// The next record, and what is left behind it.
    pub(crate) fn next(&self, revision: Revision, at: usize) -> Option<(Option<Record<'_>>, Option<usize>)> {
        let mut records = Records::new(self.bytes.get(at..)?, revision, self.binary);
        let record = records.next()?.ok();
        let rest = records.rest().map(|rest| self.bytes.len() - rest);
        Some((record, rest))
    }
}

/// When a session or a probe is looked at; the earliest stands at the top of a heap. There is one for each, with the
/// precision of its time-outs, which clients are told in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    pub(crate) at: Instant,
    pub(crate) connection: ConnectionId,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Alarm) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Alarm) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    /// The earliest is the greatest: `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Alarm) -> Ordering {
        other.at.cmp(&self.at)
    }
}
