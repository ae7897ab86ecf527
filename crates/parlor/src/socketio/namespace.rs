//! `Namespace`: its handlers, and a handle to everybody in it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use parlor_hub::{Hub, socketio};
use parlor_proto::name::RoomName;
use parlor_proto::socketio::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ack::{AckError, Collector};
use super::broadcast::{Broadcast, unwritable};
use super::handler::{BoxedConnect, BoxedEvent, ConnectHandler, EventHandler};
use super::payload::Payload;
use super::recovery::Recovery;
use super::registry::Registry;
use super::server_side::{self, ServerAnswers};
use super::socket::Socket;
use crate::sent::Sent;

/// A namespace: a handle that is cheap to clone, may be kept anywhere, and reaches everybody in it.
///
/// Handlers are set before the server listens. They are `async` functions of up to six arguments, each of which says
/// by its type what it wants: [`Socket`], [`super::Data`], [`super::Ack`], [`super::Auth`], [`super::State`] and so on; or
/// the methods of one type, with [`Namespace::class`].
#[derive(Clone)]
pub struct Namespace {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) name: String,
    pub(super) registry: Arc<Registry>,
    /// Of the pattern that made it, or its own.
    handlers: Arc<RwLock<Handlers>>,
    is_child: bool,
    sockets: Mutex<HashMap<Arc<str>, Socket>>,
    /// Numbers of acks, never used twice in a namespace: one emit may ask many for an ack.
    ids: AtomicU64,
    asked: Mutex<HashMap<u64, Arc<Collector>>>,
    pub(super) recovery: Recovery,
}

#[derive(Default)]
struct Handlers {
    authorize: Vec<BoxedConnect>,
    connect: Option<BoxedConnect>,
    events: HashMap<String, BoxedEvent>,
    /// Of events that have no handler of their own.
    otherwise: Option<BoxedEvent>,
    any: Vec<BoxedEvent>,
    disconnect: Option<BoxedEvent>,
    server_side: HashMap<String, server_side::Handler>,
    window: Option<Duration>,
}

/// Why a client may not enter a namespace: what its `connect_error` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectRefused {
    pub(super) message: String,
    /// JSON text.
    pub(super) data: Option<String>,
}

impl ConnectRefused {
    /// A refusal with this message: what the client sees as `connect_error.message`.
    pub fn new(message: impl Into<String>) -> ConnectRefused {
        ConnectRefused { message: message.into(), data: None }
    }

    /// Adds what a program reads: `connect_error.data`.
    pub fn data<T: Serialize>(mut self, data: &T) -> ConnectRefused {
        self.data = serde_json::to_string(data).ok();
        self
    }
}

impl<S: Into<String>> From<S> for ConnectRefused {
    fn from(message: S) -> ConnectRefused {
        ConnectRefused::new(message)
    }
}

impl Namespace {
    pub(super) fn new(name: String, registry: Arc<Registry>) -> Namespace {
        Namespace::with(name, registry, Arc::default(), false)
    }

    /// The namespace that a pattern makes; this one is the pattern's.
    pub(super) fn child(&self, name: &str) -> Namespace {
        let handlers = Arc::clone(&self.shared.handlers);
        Namespace::with(name.to_owned(), Arc::clone(&self.shared.registry), handlers, true)
    }

    fn with(
        name: String,
        registry: Arc<Registry>,
        handlers: Arc<RwLock<Handlers>>,
        is_child: bool,
    ) -> Namespace {
        let shared = Shared {
            name,
            registry,
            handlers,
            is_child,
            sockets: Mutex::default(),
            ids: AtomicU64::new(0),
            asked: Mutex::default(),
            recovery: Recovery::default(),
        };
        Namespace { shared: Arc::new(shared) }
    }

    /// Its name, which begins with a slash.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    // ---- Handlers ----

