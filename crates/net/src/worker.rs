//! `Worker`: one thread's loop. Sockets, mail and time go in; at the end of each turn everything that is queued goes
//! out, one write per connection.
//!
//! The sockets hang in an epoll of the worker's own, which tokio watches as one file: a turn handles everything that
//! is ready with plain calls, and no connection costs a task, a waker or a registration with tokio. In a spike that
//! ran a tokio task per connection the same fan-out cost 1.18 of the bound with one publication in flight and an
//! idle connection 1,084 bytes; `benches/README.md` has today's figures.

mod places;
mod stop;

pub(crate) use stop::RETRY_AFTER_STOP;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use parlor_hub::shard::Event as HubEvent;
use parlor_hub::{Hub, Shard};
use parlor_proto::engineio::Transport;
use parlor_proto::ws;
use tokio::io::unix::AsyncFd;

use crate::clock::Now;
use crate::engineio::Held;
use crate::errand::{Ask, Errand, Errands};
use crate::liveness::earlier;
use crate::socket::Flushed;
use crate::sockets::Sockets;
use crate::wheel::Wheel;

pub(crate) struct Worker {
    hub: Arc<Hub>,
    shard: Shard,
    errands: Arc<Errands>,
    poll: AsyncFd<Poll>,
    sockets: Sockets,
    wheel: Wheel,
    /// When everything ends at the latest.
    stopping: Option<Instant>,
    said_goodbye: bool,
    // Kept between turns, so that a turn does not allocate.
    events: Events,
    dirty: Vec<u32>,
    due: Vec<(u32, u32)>,
    todo: Vec<Errand>,
    again: Vec<u32>,
}

/// Events of one look at the sockets.
const EVENTS: usize = 1024;
/// After this long without a break the runtime's other tasks (new connections, HTTP) get their turn.
const BREAK_AFTER: Duration = Duration::from_millis(2);

impl Worker {
    /// Must be called inside the worker's runtime.
    pub(crate) fn new(index: u16, hub: Arc<Hub>, errands: Arc<Errands>) -> io::Result<Worker> {
        let now = Now::read();
        let poll = Poll::new()?;
        let sockets = Sockets::new(Arc::clone(&errands), now, poll.registry().try_clone()?);
        Ok(Worker {
            shard: Shard::new(Arc::clone(&hub), index),
            hub,
            errands,
            poll: watch(poll)?,
            sockets,
            wheel: Wheel::new(now.instant),
            stopping: None,
            said_goodbye: false,
            events: Events::with_capacity(EVENTS),
            dirty: Vec::new(),
            due: Vec::new(),
            todo: Vec::new(),
            again: Vec::new(),
        })
    }

