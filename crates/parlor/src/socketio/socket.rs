//! `Socket`: one client in one namespace, as handlers and the rest of the application hold it.

mod life;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use parlor_hub::encode::WireFormat;
use parlor_hub::{ConnectionId, Hub, socketio};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{OUTBOX_MESSAGES, ROOMS_PER_CONNECTION};
use parlor_proto::socketio::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::ack::Asked;
use super::broadcast::{Broadcast, unwritable};
use super::extract::Rest;
use super::handshake::Handshake;
use super::namespace::Namespace;
use super::payload::Payload;
use super::recovery::Progress;
use crate::clock::now;
use crate::sent::Sent;

/// A client in a namespace. Cheap to clone; it may be kept and used anywhere, on any thread. Once the client is gone,
/// what is done with it has no effect.
#[derive(Clone)]
pub struct Socket {
    inner: Arc<Inner>,
}

struct Inner {
    id: Arc<str>,
    namespace: Namespace,
    hub: Arc<Hub>,
    connection: ConnectionId,
    format: WireFormat,
    handshake: Arc<Handshake>,
    auth: Option<Box<Arguments>>,
    /// What the client proves itself with when it comes back. Nobody else may know it.
    pid: Option<Arc<str>>,
    recovered: bool,
    /// How often it came back before.
    stay: u32,
    polling: AtomicBool,
    /// How far it is in the log is to be noted, and written down.
    to_be_tended: AtomicBool,
    /// Its connection is to end, with all that share it.
    put_all_out: AtomicBool,
    /// Has the conversation look at what its sockets want.
    waker: Waker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Without its own id.
    rooms: Vec<Box<str>>,
    session: Session,
    /// `None` where the namespace does not recover, and until the log of it has answered. In a box: most connections are
    /// idle, and have none.
    tended: Option<Box<Tended>>,
    acks: Vec<(u64, oneshot::Sender<Arguments>)>,
    /// What was emitted before the client is in.
    early: Vec<Early>,
}

/// How far a client is that may come back, and what is being written down of it.
struct Tended {
    progress: Progress,
    /// Records of it that are being written, and whether something has changed that none of them has.
    writing: u32,
    changed: bool,
    /// Frames that wait until what was changed before them is written down.
    unsaid: Vec<Bytes>,
}

/// What is kept for a client, by key; each is one argument.
pub(super) type Session = BTreeMap<String, Arguments>;

enum Early {
    Frames(Bytes),
    /// An event, which goes through the log where there is one.
    Event(String, Arguments),
}

impl State {
    fn is_in(&self, room: &str) -> bool {
        self.rooms.iter().any(|joined| **joined == *room)
    }

    fn take_ack(&mut self, id: u64) -> Option<oneshot::Sender<Arguments>> {
        let place = self.acks.iter().position(|(waiting, _)| *waiting == id)?;
        Some(self.acks.swap_remove(place).1)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The client waits to be let in.
    #[default]
    Entering,
    In,
    /// This side has put it out; its conversation has to know.
    PutOut,
    Over,
}

/// Acks of one client that are waited for; a client that never answers must not fill the memory.
const ACKS: usize = 1_024;

/// Records of one socket that wait for the store: each stands there before what was emitted after it. What changes while
/// so many wait goes into one more.
const WRITING: u32 = 16;

/// Frames that wait for the store; a store that stands still must not fill the memory.
const UNSAID: usize = OUTBOX_MESSAGES;

/// What a socket is made of.
pub(super) struct New {
    pub(super) id: Arc<str>,
    pub(super) namespace: Namespace,
    pub(super) hub: Arc<Hub>,
    pub(super) connection: ConnectionId,
    pub(super) format: WireFormat,
    pub(super) handshake: Arc<Handshake>,
    pub(super) auth: Option<Box<Arguments>>,
    pub(super) pid: Option<Arc<str>>,
    pub(super) recovered: bool,
    pub(super) stay: u32,
    pub(super) waker: Waker,
}

impl Socket {
    pub(super) fn new(new: New) -> Socket {
        let New { id, namespace, hub, connection, format, handshake, auth, pid, recovered, stay, waker } =
            new;
        let (polling, to_be_tended, put_all_out) =
            (AtomicBool::default(), AtomicBool::default(), AtomicBool::default());
        let state = Mutex::default();
        let inner = Inner {
            id,
            namespace,
            hub,
            connection,
            format,
            handshake,
            auth,
            pid,
            recovered,
            stay,
            polling,
            to_be_tended,
            put_all_out,
            waker,
            state,
        };
        Socket { inner: Arc::new(inner) }
    }

