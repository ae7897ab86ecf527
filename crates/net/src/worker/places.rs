//! How a connection comes to its worker, is looked at when its time has come, and goes.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mio::{Interest, Token};
use parlor_hub::Author;
use parlor_hub::encode::WireFormat;
use parlor_hub::outbox::Outbox;
use parlor_proto::codes::CloseCode;
use parlor_proto::engineio::payload::Answer;
use parlor_proto::engineio::{Reason, Transport};
use parlor_proto::limits::CLOSE_TIMEOUT;
use parlor_proto::ws;

use super::Worker;
use super::stop::RETRY_AFTER_STOP;
use crate::admission::Admitted;
use crate::application::Conversation;
use crate::engineio::{Alarm, EngineIo, Held, Part};
use crate::liveness::{LINGER, Liveness, Verdict, earlier};
use crate::socket::{Flags, Socket};
use crate::sockets::session;
use crate::takeover::{Role, Taken, Unattached};

/// What a new session is answered: a body, its content type, and the session's id.
type Opening = (Vec<u8>, &'static str, String);

/// What a socket is made of.
struct NewSocket {
    stream: Option<mio::net::TcpStream>,
    conversation: Option<Box<dyn Conversation>>,
    part: Option<Part>,
    admitted: Option<Admitted>,
    config: ws::Config,
}

impl Worker {
    /// Takes a socket from its HTTP task.
    pub(super) fn adopt(&mut self, taken: Taken) -> io::Result<()> {
        let Taken { stream, early, head, accepted } = taken;
        let stream = mio::net::TcpStream::from_std(stream);
        let (conversation, author, format, admitted) = match accepted.opened {
            Some(opened) => (Some(opened.conversation), opened.author, opened.format, opened.admitted),
            // Nothing is pushed to a WebSocket that only wants to take over a session.
            None => (None, None, WireFormat::Raw, None),
        };
        let now = self.sockets.now.instant;
        let part = match accepted.role {
            Role::Plain => None,
            Role::EngineIo(settings, revision) => {
                Some(Part::Session(Box::new(Held::new(&settings, revision, Transport::WebSocket, now))))
            }
            Role::Probe(target, _) => Some(Part::Probe(Box::new(target))),
        };
        let socket =
            NewSocket { stream: Some(stream), conversation, part, admitted, config: accepted.config };
        let slot = self.place(socket, author, format, early.to_vec())?;
        if let Some(head) = head {
            self.shard.send(slot, Bytes::from(head));
        }
        if let Role::Probe(_, settings) = accepted.role
            && let Some(connection) = self.shard.connection(slot)
        {
            self.sockets.alarms.push(Alarm { at: now + settings.upgrade_timeout, connection });
        }
        let settings = match &accepted.role {
            Role::EngineIo(settings, _) => Some(settings),
            _ => None,
        };
        self.begin(slot, settings);
        Ok(())
    }

    /// Opens a session that polls; the answer is its first packet and its id.
    pub(super) fn open_session(
        &mut self,
        opened: Unattached,
        held: Held,
        settings: &EngineIo,
        b64: bool,
    ) -> io::Result<Opening> {
        let revision = held.session.revision();
        let Unattached { conversation, author, format, admitted, config } = opened;
        let part = Some(Part::Session(Box::new(held)));
        let socket = NewSocket { stream: None, conversation: Some(conversation), part, admitted, config };
        let slot = self.place(socket, author, format, Vec::new())?;
        let id = self.shard.connection(slot).map(|id| id.to_string()).unwrap_or_default();
        let packet = self.sockets.get(slot).and_then(|socket| Some(socket.held()?.opening(settings, &id)));
        let mut answer = Answer::new(revision, b64, usize::MAX);
        answer.push_text(packet.unwrap_or_default().as_bytes());
        let (body, kind) = answer.finish();
        self.begin(slot, None);
        Ok((body, kind, id))
    }

    /// Gives a connection its place in the hub and among the sockets.
    fn place(
        &mut self,
        new: NewSocket,
        author: Option<Author>,
        format: WireFormat,
        unread: Vec<u8>,
    ) -> io::Result<u32> {
        let NewSocket { mut stream, conversation, part, admitted, config } = new;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let id = self.shard.connect(u128::from_ne_bytes(random), author, format);
        let slot = id.slot();
        if let Some(stream) = &mut stream {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.get_ref().registry();
            if let Err(error) = registry.register(stream, Token(slot as usize), interest) {
                self.shard.disconnect(id, self.sockets.now.wall);
                return Err(error);
            }
        }
        let second = self.wheel.second(self.sockets.now.instant);
        let check_at = self.wheel.insert(slot, Liveness::first_check(second, slot));
        if let Some(Part::Session(held)) = &part {
            let at = held.session.poll_timeout();
            self.sockets.alarms.push(Alarm { at, connection: id });
        }
        let socket = Socket {
            id,
            stream,
            ws: ws::Connection::new(ws::Role::Server, &config),
            conversation,
            waker: None,
            liveness: Liveness::new(check_at),
            unread,
            flags: Flags::default(),
            deadline: None,
            engine_io: part,
            _admitted: admitted.map(Box::new),
        };
        self.sockets.put(slot, socket);
        Ok(slot)
    }

    /// Lets a new connection say its first words and reads what came with its request. `settings`: it is a session that
    /// is told about them.
    fn begin(&mut self, slot: u32, settings: Option<&EngineIo>) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if let Some(Part::Probe(target)) = &socket.engine_io {
            let target = **target;
            self.sockets.begin_probe(slot, target, &mut self.shard);
            return self.read(slot);
        }
        let id = socket.id;
        if let (Some(held), Some(settings)) = (socket.held(), settings) {
            let opening = session::opening(held, settings, &id.to_string());
            self.shard.send(slot, opening);
        }
        self.sockets.converse(slot, &mut self.shard, |conversation, cx| conversation.opened(cx));
        self.read(slot);
        if self.stopping.is_some() {
            self.sockets.close(slot, &mut self.shard, CloseCode::GOING_AWAY, Some(RETRY_AFTER_STOP));
        }
    }

    /// A connection that is closing: waits for the peer to read it, for two seconds at most, or ends it.
    pub(super) fn finish(&mut self, slot: u32) {
        let instant = self.sockets.now.instant;
        let Some(socket) = self.sockets.get(slot) else { return };
        let written = self.shard.outbox(slot).is_none_or(|outbox| outbox.is_empty());
        if socket.is_polling() {
            let farewell = socket.held().is_some_and(|held| held.farewell);
            if written && !farewell {
                return self.remove(slot);
            }
            // The rest waits for a last poll, so long.
            if socket.deadline.is_none() {
                socket.deadline = Some(instant + CLOSE_TIMEOUT);
                let second = self.wheel.second(instant + CLOSE_TIMEOUT);
                self.schedule(slot, second);
                self.sockets.answer_poll(slot, &mut self.shard);
            }
            return;
        }
        if socket.flags.ended && (written || socket.ws.is_over()) || socket.ws.is_over() && written {
            return self.remove(slot);
        }
        if written && socket.ws.is_closed() && !socket.flags.lingering {
            socket.end_writing();
        }
        if socket.deadline.is_none() || socket.flags.lingering {
            let wait = if socket.flags.lingering { LINGER } else { CLOSE_TIMEOUT };
            let deadline = earlier(socket.deadline, Some(instant + wait));
            socket.deadline = deadline;
            let second = self.wheel.second(instant + wait);
            self.schedule(slot, second);
        }
    }

    pub(super) fn schedule(&mut self, slot: u32, second: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if second < socket.liveness.check_at {
            socket.liveness.check_at = second;
            let at = self.wheel.insert(slot, second);
            if let Some(socket) = self.sockets.get(slot) {
                socket.liveness.check_at = at;
            }
        }
    }

    pub(super) fn check(&mut self, slot: u32, second: u32) {
        let now = self.sockets.now.instant;
        let Some(socket) = self.sockets.get(slot) else { return };
        if socket.liveness.check_at != second {
            return;
        }
        if socket.deadline.is_some_and(|deadline| deadline <= now) {
            return self.remove(slot);
        }
        if socket.flags.paused {
            // Its answers are not read at the moment, and that is our doing.
            socket.liveness.hear();
        }
        let verdict = match socket.engine_io {
            Some(_) => socket.liveness.check_stall(second),
            None => socket.liveness.check(second),
        };
        let next = match verdict {
            Verdict::Wait(next) => next,
            Verdict::Ping(next) => {
                socket.ws.ping(b"");
                self.sockets.transmit(slot, &mut self.shard);
                next
            }
            Verdict::Gone => {
                self.sockets.close(slot, &mut self.shard, CloseCode::NO_PONG, None);
                second + CLOSE_TIMEOUT.as_secs() as u32
            }
            Verdict::Stalled => {
                // It reads nothing, so it will not read a goodbye either.
                let reason = match socket.engine_io {
                    Some(_) => Reason::TransportError.as_str(),
                    None => CloseCode::SLOW.reason(),
                };
                self.sockets.over(slot, &mut self.shard, CloseCode::SLOW.0, reason);
                return self.remove(slot);
            }
        };
        // A connection that is closing is looked at when its time is over, however long it may be silent.
        let deadline = self.sockets.get(slot).and_then(|socket| socket.deadline);
        let next = deadline.map_or(next, |deadline| next.min(self.wheel.second(deadline)));
        let at = self.wheel.insert(slot, next.max(second + 1));
        if let Some(socket) = self.sockets.get(slot) {
            socket.liveness.check_at = at;
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let reason = self.sockets.get(slot).map_or("", |socket| socket.reason_of_loss());
        self.sockets.over(slot, &mut self.shard, ws::CloseCode::LOST.0, reason);
        let Some(mut socket) = self.sockets.take(slot) else { return };
        if let Some(Part::Probe(target)) = &socket.engine_io {
            self.sockets.probe_ended(socket.id, **target);
        }
        if let Some(stream) = &mut socket.stream {
            let _ = self.poll.get_ref().registry().deregister(stream);
        }
        self.shard.disconnect(socket.id, self.sockets.now.wall);
    }

    /// Ends the connection whose outbox holds the most; it can resume.
    pub(super) fn cut_slowest(&mut self) {
        let (mut most, mut slowest) = (0, None);
        for slot in 0..self.sockets.len() {
            let waits = self.shard.outbox(slot).map_or(0, Outbox::len);
            if waits > most && self.sockets.get(slot).is_some_and(|socket| !socket.flags.leaving) {
                (most, slowest) = (waits, Some(slot));
            }
        }
        let Some(slowest) = slowest else { return };
        self.hub.stats.slow.fetch_add(1, Ordering::Relaxed);
        self.sockets.close(slowest, &mut self.shard, CloseCode::SLOW, None);
    }
}