    /// Runs until it is told to stop and everybody has been told.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            let started = Instant::now();
            loop {
                let errands = Arc::clone(&self.errands);
                let worked = errands.in_turn(|| self.turn())?;
                if self.is_done() {
                    return Ok(());
                }
                if !worked {
                    self.sleep().await?;
                    break;
                }
                if started.elapsed() > BREAK_AFTER {
                    tokio::task::yield_now().await;
                    break;
                }
            }
        }
    }

    /// Waits for a socket, a bell or the time.
    async fn sleep(&mut self) -> io::Result<()> {
        let deadline = self.next_deadline();
        let errands = Arc::clone(&self.errands);
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            guard = self.poll.readable() => guard?.clear_ready(),
            () = errands.rung() => {}
            () = timeout => {}
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let wheel = earlier(self.wheel.next_due(), self.stopping);
        let wheel = earlier(wheel, self.sockets.next_alarm());
        if self.shard.worker() != 0 || self.hub.next_tick() == u64::MAX {
            return wheel;
        }
        let ahead = self.hub.next_tick().saturating_sub(self.sockets.now.wall);
        earlier(wheel, Some(self.sockets.now.instant + Duration::from_millis(ahead)))
    }

    /// Everything that is ready, once; then what it queued is written. Returns whether there was anything.
    fn turn(&mut self) -> io::Result<bool> {
        match self.poll.get_mut().poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.sockets.now = Now::read();
        let mut worked = !self.events.is_empty() || !self.again.is_empty();
        for slot in std::mem::take(&mut self.again) {
            self.read(slot);
        }
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let slot = event.token().0 as u32;
            if event.is_writable() {
                self.writable(slot);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let Some(socket) = self.sockets.get(slot) else { continue };
                socket.flags.readable = true;
                socket.flags.ended |= event.is_read_closed() || event.is_error();
                self.read(slot);
            }
        }
        std::mem::swap(&mut self.events, &mut events);
        worked |= self.run_errands();
        for slot in std::mem::take(&mut self.sockets.moved) {
            self.read(slot);
        }
        worked |= self.tick();
        // What one mail leads to may be another one, to ourselves.
        while self.receive_mail() {
            worked = true;
        }
        self.flush();
        self.shard.continue_replays();
        Ok(worked)
    }

    fn receive_mail(&mut self) -> bool {
        let Worker { shard, sockets, again, .. } = self;
        let now = sockets.now.wall;
        shard.receive_mail(now, |shard, event| match event {
            HubEvent::Reply { connection, ticket, result } => {
                let slot = connection.slot();
                let paused =
                    |sockets: &mut Sockets| sockets.get(slot).is_some_and(|socket| socket.flags.paused);
                let was_paused = paused(sockets);
                sockets.converse(slot, shard, |conversation, cx| conversation.reply(ticket, result, cx));
                if was_paused && !paused(sockets) {
                    again.push(slot);
                }
            }
            HubEvent::Cut { connection, code } => sockets.close(connection.slot(), shard, code, None),
        })
    }

    fn run_errands(&mut self) -> bool {
        let mut todo = std::mem::take(&mut self.todo);
        self.errands.swap(&mut todo);
        let any = !todo.is_empty();
        for errand in todo.drain(..) {
            match errand {
                Errand::Adopt(taken) => {
                    if let Err(error) = self.adopt(*taken) {
                        tracing::debug!(%error, "a connection ended while it was opened");
                    }
                }
                Errand::Poll(connection) => {
                    if self.shard.contains(connection) {
                        let slot = connection.slot();
                        self.sockets
                            .converse(slot, &mut self.shard, |conversation, cx| conversation.poll(cx));
                        self.resume_reading(slot);
                    }
                }
                Errand::EngineIo(ask) => self.serve(*ask),
                Errand::CutSlowest => self.cut_slowest(),
                Errand::Stop => self.begin_stop(),
            }
        }
        self.todo = todo;
        any
    }

    /// Reads what is there, within reason.
    fn read(&mut self, slot: u32) {
        if self.sockets.read(slot, &mut self.shard) {
            self.again.push(slot);
        }
    }

    fn resume_reading(&mut self, slot: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        let more = socket.flags.readable || !socket.unread.is_empty() || socket.is_polling();
        if !socket.flags.paused && more {
            self.read(slot);
        }
    }

    /// What a request of a polling client asks.
    fn serve(&mut self, ask: Ask) {
        let Worker { sockets, shard, .. } = self;
        match ask {
            Ask::Poll { connection, poll } => {
                sockets.poll(connection, poll, shard);
                self.resume_reading(connection.slot());
            }
            Ask::Post { connection, body } => sockets.post(connection, body, shard),
            Ask::Gone(connection) => sockets.abandon(connection, shard),
            Ask::Open { opened, settings, revision, b64, answer } => {
                let held = Held::new(&settings, revision, Transport::Polling, sockets.now.instant);
                match self.open_session(*opened, held, &settings, b64) {
                    Ok(opening) => drop(answer.send(Ok(opening))),
                    Err(error) => tracing::debug!(%error, "a session could not be opened"),
                }
            }
        }
    }

    fn writable(&mut self, slot: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if std::mem::take(&mut socket.flags.blocked) {
            self.flush_one(slot);
        }
    }

    /// The end of the turn: everybody with something new gets one write.
    fn flush(&mut self) {
        loop {
            let mut dirty = std::mem::take(&mut self.dirty);
            self.shard.take_dirty(&mut dirty);
            let any = !dirty.is_empty();
            for slot in dirty.drain(..) {
                match self.sockets.get(slot) {
                    Some(socket) if !socket.flags.blocked => self.flush_one(slot),
                    _ => {}
                }
            }
            self.dirty = dirty;
            let finished = std::mem::take(&mut self.sockets.finished);
            finished.iter().for_each(|&slot| self.finish(slot));
            // Saying goodbye, and conversations that waited for room, may have queued more.
            if !any && finished.is_empty() {
                return;
            }
        }
    }

    fn flush_one(&mut self, slot: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if socket.is_polling() {
            self.sockets.answer_poll(slot, &mut self.shard);
            return self.resume_reading(slot);
        }
        match socket.flush(slot, &mut self.shard) {
            Flushed::All => {
                socket.liveness.progress();
                let sent = std::mem::take(&mut socket.flags.sent);
                if socket.flags.leaving && socket.ws.is_closed() && !socket.flags.lingering {
                    socket.end_writing();
                    self.sockets.finished.push(slot);
                }
                // Whoever only listens is not told, and not touched.
                if sent {
                    self.sockets.converse(slot, &mut self.shard, |conversation, cx| conversation.drained(cx));
                }
                self.resume_reading(slot);
            }
            Flushed::Blocked { progress } => {
                if progress {
                    socket.liveness.progress();
                }
                let second = self.wheel.second(self.sockets.now.instant);
                let Some(socket) = self.sockets.get(slot) else { return };
                if let Some(at) = socket.liveness.stall(second) {
                    self.schedule(slot, at);
                }
            }
            Flushed::Broken => {
                socket.ws.receive_eof();
                self.sockets.over(slot, &mut self.shard, ws::CloseCode::LOST.0, "");
                self.remove(slot);
            }
        }
    }

    /// What the clock asks for.
    fn tick(&mut self) -> bool {
        let now = self.sockets.now;
        if self.shard.worker() == 0 && self.hub.next_tick() <= now.wall {
            self.hub.tick(now.wall);
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(now.instant, &mut due);
        let any = !due.is_empty() | self.sockets.ring_alarms(&mut self.shard);
        for (slot, second) in due.drain(..) {
            self.check(slot, second);
        }
        self.due = due;
        any
    }
}

/// Has tokio watch the worker's epoll. The successor of this function is unsafe, because a type may give another file
/// each time that it is asked; mio's `Poll` is one file for its life.
#[expect(deprecated, reason = "the successor is unsafe and its condition holds here")]
fn watch(poll: Poll) -> io::Result<AsyncFd<Poll>> {
    AsyncFd::new(poll)
}
