//! A socket's life, as its conversation leads it: what it is given back, being let in, acks, and the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_proto::socketio::Arguments;

use super::{Early, Inner, Session, Socket, Stage};
use crate::clock::now;
use crate::socketio::extract::Rest;

impl Socket {
    pub(in crate::socketio) fn session(&self) -> Session {
        self.state().session.clone()
    }

    pub(in crate::socketio) fn restore(&self, rooms: &[String], session: Session) {
        let mut state = self.state();
        state.rooms = rooms.iter().map(|room| room.as_str().into()).collect();
        state.session = session;
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
        if namespace.window().is_some() {
            self.enter(self.id());
        } else {
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
        let Inner { hub, connection, namespace, .. } = &*self.inner;
        // The connection may go on in other namespaces.
        if namespace.window().is_some() {
            hub.exit(*connection, &namespace.room(self.id()));
        } else {
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
