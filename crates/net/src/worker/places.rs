//! How a connection comes to its worker, is looked at when its time has come, and goes.

use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mio::{Interest, Token};
use parlor_hub::outbox::Outbox;
use parlor_proto::codes::CloseCode;
use parlor_proto::limits::CLOSE_TIMEOUT;
use parlor_proto::ws;

use super::Worker;
use super::stop::RETRY_AFTER_STOP;
use crate::liveness::{LINGER, Liveness, Verdict, earlier};
use crate::socket::{Flags, Socket};
use crate::takeover::Taken;

impl Worker {
    /// Takes a socket from its HTTP task.
    pub(super) fn adopt(&mut self, taken: Taken) -> io::Result<()> {
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

    /// A connection that is closing: waits for the peer to read it, for two seconds at most, or ends it.
    pub(super) fn finish(&mut self, slot: u32) {
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

    pub(super) fn remove(&mut self, slot: u32) {
        self.sockets.over(slot, &mut self.shard, ws::CloseCode::LOST.0, "");
        let Some(mut socket) = self.sockets.take(slot) else { return };
        let _ = self.poll.get_ref().registry().deregister(&mut socket.stream);
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
