//! `Recovery`: what a namespace keeps of connections that may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlor_proto::position::Position;

use super::socket::{Session, Socket};

/// The connections of a namespace that can be recovered, by the secret that their clients hold.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    saved: HashMap<Arc<str>, Saved>,
    /// When expired ones are looked for next, in milliseconds since 1970.
    sweep_at: u64,
}

#[derive(Debug)]
struct Saved {
    id: Arc<str>,
    /// Where the log stood when the client entered: it has missed nothing before.
    since: Position,
    /// While it is connected; rooms and session are the socket's then.
    socket: Option<Socket>,
    rooms: Vec<String>,
    session: Session,
    /// `None` while it is connected.
    expires: Option<u64>,
}

/// What somebody who comes back is given again.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: Arc<str>,
    pub(super) since: Position,
    pub(super) rooms: Vec<String>,
    pub(super) session: Session,
    /// The connection that it had, if that has not ended yet: nobody else holds the secret, so its line is dead.
    pub(super) old: Option<Socket>,
}

/// Connections that are kept while they are away; each is some hundred bytes.
const SAVED: usize = 100_000;
/// How often expired ones are looked for.
const SWEEP_MS: u64 = 10_000;

impl Recovery {
    /// A client has entered, or come back.
    pub(super) fn entered(&self, pid: &Arc<str>, socket: &Socket, since: Position) {
        let saved = Saved {
            id: socket.id().into(),
            since,
            socket: Some(socket.clone()),
            rooms: Vec::new(),
            session: Session::new(),
            expires: None,
        };
        self.lock().saved.insert(Arc::clone(pid), saved);
    }

    /// What is known of the client with this secret. It stays known: an attempt that fails may be made again.
    pub(super) fn find(&self, pid: &str, now: u64) -> Option<Found> {
        let state = self.lock();
        let saved = state.saved.get(pid).filter(|saved| saved.expires.is_none_or(|at| now < at))?;
        let (rooms, session) = match &saved.socket {
            Some(socket) => (socket.rooms(), socket.session()),
            None => (saved.rooms.clone(), saved.session.clone()),
        };
        let (id, since, old) = (Arc::clone(&saved.id), saved.since, saved.socket.clone());
        Some(Found { id, since, rooms, session, old })
    }

    /// A client has gone and may come back until `window` is over.
    pub(super) fn left(&self, socket: &Socket, window: Duration, now: u64) {
        let Some(pid) = socket.pid() else { return };
        let (rooms, session) = (socket.rooms(), socket.session());
        let mut state = self.lock();
        if now >= state.sweep_at {
            state.sweep_at = now + SWEEP_MS;
            state.saved.retain(|_, saved| saved.expires.is_none_or(|at| now < at));
        }
        if state.saved.len() > SAVED {
            state.saved.remove(&**pid);
            return;
        }
        let Some(saved) = state.saved.get_mut(pid) else { return };
        // Another connection may have taken its place.
        if saved.socket.as_ref().is_some_and(|current| current.is(socket)) {
            saved.socket = None;
            saved.rooms = rooms;
            saved.session = session;
            saved.expires = Some(now + window.as_millis() as u64);
        }
    }

    /// A client has gone for good.
    pub(super) fn forget(&self, socket: &Socket) {
        let Some(pid) = socket.pid() else { return };
        let mut state = self.lock();
        let current = state.saved.get(pid).and_then(|saved| saved.socket.as_ref());
        if current.is_some_and(|current| current.is(socket)) {
            state.saved.remove(&**pid);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().saved.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
