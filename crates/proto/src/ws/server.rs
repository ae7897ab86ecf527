//! A server's connection from its first byte: the request, the answer, messages, silence and the end.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use super::handshake::{Rejection, Request, RequestReader, write_response};
use super::{ClosedBy, Config, Connection, Event, Failure, Kind, Role, State};
use crate::limits::{HEAD_TIMEOUT, PONG_TIMEOUT};

/// A server's whole side of one connection, for programs without an HTTP library.
///
/// **Hand in what arrives; answer the request that [`poll_request`] gives before handing in more; poll events, and send;
/// write what [`poll_transmit`] gives; then wait for more bytes or for the deadline of [`poll_timeout`].** When
/// [`is_closed`] and all is written, end the writing side of the TCP connection and go on reading; when there is no
/// deadline any more, the connection is over.
///
/// A head that takes longer than [`HEAD_TIMEOUT`] ends it, and so does a client that is silent for [`PONG_TIMEOUT`] and
/// does not answer the ping that it is sent then. Compression is not agreed to.
///
/// [`poll_request`]: ServerConnection::poll_request
/// [`poll_transmit`]: ServerConnection::poll_transmit
/// [`poll_timeout`]: ServerConnection::poll_timeout
/// [`is_closed`]: ServerConnection::is_closed
#[derive(Debug)]
pub struct ServerConnection {
    stage: Stage,
    config: Config,
    request: Option<Request>,
    events: VecDeque<Arrived>,
    out: Vec<u8>,
    deadline: Instant,
    /// A ping is out because nothing came.
    pinged: bool,
}

#[derive(Debug)]
enum Stage {
    Head(RequestReader),
    /// The request waits for its answer, and these bytes behind it wait too.
    Asked(Vec<u8>),
    Open(Connection),
    /// The answer was the last of it. What still comes is thrown away: unread, it would turn the answer into a reset.
    Answered {
        left: usize,
    },
    Over,
}

/// [`Event`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    Text(String),
    Binary(Vec<u8>),
    /// Has been answered already.
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The closing handshake is over. 1005: the Close frame had no code.
    Closed {
        code: u16,
        reason: String,
        by: ClosedBy,
    },
    /// The peer broke a rule or a limit, and is being told.
    Failed(Failure),
}

/// Bytes that may wait for an answer, or are thrown away behind one: what one read of a driver gives at most.
const BESIDE: usize = 64 * 1024;

impl ServerConnection {
    pub fn new(now: Instant, config: &Config) -> ServerConnection {
        ServerConnection {
            stage: Stage::Head(RequestReader::new()),
            config: Config { deflate: None, ..*config },
            request: None,
            events: VecDeque::new(),
            out: Vec::new(),
            deadline: now + HEAD_TIMEOUT,
            pinged: false,
        }
    }

    /// Takes what arrived; frames are unmasked in place. A head that is none is answered here.
    pub fn receive(&mut self, now: Instant, bytes: &mut [u8]) {
        match &mut self.stage {
            Stage::Head(reader) => match reader.receive(bytes) {
                Ok(None) => {}
                Ok(Some((request, used))) => {
                    self.request = Some(request);
                    self.stage = Stage::Asked(bytes[used..].to_vec());
                }
                Err(rejection) => self.reject(&rejection),
            },
            Stage::Asked(early) if early.len() + bytes.len() <= BESIDE => early.extend_from_slice(bytes),
            Stage::Open(conn) => {
                let mut received = conn.receive(now, bytes);
                while let Some(event) = received.poll_event() {
                    self.events.push_back(event.into());
                }
                (self.deadline, self.pinged) = (now + PONG_TIMEOUT, false);
            }
            Stage::Answered { left } if bytes.len() <= *left => *left -= bytes.len(),
            Stage::Asked(_) | Stage::Answered { .. } | Stage::Over => self.stage = Stage::Over,
        }
    }

