//! A server inside somebody else's axum application.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use http::{StatusCode, header};

use super::{Arc, Chat, Ready, Routes, Running, SOCKET_IO, Server};

impl Server {
    /// For an application of axum's that has a listener already: everything that [`Server::listen`] would serve, as a
    /// router to [merge](Router::merge) or [nest](Router::nest), and the way to stop it.
    ///
    /// ```no_run
    /// # async fn page() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use std::net::SocketAddr;
    ///
    /// use axum::{Router, routing::get};
    ///
    /// let mut server = parlor::Server::new();
    /// server.namespace("/").on("say", async |socket: parlor::Socket| drop(socket.emit("said", "hello")));
    /// let (realtime, running) = server.mount()?;
    ///
    /// let app = Router::new().route("/", get(page)).merge(realtime);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
    ///     .with_graceful_shutdown(running.stop_after(async { drop(tokio::signal::ctrl_c().await) }))
    ///     .await
    /// # }
    /// ```
    ///
    /// WebSockets leave hyper with their TCP stream and cost from then on what they cost on a listener of the server's
    /// own. Streams that are no `tokio::net::TcpStream`, such as TLS, stay with the application's runtime, which copies
    /// their bytes; that costs more memory and time. They come by HTTP/1.1 only.
    ///
    /// Origins, limits and refusals are the same as on a listener of its own, but for two things. Who asks is known from
    /// axum's [`ConnectInfo`](axum::extract::ConnectInfo) with a `SocketAddr`, as above; without it, nobody's address is
    /// known (it is given as 0.0.0.0), and limits by address do not hold. And how many sockets may be open before they
    /// ask for anything, and for how long, is the listener's affair.
    ///
    /// Under a prefix (`nest("/rt", realtime)`) paths are those behind it, also in [`WebSocket::uri`](crate::WebSocket::uri). The router of
    /// [`Server::router`] comes with the rest.
    ///
    /// # Errors
    /// The system has no threads left; or `InvalidInput`: as [`Server::listen`].
    pub fn mount(self) -> io::Result<(Router, Running)> {
        let raw: Vec<String> = self.routes.keys().cloned().collect();
        let unbound = |engine, settings| Ok(parlor_net::Server::unbound(engine, settings));
        let Ready { server, routes, router, rooms } = self.prepare(unbound)?;
        let paths: BTreeSet<String> = raw.into_iter().chain(routes.exact()).collect();
        // All that comes to one of these paths and is not answered is a page that was asked for something else.
        let rest =
            Router::new().fallback(async || (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]));
        let (mount, handle) = server.mount(Arc::new(routes), rest)?;
        // Paths are written here as in axum 0.8. What axum 0.7 meant by `:` and `*` has no meaning here, and a path
        // without a slash in front is never asked for.
        let realtime = paths
            .iter()
            .filter(|path| path.starts_with('/'))
            .fold(Router::new().without_v07_checks(), |router, path| {
                router.route_service(path, mount.clone())
            });
        let address = (Ipv4Addr::UNSPECIFIED, 0).into();
        Ok((router.merge(realtime), Running { address, handle, rooms }))
    }
}

impl Routes {
    /// The paths that are no raw routes, as axum writes them.
    fn exact(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.pages.keys().cloned().collect();
        let mut socket_io: Vec<&str> = self.socket_io.keys().map(String::as_str).collect();
        if self.chat.is_some() {
            paths.extend(Chat::PATHS.map(str::to_owned));
            socket_io.push(SOCKET_IO);
        }
        for path in socket_io {
            // With and without the slash at the end.
            paths.extend([path.to_owned(), format!("{path}/")]);
        }
        paths.iter().map(|path| path.replace('{', "{{").replace('}', "}}")).collect()
    }
}
