//! Realtime messaging for Rust applications.
//!
//! A [`Server`] speaks on one port: raw WebSocket routes, Socket.IO, the stock [`chat`], pages, and an axum router for
//! the rest. It listens on threads of its own, one worker per core, so it stands beside any runtime. Every queue behind it
//! is bounded; what the bounds are and why is said in the documents below.
//!
//! # Raw WebSocket routes
//!
//! A handler is an ordinary `async` function that is called once for each connection. Returning closes the connection
//! with 1000 (RFC 6455 section 7.4); a panic ends it, and nothing else.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use parlor::{Server, WebSocket};
//!
//! let mut server = Server::new();
//! server.route("/echo", |mut ws: WebSocket| async move {
//!     while let Some(message) = ws.recv().await {
//!         if ws.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! });
//! let running = server.listen("127.0.0.1:9527".parse().expect("an address"))?;
//! println!("listening on http://{}", running.address());
//! # Ok(())
//! # }
//! ```
//!
//! [`Server::route_with`] takes the limits of a route, [`Server::engine_io`] lays the same handler on Engine.IO.
//!
//! # Socket.IO
//!
//! Asking for a [`Namespace`] is enough: clients of Socket.IO find it at `/socket.io/`, over polling and WebSocket.
//! Handlers say by the types of their arguments what they want; [`socketio`] lists the types.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use parlor::{Ack, Data, Server, Socket};
//!
//! let mut server = Server::new();
//! server
//!     .namespace("/")
//!     .on_connect(async |socket: Socket| drop(socket.join("lobby")))
//!     .on("say", async |socket: Socket, Data(text): Data<String>, ack: Ack| {
//!         let _ = socket.to("lobby").emit("said", &text).await;
//!         ack.send("ok");
//!     });
//! let running = server.listen("127.0.0.1:3000".parse().expect("an address"))?;
//! println!("listening on http://{}", running.address());
//! # std::thread::park();
//! # Ok(())
//! # }
//! ```
//!
//! # The chat
//!
//! [`Server::chat`] serves the native protocol at `/ws`: rooms, direct messages, presence, history and resume by
//! position. Without [`Server::engine`] everything is in memory; the binary `parlor` gives it the store on disk.
//!
//! # With axum
//!
//! Everything that is no route of the server goes to the [`axum::Router`] that [`Server::router`] is given. A
//! [`Namespace`] or a [`Socket`] may be kept in its state and emitted to from any handler:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use axum::{Router, routing::post};
//!
//! let mut server = parlor::Server::new();
//! let everybody = server.namespace("/");
//! server.router(Router::new().route("/sold", post(async move || drop(everybody.emit("sold", "one").await))));
//! let running = server.listen("127.0.0.1:3000".parse().expect("an address"))?;
//! # running.stop();
//! # Ok(())
//! # }
//! ```
//!
//! # Further
//!
//! In the repository: `docs/socketio.md` is the guide for applications that come from Socket.IO, `ARCHITECTURE.md` the
//! map, `crates/parlor/examples` has programs to begin with, and `parlor-client` is the client for other programs.

#![deny(missing_docs)]

pub mod chat;
mod page;
mod pipe;
mod routes;
mod server;
pub mod socketio;
mod websocket;

pub use parlor_net::{EngineIo, Limits, Memory, Origins};
pub use parlor_proto::codes::Refusal;
pub use parlor_proto::socketio::{Binary, Value};
pub use routes::{Plain, RouteOptions};
pub use server::{Running, Server};
pub use socketio::{
    Ack, Auth, Broadcast, ConnectRefused, Data, EventName, Namespace, Parser, Reason, Rest, Socket,
    SocketIoOptions, State,
};
pub use websocket::{Closed, Message, WebSocket};

/// The programs in the guide and the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/socketio.md")]
#[doc = include_str!("../../../README.md")]
struct Documents;
