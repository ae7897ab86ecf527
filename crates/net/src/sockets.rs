//! `Sockets`: a worker's sockets by slot, and how bytes become calls of a conversation and back.

pub(crate) mod session;

use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;
use mio::Registry;
use parlor_hub::slots::Slots;
use parlor_hub::{ConnectionId, Shard};
use parlor_proto::codes::CloseCode;
use parlor_proto::engineio::{Reason, Revision};
use parlor_proto::limits::OUTBOX_BYTES;
use parlor_proto::ws::{self, Event, Failure, Kind, frame};

use crate::application::{Context, Conversation, Incoming, Outgoing};
use crate::clock::Now;
use crate::engineio::{Alarm, Part, Taken};
use crate::errand::Errands;
use crate::socket::Socket;

/// The sockets, and what they share while one of them is at work.
pub(crate) struct Sockets {
    slots: Slots<Socket>,
    errands: Arc<Errands>,
    /// Where everything is read into.
    buffer: Box<[u8]>,
    outgoing: Vec<Outgoing>,
    /// Connections that are about to end, to be looked at when the turn has been written.
    pub(crate) finished: Vec<u32>,
    /// Sessions that were given a stream and have to be read.
    pub(crate) moved: Vec<u32>,
    pub(crate) alarms: BinaryHeap<Alarm>,
    registry: Registry,
    /// The time of this turn.
    pub(crate) now: Now,
}

/// One read takes at most this: several full TCP windows of chat messages, and a tenth of a second of a fast line.
const READ_BUFFER: usize = 64 * 1024;
/// Reads of one connection in a turn; a flood must not keep the others waiting.
const READS_PER_TURN: usize = 4;

/// What a piece of the stream came to, besides messages.
enum End {
    Closed {
        code: u16,
        reason: String,
    },
    Failed(Failure),
    /// Engine.IO's end.
    Over(Reason),
    /// A WebSocket that wants to take over a session has said the first word, or the last.
    Probe {
        target: ConnectionId,
        upgrade: bool,
    },
}

impl Sockets {
    pub(crate) fn new(errands: Arc<Errands>, now: Now, registry: Registry) -> Sockets {
        Sockets {
            slots: Slots::default(),
            errands,
            buffer: vec![0; READ_BUFFER].into(),
            outgoing: Vec::new(),
            finished: Vec::new(),
            moved: Vec::new(),
            alarms: BinaryHeap::new(),
            registry,
            now,
        }
    }

    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut Socket> {
        self.slots.get_mut(slot)
    }

    pub(crate) fn put(&mut self, slot: u32, socket: Socket) {
        self.slots.put(slot, socket);
    }

    pub(crate) fn take(&mut self, slot: u32) -> Option<Socket> {
        self.slots.take(slot)
    }