    /// Asked about everybody who wants to enter, before [`Namespace::on_connect`]; several are asked one after the other.
    /// Whoever comes back and is recovered is not asked again.
    pub fn authorize<A, H: ConnectHandler<A>>(self, handler: H) -> Namespace {
        self.write().authorize.push(handler.boxed());
        self
    }

    /// Called for everybody who wants to enter. A handler that returns `Result<(), ConnectRefused>` decides; what it
    /// joins and emits takes effect once the client is in. One that returns nothing is called when the client is in.
    pub fn on_connect<A, H: ConnectHandler<A>>(self, handler: H) -> Namespace {
        self.write().connect = Some(handler.boxed());
        self
    }

    /// Called for every event of this name.
    pub fn on<A, H: EventHandler<A>>(self, event: &str, handler: H) -> Namespace {
        self.write().events.insert(event.to_owned(), handler.boxed());
        self
    }

    /// Called for every event, whatever its name, before the handler of that name.
    pub fn on_any<A, H: EventHandler<A>>(self, handler: H) -> Namespace {
        self.write().any.push(handler.boxed());
        self
    }

    /// Called for events that have no handler of their own.
    pub(super) fn otherwise<A, H: EventHandler<A>>(self, handler: H) -> Namespace {
        self.write().otherwise = Some(handler.boxed());
        self
    }

    /// Called when somebody has left; [`super::Reason`] says why.
    pub fn on_disconnect<A, H: EventHandler<A>>(self, handler: H) -> Namespace {
        self.write().disconnect = Some(handler.boxed());
        self
    }

    /// Called for every event of this name that the same namespace of another node has emitted with
    /// [`Namespace::server_side_emit`]; a tuple takes all arguments. What it returns is the answer, if one is wanted.
    pub fn on_server_side<T, R, F>(
        self,
        event: &str,
        handler: impl Fn(T) -> F + Send + Sync + 'static,
    ) -> Namespace
    where
        T: DeserializeOwned,
        R: Payload,
        F: Future<Output = R> + Send + 'static,
    {
        self.write().server_side.insert(event.to_owned(), server_side::handler(event, handler));
        self
    }

