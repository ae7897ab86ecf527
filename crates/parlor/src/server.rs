//! `Server`: routes on one port.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use parlor_hub::Hub;
use parlor_hub::engine::Engine;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_net::{Application, EngineIo, Handle, Limits, Memory, Opened, Opening, Origins, Route, Settings};
use parlor_proto::codes::Refusal;

use crate::chat::Chat;
use crate::routes::{RawRoute, RouteOptions};
use crate::websocket::WebSocket;

/// What listens on one port: raw WebSocket routes, the stock chat if it is wanted, and an axum router for the rest.
pub struct Server {
    routes: HashMap<String, RawRoute>,
    engine: Option<Arc<dyn Engine>>,
    chat: bool,
    router: Router,
    settings: Settings,
}

/// A server that listens. Dropping it does not stop it; [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    handle: Handle,
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
        let origins = Origins { allowed: Vec::new(), loopback: true };
        Server {
            routes: HashMap::new(),
            engine: None,
            chat: false,
            router: Router::new(),
            settings: Settings {
                workers,
                origins,
                limits: Limits::On,
                policies: Policies::new(Policy::stock),
                memory: Memory::of_this_process(None),
            },
        }
    }

    /// A raw WebSocket route with the usual limits. The handler runs once for each connection.
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

    /// Serves the stock chat's native protocol at `/ws`.
    pub fn chat(&mut self) -> &mut Server {
        self.chat = true;
        self
    }

    /// Answers everything that is not a WebSocket route.
    pub fn router(&mut self, router: Router) -> &mut Server {
        self.router = router;
        self
    }

    /// Where publications are kept; without it, in memory.
    pub fn engine(&mut self, engine: Arc<dyn Engine>) -> &mut Server {
        self.engine = Some(engine);
        self
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

    /// Listens, and serves on threads of its own. Port 0 lets the system choose.
    pub fn listen(self, address: SocketAddr) -> io::Result<Running> {
        self.listen_with(address, |_, router| router)
    }

    /// The same; `finish` may add routes to the router that need the hub.
    pub fn listen_with(
        self,
        address: SocketAddr,
        finish: impl FnOnce(&Arc<Hub>, Router) -> Router,
    ) -> io::Result<Running> {
        let engine = self.engine.unwrap_or_else(|| Arc::new(MemoryEngine::new(crate::chat::random::bytes())));
        let server = parlor_net::Server::bind(address, engine, self.settings)?;
        let address = server.address()?;
        let chat = self.chat.then(|| Chat::new(Arc::clone(server.hub())));
        let router = finish(server.hub(), self.router);
        let handle = server.start(Arc::new(Routes { raw: self.routes, chat }), router)?;
        Ok(Running { address, handle })
    }
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn hub(&self) -> &Arc<Hub> {
        self.handle.hub()
    }

    /// Says goodbye to every connection and ends. Blocks until the engine has finished what it accepted.
    pub fn stop(self) {
        self.handle.stop();
    }
}

/// All WebSocket routes of a server.
struct Routes {
    raw: HashMap<String, RawRoute>,
    chat: Option<Chat>,
}

impl Application for Routes {
    fn route(&self, path: &str) -> Option<Route> {
        match self.raw.get(path) {
            Some(raw) => Some(raw.route()),
            None => self.chat.as_ref().filter(|_| path == "/ws").map(Chat::route),
        }
    }

    fn open(&self, opening: Opening) -> Pin<Box<dyn Future<Output = Result<Opened, Refusal>> + Send + '_>> {
        match (self.raw.get(opening.uri.path()), &self.chat) {
            (Some(raw), _) => Box::pin(std::future::ready(Ok(raw.open(opening)))),
            (None, Some(chat)) => Box::pin(chat.open(opening)),
            (None, None) => Box::pin(std::future::ready(Err(Refusal::no_such_room(opening.uri.path())))),
        }
    }

    fn comes_back(&self, protocols: &[String]) -> bool {
        self.chat.is_some() && Chat::has_token(protocols)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}
