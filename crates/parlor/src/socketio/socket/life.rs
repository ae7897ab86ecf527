//! A socket's life, as its conversation leads it: what it is given back, being let in, acks, and the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_hub::Heard;
use parlor_proto::codes::Refusal;
use parlor_proto::socketio::Arguments;

use super::{Early, Inner, Session, Socket, Stage, Tended, WRITING};
use crate::clock::now;
use crate::socketio::extract::Rest;
use crate::socketio::kept;
use crate::socketio::recovery::{Away, Progress, tend_every};

impl Socket {
    /// What it has to be given when it comes back; `None` before it has entered, and where nobody comes back.
    pub(in crate::socketio) fn away(&self) -> Option<Away> {
        let (id, rooms) = (Arc::clone(&self.inner.id), self.rooms());
        let state = self.state();
        let (session, progress) = (state.session.clone(), state.tended.as_ref()?.progress);
        Some(Away { id, rooms, session, progress, stay: self.inner.stay })
    }

    pub(in crate::socketio) fn stay(&self) -> u32 {
        self.inner.stay
    }

    pub(in crate::socketio) fn restore(&self, rooms: &[String], session: Session) {
        let mut state = self.state();
        state.rooms = rooms.iter().map(|room| room.as_str().into()).collect();
        state.session = session;
    }

    pub(in crate::socketio) fn set_progress(&self, progress: Progress) {
        let tended = Tended { progress, writing: 0, changed: false, unsaid: Vec::new() };
        self.state().tended = Some(Box::new(tended));
    }

    /// Notes how far it is in the log.
    pub(in crate::socketio) fn note(&self, heard: Heard) {
        if let Some(tended) = &mut self.state().tended {
            tended.progress.heard = heard;
        }
    }

    /// Has its conversation note how far it is in the log.
    pub(in crate::socketio) fn ask_to_be_tended(&self) {
        self.inner.to_be_tended.store(true, Ordering::Relaxed);
        self.inner.waker.wake_by_ref();
    }

    pub(in crate::socketio) fn is_to_be_tended(&self) -> bool {
        self.inner.to_be_tended.swap(false, Ordering::Relaxed)
    }

    /// Writes down what it has to be given when it comes back to another process.
    pub(in crate::socketio) fn keep(&self) {
        if self.inner.pid.is_none() || !kept::outlives(&self.inner.hub) {
            return;
        }
        let mut state = self.state();
        if state.stage != Stage::In {
            return;
        }
        let Some(tended) = &mut state.tended else { return };
        if tended.writing >= WRITING {
            tended.changed = true;
            return;
        }
        tended.writing += 1;
        drop(state);
        self.write_down();
    }

    fn write_down(&self) {
        let (Some(pid), Some(away), Some(window)) = (self.pid(), self.away(), self.namespace().window())
        else {
            return self.written();
        };
        let Some(hub) = self.namespace().shared.registry.hub() else { return self.written() };
        let (socket, now) = (self.clone(), now(hub));
        let expires = now + (window + 2 * tend_every(window)).as_millis() as u64;
        let done = Box::new(move |result: Result<_, Refusal>| {
            if let Err(refusal) = &result {
                tracing::warn!(%refusal, "a connection would not be recovered after a restart");
                // Better nothing than what is no longer true.
                if let Some(pid) = socket.pid() {
                    kept::forget(&socket, pid, now);
                }
            }
            socket.written();
        });
        kept::put(self, pid, &away, expires, now, done);
    }

    /// What was to be said after the changes can be said, unless there were more of them.
    fn written(&self) {
        let mut state = self.state();
        let is_in = state.stage == Stage::In;
        let Some(tended) = &mut state.tended else { return };
        if std::mem::take(&mut tended.changed) && is_in {
            drop(state);
            return self.write_down();
        }
        tended.writing -= 1;
        if tended.writing > 0 {
            return;
        }
        for frames in std::mem::take(&mut tended.unsaid) {
            self.inner.hub.send(self.inner.connection, frames, false);
        }
    }

    pub(in crate::socketio) fn set_polling(&self, polling: bool) {
        self.inner.polling.store(polling, Ordering::Relaxed);
    }

    pub(in crate::socketio) fn pid(&self) -> Option<&Arc<str>> {
        self.inner.pid.as_ref()
    }

    /// Lets the client in: from here on it gets what is emitted to it and its rooms. In a namespace that recovers it is
    /// in everybody's room already.
    pub(in crate::socketio) fn let_in(&self) {
        let Inner { hub, connection, namespace, format, .. } = &*self.inner;
        let mut state = self.state();
        if state.stage != Stage::Entering {
            return;
        }
        state.stage = Stage::In;
        namespace.table().insert(Arc::clone(&self.inner.id), self.clone());
        if namespace.has_own_rooms() {
            self.enter(self.id());
        }
        if namespace.window().is_none() {
            hub.enter(*connection, &namespace.everybody(), *format, now(hub));
        }
        for room in &state.rooms {
            self.enter(room);
        }
        let early = std::mem::take(&mut state.early);
        drop(state);
        for early in early {
            match early {
                Early::Frames(frames) => hub.send(*connection, frames, false),
                Early::Event(event, arguments) => drop(self.emit(&event, &Rest(arguments))),
            }
        }
        self.keep();
    }

    /// Enters the rooms that it was in before, so that a replay knows what is for it.
    pub(in crate::socketio) fn enter_before(&self) {
        self.enter(self.id());
        for room in &self.state().rooms {
            self.enter(room);
        }
    }

    /// This side wanted it out.
    pub(in crate::socketio) fn is_put_out(&self) -> bool {
        self.state().stage == Stage::PutOut
    }

    pub(in crate::socketio) fn puts_all_out(&self) -> bool {
        self.inner.put_all_out.load(Ordering::Relaxed)
    }

    /// It is over: nobody waits for its acks any more. Returns whether it had been let in.
    pub(in crate::socketio) fn end(&self) -> bool {
        let mut state = self.state();
        let was_in = matches!(state.stage, Stage::In | Stage::PutOut);
        state.stage = Stage::Over;
        state.acks.clear();
        if let Some(tended) = &mut state.tended {
            tended.unsaid.clear();
        }
        let Inner { hub, connection, namespace, .. } = &*self.inner;
        // The connection may go on in other namespaces.
        if namespace.has_own_rooms() {
            hub.exit(*connection, &namespace.room(self.id()));
        }
        if namespace.window().is_none() {
            hub.exit(*connection, &namespace.everybody());
        }
        for room in &state.rooms {
            hub.exit(*connection, &namespace.room(room));
        }
        drop(state);
        namespace.remove(self);
        was_in
    }

    /// Hands a client's ack to whoever asked.
    pub(in crate::socketio) fn answered(&self, id: u64, arguments: Arguments) {
        let asked = self.state().take_ack(id);
        match asked {
            Some(asked) => drop(asked.send(arguments)),
            None => self.inner.namespace.answered(id, self, arguments),
        }
    }

    pub(in crate::socketio) fn forget_ack(&self, id: u64) {
        self.state().take_ack(id);
    }
}