    /// Switches connection state recovery on: whoever comes back within `window` is given the same id, rooms and session,
    /// and every event that was missed; `socket.recovered` is true then. Events have one more argument with it, a
    /// string at their end, which clients hand to handlers like any other. `None` switches it off, as it is at first.
    pub fn recover(self, window: impl Into<Option<Duration>>) -> Namespace {
        self.write().window = window.into();
        self
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Handlers> {
        self.shared.handlers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Handlers> {
        self.shared.handlers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that say whether a client may enter.
    pub(super) fn deciding_handlers(&self) -> Vec<BoxedConnect> {
        let handlers = self.read();
        let connect = handlers.connect.iter().filter(|handler| handler.decides);
        handlers.authorize.iter().chain(connect).cloned().collect()
    }

    pub(super) fn connect_handler(&self) -> Option<BoxedConnect> {
        self.read().connect.clone()
    }

    /// Those that hear of an event, in their order.
    pub(super) fn event_handlers(&self, event: &str) -> Vec<BoxedEvent> {
        let handlers = self.read();
        let named = handlers.events.get(event).or(handlers.otherwise.as_ref());
        handlers.any.iter().chain(named).cloned().collect()
    }

    pub(super) fn disconnect_handler(&self) -> Option<BoxedEvent> {
        self.read().disconnect.clone()
    }

    pub(super) fn server_side_handler(&self, event: &str) -> Option<server_side::Handler> {
        self.read().server_side.get(event).cloned()
    }

    /// How long a connection may be away and still be recovered; `None`: not at all.
    pub(super) fn window(&self) -> Option<Duration> {
        self.read().window
    }

    /// Whether each socket has a room of its own in the hub, named by its id: in a namespace that recovers it outlives the
    /// connection, and where several processes are one server it is how the others reach the socket.
    pub(super) fn has_own_rooms(&self) -> bool {
        let is_shared = |hub: &Arc<Hub>| hub.engine().is_shared();
        self.window().is_some() || self.shared.registry.hub().is_some_and(is_shared)
    }

    // ---- Everybody ----

    /// Emits to everybody in the namespace. It takes its place when it is called; the result only says when it is done.
    pub fn emit<T: Payload + ?Sized>(&self, event: &str, data: &T) -> Sent {
        Broadcast::new(self).emit(event, data)
    }

    /// Emits to this namespace on all other nodes, which hear it with [`Namespace::on_server_side`]: at most once, and not
    /// while the store is away. Without other nodes it reaches nobody.
    pub fn server_side_emit<T: Payload + ?Sized>(&self, event: &str, data: &T) -> Sent {
        match data.to_arguments() {
            Ok(arguments) => server_side::emit(&self.shared.registry, self.name(), event, &arguments),
            Err(error) => unwritable(&error),
        }
    }

    /// Emits to this namespace on all other nodes and gathers what they answer, until all have or the time is over. A
    /// node that does not listen to the event answers nothing and is not missed. Without other nodes the result is empty,
    /// and there at once. Nothing is emitted before the result is awaited.
    ///
    /// # Errors
    /// The event cannot be written, or the store does not answer.
    pub fn server_side_emit_with_ack<T: Payload + ?Sized>(
        &self,
        event: &str,
        data: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<ServerAnswers, AckError>> + Send + use<T> {
        let registry = Arc::clone(&self.shared.registry);
        server_side::ask(registry, self.name().to_owned(), event.to_owned(), data.to_arguments(), timeout)
    }

    /// A message for those in a room; `room` may be a socket's id too.
    pub fn to(&self, room: &str) -> Broadcast {
        Broadcast::new(self).to(room)
    }

    /// A message for everybody but those in a room.
    pub fn except(&self, room: &str) -> Broadcast {
        Broadcast::new(self).except(room)
    }

    /// A message for everybody, to be qualified further.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self)
    }

    /// Everybody who is in.
    pub fn sockets(&self) -> Vec<Socket> {
        self.table().values().cloned().collect()
    }

    /// One socket, by its id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.table().get(id).cloned()
    }

    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Socket>> {
        self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a socket off the list, unless another one has its id by now. Nobody waits for its answers any more.
    pub(super) fn remove(&self, socket: &Socket) {
        let mut table = self.table();
        if table.get(socket.id()).is_some_and(|found| found.is(socket)) {
            table.remove(socket.id());
        }
        let empty = table.is_empty();
        drop(table);
        let asked: Vec<_> = self.asked().values().cloned().collect();
        asked.iter().for_each(|collector| collector.gone(socket.connection()));
        if empty && self.shared.is_child {
            self.shared.registry.forget(&self.shared.name);
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.shared.is_child && self.table().is_empty() && self.shared.recovery.is_empty()
    }

    /// The hub's name of a room of this namespace.
    pub(super) fn room(&self, room: &str) -> RoomName {
        socketio::room(&self.shared.name, room)
    }

    pub(super) fn everybody(&self) -> RoomName {
        socketio::everybody(&self.shared.name)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.shared.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that answers to a broadcast are waited for; dropping the result ends that.
    pub(super) fn ask(&self, id: u64, collector: Arc<Collector>) -> Asking {
        self.asked().insert(id, collector);
        Asking { namespace: self.clone(), id }
    }

    /// Hands a client's ack to the broadcast that asked for it.
    pub(super) fn answered(&self, id: u64, socket: &Socket, arguments: Arguments) {
        let collector = self.asked().get(&id).cloned();
        if let Some(collector) = collector {
            collector.answer(socket.connection(), socket.id(), arguments);
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, Arc<Collector>>> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A broadcast whose answers are waited for.
pub(super) struct Asking {
    namespace: Namespace,
    id: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.namespace.asked().remove(&self.id);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
