//! `Worker`: one thread's loop. Sockets, mail and time go in; at the end of each turn everything that is queued goes
//! out, one write per connection.
//!
//! The sockets hang in an epoll of the worker's own, which tokio watches as one file: a turn handles everything that
//! is ready with plain calls, and no connection costs a task, a waker or a registration with tokio. In a spike that
//! ran a tokio task per connection the same fan-out cost 1.18 of the bound with one publication in flight and an
//! idle connection 1,084 bytes; `benches/README.md` has today's figures.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token};
use parlor_hub::outbox::Outbox;
use parlor_hub::shard::Event as HubEvent;
use parlor_hub::{Hub, Shard};
use parlor_proto::codes::CloseCode;
use parlor_proto::limits::CLOSE_TIMEOUT;
use parlor_proto::ws;
use tokio::io::unix::AsyncFd;

use crate::clock::Now;
use crate::errand::{Errand, Errands};
use crate::liveness::{LINGER, Liveness, Verdict, earlier};
use crate::socket::{Flags, Flushed, Socket};
use crate::sockets::Sockets;
use crate::takeover::Taken;
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
/// Accepted commands are given this long to be answered at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// And then this long to take the goodbye: a round trip around the world, and some to spare.
const GOODBYE: Duration = Duration::from_secs(1);

impl Worker {
    /// Must be called inside the worker's runtime.
    pub(crate) fn new(index: u16, hub: Arc<Hub>, errands: Arc<Errands>) -> io::Result<Worker> {
        let now = Now::read();
        let sockets = Sockets::new(Arc::clone(&errands), now);
        Ok(Worker {
            shard: Shard::new(Arc::clone(&hub), index),
            hub,
            errands,
            poll: watch(Poll::new()?)?,
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
                Errand::CutSlowest => self.cut_slowest(),
                Errand::Stop => self.begin_stop(),
            }
        }
        self.todo = todo;
        any
    }

    /// Takes a socket from its HTTP task.
    fn adopt(&mut self, taken: Taken) -> io::Result<()> {
        let Taken { stream, early, accepted } = taken;
        let mut stream = mio::net::TcpStream::from_std(stream.into_std()?);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let id = self.shard.connect(u128::from_ne_bytes(random), accepted.author, accepted.format);
        let slot = id.slot();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.get_ref().registry();
        if let Err(error) = registry.register(&mut stream, Token(slot as usize), interest) {
            self.shard.disconnect(id, self.sockets.now.wall);
            return Err(error);
        }
        let second = self.wheel.second(self.sockets.now.instant);
        let check_at = self.wheel.insert(slot, Liveness::first_check(second, slot));
        self.sockets.put(
            slot,
            Socket {
                id,
                stream,
                ws: ws::Connection::new(ws::Role::Server, &accepted.config),
                conversation: Some(accepted.conversation),
                waker: None,
                liveness: Liveness::new(check_at),
                unread: early.to_vec(),
                flags: Flags::default(),
                deadline: None,
                _admitted: accepted.admitted.map(Box::new),
            },
        );
        self.shard.send(slot, Bytes::from(accepted.head));
        self.sockets.converse(slot, &mut self.shard, |conversation, cx| conversation.opened(cx));
        self.read(slot);
        if self.stopping.is_some() {
            self.sockets.close(slot, &mut self.shard, CloseCode::GOING_AWAY, Some(RETRY_AFTER_STOP));
        }
        Ok(())
    }

    /// Reads what is there, within reason.
    fn read(&mut self, slot: u32) {
        if self.sockets.read(slot, &mut self.shard) {
            self.again.push(slot);
        }
    }

    fn resume_reading(&mut self, slot: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if !socket.flags.paused && (socket.flags.readable || !socket.unread.is_empty()) {
            self.read(slot);
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

    /// A connection that is closing: waits for the peer to read it, for two seconds at most, or ends it.
    fn finish(&mut self, slot: u32) {
        let instant = self.sockets.now.instant;
        let Some(socket) = self.sockets.get(slot) else { return };
        let written = self.shard.outbox(slot).is_none_or(|outbox| outbox.is_empty());
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

    fn schedule(&mut self, slot: u32, second: u32) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if second < socket.liveness.check_at {
            socket.liveness.check_at = second;
            let at = self.wheel.insert(slot, second);
            if let Some(socket) = self.sockets.get(slot) {
                socket.liveness.check_at = at;
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
        let any = !due.is_empty();
        for (slot, second) in due.drain(..) {
            self.check(slot, second);
        }
        self.due = due;
        any
    }

    fn check(&mut self, slot: u32, second: u32) {
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
        let next = match socket.liveness.check(second) {
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
                self.sockets.over(slot, &mut self.shard, CloseCode::SLOW.0, CloseCode::SLOW.reason());
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

    fn remove(&mut self, slot: u32) {
        self.sockets.over(slot, &mut self.shard, ws::CloseCode::LOST.0, "");
        let Some(mut socket) = self.sockets.take(slot) else { return };
        let _ = self.poll.get_ref().registry().deregister(&mut socket.stream);
        self.shard.disconnect(socket.id, self.sockets.now.wall);
    }

    /// Ends the connection whose outbox holds the most; it can resume.
    fn cut_slowest(&mut self) {
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

    fn begin_stop(&mut self) {
        self.stopping = Some(self.sockets.now.instant + STOP_TIMEOUT);
        // From here on nothing more is read, so nothing more is accepted; what was accepted is answered first.
        for slot in 0..self.sockets.len() {
            if let Some(socket) = self.sockets.get(slot) {
                socket.flags.paused = true;
            }
        }
    }

    /// While stopping: says goodbye once the last command is answered; done when nobody is left.
    fn is_done(&mut self) -> bool {
        let Some(deadline) = self.stopping else { return false };
        let late = deadline <= self.sockets.now.instant;
        if !self.said_goodbye && (self.shard.outstanding() == 0 || late) {
            self.said_goodbye = true;
            self.stopping = Some(deadline.min(self.sockets.now.instant + GOODBYE));
            for slot in 0..self.sockets.len() {
                let leaving = self.sockets.get(slot).is_none_or(|socket| socket.flags.leaving);
                if !leaving {
                    self.sockets.close(slot, &mut self.shard, CloseCode::GOING_AWAY, Some(RETRY_AFTER_STOP));
                    self.read(slot);
                }
            }
            self.flush();
        }
        late || self.sockets.is_empty()
    }
}

/// Has tokio watch the worker's epoll. The successor of this function is unsafe, because a type may give another file
/// each time that it is asked; mio's `Poll` is one file for its life.
#[expect(deprecated, reason = "the successor is unsafe and its condition holds here")]
fn watch(poll: Poll) -> io::Result<AsyncFd<Poll>> {
    AsyncFd::new(poll)
}

/// What clients are told to wait after a stop: as long as a restart takes. They spread themselves around it.
const RETRY_AFTER_STOP: Duration = Duration::from_secs(1);
