//! `Server`: the listening socket, one worker per core, and the way to stop them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::Router;
use parlor_hub::Hub;
use parlor_hub::engine::Engine;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::policy::Policies;
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::accept::accept;
use crate::admission::Limits;
use crate::application::Application;
use crate::errand::{Errand, Errands};
use crate::memory::{self, Memory};
use crate::mount::Mount;
use crate::origin::Origins;
use crate::proxy::Proxies;
use crate::takeover::Front;
use crate::tls::Tls;
use crate::worker::Worker;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, each with its share of the connections; one per core is right.
    pub workers: usize,
    pub origins: Origins,
    pub proxies: Proxies,
    pub limits: Limits,
    pub policies: Policies,
    /// `None`: plain HTTP. For [`Server::bind`]; who brings a listener brings its TLS too.
    pub tls: Option<Tls>,
    /// What may be used; `None`: nobody looks.
    pub memory: Option<Memory>,
}

/// A hub, and a bound address if it has one; nothing is accepted before [`Server::start`].
pub struct Server {
    listener: Option<std::net::TcpListener>,
    tls: Option<TlsAcceptor>,
    hub: Arc<Hub>,
    errands: Vec<Arc<Errands>>,
    settings: Settings,
}

/// A running server. It goes on until [`Handle::stop`].
pub struct Handle {
    hub: Arc<Hub>,
    errands: Vec<Arc<Errands>>,
    stopping: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

/// Connections that may wait to be accepted: a restart brings everybody back within a second. Linux cuts it to
/// `net.core.somaxconn`, which is 4096 there.
const BACKLOG: i32 = 4096;

impl Server {
    /// Listens and starts the engine. A second process on the same port fails here, and so do files for TLS that cannot
    /// be used.
    pub fn bind(address: SocketAddr, engine: Arc<dyn Engine>, settings: Settings) -> io::Result<Server> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart must not wait for the old connections' TIME_WAIT; on Linux this does not let two listen.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let tls = settings.tls.as_ref().map(Tls::acceptor).transpose()?;
        Ok(Server { listener: Some(socket.into()), tls, ..Server::unbound(engine, settings) })
    }

    /// Starts the engine, and listens to nobody: for [`Server::mount`].
    pub fn unbound(engine: Arc<dyn Engine>, settings: Settings) -> Server {
        let errands: Vec<_> = (0..settings.workers as u16).map(Errands::new).collect();
        let mailboxes = errands.iter().map(|errands| {
            let errands = Arc::clone(errands);
            Arc::new(Mailbox::new(move || errands.ring()))
        });
        let hub =
            Hub::start(engine, mailboxes.collect(), settings.policies.clone(), settings.limits == Limits::On);
        Server { listener: None, tls: None, hub, errands, settings }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The address with the port that the system chose, if it was left to it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// Starts the workers.
    pub fn start(self, application: Arc<dyn Application>, router: Router) -> io::Result<Handle> {
        let front = self.front(application, router);
        self.run(front)
    }

    /// Starts the workers, and gives the service that brings them the requests of somebody else's listener. `router`
    /// answers those that are not for the application.
    pub fn mount(self, application: Arc<dyn Application>, router: Router) -> io::Result<(Mount, Handle)> {
        let front = self.front(application, router);
        Ok((Mount::new(Arc::clone(&front)), self.run(front)?))
    }

    fn front(&self, application: Arc<dyn Application>, router: Router) -> Arc<Front> {
        Arc::new(Front {
            application,
            router,
            tls: self.tls.clone(),
            origins: self.settings.origins.clone(),
            proxies: self.settings.proxies.clone(),
            limits: self.settings.limits,
            admission: Arc::default(),
            pressure: Arc::default(),
            workers: self.errands.clone(),
        })
    }

    fn run(self, front: Arc<Front>) -> io::Result<Handle> {
        let (stopping, stopped) = watch::channel(false);
        let mut workers = Vec::new();
        for errands in &self.errands {
            let listener = self.listener.as_ref().map(std::net::TcpListener::try_clone).transpose()?;
            let (front, hub, errands) = (Arc::clone(&front), Arc::clone(&self.hub), Arc::clone(errands));
            let index = workers.len() as u16;
            // One of them looks for all.
            let watching = self.settings.memory.clone().filter(|_| index == 0).map(|memory| {
                memory::watch_over(memory, Arc::clone(&front.pressure), self.errands.clone(), stopped.clone())
            });
            // Made here, so that what the system refuses is an error of `start`.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let run = move || {
                let result = runtime.block_on(async {
                    watching.map(tokio::spawn);
                    // Whoever polls must be able to ask for the goodbye, so accepting ends last.
                    let (done, ended) = watch::channel(false);
                    let accepting = match listener {
                        Some(listener) => {
                            let listener = tokio::net::TcpListener::from_std(listener)?;
                            Some(tokio::spawn(accept(listener, front, Arc::clone(&errands), ended)))
                        }
                        None => None,
                    };
                    let ran = Worker::new(index, hub, Arc::clone(&errands))?.run().await;
                    errands.end();
                    done.send_replace(true);
                    if let Some(accepting) = accepting {
                        accepting.await.map_err(io::Error::other)?;
                    }
                    ran
                });
                if let Err(error) = result {
                    tracing::error!(%error, worker = index, "a worker ended");
                }
            };
            workers.push(thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        Ok(Handle { hub: self.hub, errands: self.errands, stopping, workers })
    }
}

impl Handle {
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Says goodbye to every connection, those that come meanwhile included, waits until they have it or the time for it is
    /// over, stops accepting, and waits until the engine has finished what it accepted. Blocks.
    pub fn stop(self) {
        self.stopping.send_replace(true);
        for errands in &self.errands {
            errands.push(Errand::Stop);
        }
        for worker in self.workers {
            // A worker that panicked has said so; the others still end in order.
            let _ = worker.join();
        }
        self.hub.engine().stop();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}
