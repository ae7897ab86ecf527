//! Realtime messaging for Rust applications.
//!
//! A [`Server`] speaks on one port. So far it has raw WebSocket routes, whose handlers are ordinary `async` functions,
//! [`Rooms`] for them and for any thread, [`Consumer`]s, pages, and the stock [`chat`], which is an application of this
//! library like any other.
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

pub mod chat;
mod consumer;
mod groups;
mod page;
mod pipe;
mod rooms;
mod routes;
mod server;
pub mod socketio;
mod websocket;

pub use consumer::{Channel, Consumer};
pub use groups::GroupEvent;
pub use parlor_net::{EngineIo, Limits, Memory, Origins};
pub use parlor_proto::codes::{Code, Refusal};
pub use parlor_proto::socketio::{Binary, Value};
pub use rooms::{Audience, Rooms, Sent};
pub use routes::{Plain, RouteOptions};
pub use server::{Running, Server};
pub use socketio::{
    Ack, Auth, Broadcast, ConnectRefused, Data, EventName, Namespace, NamespaceHandler, Parser, Reason, Rest,
    Socket, SocketIoOptions, State,
};
pub use websocket::{Closed, Message, WebSocket};