    /// No slot from here on was ever used.
    pub(crate) fn len(&self) -> u32 {
        self.slots.end()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Reads what is there, within reason. Returns whether the connection must be looked at again without a new
    /// event.
    pub(crate) fn read(&mut self, slot: u32, shard: &mut Shard) -> bool {
        for _ in 0..READS_PER_TURN {
            let Sockets { slots, buffer, .. } = self;
            let Some(socket) = slots.get_mut(slot) else {
                return false;
            };
            // What was sent before the transport changed comes first.
            if socket.held().is_some_and(|held| held.body.is_some()) {
                self.take_body(slot, shard);
                let waits =
                    self.get(slot).and_then(|socket| socket.held()).is_some_and(|held| held.body.is_some());
                if waits {
                    return false;
                }
                continue;
            }
            // Whoever does not read its answers is not asked for more; when they are written, reading goes on.
            let behind = shard.outbox(slot).is_some_and(|outbox| outbox.len() >= OUTBOX_BYTES);
            if socket.flags.paused || behind {
                return false;
            }
            if !socket.unread.is_empty() {
                let mut bytes = std::mem::take(&mut socket.unread);
                self.receive(slot, shard, &mut bytes);
                continue;
            }
            if !socket.flags.readable {
                return false;
            }
            match socket.read(buffer) {
                Ok(None) => {
                    socket.flags.readable = false;
                    return false;
                }
                Ok(Some(0)) | Err(_) => {
                    socket.flags.readable = false;
                    self.end(slot, shard);
                    return false;
                }
                Ok(Some(n)) => {
                    // A read that leaves room has emptied the socket: what comes later is a new event. Only the
                    // peer's end may hide behind it, and that was reported with the event.
                    if n < buffer.len() && !socket.flags.ended {
                        socket.flags.readable = false;
                    }
                    socket.liveness.hear();
                    let listens = matches!(socket.engine_io, Some(Part::Stream(_)));
                    if !socket.flags.lingering && !listens {
                        // The buffer goes out of `self` for the call, which needs the rest of it.
                        let mut buffer = std::mem::take(&mut self.buffer);
                        self.receive(slot, shard, &mut buffer[..n]);
                        self.buffer = buffer;
                    }
                }
            }
        }
        true
    }

    /// Gives bytes to the WebSocket machine and its messages to the conversation.
    fn receive(&mut self, slot: u32, shard: &mut Shard, bytes: &mut [u8]) {
        let Sockets { slots, errands, outgoing, now, .. } = self;
        let Some(socket) = slots.get_mut(slot) else { return };
        let Socket { id, ws, conversation, waker, flags, unread, engine_io, .. } = socket;
        let mut received = ws.receive(now.instant, bytes);
        let mut end = None;
        let left = loop {
            if flags.paused {
                break received.into_unread();
            }
            let mut message = match received.poll_event() {
                None => break received.into_unread(),
                Some(Event::Text(text)) => Incoming::Text(text),
                Some(Event::Binary(binary)) => Incoming::Binary(binary),
                Some(Event::Closed { code, reason, .. }) => {
                    end = Some(End::Closed { code, reason: reason.to_owned() });
                    continue;
                }
                Some(Event::Failed(failure)) => {
                    end = Some(End::Failed(failure));
                    continue;
                }
                Some(Event::Ping(_) | Event::Pong(_)) => continue,
            };
            if flags.leaving {
                continue;
            }
            match engine_io {
                None | Some(Part::Stream(_) | Part::Fetched) => {}
                Some(Part::Session(held)) => match held.take_message(now.instant, message) {
                    Taken::Message(inner) => message = inner,
                    Taken::Nothing => continue,
                    Taken::Pong(text) => {
                        outgoing.push(Outgoing::Frames(text_frame(&text)));
                        continue;
                    }
                    Taken::Over(reason) => {
                        end = Some(End::Over(reason));
                        break received.into_unread();
                    }
                },
                Some(Part::Probe(target)) => {
                    end = Some(End::Probe {
                        target: **target,
                        upgrade: matches!(message, Incoming::Text("5")),
                    });
                    if !matches!(message, Incoming::Text("5" | "2probe")) {
                        end = Some(End::Over(Reason::ParseError));
                    }
                    break received.into_unread();
                }
            }
            let Some(conversation) = conversation.as_deref_mut() else { continue };
            conversation.receive(
                message,
                &mut Context {
                    shard,
                    connection: *id,
                    now: now.wall,
                    outgoing,
                    waker,
                    errands,
                    paused: &mut flags.paused,
                    polling: false,
                },
            );
        };
        unread.extend_from_slice(&bytes[bytes.len() - left..]);
        self.send_outgoing(slot, shard);
        match end {
            None => {}
            Some(End::Closed { code, reason }) => {
                let engine_io = self.get(slot).is_some_and(|socket| socket.held().is_some());
                let reason = if engine_io { Reason::TransportClose.as_str() } else { &reason };
                self.over(slot, shard, code, reason);
            }
            Some(End::Failed(failure)) => {
                self.converse(slot, shard, |conversation, cx| conversation.failed(failure, cx));
                self.over(slot, shard, failure.close_code().0, failure.reason());
            }
            Some(End::Over(reason)) => self.end_session(slot, shard, reason),
            Some(End::Probe { target, upgrade }) => {
                self.probe(slot, shard, target, upgrade);
                return;
            }
        }
        self.transmit(slot, shard);
    }

    /// Calls a connection's conversation and sends what it says.
    pub(crate) fn converse(
        &mut self,
        slot: u32,
        shard: &mut Shard,
        call: impl FnOnce(&mut dyn Conversation, &mut Context<'_>),
    ) {
        let Sockets { slots, errands, outgoing, now, .. } = self;
        let Some(socket) = slots.get_mut(slot) else { return };
        let polling = socket.is_polling();
        let Socket { id, conversation, waker, flags, .. } = socket;
        let Some(conversation) = conversation.as_deref_mut() else { return };
        let paused = &mut flags.paused;
        let mut cx =
            Context { shard, connection: *id, now: now.wall, outgoing, waker, errands, paused, polling };
        call(conversation, &mut cx);
        if !self.outgoing.is_empty() {
            self.send_outgoing(slot, shard);
        }
    }

    fn send_outgoing(&mut self, slot: u32, shard: &mut Shard) {
        if self.outgoing.is_empty() {
            return;
        }
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let Some(socket) = self.get(slot) else { return };
        socket.flags.sent = true;
        let fetched = matches!(socket.engine_io, Some(Part::Fetched));
        let stream = match socket.engine_io {
            Some(Part::Stream(stream)) => Some(stream),
            _ => None,
        };
        let revision = socket.held().map(|held| held.session.revision());
        let mut bytes = Vec::new();
        let mut close = None;
        for item in outgoing.drain(..) {
            match item {
                Outgoing::Frames(frames) => bytes.extend_from_slice(&frames),
                Outgoing::Publications(format, publications) => {
                    let before = std::mem::take(&mut bytes);
                    if !before.is_empty() {
                        shard.send(slot, Bytes::from(before));
                    }
                    shard.send_publications(slot, format, &publications);
                }
                Outgoing::Message(kind, message) if revision.is_some() => {
                    // Engine.IO: a message's digit stands in front of text, and in revision 3 of bytes too.
                    match (kind, revision) {
                        (Kind::Text, _) => {
                            frame::write_message(&mut bytes, kind, &[b"4", &message[..]].concat());
                        }
                        (_, Some(Revision::V3)) => {
                            frame::write_message(&mut bytes, kind, &[&[4], &message[..]].concat());
                        }
                        _ => frame::write_message(&mut bytes, kind, &message),
                    }
                }
                Outgoing::Message(_, message) if stream.is_some() => {
                    stream.iter().for_each(|stream| stream.write(&mut bytes, &message));
                }
                // Nobody hears it.
                Outgoing::Message(..) if fetched => {}
                Outgoing::Message(kind, message) => {
                    // A machine that is closing sends nothing more; its Close frame is not out yet, though, and a
                    // last word before it is allowed.
                    if !socket.ws.write_message(kind, &message, &mut bytes) && !socket.flags.lingering {
                        frame::write_message(&mut bytes, kind, &message);
                    }
                }
                // The first one stands: a handler that fails also drops its socket.
                Outgoing::Close(code, reason) => close = close.or(Some((code, reason))),
            }
        }
        if !bytes.is_empty() {
            shard.send(slot, Bytes::from(bytes));
        }
        self.outgoing = outgoing;
        if let Some((code, reason)) = close {
            self.close_with(slot, shard, code, &reason, None);
        }
    }

    /// Queues the frames that the WebSocket machine itself wants to send.
    pub(crate) fn transmit(&mut self, slot: u32, shard: &mut Shard) {
        let Some(socket) = self.get(slot) else { return };
        let mut bytes = Vec::new();
        if socket.ws.poll_transmit(&mut bytes) {
            shard.send(slot, Bytes::from(bytes));
        }
        if socket.ws.state() != ws::State::Open {
            self.finished.push(slot);
        }
    }

    /// Ends a connection from this side, with the word for its code.
    pub(crate) fn close(
        &mut self,
        slot: u32,
        shard: &mut Shard,
        code: CloseCode,
        retry_after: Option<std::time::Duration>,
    ) {
        self.close_with(slot, shard, code, code.reason(), retry_after);
    }

    fn close_with(
        &mut self,
        slot: u32,
        shard: &mut Shard,
        code: CloseCode,
        reason: &str,
        retry_after: Option<std::time::Duration>,
    ) {
        let now = self.now;
        let Some(socket) = self.get(slot) else { return };
        if std::mem::replace(&mut socket.flags.leaving, true) {
            return;
        }
        // Its answer to our Close frame has to be read.
        socket.flags.paused = false;
        let id = socket.id;
        shard.leave_everything(id, now.wall);
        if code == CloseCode::SLOW {
            shard.drop_queued(slot);
        }
        self.converse(slot, shard, |conversation, cx| conversation.closing(code, retry_after, cx));
        if self.get(slot).is_some_and(|socket| socket.held().is_some()) {
            return self.close_session(slot, shard, code, reason);
        }
        let part = self.get(slot).and_then(|socket| socket.engine_io.as_ref());
        if let Some(part @ (Part::Stream(_) | Part::Fetched)) = part {
            let fetched = matches!(part, Part::Fetched);
            self.over(slot, shard, code.0, reason);
            if fetched {
                // Nobody comes for it any more.
                shard.drop_queued(slot);
            }
            // Nothing comes from the other side: when all is written, it is over.
            if let Some(socket) = self.get(slot) {
                socket.ws.receive_eof();
            }
            self.finished.push(slot);
            return;
        }
        if let Some(socket) = self.get(slot) {
            socket.ws.close(now.instant, ws::CloseCode(code.0), reason);
        }
        self.transmit(slot, shard);
    }

    /// Tells the conversation, once, that it is over.
    pub(crate) fn over(&mut self, slot: u32, shard: &mut Shard, code: u16, reason: &str) {
        let now = self.now;
        let Some(socket) = self.get(slot) else { return };
        if socket.conversation.is_none() {
            return;
        }
        socket.flags.leaving = true;
        let id = socket.id;
        shard.leave_everything(id, now.wall);
        self.converse(slot, shard, |conversation, cx| conversation.closed(code, reason, cx));
        if let Some(socket) = self.get(slot) {
            socket.conversation = None;
            socket.waker = None;
        }
    }

    /// The peer has ended its side, or the connection broke.
    fn end(&mut self, slot: u32, shard: &mut Shard) {
        let Some(socket) = self.get(slot) else { return };
        socket.flags.ended = true;
        socket.ws.receive_eof();
        let reason = socket.reason_of_loss();
        self.over(slot, shard, ws::CloseCode::LOST.0, reason);
        self.finished.push(slot);
    }
}

/// A server's text frame.
fn text_frame(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + frame::MAX_HEADER);
    frame::write_message(&mut out, Kind::Text, text.as_bytes());
    out.into()
}
