//! `Recovery`: what a namespace keeps of connections that may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use parlor_hub::{Heard, Hub};
use parlor_proto::position::Position;
use tokio::sync::Notify;

use super::kept;
use super::namespace::Shared;
use super::socket::{Session, Socket};
use crate::clock::now;

/// The connections of a namespace that can be recovered, by the secret that their clients hold. Where the engine outlives
/// this process, so do they: see [`kept`].
#[derive(Debug, Default)]
pub(super) struct Recovery {
    state: Mutex<State>,
    /// Told whenever somebody has gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    saved: HashMap<Arc<str>, Saved>,
    /// When expired ones are looked for next, in milliseconds since 1970.
    sweep_at: u64,
    /// Somebody looks after those that are here.
    tended: bool,
}

#[derive(Debug)]
enum Saved {
    Here(Socket),
    /// And until when it may come back.
    Away(Box<Away>, u64),
}

/// What is known of somebody who comes back.
#[derive(Debug)]
pub(super) enum Found {
    /// The server has not noticed yet that it went.
    Here(Socket),
    Away(Box<Away>),
}

/// What somebody who comes back is given again.
#[derive(Clone, Debug)]
pub(super) struct Away {
    pub(super) id: Arc<str>,
    pub(super) rooms: Vec<String>,
    pub(super) session: Session,
    pub(super) progress: Progress,
    /// How often it came back before.
    pub(super) stay: u32,
}

/// How far a client is in the log of its namespace, as the server knows it. The client's own word, the position of the
/// last event that it got, may be older than all that is kept: of what came since, nothing was for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where the log stood when it entered as a new client: it has missed nothing before.
    pub(super) entered: Position,
    /// What was for it was sent up to here; nothing that was sent to it lies behind `given`.
    pub(super) heard: Heard,
}

impl Progress {
    pub(super) fn new(entered: Position) -> Progress {
        Progress { entered, heard: nothing_since(entered) }
    }

    /// Behind which position it has to be told everything; `last` is the position of the last event that it got.
    pub(super) fn since(&self, last: Option<Position>) -> Position {
        let last = last.unwrap_or(self.entered);
        let Heard { passed, given, quiet } = self.heard;
        let silences = quiet.iter().flatten().map(|quiet| (quiet.after, quiet.until));
        // Of what lies between the two, nothing was for it.
        let skips = silences.chain([(given, passed)]).filter(|(after, until)| {
            last.epoch == until.epoch && last.offset >= *after && last.offset < until.offset
        });
        skips.map(|(_, until)| until).max_by_key(|until| until.offset).unwrap_or(last)
    }
}

/// Of a client that has everything up to here.
pub(super) fn nothing_since(passed: Position) -> Heard {
    Heard { passed, given: 0, quiet: [None; 2] }
}

/// Connections that are kept while they are away; each is some hundred bytes.
const SAVED: usize = 100_000;
/// How long a connection may take to end that is put out for its successor: a worker's turn, usually.
const ENDS: Duration = Duration::from_secs(2);
/// How often expired ones are looked for.
const SWEEP_MS: u64 = 10_000;

/// How often it is noted, and where the engine outlives the process written down, how far the clients are that are here.
/// A crash takes back no more than that; the log is kept for twice as long beyond the window.
pub(super) fn tend_every(window: Duration) -> Duration {
    (window / 2).clamp(Duration::from_secs(1), Duration::from_secs(60))
}

/// Looks after the clients of a namespace for as long as somebody is there.
pub(super) async fn tend(namespace: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(here) = namespace.upgrade().and_then(|namespace| namespace.recovery.tend()) else { return };
        here.iter().for_each(Socket::ask_to_be_tended);
    }
}

impl Recovery {
    /// A client has entered, or come back; returns another connection that claims to be the same one.
    pub(super) fn entered(&self, pid: &Arc<str>, socket: &Socket) -> Option<Socket> {
        match self.lock().saved.insert(Arc::clone(pid), Saved::Here(socket.clone())) {
            Some(Saved::Here(other)) => Some(other),
            _ => None,
        }
    }

    /// What is known of the client with this secret. It stays known: an attempt that fails may be made again.
    pub(super) fn find(&self, pid: &str, now: u64) -> Option<Found> {
        match self.lock().saved.get(pid)? {
            Saved::Here(socket) => Some(Found::Here(socket.clone())),
            Saved::Away(away, expires) if now < *expires => Some(Found::Away(away.clone())),
            Saved::Away(..) => None,
        }
    }

