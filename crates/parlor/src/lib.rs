//! Realtime messaging for Rust applications.
//!
//! A [`Server`] speaks on one port. So far it has raw WebSocket routes, whose handlers are ordinary `async` functions,
//! pages for them, and the stock [`chat`], which is an application of this library like any other.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
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
    Ack, Auth, Broadcast, ConnectRefused, Data, EventName, Namespace, NamespaceHandler, Parser, Reason, Rest,
    Socket, SocketIoOptions, State,
};
pub use websocket::{Closed, Message, WebSocket};
