//! Realtime messaging for Rust applications.
//!
//! A [`Server`] speaks on one port, or inside an axum application: raw WebSocket routes, Socket.IO, the stock [`chat`],
//! pages, and an axum router for the rest. [`Rooms`] are common to all of them. It listens on threads of its own, one worker per core, so it stands
//! beside any runtime. Every queue behind it is bounded.
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
//! // Until the process is told to end. Server::listen goes on with the rest of the program.
//! server.run("127.0.0.1:9527".parse().expect("an address"))
//! # }
//! ```
//!
//! [`Server::route_with`] takes the limits of a route, [`Server::engine_io`] lays the same handler on Engine.IO.
//!
//! # Rooms
//!
//! A connection joins rooms by name, and what is sent to a room reaches everybody in it in one order:
//!
//! ```
//! # use parlor::{Refusal, Server, WebSocket};
//! # let mut server = Server::new();
//! server.route("/lobby", |mut ws: WebSocket| async move {
//!     ws.join("lobby").expect("one room is not too many");
//!     while let Some(message) = ws.recv().await {
//!         // Everybody else in the lobby, but nobody who is in the garden too.
//!         let _ = ws.to("lobby").except("garden").send(&message).await;
//!     }
//! });
//! // From any thread, before and while the server listens.
//! let rooms = server.rooms();
//! # async fn example(rooms: parlor::Rooms) -> Result<(), Refusal> {
//! println!("{} are here", rooms.count("lobby"));
//! rooms.to("lobby").to("garden").send("closing time").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Consumer`] is a connection as an object, for those who think in classes and groups. [`Queues`] hold what waits for
//! those who poll.
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
//! server.run("127.0.0.1:3000".parse().expect("an address"))
//! # }
//! ```
//!
//! # The chat
//!
//! [`Server::chat`] serves the native protocol at `/ws`, and Socket.IO at `/socket.io/`: rooms, direct messages, presence,
//! history and resume by position. Without [`Server::engine`] everything is in memory; the binary `parlor` gives it the
//! store on disk.
//!
//! # With axum
//!
//! [`Server::mount`] gives an axum router to merge into an application that has a listener already, and everything above
//! works there:
//!
//! ```no_run
//! # async fn page() {}
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use axum::{Router, routing::{get, post}};
//!
//! let mut server = parlor::Server::new();
//! let everybody = server.namespace("/");
//! let (realtime, _running) = server.mount()?;
//! let app = Router::new()
//!     .route("/", get(page))
//!     .route("/sold", post(async move || drop(everybody.emit("sold", "one").await)))
//!     .merge(realtime);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await
//! # }
//! ```
//!
//! Without an application around it, [`Server::router`] takes an [`axum::Router`] that answers everything that is no route
//! of the server. A [`Namespace`], a [`Socket`] or [`Rooms`] may be kept in the state of either.
//!
//! # Tests
//!
//! [`testing`] runs an application with a clock that the test owns, and has clients for each protocol.
//!
//! # Further
//!
//! In the repository: `docs/socketio.md` is the guide for applications that come from Socket.IO, `ARCHITECTURE.md` the
//! map, `crates/parlor/examples` has programs to begin with, and `parlor-client` is the client for other programs.

#![deny(missing_docs)]

pub mod chat;
mod clock;
mod console;
mod consumer;
mod groups;
mod page;
mod pipe;
mod queues;
mod rooms;
mod routes;
mod sent;
mod server;
pub mod socketio;
pub mod testing;
mod websocket;

/// What the simulation of the testkit drives by itself.
#[doc(hidden)]
pub mod simulated {
    pub use crate::chat::gap::{Gap, Opened, Torn, frontier, open};
    pub use crate::chat::place::Place;
    pub use crate::chat::read::{Read, read};
}

pub use console::{print, typed};
pub use consumer::{Channel, Consumer};
pub use groups::GroupEvent;
pub use parlor_hub::policy::{BadPattern, Overflow, Overflows, RoomPattern};
pub use parlor_net::{EngineIo, ForwardedIn, Limits, Memory, Origins, Proxies, Tls};
pub use parlor_proto::codes::{Code, Refusal};
pub use parlor_proto::socketio::{Binary, Value};
pub use queues::{Queue, QueueError, Queues, own_pages};
pub use rooms::{Audience, Rooms};
pub use routes::{Plain, RouteOptions};
pub use sent::Sent;
pub use server::{Running, Server};
pub use socketio::{
    Ack, Auth, Broadcast, ConnectRefused, Data, EventName, Namespace, NamespaceHandler, Parser, Reason, Rest,
    Socket, SocketIoOptions, State,
};
pub use websocket::{Closed, Message, WebSocket};

/// The programs in the guide and the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/socketio.md")]
#[doc = include_str!("../../../README.md")]
struct Documents;
