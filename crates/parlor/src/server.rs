//! `Server`: routes on one port.

mod mount;
mod run;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, Uri};
use matchit::Match;
use parlor_engines::{EmbeddedEngine, RedisEngine, Settings, redis};
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::Engine;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Overflows, Policies, Policy};
use parlor_hub::{ConnectionId, Hub};
use parlor_net::{
    Application, Clock, EngineIo, Handle, Limits, Memory, Opened, Opening, Origins, Proxies, Route, Tls,
};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::FRAGMENTS;

use crate::chat::Chat;
use crate::consumer::{self, Consumer};
use crate::page::Page;
use crate::rooms::Rooms;
use crate::routes::{RawRoute, RouteOptions};
use crate::socketio::{Conversation, Namespace, Registry, SocketIoOptions};
use crate::websocket::WebSocket;

/// What listens on one port: raw WebSocket routes, the stock chat if it is wanted, and an axum router for the rest.
pub struct Server {
    routes: HashMap<String, RawRoute>,
    pages: HashMap<String, Page>,
    rooms: Rooms,
    engine: Option<Arc<dyn Engine>>,
    chat: bool,
    chat_recovery: Option<Duration>,
    chat_compression: bool,
    registry: Arc<Registry>,
    /// Paths where Socket.IO is spoken.
    socket_io: HashMap<String, SocketIoOptions>,
    router: Router,
    overflows: Overflows,
    settings: parlor_net::Settings,
}

/// What is kept of a room when nobody says more: nothing.
fn bare(_room: &str) -> Policy {
    Policy::BARE
}

/// A server whose workers can start.
struct Ready {
    server: parlor_net::Server,
    routes: Routes,
    router: Router,
    rooms: Rooms,
}

