//! `TestServer`: an application on a free port, with a clock and clients.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::Method;
use parlor_net::Clock;

use super::chat::ChatClient;
use super::clients::{Alive, Clients};
use super::clock::TestClock;
use super::engine_io::EngineIoOptions;
use super::http::{Http, HttpResponse};
use super::socket_io::SocketIoOptions;
use super::web_socket::WebSocketOptions;
use crate::rooms::Rooms;
use crate::server::{Running, Server};

/// An application that listens on a free port of this machine, with one worker and a clock that stands still.
///
/// Dropping it stops it; [`TestServer::stop`] also waits for the end.
#[derive(Debug)]
pub struct TestServer {
    /// There until it stops.
    running: Option<Running>,
    address: SocketAddr,
    rooms: Rooms,
    clients: Clients,
    clock: TestClock,
    _alive: Alive,
}

impl TestServer {
    /// Starts the application. Its number of workers and what it says about memory do not hold.
    ///
    /// # Panics
    /// It cannot listen; see [`Server::listen`].
    pub async fn start(mut app: Server) -> TestServer {
        let clock = Clock::owned();
        app.clock(clock.clone()).memory(None);
        let running = app.listen((Ipv4Addr::LOCALHOST, 0).into()).expect("the application can listen");
        let (clients, alive) = Clients::start().expect("there is a thread for the clients");
        let clock = TestClock::new(clock, clients.clone());
        clock.settle().await;
        let (address, rooms) = (running.address(), running.rooms());
        TestServer { running: Some(running), address, rooms, clients, clock, _alive: alive }
    }

    /// Where it listens, for clients of other makes; those are in real time.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rooms of the application.
    pub fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }

    /// The time of this server.
    pub fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// A client of a raw WebSocket route, with a query if it wants one.
    pub fn web_socket(&self, path: &str) -> WebSocketOptions {
        WebSocketOptions::new(self.clients.clone(), self.clock.clone(), self.address, path)
    }

    /// A client of a namespace of Socket.IO, at `/socket.io/`.
    pub fn socket_io(&self, namespace: &str) -> SocketIoOptions {
        SocketIoOptions::new(self.clients.clone(), self.clock.clone(), self.address, namespace)
    }

    /// A client of Engine.IO at a path.
    pub fn engine_io(&self, path: &str) -> EngineIoOptions {
        EngineIoOptions::new(self.clients.clone(), self.clock.clone(), self.address, path)
    }

    /// A client of the chat's native protocol, with a query such as `name=ann&room=lobby`.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn chat(&self, query: &str) -> ChatClient {
        ChatClient::over(self.web_socket(&format!("/ws?{query}")).connect().await)
    }

    /// Asks for a page.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn get(&self, path: &str) -> HttpResponse {
        self.request(Method::GET, path, &[], "").await
    }

    /// Posts a body.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> HttpResponse {
        self.request(Method::POST, path, &[], body).await
    }

    /// Any request of HTTP.
    ///
    /// # Panics
    /// No answer comes.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> HttpResponse {
        let what = format!("the answer to {method} {path}");
        let mut http = Http::new(self.clients.clone(), self.address);
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (path, body) = (path.to_owned(), body.into());
        let answer = self.clients.run(&what, async move { http.send(method, &path, &headers, body).await });
        answer.await.unwrap_or_else(|error| panic!("{what} did not come: {error}"))
    }

    /// Says goodbye to everybody, and waits for the end. Time goes by by itself meanwhile.
    pub async fn stop(mut self) {
        self.clock.release();
        if let Some(running) = self.running.take() {
            let _ = tokio::task::spawn_blocking(move || running.stop()).await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.clock.release();
        if let Some(running) = self.running.take() {
            // It waits for its connections, which the test may hold; nobody waits for it.
            std::thread::spawn(move || running.stop());
        }
    }
}
