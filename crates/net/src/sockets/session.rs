//! Engine.IO sessions among a worker's sockets: polls and bodies, the end of a session, and a WebSocket that takes one
//! over.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use mio::{Interest, Token};
use parlor_hub::{ConnectionId, Shard};
use parlor_proto::codes::CloseCode;
use parlor_proto::engineio::payload::{Answer, Record};
use parlor_proto::engineio::{Alarm as Due, Fault, Kind as PacketKind, Reason, Revision, Transport};
use parlor_proto::limits::OUTBOX_BYTES;
use parlor_proto::ws;

use super::{Sockets, text_frame};
use crate::application::{Context, Incoming};
use crate::engineio::{Alarm, Answered, Body, EngineIo, Held, Part, Poll, Taken};

/// The answer to a body that was taken.
const OK: (&str, &str) = ("ok", "text/html");

impl Sockets {
    /// The session of this connection, if it is still here.
    fn held_of(&mut self, connection: ConnectionId) -> Option<&mut Held> {
        let socket = self.get(connection.slot()).filter(|socket| socket.id == connection)?;
        socket.held()
    }

    /// A request for what waits.
    pub(crate) fn poll(&mut self, connection: ConnectionId, poll: Poll, shard: &mut Shard) {
        let slot = connection.slot();
        let Some(held) = self.held_of(connection) else { return refuse(poll.answer, Fault::UnknownSid) };
        if !held.is_polling() || !held.is_of(poll.revision) {
            return refuse(poll.answer, Fault::BadRequest("this session is spoken with differently"));
        }
        if held.poll.is_some() {
            held.release(PacketKind::Close);
            refuse(poll.answer, Fault::BadRequest("there is a poll of this session already"));
            return self.end_session(slot, shard, Reason::TransportError);
        }
        held.poll = Some(poll);
        self.answer_poll(slot, shard);
    }

    /// Answers the poll that is held, if there is something to say.
    pub(crate) fn answer_poll(&mut self, slot: u32, shard: &mut Shard) {
        let Some(socket) = self.get(slot) else { return };
        let leaving = socket.flags.leaving;
        let Some(held) = socket.held().filter(|held| held.poll.is_some()) else { return };
        let Some(outbox) = shard.outbox(slot) else { return };
        if outbox.is_empty() {
            // While a WebSocket takes over, polls are let go, so that the client can stop.
            if held.session.transport() == Transport::Probing {
                held.release(PacketKind::Noop);
            } else if leaving {
                held.release(PacketKind::Close);
                held.farewell = false;
                self.finished.push(slot);
            }
            return;
        }
        let Some(poll) = held.poll.take() else { return };
        let mut answer = Answer::new(held.session.revision(), poll.b64, OUTBOX_BYTES);
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = outbox.slices(&mut slices);
        let mut taken = 0;
        for slice in &slices[..filled] {
            let part = answer.push_frames(slice);
            taken += part;
            if part < slice.len() {
                break;
            }
        }
        // If nobody takes it any more, the end of the request has been reported and ends the session.
        let _ = poll.answer.send(Ok(answer.finish()));
        shard.advance(slot, taken);
        if let Some(socket) = self.get(slot) {
            let sent = std::mem::take(&mut socket.flags.sent);
            if leaving {
                self.finished.push(slot);
            } else if sent {
                self.converse(slot, shard, |conversation, cx| conversation.drained(cx));
            }
        }
    }

    /// A request with packets in its body.
    pub(crate) fn post(&mut self, connection: ConnectionId, body: Body, shard: &mut Shard) {
        let slot = connection.slot();
        let Some(held) = self.held_of(connection) else { return refuse(body.answer, Fault::UnknownSid) };
        if !held.is_polling() || !held.is_of(body.revision) || held.over.is_some() {
            return refuse(
                body.answer,
                Fault::BadRequest("this session is spoken with differently, or ended"),
            );
        }
        if body.binary && held.session.revision() == Revision::V4 {
            refuse(body.answer, Fault::BadRequest("payloads of this revision are text"));
            return self.end_session(slot, shard, Reason::TransportError);
        }
        if held.body.is_some() {
            refuse(body.answer, Fault::BadRequest("there is a request of this session already"));
            return self.end_session(slot, shard, Reason::TransportError);
        }
        held.body = Some(body);
        self.take_body(slot, shard);
    }