/// A server that listens, or is mounted. Dropping it does not stop it; [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    handle: Handle,
    rooms: Rooms,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// No routes, everything in memory, one worker per core.
    pub fn new() -> Server {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let origins = Origins { allowed: Vec::new(), loopback: true, any: false };
        Server {
            routes: HashMap::new(),
            pages: HashMap::new(),
            rooms: Rooms::default(),
            engine: None,
            chat: false,
            chat_recovery: None,
            chat_compression: false,
            registry: Arc::default(),
            socket_io: HashMap::new(),
            router: Router::new(),
            overflows: Overflows::default(),
            settings: parlor_net::Settings {
                workers,
                origins,
                proxies: Proxies::default(),
                tls: None,
                limits: Limits::On,
                policies: Policies::new(|_| Policy::BARE),
                memory: Memory::of_this_process(None),
                clock: Clock::default(),
            },
        }
    }

    /// A raw WebSocket route with the usual limits. The handler runs once for each connection.
    ///
    /// A part of the path may be a parameter, as in `/ws/{nickname}`, for [`WebSocket::param`]; it takes one part that
    /// is not empty, and `{*rest}` at the end takes all that are left. Exact paths go before parameters.
    pub fn route<F, R>(&mut self, path: &str, handler: F) -> &mut Server
    where
        F: Fn(WebSocket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.route_with(path, RouteOptions::default(), handler)
    }

    /// A raw WebSocket route.
    pub fn route_with<F, R>(&mut self, path: &str, options: RouteOptions, handler: F) -> &mut Server
    where
        F: Fn(WebSocket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.routes.insert(path.to_owned(), RawRoute::new(options, handler));
        self
    }

    /// An Engine.IO route, such as `/engine.io/`: polling, WebSocket, and the way from one to the other. The handler
    /// gets the session's messages, whatever carries them.
    pub fn engine_io<F, R>(&mut self, path: &str, settings: EngineIo, handler: F) -> &mut Server
    where
        F: Fn(WebSocket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let route = RawRoute::new(RouteOptions::default(), handler).over_engine_io(settings);
        self.routes.insert(path.to_owned(), route);
        self
    }

    /// A WebSocket route whose connections are objects: `make` makes one for each of them. See [`Consumer`].
    pub fn consumer<C: Consumer>(
        &mut self,
        path: &str,
        make: impl Fn() -> C + Send + Sync + 'static,
    ) -> &mut Server {
        let rooms = self.rooms.clone();
        self.route(path, move |socket| consumer::run(make(), socket, rooms.clone()))
    }

    /// The rooms, for handlers and for any thread. They can be had before there is anybody in them.
    pub fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }

    /// A page at exactly this path. It may be the path of a WebSocket route too: a GET gets the page, an upgrade the
    /// route.
    ///
    /// The page is one text with its scripts and styles inside it. A Content-Security-Policy names those by their hashes
    /// and lets scripts speak to this server and to WebSockets, and nothing else: attributes such as `onclick` and
    /// `style` do nothing.
    pub fn page(&mut self, path: &str, html: &'static str) -> &mut Server {
        self.pages.insert(path.to_owned(), Page::new(html));
        self
    }

    /// A namespace of Socket.IO, made when it is first asked for: a handle on which handlers are set, and with which
    /// everybody in it is reached from anywhere.
    pub fn namespace(&mut self, name: &str) -> Namespace {
        self.registry.namespace(name)
    }

    /// Namespaces that come to be when a client enters one whose name fits. The handle sets the handlers of all of them.
    pub fn namespaces_where(&mut self, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Namespace {
        self.registry.pattern(matches)
    }

    /// Speaks Socket.IO at a path. Once a namespace is asked for, `/socket.io/` speaks it without further ado; all paths
    /// lead to the same namespaces.
    pub fn socket_io(&mut self, path: &str, options: SocketIoOptions) -> &mut Server {
        self.socket_io.insert(path.trim_end_matches('/').to_owned(), options);
        self
    }

    /// A value that handlers get with [`crate::State`]; one of each type.
    pub fn state<T: Send + Sync + 'static>(&mut self, value: T) -> &mut Server {
        self.registry.set_state(value);
        self
    }

    /// Serves the stock chat: its native protocol at `/ws`, and Socket.IO at `/socket.io/`. Rooms are then kept and show
    /// who is there as the names say; without the chat nothing is kept.
    pub fn chat(&mut self) -> &mut Server {
        self.chat = true;
        self
    }

    /// Has the chat recover its Socket.IO clients: who is back within `window` is given what its rooms and direct
    /// conversations have had meanwhile, and `socket.recovered` is true, or it is a new connection. Events have one more
    /// argument then, as with [`Namespace::recover`].
    pub fn recover_chat(&mut self, window: Duration) -> &mut Server {
        self.chat_recovery = Some(window);
        self
    }

    /// Has the chat agree to compression (permessage-deflate, RFC 7692) with WebSockets at `/ws` that offer it. A
    /// publication of 1 KB or more is compressed once, and all of them share the frame; replies and pages of older messages
    /// stay plain. It costs each worker 260 KB, and 10 to 20 µs for each KB that is published; a connection at rest costs
    /// nothing more.
    pub fn compress_chat(&mut self) -> &mut Server {
        self.chat_compression = true;
        self
    }

    /// Answers everything that is neither a WebSocket route nor a page.
    pub fn router(&mut self, router: Router) -> &mut Server {
        self.router = router;
        self
    }

    /// Where publications are kept; without it, in memory. [`Server::embedded`] is the short way to a store on disk,
    /// [`Server::redis`] that to one which several processes share.
    pub fn engine(&mut self, engine: Arc<dyn Engine>) -> &mut Server {
        self.engine = Some(engine);
        self
    }

    /// Keeps what is kept in a store in this directory, which is made if it is missing: what was acknowledged is on disk,
    /// and clients of a namespace that recovers come back to the next process too. One process at a time may use it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path();
    /// let mut server = parlor::Server::new();
    /// server.embedded(data)?;
    /// server.namespace("/").recover(std::time::Duration::from_secs(120));
    /// let running = server.listen("127.0.0.1:0".parse()?)?;
    /// # running.stop();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The directory cannot be used; the sentence says why and what to do.
    pub fn embedded(&mut self, data: impl Into<PathBuf>) -> io::Result<&mut Server> {
        let engine = EmbeddedEngine::open(Settings::new(data)).map_err(io::Error::other)?;
        Ok(self.engine(Arc::new(engine)))
    }

    /// Rooms in which messages are dropped for subscribers who do not read in time, the chat's as well as those of the main
    /// namespace of Socket.IO. In all others such a subscriber is cut.
    ///
    /// ```
    /// let mut server = parlor::Server::new();
    /// let mut overflows = parlor::Overflows::default();
    /// overflows.set("ticks:*".parse()?, parlor::Overflow::DropOldest);
    /// server.overflows(overflows);
    /// # Ok::<(), parlor::BadPattern>(())
    /// ```
    pub fn overflows(&mut self, overflows: Overflows) -> &mut Server {
        self.overflows = overflows;
        self
    }

    /// Keeps what is kept in a Redis or Valkey: every process with the same address is a node of one server. Rooms and
    /// namespaces are the same on all of them, and clients that recover may come back to any; `docs/redis.md` says what
    /// holds. `url` is `redis://[user[:password]@]host[:port][/database][?prefix=…&ack=memory|local]`. Blocks until the
    /// server has answered, for at most some seconds.
    ///
    /// # Errors
    /// The address is none, or the server cannot be reached or cannot keep what is promised; the sentence says why and
    /// what to do.
    pub fn redis(&mut self, url: &str) -> io::Result<&mut Server> {
        let settings =
            redis::Settings::parse(url).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let engine = RedisEngine::open(settings).map_err(io::Error::other)?;
        Ok(self.engine(Arc::new(engine)))
    }

    /// Threads; without it, one per core.
    pub fn workers(&mut self, workers: usize) -> &mut Server {
        self.settings.workers = workers.max(1);
        self
    }

    /// Which pages may connect.
    pub fn origins(&mut self, origins: Origins) -> &mut Server {
        self.settings.origins = origins;
        self
    }

    /// Which proxies are believed when they say whom they speak for; without it, those on this machine.
    pub fn proxies(&mut self, proxies: Proxies) -> &mut Server {
        self.settings.proxies = proxies;
        self
    }

    /// Speaks TLS: `https://`, `wss://` and HTTP/2. Without it, plain HTTP. A mounted server leaves TLS to whoever
    /// listens.
    pub fn tls(&mut self, tls: Tls) -> &mut Server {
        self.settings.tls = Some(tls);
        self
    }

    /// Whether limits on rates and connections hold; size limits always do.
    pub fn limits(&mut self, limits: Limits) -> &mut Server {
        self.settings.limits = limits;
        self
    }

    /// The memory that may be used; without it, what the machine or the container has. At 80 % of it new connections
    /// are refused, at 90 % the slowest readers are cut. `None`: nobody looks.
    pub fn memory(&mut self, memory: Option<Memory>) -> &mut Server {
        self.settings.memory = memory;
        self
    }

    /// Where time comes from, for tests.
    pub(crate) fn clock(&mut self, clock: Clock) -> &mut Server {
        self.settings.clock = clock;
        self
    }

    /// Listens, and serves on threads of its own. Port 0 lets the system choose.
    ///
    /// # Errors
    /// The address cannot be listened on; or `InvalidInput`: a route's path is ill-formed or contradicts another one
    /// (`/{a}` and `/{b}`).
    pub fn listen(self, address: SocketAddr) -> io::Result<Running> {
        self.listen_with(address, |_, router| router)
    }

    /// The same; `finish` may add routes to the router that need the hub.
    ///
    /// # Errors
    /// As [`Server::listen`].
    pub fn listen_with(
        self,
        address: SocketAddr,
        finish: impl FnOnce(&Arc<Hub>, Router) -> Router,
    ) -> io::Result<Running> {
        let bind = |engine, settings| parlor_net::Server::bind(address, engine, settings);
        let Ready { server, routes, router, rooms } = self.prepare(bind)?;
        let address = server.address()?;
        let router = finish(server.hub(), router);
        let handle = server.start(Arc::new(routes), router)?;
        Ok(Running { address, handle, rooms })
    }

    /// Starts the engine and puts everything together.
    fn prepare(
        self,
        make: impl FnOnce(Arc<dyn Engine>, parlor_net::Settings) -> io::Result<parlor_net::Server>,
    ) -> io::Result<Ready> {
        let mut raw = matchit::Router::new();
        for (path, route) in self.routes {
            raw.insert(path.as_str(), route).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("the route {path}: {error}"))
            })?;
        }
        let registry = self.registry;
        let mut socket_io = self.socket_io;
        if !registry.is_empty() {
            socket_io.entry(SOCKET_IO.to_owned()).or_default();
        }
        let mut settings = self.settings;
        let (namespaces, stock) = (Arc::clone(&registry), if self.chat { Policy::stock } else { bare });
        let overflows = self.overflows;
        settings.policies = Policies::new(move |room| {
            let policy = namespaces.policy(room).unwrap_or_else(|| stock(room));
            Policy { overflow: overflows.of(room), ..policy }
        });
        let engine = self.engine.unwrap_or_else(|| Arc::new(MemoryEngine::new(crate::chat::random::bytes())));
        let server = make(engine, settings)?;
        self.rooms.open(server.hub());
        let chat =
            self.chat.then(|| Chat::new(Arc::clone(server.hub()), self.chat_recovery, self.chat_compression));
        registry.start(Arc::clone(server.hub()));
        let routes = Routes { raw, pages: self.pages, chat, registry, socket_io };
        Ok(Ready { server, routes, router: self.router, rooms: self.rooms })
    }
}