    /// Its id: what the client has as `socket.id`. Others may know it; it lets nobody act for the client.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// The request with which the connection was opened.
    pub fn handshake(&self) -> &Handshake {
        &self.inner.handshake
    }

    pub(super) fn shared_handshake(&self) -> Arc<Handshake> {
        Arc::clone(&self.inner.handshake)
    }

    /// The client has come back and missed nothing.
    pub fn recovered(&self) -> bool {
        self.inner.recovered
    }

    /// `polling` or `websocket`: what the client used last.
    pub fn transport(&self) -> &'static str {
        if self.inner.polling.load(Ordering::Relaxed) { "polling" } else { "websocket" }
    }

    /// What the client sent with its wish to enter, an object; `None` if it sent none, or something else than `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Option<T> {
        self.inner.auth.as_ref()?.first().ok()
    }

    pub(super) fn raw_auth(&self) -> Option<&Arguments> {
        self.inner.auth.as_deref()
    }

    /// Whether the client is in the namespace.
    pub fn is_connected(&self) -> bool {
        self.state().stage == Stage::In
    }

    // ---- Messages ----

    /// Emits to this client. It takes its place when it is called.
    pub fn emit<T: Payload + ?Sized>(&self, event: &str, data: &T) -> Sent {
        let arguments = match data.to_arguments() {
            Ok(arguments) => arguments,
            Err(error) => return unwritable(&error),
        };
        // A client that may come back gets everything through the log of its namespace.
        if self.inner.namespace.window().is_some() {
            let mut state = self.state();
            if state.stage == Stage::Entering {
                state.early.push(Early::Event(event.to_owned(), arguments));
                return Sent::done();
            }
            drop(state);
            return self.broadcast_to_itself().emit(event, &Rest(arguments));
        }
        self.send(self.event(event, None, &arguments), false);
        Sent::done()
    }

    /// Emits, unless something waits for the client already.
    pub fn emit_volatile<T: Payload + ?Sized>(&self, event: &str, data: &T) -> Sent {
        match data.to_arguments() {
            Ok(arguments) => {
                self.send(self.event(event, None, &arguments), true);
                Sent::done()
            }
            Err(error) => unwritable(&error),
        }
    }

    /// Emits and asks for an ack. Await the result, or set its time-out first; without one it waits for 10 s.
    pub fn emit_with_ack<T: Payload + ?Sized>(&self, event: &str, data: &T) -> Asked {
        let arguments = match data.to_arguments() {
            Ok(arguments) => arguments,
            Err(error) => return Asked::refused(error),
        };
        let id = self.inner.namespace.next_id();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state();
            if state.stage == Stage::Over || state.acks.len() >= ACKS {
                return Asked::closed();
            }
            state.acks.push((id, answer));
        }
        self.send(self.event(event, Some(id), &arguments), false);
        Asked::waiting(self.clone(), id, answered)
    }

    /// A message for those in a room, this client left out.
    pub fn to(&self, room: &str) -> Broadcast {
        self.broadcast().to(room)
    }

    /// A message for everybody in the namespace but this client.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(&self.inner.namespace).without(self)
    }

    fn broadcast_to_itself(&self) -> Broadcast {
        Broadcast::new(&self.inner.namespace).to(self.id())
    }

    fn event(&self, event: &str, id: Option<u64>, arguments: &Arguments) -> Bytes {
        socketio::event(self.inner.format, self.inner.namespace.name(), id, event, arguments, None)
    }

    /// Sends frames, once the client is in.
    pub(super) fn send(&self, frames: Bytes, volatile: bool) {
        let mut state = self.state();
        match state.stage {
            Stage::Entering => state.early.push(Early::Frames(frames)),
            Stage::In => match state.tended.as_mut().filter(|tended| tended.writing > 0) {
                // Who hears that it is in a room can rely on it.
                Some(_) if volatile => {}
                Some(tended) if tended.unsaid.len() < UNSAID => tended.unsaid.push(frames),
                Some(_) => self.inner.hub.kick(self.inner.connection, CloseCode::SLOW),
                None => self.inner.hub.send(self.inner.connection, frames, volatile),
            },
            Stage::PutOut | Stage::Over => {}
        }
    }

    // ---- Rooms ----

    /// Enters a room: whatever is emitted to it after this call reaches the client.
    ///
    /// # Errors
    /// `too_many_rooms` beyond 128.
    pub fn join(&self, room: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.is_in(room) {
            return Ok(());
        }
        if state.rooms.len() >= ROOMS_PER_CONNECTION {
            let sentence = format!("a socket may be in {ROOMS_PER_CONNECTION} rooms; leave one first");
            return Err(Refusal::new(Code::TooManyRooms, sentence));
        }
        state.rooms.push(room.into());
        if state.stage == Stage::In {
            self.enter(room);
        }
        drop(state);
        self.keep();
        Ok(())
    }

    /// Leaves a room.
    pub fn leave(&self, room: &str) {
        let mut state = self.state();
        let before = state.rooms.len();
        state.rooms.retain(|joined| **joined != *room);
        if state.rooms.len() < before && state.stage == Stage::In {
            self.inner.hub.exit(self.inner.connection, &self.inner.namespace.room(room));
            drop(state);
            self.keep();
        }
    }

    /// The rooms it is in, in the order of their names, without its own id.
    pub fn rooms(&self) -> Vec<String> {
        let mut rooms: Vec<String> = self.state().rooms.iter().map(|room| room.to_string()).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Whether it is in this room; it always is in the one of its own id.
    pub fn is_in(&self, room: &str) -> bool {
        self.state().is_in(room) || room == self.id()
    }

    fn enter(&self, room: &str) {
        let Inner { hub, connection, namespace, format, .. } = &*self.inner;
        hub.enter(*connection, &namespace.room(room), *format, now(hub));
    }

    // ---- Session ----

    /// Keeps a value for as long as the client is connected, and through its return where the namespace recovers; where
    /// the server has a store, also through a restart, as long as rooms and session of a client stay below 64 KB.
    pub fn set<T: Serialize>(&self, key: &str, value: &T) {
        match Arguments::one(value) {
            Ok(value) => {
                self.state().session.insert(key.to_owned(), value);
                self.keep();
            }
            Err(error) => tracing::warn!(%error, key, "a value of a session cannot be written"),
        }
    }

    /// What was kept under a key.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.state().session.get(key).cloned()?;
        value.first().ok()
    }

    /// Forgets what was kept under a key.
    pub fn unset(&self, key: &str) {
        self.state().session.remove(key);
        self.keep();
    }

    // ---- The end ----

    /// Puts the client out of the namespace; its connection stays.
    pub fn disconnect(&self) {
        let mut state = self.state();
        if !matches!(state.stage, Stage::In | Stage::Entering) {
            return;
        }
        let frames = socketio::disconnect(self.inner.format, self.inner.namespace.name());
        self.inner.hub.send(self.inner.connection, frames, false);
        state.stage = Stage::PutOut;
        drop(state);
        self.inner.waker.wake_by_ref();
    }

    /// Puts the client out of all namespaces and ends its connection, after what was emitted before.
    pub fn disconnect_all(&self) {
        self.inner.put_all_out.store(true, Ordering::Relaxed);
        self.disconnect();
    }

    /// Ends the connection without a word to the namespace, as a broken line would.
    pub fn close(&self) {
        self.inner.hub.kick(self.inner.connection, CloseCode::NORMAL);
    }

    // ---- For the conversation ----

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.inner.hub
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.inner.connection
    }

    pub(super) fn format(&self) -> WireFormat {
        self.inner.format
    }

    pub(super) fn is(&self, other: &Socket) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.inner.id)
            .field("namespace", &self.inner.namespace.name())
            .finish_non_exhaustive()
    }
}