    /// Hands a body's packets to the conversation, as far as it takes them, and answers when it has taken all.
    pub(crate) fn take_body(&mut self, slot: u32, shard: &mut Shard) {
        let mut at = 0;
        let end = loop {
            let behind = shard.outbox(slot).is_some_and(|outbox| outbox.len() >= OUTBOX_BYTES);
            let Sockets { slots, errands, outgoing, now, .. } = self;
            let Some(socket) = slots.get_mut(slot) else { return };
            let polling = socket.is_polling();
            let crate::socket::Socket { id, conversation, waker, flags, engine_io, .. } = socket;
            let Some(Part::Session(held)) = engine_io else { return };
            let Some(body) = held.body.take() else { return };
            if flags.paused || behind {
                let bytes = body.bytes.slice(at..);
                held.body = Some(Body { bytes, ..body });
                break None;
            }
            let Some((record, rest)) = body.next(held.session.revision(), at) else {
                break Some((Reason::ParseError, body.answer));
            };
            let taken = match record {
                None => Taken::Over(Reason::ParseError),
                Some(Record::Text(packet)) => held.take_packet(now.instant, packet),
                Some(Record::Binary(ref data)) => {
                    held.session.receive_binary(now.instant);
                    Taken::Message(Incoming::Binary(data))
                }
            };
            match taken {
                Taken::Over(reason) => break Some((reason, body.answer)),
                Taken::Nothing => {}
                Taken::Pong(text) => shard.send(slot, text_frame(&text)),
                Taken::Message(message) => {
                    if let Some(conversation) = conversation.as_deref_mut().filter(|_| !flags.leaving) {
                        let paused = &mut flags.paused;
                        let now = now.wall;
                        let mut cx = Context {
                            shard,
                            connection: *id,
                            now,
                            outgoing,
                            waker,
                            errands,
                            paused,
                            polling,
                        };
                        conversation.receive(message, &mut cx);
                    }
                }
            }
            match rest {
                Some(next) => {
                    at = next;
                    held.body = Some(body);
                }
                None => {
                    let _ = body.answer.send(Ok((OK.0.into(), OK.1)));
                    break None;
                }
            }
            self.send_outgoing(slot, shard);
        };
        self.send_outgoing(slot, shard);
        if let Some((reason, answer)) = end {
            match reason {
                Reason::TransportClose => drop(answer.send(Ok((OK.0.into(), OK.1)))),
                _ => refuse(answer, Fault::BadRequest("this is not an Engine.IO payload")),
            }
            self.end_session(slot, shard, reason);
        }
    }

    /// The client has ended a request that was held: it will not come back.
    pub(crate) fn abandon(&mut self, connection: ConnectionId, shard: &mut Shard) {
        let Some(held) = self.held_of(connection) else { return };
        if held.is_polling() {
            held.poll = None;
            self.end_session(connection.slot(), shard, Reason::TransportClose);
        }
    }

    /// The session is over by what the client said or did not say.
    pub(crate) fn end_session(&mut self, slot: u32, shard: &mut Shard, reason: Reason) {
        let now = self.now.instant;
        let Some(socket) = self.get(slot) else { return };
        let polling = socket.is_polling();
        let code = match reason {
            Reason::PingTimeout => CloseCode::NO_PONG,
            Reason::ParseError => CloseCode::BAD_REQUESTS,
            _ => CloseCode::NORMAL,
        };
        if let Some(held) = socket.held() {
            held.over.get_or_insert(reason);
            if reason == Reason::TransportClose {
                held.release(PacketKind::Noop);
            }
        }
        self.over(slot, shard, code.0, reason.as_str());
        if polling {
            shard.drop_queued(slot);
            if let Some(held) = self.get(slot).and_then(|socket| socket.held()) {
                held.release(PacketKind::Close);
            }
            self.finished.push(slot);
        } else if let Some(socket) = self.get(slot) {
            socket.flags.paused = false;
            socket.ws.close(now, ws::CloseCode(code.0), reason.as_str());
            self.transmit(slot, shard);
        }
    }

    /// The session ends by our will: what was queued is still sent.
    pub(super) fn close_session(&mut self, slot: u32, shard: &mut Shard, code: CloseCode, reason: &str) {
        let now = self.now.instant;
        let Some(socket) = self.get(slot) else { return };
        let polling = socket.is_polling();
        if let Some(held) = socket.held() {
            held.over.get_or_insert(Reason::ForcedClose);
            held.farewell = polling;
        }
        self.over(slot, shard, code.0, Reason::ForcedClose.as_str());
        if polling {
            self.finished.push(slot);
        } else if let Some(socket) = self.get(slot) {
            socket.ws.close(now, ws::CloseCode(code.0), reason);
            self.transmit(slot, shard);
        }
    }

