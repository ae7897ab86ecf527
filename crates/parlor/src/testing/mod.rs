//! Testing an application: a server with a clock that the test owns, and clients for each protocol.
//!
//! ```
//! use std::time::Duration;
//!
//! use parlor::testing::TestServer;
//! use parlor::{Ack, Data, Server, Socket};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut app = Server::new();
//! app.namespace("/").on("remind me", async |socket: Socket, Data(text): Data<String>, ack: Ack| {
//!     ack.send("in an hour");
//!     tokio::time::sleep(Duration::from_secs(3600)).await;
//!     let _ = socket.emit("reminder", &text).await;
//! });
//!
//! let server = TestServer::start(app).await;
//! let mut ann = server.socket_io("/").connect().await;
//! assert_eq!(ann.ask("remind me", &"tea").await, json!(["in an hour"]));
//!
//! server.clock().advance(Duration::from_secs(3599)).await;
//! ann.nothing().await;
//! server.clock().advance(Duration::from_secs(1)).await;
//! assert_eq!(ann.event().await, ("reminder", json!(["tea"])));
//! # }
//! ```
//!
//! # The server
//!
//! [`TestServer::start`] takes the application as it would listen, and puts it on a free port of this machine: sockets,
//! HTTP and handshakes are real. It has one worker, so that what happens has one order.
//!
//! # Time
//!
//! It stands still. [`TestClock::advance`] lets it go by, from one deadline to the next, and returns when everything that was due has been
//! done and the clients have heard of it; a day of heartbeats takes
//! some seconds. On this clock are heartbeats, time-outs, recovery
//! windows, rates and presence, and whatever a handler awaits with `tokio::time`; not what a thread of its own waits for,
//! and not an engine that is given to [`Server::engine`](crate::Server::engine) and reads a clock of its own.
//!
//! # Clients
//!
//! | For | Begin with |
//! |---|---|
//! | raw WebSocket routes and consumers | [`TestServer::web_socket`] |
//! | Socket.IO, over WebSocket or polling | [`TestServer::socket_io`] |
//! | Engine.IO, over WebSocket or polling | [`TestServer::engine_io`] |
//! | the stock chat | [`TestServer::chat`] |
//! | pages and axum routes | [`TestServer::get`], [`TestServer::post`], [`TestServer::request`] |
//!
//! They answer pings by themselves, on a thread of their own. What a test awaits and does not get fails after ten seconds
//! of real time, with a sentence that says what was awaited and what came instead. That something does *not* come is
//! known at once: `nothing()` waits until server and clients have nothing more to do.

mod chat;
mod clients;
mod clock;
mod engine_io;
mod http;
mod server;
mod socket_io;
mod web_socket;

pub use self::http::HttpResponse;
pub use chat::ChatClient;
pub use clock::TestClock;
pub use engine_io::{EngineIoClient, EngineIoOptions};
pub use server::TestServer;
pub use socket_io::{Event, Lost, Refused, SocketIoClient, SocketIoOptions};
pub use web_socket::{WebSocketClient, WebSocketOptions};
