//! `Pipe`: the two short queues between a handler's future and its connection's worker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use parlor_proto::codes::CloseCode;
use parlor_proto::limits::{OUTBOX_BYTES as EVENT_BYTES, OUTBOX_MESSAGES as EVENTS};
use tokio::sync::Notify;

use crate::groups::GroupEvent;
use crate::rooms::Membership;
use crate::websocket::{Closed, Message};

/// Messages that the handler has not taken; then reading stops.
const INBOX_MESSAGES: usize = 64;
/// Bytes that wait to be written; then `send` waits. One message may be larger.
const OUTBOX_BYTES: usize = 1024 * 1024;
/// Group events, and their bytes, that wait before whoever feeds the group waits too: an eighth of what lets one go, so
/// that the pace of the quickest is no danger to those who are a little slower.
pub(crate) const AHEAD: usize = EVENTS / 8;
const AHEAD_BYTES: usize = EVENT_BYTES / 8;

/// Shared by a [`crate::WebSocket`] and its conversation. Both run on the same thread unless the handler moved the
/// socket away, so the lock is nearly always free.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// Never locked inside of `state`.
    membership: Mutex<Membership>,
}

/// What the handler is given, in the order in which it came.
#[derive(Debug)]
pub(crate) enum Input {
    Message(Message),
    Event(GroupEvent),
}

#[derive(Debug, Default)]
struct State {
    inbox: VecDeque<Input>,
    /// Group events in the inbox, and their bytes.
    events: usize,
    event_bytes: usize,
    /// It closes, or is closed: events are for others.
    leaving: bool,
    /// Who feeds its groups hears here that there is room again.
    ready: Option<Arc<Notify>>,
    outbox: VecDeque<Message>,
    outbox_bytes: usize,
    /// Bytes that the worker has and could not write yet, as it said last.
    queued: usize,
    /// The handler waits for a message or for room.
    handler: Option<Waker>,
    waits_for_room: bool,
    /// The worker polls the handler and looks here right after: nobody needs to call it.
    in_run: bool,
    /// Tells the worker that there is something to send, or room to read.
    worker: Option<Waker>,
    /// What the handler wants the connection to end with.
    close: Option<(u16, String)>,
    closed: Option<Closed>,
}

/// What the worker takes from the handler's side.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) messages: VecDeque<Message>,
    pub(crate) close: Option<(u16, String)>,
    /// The inbox is full.
    pub(crate) full: bool,
}

impl Pipe {
    // ---- the handler's side ----

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let mut state = self.lock();
        let was_full = state.is_full();
        if let Some(input) = state.inbox.pop_front() {
            if let Input::Event(event) = &input {
                let was_ready = state.is_ready();
                state.events -= 1;
                state.event_bytes -= event.weight();
                if let Some(ready) = state.ready.as_ref().filter(|_| !was_ready && state.is_ready()) {
                    ready.notify_waiters();
                }
            } else if was_full {
                state.wake_worker();
            }
            return Poll::Ready(Some(input));
        }
        if state.closed.is_some() {
            return Poll::Ready(None);
        }
        state.handler = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the message out of `message` when it returns `Ready(Ok)`.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        let waiting = state.outbox_bytes + state.queued;
        let Some(length) = message.as_ref().map(length) else { return Poll::Ready(Ok(())) };
        if waiting > 0 && waiting + length > OUTBOX_BYTES {
            state.handler = Some(cx.waker().clone());
            state.waits_for_room = true;
            return Poll::Pending;
        }
        state.outbox_bytes += length;
        state.outbox.extend(message.take());
        state.wake_worker();
        Poll::Ready(Ok(()))
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        let mut state = self.lock();
        if state.closed.is_none() && state.close.is_none() {
            state.close = Some((code, reason.to_owned()));
            state.wake_worker();
        }
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    /// Gives the handler a group's event. One that is too far behind is closed, as slow readers are, with the same limits.
    pub(crate) fn push_event(&self, event: GroupEvent) {
        let mut state = self.lock();
        if state.leaving {
            return;
        }
        let bytes = state.event_bytes + event.weight();
        if state.events >= EVENTS || state.events > 0 && bytes > EVENT_BYTES {
            state.close.get_or_insert_with(|| (CloseCode::SLOW.0, CloseCode::SLOW.reason().to_owned()));
            state.wake_worker();
            return;
        }
        state.events += 1;
        state.event_bytes = bytes;
        state.inbox.push_back(Input::Event(event));
        let handler = state.handler.take();
        drop(state);
        if let Some(handler) = handler {
            handler.wake();
        }
    }

    /// Has whoever feeds its groups hear when it is ready again.
    pub(crate) fn tell_when_ready(&self, ready: &Arc<Notify>) {
        self.lock().ready = Some(Arc::clone(ready));
    }

    /// Whether it can take an event soon.
    pub(crate) fn is_ready(&self) -> bool {
        self.lock().is_ready()
    }

    /// The connection's rooms.
    pub(crate) fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the worker's side ----

    /// The waker by which the handler's side reaches the worker.
    pub(crate) fn attach(&self, worker: Waker) {
        self.lock().worker = Some(worker);
    }

    /// Hands a message to the handler. Returns whether there is room for another. A handler that runs here, with the
    /// waker `own`, is polled next and not woken; one that was moved elsewhere is.
    pub(crate) fn deliver(&self, message: Message, own: &Waker) -> bool {
        let mut state = self.lock();
        state.inbox.push_back(Input::Message(message));
        let room = !state.is_full();
        let handler = state.handler.take().filter(|handler| !handler.will_wake(own));
        drop(state);
        if let Some(handler) = handler {
            handler.wake();
        }
        room
    }

    /// The handler is about to be polled; [`Pipe::take_outgoing`] follows.
    pub(crate) fn begin_run(&self) {
        self.lock().in_run = true;
    }

    /// Takes what the handler wants to send, unless the connection has plenty to write already.
    pub(crate) fn take_outgoing(&self, queued: usize) -> Outgoing {
        let mut state = self.lock();
        state.in_run = false;
        let messages = std::mem::take(&mut state.outbox);
        // Counted before framing; the few bytes of the headers do not matter here.
        state.queued = queued + std::mem::take(&mut state.outbox_bytes);
        Outgoing { messages, close: state.close.take(), full: state.is_full() }
    }

    /// Everything is written: whoever waits for room goes on.
    pub(crate) fn drained(&self) {
        let mut state = self.lock();
        state.queued = 0;
        if !std::mem::take(&mut state.waits_for_room) {
            return;
        }
        let handler = state.handler.take();
        drop(state);
        if let Some(handler) = handler {
            handler.wake();
        }
    }

    /// The connection closes: no more events.
    pub(crate) fn leave(&self) {
        self.lock().leaving = true;
    }

    pub(crate) fn end(&self, code: u16, reason: &str) {
        let mut state = self.lock();
        state.leaving = true;
        state.closed = Some(Closed { code, reason: reason.to_owned() });
        state.worker = None;
        let handler = state.handler.take();
        drop(state);
        if let Some(handler) = handler {
            handler.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.inbox.len() - self.events >= INBOX_MESSAGES
    }

    fn is_ready(&self) -> bool {
        !self.leaving && self.events < AHEAD && self.event_bytes < AHEAD_BYTES
    }

    fn wake_worker(&self) {
        if let Some(worker) = self.worker.as_ref().filter(|_| !self.in_run) {
            worker.wake_by_ref();
        }
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(binary) => binary.len(),
    }
}