impl Running {
    /// Where it listens; the port is the one that the system chose if 0 was asked for. If it is mounted, its listener
    /// is not its own, and this is `0.0.0.0:0`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hub behind all routes: rooms, publications and presence, for an application that publishes from outside.
    pub fn hub(&self) -> &Arc<Hub> {
        self.handle.hub()
    }

    /// The rooms, for any thread.
    pub fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }

    /// Says goodbye to every connection and ends. Blocks until the engine has finished what it accepted.
    pub fn stop(self) {
        self.handle.stop();
    }

    /// The same once `signal` is over, without blocking. Given to [`axum::serve::Serve::with_graceful_shutdown`], it has
    /// a mounted server say goodbye first, those who poll included, and the application's listener end then.
    pub async fn stop_after(self, signal: impl Future<Output = ()>) {
        signal.await;
        // A panic inside has been reported, and there is nothing left to stop.
        let _ = tokio::task::spawn_blocking(|| self.stop()).await;
    }
}

/// All WebSocket routes and pages of a server.
struct Routes {
    raw: matchit::Router<RawRoute>,
    pages: HashMap<String, Page>,
    chat: Option<Chat>,
    registry: Arc<Registry>,
    socket_io: HashMap<String, SocketIoOptions>,
}

impl Routes {
    /// The chat, if this is where it speaks Socket.IO: an application with namespaces of its own has that path.
    fn chat_socket_io(&self, path: &str) -> Option<&Chat> {
        let is_path = path.strip_suffix('/').unwrap_or(path) == SOCKET_IO;
        self.chat.as_ref().filter(|_| is_path && !self.socket_io.contains_key(SOCKET_IO))
    }