    /// The same once the connection that the client has is put out. Nobody else holds the secret, so its line is dead,
    /// and only its end says how far it was.
    pub(super) async fn find_ended(&self, pid: &str, hub: &Hub) -> Option<Away> {
        let ended = async {
            loop {
                let gone = self.gone.notified();
                match self.find(pid, now(hub)) {
                    Some(Found::Here(socket)) => socket.close(),
                    Some(Found::Away(away)) => return Some(*away),
                    None => return None,
                }
                gone.await;
            }
        };
        match tokio::time::timeout(ENDS, ended).await {
            Ok(found) => found,
            // Its worker stands still. What was noted last is true too, only older.
            Err(_) => match self.find(pid, now(hub))? {
                Found::Here(socket) => socket.away(),
                Found::Away(away) => Some(*away),
            },
        }
    }

    /// A client has gone and may come back until `window` is over.
    pub(super) fn left(&self, socket: &Socket, window: Duration, now: u64) {
        let (Some(pid), Some(away)) = (socket.pid(), socket.away()) else { return };
        let _gone = Telling(&self.gone);
        let mut state = self.lock();
        if now >= state.sweep_at {
            state.sweep_at = now + SWEEP_MS;
            state.saved.retain(|_, saved| !matches!(saved, Saved::Away(_, at) if now >= *at));
        }
        // Another connection may have taken its place.
        if !state.is_here(socket) {
            return;
        }
        if state.saved.len() > SAVED {
            state.saved.remove(&**pid);
            drop(state);
            return kept::forget(socket, pid, now);
        }
        let expires = now + window.as_millis() as u64;
        state.saved.insert(Arc::clone(pid), Saved::Away(Box::new(away.clone()), expires));
        drop(state);
        kept::put(socket, pid, &away, expires, now, Box::new(|_| ()));
    }

    /// A client has gone for good.
    pub(super) fn forget(&self, socket: &Socket, now: u64) {
        let Some(pid) = socket.pid() else { return };
        let _gone = Telling(&self.gone);
        let mut state = self.lock();
        if state.is_here(socket) {
            state.saved.remove(&**pid);
            drop(state);
            kept::forget(socket, pid, now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().saved.is_empty()
    }

    /// Whether nobody looks after the clients yet; whoever asks does so from now on.
    pub(super) fn begin_tending(&self) -> bool {
        !std::mem::replace(&mut self.lock().tended, true)
    }

    /// Those that are here; `None` once, when nobody is, and whoever looked after them need not any more.
    pub(super) fn tend(&self) -> Option<Vec<Socket>> {
        let mut state = self.lock();
        let here = state.saved.values().filter_map(|saved| match saved {
            Saved::Here(socket) => Some(socket.clone()),
            Saved::Away(..) => None,
        });
        let here: Vec<Socket> = here.collect();
        state.tended = !here.is_empty();
        state.tended.then_some(here)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who wait, once the table is free again.
struct Telling<'n>(&'n Notify);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl State {
    /// Whether this very socket is the one that is known.
    fn is_here(&self, socket: &Socket) -> bool {
        let found = socket.pid().and_then(|pid| self.saved.get(&**pid));
        matches!(found, Some(Saved::Here(current)) if current.is(socket))
    }
}

#[cfg(test)]
mod tests {
    use parlor_hub::Quiet;
    use parlor_proto::position::{Epoch, MessageId};

    use super::*;

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch(7), offset, id: MessageId(u128::from(offset)) }
    }

    #[track_caller]
    fn check(passed: u64, given: u64, last: Option<u64>, expected: u64) {
        let quiet = [None, Some(Quiet { after: 12, until: at(30) })];
        let progress = Progress { entered: at(10), heard: Heard { passed: at(passed), given, quiet } };
        assert_eq!(progress.since(last.map(at)), at(expected), "{passed} {given} {last:?}");
    }

    #[test]
    fn a_client_that_has_everything_goes_on_where_the_server_was() {
        check(10, 0, None, 10);
        check(5_000, 0, None, 5_000);
        check(5_000, 40, Some(40), 5_000);
        // Something was sent that it did not get.
        check(5_000, 40, None, 10);
        check(5_000, 40, Some(39), 39);
        // What the server has written down is older than what the client knows.
        check(50, 40, Some(60), 60);
        // It was long silent before what it did not get.
        check(5_000, 40, Some(12), 30);
        check(5_000, 40, Some(29), 30);
        check(5_000, 40, Some(11), 11);
        let other = Position { epoch: Epoch(8), ..at(60) };
        let progress = Progress::new(at(5_000));
        assert_eq!(progress.since(Some(other)), other);
    }
}
