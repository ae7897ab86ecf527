//! What a program has asked to be sent and has not been sent yet, in order, and the emits that wait for their acks.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use parlor_proto::socketio::Arguments;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::session::{Frame, Queue};
use super::{Asked, Caller, Message};
use crate::driver::Given;
use crate::error::Error;

/// Bounded by the places that everything in it holds.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    /// Emits that want an ack, sent or not; in the order of their deadlines.
    acks: BTreeMap<u64, Acked>,
}

#[derive(Debug)]
enum Waiting {
    Emit(Message, Option<OwnedSemaphorePermit>),
    /// The emit of this id in `acks`, which holds its place.
    EmitWithAck(Message, u64),
    /// Of this connection and no other.
    Now(Message, Option<OwnedSemaphorePermit>),
    /// Of the packet before it, which has been sent.
    Attachment(Bytes),
    /// Everything before it has been sent.
    Mark(Caller, OwnedSemaphorePermit),
}

#[derive(Debug)]
struct Acked {
    caller: Caller,
    deadline: Instant,
    sent: bool,
    _place: OwnedSemaphorePermit,
}

impl Outbox {
    pub(super) fn push(&mut self, asked: Asked) {
        self.waiting.push_back(match asked {
            Asked::Emit { message, place } => Waiting::Emit(message, Some(place)),
            Asked::EmitWithAck { message, place, id, caller, deadline } => {
                self.acks.insert(id, Acked { caller, deadline, sent: false, _place: place });
                Waiting::EmitWithAck(message, id)
            }
            Asked::Ack { message, place, .. } => Waiting::Now(message, Some(place)),
            Asked::Flush { caller, place } => Waiting::Mark(caller, place),
        });
    }

    /// The session's own last word.
    pub(super) fn push_last(&mut self, text: String) {
        self.waiting.push_back(Waiting::Now(Message { text, attachments: Vec::new() }, None));
    }

    /// The next message to send.
    pub(super) fn pop(&mut self, given: &mut Queue) -> Option<Frame> {
        loop {
            let message = match self.waiting.pop_front()? {
                Waiting::Attachment(bytes) => return Some(Frame::Binary(bytes)),
                Waiting::Mark(caller, _place) => {
                    given.push_back(Given::Answer(caller, Ok(Arguments::default())));
                    continue;
                }
                Waiting::EmitWithAck(message, id) => match self.acks.get_mut(&id) {
                    Some(acked) if !acked.caller.is_closed() => {
                        acked.sent = true;
                        message
                    }
                    // Nobody waits for it any more: it was to be done in time or not at all.
                    _ => {
                        self.acks.remove(&id);
                        continue;
                    }
                },
                Waiting::Emit(message, _place) | Waiting::Now(message, _place) => message,
            };
            for bytes in message.attachments.into_iter().rev() {
                self.waiting.push_front(Waiting::Attachment(bytes));
            }
            return Some(Frame::Text(message.text));
        }
    }

    /// The ack of this id came; once.
    pub(super) fn acked(&mut self, id: u64) -> Option<Caller> {
        self.acks.remove(&id).map(|acked| acked.caller)
    }

    /// When [`Outbox::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.acks.first_key_value().map(|(_, acked)| acked.deadline)
    }

    /// Forgets the emits whose time for an ack is over; their callers have noticed by themselves.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(first) = self.acks.first_entry()
            && first.get().deadline <= now
        {
            first.remove();
        }
    }

    /// The connection ended: what concerns only that one is dropped, and whoever waits for an ack of it gets none.
    pub(super) fn broke(&mut self, given: &mut Queue) {
        self.waiting.retain(|waiting| !matches!(waiting, Waiting::Now(..) | Waiting::Attachment(_)));
        for (_, acked) in self.acks.extract_if(.., |_, acked| acked.sent) {
            given.push_back(Given::Answer(acked.caller, Err(Error::Disconnected)));
        }
    }

    /// All is over: everybody who waits is told.
    pub(super) fn closed(&mut self, given: &mut Queue) {
        for acked in std::mem::take(&mut self.acks).into_values() {
            given.push_back(Given::Answer(acked.caller, Err(Error::Closed)));
        }
        for waiting in self.waiting.drain(..) {
            if let Waiting::Mark(caller, _) = waiting {
                given.push_back(Given::Answer(caller, Err(Error::Closed)));
            }
        }
    }
}