    /// The request, once its head is whole.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// Answers the request with 101, or with what is wrong with it.
    pub fn accept(&mut self, now: Instant, request: &Request) {
        let accepted = match request.check() {
            Ok(accepted) => accepted,
            Err(rejection) => return self.reject(&rejection),
        };
        if let Stage::Asked(early) = &mut self.stage {
            let mut early = mem::take(early);
            write_response(&accepted, None, None, &[], &mut self.out);
            self.stage = Stage::Open(Connection::new(Role::Server, &self.config));
            self.receive(now, &mut early);
        }
    }

    /// Answers the request with a refusal.
    pub fn reject(&mut self, rejection: &Rejection) {
        let mut answer = Vec::new();
        rejection.write_response(&mut answer);
        self.respond(&answer);
    }

    /// Answers the request with something else, a whole response that says `Connection: close`.
    pub fn respond(&mut self, response: &[u8]) {
        if let Stage::Head(_) | Stage::Asked(_) = self.stage {
            self.out.extend_from_slice(response);
            self.stage = Stage::Answered { left: BESIDE };
        }
    }

    pub fn poll_event(&mut self) -> Option<Arrived> {
        self.events.pop_front()
    }

    /// Sends a message; `false` if the connection is not open, or no more. Text must be UTF-8.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> bool {
        match &mut self.stage {
            Stage::Open(conn) => conn.write_message(kind, payload, &mut self.out),
            _ => false,
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Stage::Open(conn) = &mut self.stage {
            conn.handle_timeout(now);
            if conn.state() != State::Open || now < self.deadline {
                return;
            }
            if !mem::replace(&mut self.pinged, true) {
                conn.ping(b"");
                self.deadline = now + PONG_TIMEOUT;
                return;
            }
        }
        if self.deadline <= now {
            self.stage = Stage::Over;
        }
    }

    /// When [`ServerConnection::handle_timeout`] must be called. `None`: it is over, the socket may be dropped.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Over => None,
            Stage::Open(conn) if conn.is_over() => None,
            Stage::Open(conn) => Some(conn.poll_timeout().unwrap_or(self.deadline)),
            Stage::Head(_) | Stage::Asked(_) | Stage::Answered { .. } => Some(self.deadline),
        }
    }

    /// The same as the time that a read may take: never zero, which sockets take for ever.
    pub fn poll_wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.poll_timeout()?.saturating_duration_since(now);
        Some(wait.max(Duration::from_millis(1)))
    }

    /// Gives what is to be written, instead of what `out` held; says whether there is anything.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if let Stage::Open(conn) = &mut self.stage {
            conn.poll_transmit(&mut self.out);
        }
        out.clear();
        out.append(&mut self.out);
        !out.is_empty()
    }

    /// Nothing will be written after what [`ServerConnection::poll_transmit`] gives now.
    pub fn is_closed(&self) -> bool {
        match &self.stage {
            Stage::Head(_) | Stage::Asked(_) => false,
            Stage::Open(conn) => conn.is_closed(),
            Stage::Answered { .. } | Stage::Over => true,
        }
    }
}

impl Arrived {
    /// The payload, if it is a message.
    pub fn message(&self) -> Option<(Kind, &[u8])> {
        match self {
            Arrived::Text(text) => Some((Kind::Text, text.as_bytes())),
            Arrived::Binary(binary) => Some((Kind::Binary, binary)),
            _ => None,
        }
    }
}

impl From<Event<'_>> for Arrived {
    fn from(event: Event<'_>) -> Arrived {
        match event {
            Event::Text(text) => Arrived::Text(text.to_owned()),
            Event::Binary(binary) => Arrived::Binary(binary.to_vec()),
            Event::Ping(payload) => Arrived::Ping(payload.to_vec()),
            Event::Pong(payload) => Arrived::Pong(payload.to_vec()),
            Event::Closed { code, reason, by } => Arrived::Closed { code, reason: reason.to_owned(), by },
            Event::Failed(failure) => Arrived::Failed(failure),
        }
    }
}