    fn socket_io(&self, path: &str) -> Option<&SocketIoOptions> {
        self.socket_io.get(path.strip_suffix('/').unwrap_or(path))
    }

    fn raw<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p, &'r RawRoute>> {
        let found = self.raw.at(path).ok()?;
        // The chat's path is an exact one: it goes before parameters.
        let is_chat = self.chat.is_some() && Chat::PATHS.contains(&path) && !found.params.is_empty();
        (!is_chat).then_some(found)
    }
}

/// Where Socket.IO is spoken if nothing else is said.
const SOCKET_IO: &str = "/socket.io";

impl Application for Routes {
    fn route(&self, path: &str) -> Option<Route> {
        if let Some(options) = self.socket_io(path) {
            return Some(Route {
                max_message: options.engine_io.max_payload,
                max_fragments: FRAGMENTS as u32,
                deflate: None,
                format: WireFormat::SocketIo,
                engine_io: Some(options.engine_io),
                http: None,
            });
        }
        if self.chat_socket_io(path).is_some() {
            return self.chat.as_ref().map(Chat::socket_io_route);
        }
        match self.raw(path) {
            Some(raw) => Some(raw.value.route()),
            None => self.chat.as_ref().and_then(|chat| chat.route(path)),
        }
    }

    fn plain(&self, path: &str) -> Option<Response<Body>> {
        if self.socket_io(path).is_some() || self.chat_socket_io(path).is_some() {
            return None;
        }
        match self.pages.get(path) {
            Some(page) => Some(page.response(StatusCode::OK)),
            None => self.raw(path)?.value.plain(),
        }
    }

    fn open(&self, opening: Opening) -> Pin<Box<dyn Future<Output = Result<Opened, Refusal>> + Send + '_>> {
        let uri = opening.uri.clone();
        if let Some(options) = self.socket_io(uri.path()) {
            let conversation = Conversation::new(Arc::clone(&self.registry), *options, &opening);
            let opened = Opened { conversation: Box::new(conversation), author: None, protocol: None };
            return Box::pin(std::future::ready(Ok(opened)));
        }
        if let Some(chat) = self.chat_socket_io(uri.path()) {
            return Box::pin(std::future::ready(Ok(chat.open_socket_io(opening))));
        }
        match (self.raw(uri.path()), &self.chat) {
            (Some(raw), _) => Box::pin(std::future::ready(raw.value.open(opening, &raw.params))),
            (None, Some(chat)) => Box::pin(chat.open(opening)),
            (None, None) => Box::pin(std::future::ready(Err(Refusal::no_such_room(opening.uri.path())))),
        }
    }

    fn comes_back(&self, opening: &Opening) -> bool {
        self.chat.is_some() && Chat::was_here(opening)
    }

    fn speaks_for(&self, uri: &Uri, headers: &HeaderMap) -> Option<ConnectionId> {
        self.chat.as_ref().and_then(|_| Chat::speaks_for(uri, headers))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}