    /// A WebSocket that wants to take over a session has come; one that finds it taken is turned away.
    pub(crate) fn begin_probe(&mut self, slot: u32, target: ConnectionId, shard: &mut Shard) {
        let free = |held: &mut Held| held.over.is_none() && held.session.transport() == Transport::Polling;
        if !self.held_of(target).is_some_and(free) {
            self.refuse_probe(slot, shard);
        }
    }

    /// A WebSocket wants to take over a session: its first word, or (`upgrade`) its last.
    pub(super) fn probe(&mut self, slot: u32, shard: &mut Shard, target: ConnectionId, upgrade: bool) {
        let Some(probe) = self.get(slot).map(|socket| socket.id) else { return };
        let settled = shard.outbox(slot).is_none_or(|outbox| outbox.is_empty());
        let Some(held) = self.held_of(target) else { return self.refuse_probe(slot, shard) };
        match (upgrade, held.session.transport()) {
            (false, Transport::Polling) if held.over.is_none() => {
                held.session.probe();
                held.probe = Some(probe);
                shard.send(slot, text_frame("3probe"));
                self.answer_poll(target.slot(), shard);
            }
            // Whoever says the last word before it was given the first speaks for nobody.
            (true, Transport::Probing) if held.probe == Some(probe) && settled && held.over.is_none() => {
                held.session.upgrade();
                held.release(PacketKind::Noop);
                self.move_stream(slot, target.slot(), shard);
            }
            _ => self.refuse_probe(slot, shard),
        }
    }

    fn refuse_probe(&mut self, slot: u32, shard: &mut Shard) {
        let now = self.now.instant;
        let Some(socket) = self.get(slot) else { return };
        socket.flags.leaving = true;
        socket.ws.close(now, ws::CloseCode(CloseCode::BAD_REQUESTS.0), "there is no session to take over");
        self.transmit(slot, shard);
    }

    /// The probe's stream becomes the session's.
    fn move_stream(&mut self, slot: u32, target: u32, shard: &mut Shard) {
        let Some(mut probe) = self.take(slot) else { return };
        shard.disconnect(probe.id, self.now.wall);
        let token = Token(target as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            probe.stream.as_mut().map(|stream| self.registry.reregister(stream, token, interest));
        let Some(socket) = self.get(target) else { return };
        socket.stream = probe.stream;
        socket.ws = probe.ws;
        socket.unread = probe.unread;
        socket.flags.readable = true;
        socket.flags.ended = probe.flags.ended || !matches!(registered, Some(Ok(())));
        socket.flags.blocked = false;
        shard.mark_dirty(target);
        self.moved.push(target);
    }

    /// A WebSocket that wanted to take over has ended, or its time is over.
    pub(crate) fn probe_ended(&mut self, probe: ConnectionId, target: ConnectionId) {
        if let Some(held) = self.held_of(target).filter(|held| held.probe == Some(probe)) {
            held.session.probe_failed();
        }
    }

    /// Carries out what is due; returns whether there was anything.
    pub(crate) fn ring_alarms(&mut self, shard: &mut Shard) -> bool {
        let now = self.now.instant;
        let mut any = false;
        while self.alarms.peek().is_some_and(|alarm| alarm.at <= now) {
            let Some(Alarm { connection, .. }) = self.alarms.pop() else { break };
            any = true;
            let slot = connection.slot();
            let Some(socket) = self.get(slot).filter(|socket| socket.id == connection) else { continue };
            let paused = socket.flags.paused;
            match &mut socket.engine_io {
                Some(Part::Session(held)) if held.over.is_none() => {
                    if paused {
                        // Its answers are not read at the moment, and that is our doing.
                        held.session.excuse(now);
                    }
                    match held.session.handle_timeout(now) {
                        Due::Nothing => {}
                        Due::Ping => shard.send(slot, text_frame("2")),
                        Due::Over => {
                            self.end_session(slot, shard, Reason::PingTimeout);
                            continue;
                        }
                    }
                    if let Some(held) = self.held_of(connection) {
                        let at = held.session.poll_timeout();
                        self.alarms.push(Alarm { at, connection });
                    }
                }
                Some(Part::Probe(target)) => {
                    let target = **target;
                    self.probe_ended(connection, target);
                    self.refuse_probe(slot, shard);
                }
                _ => {}
            }
        }
        any
    }

    /// When [`Sockets::ring_alarms`] has something to do.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.peek().map(|alarm| alarm.at)
    }
}

/// Whoever asked may be gone.
fn refuse(answer: tokio::sync::oneshot::Sender<Answered>, fault: Fault) {
    let _ = answer.send(Err(fault));
}

/// The packet that opens a session, in a frame.
pub(crate) fn opening(held: &Held, settings: &EngineIo, sid: &str) -> Bytes {
    text_frame(&held.opening(settings, sid))
}
