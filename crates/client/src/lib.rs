//! The Rust client of Parlor.
//!
//! ```no_run
//! # async fn example() -> Result<(), parlor_client::Error> {
//! use parlor_client::{Event, Options};
//!
//! let (client, mut events) = Options::new("ws://localhost:9527").name("ann").connect().await?;
//! client.join("lobby", 10).await?;
//! client.publish("lobby", &"hi").await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.from.unwrap_or_default(), message.data);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Three clients, and the HTTP interface for backends:
//!
//! - [`Client`] speaks Parlor's own protocol: after a break it connects again, joins its rooms from the last position,
//!   and sends again what was not answered, with the same key. Everything is told as an [`Event`].
//! - [`SocketIo`] speaks Socket.IO to Parlor and to any other server of it, from version 3 on.
//! - [`Socket`] is one WebSocket connection to any server; what is said on it is the program's.
//! - [`api::Api`] is one HTTP request each, with the API key.
//!
//! All of it runs on tokio. Addresses are `ws://` and `http://`, or `wss://` and `https://` for TLS; [`Tls`] says whom to
//! trust. The first two keep one connection at a time: waits between attempts double up to 20 seconds and are drawn
//! by chance (full jitter), a server that asks for more time gets it, and what waits meanwhile is bounded and stays
//! in order.
//!
//! # Socket.IO
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use parlor_client::{SocketIo, SocketIoEvent};
//!
//! let auth = serde_json::json!({"token": "secret"});
//! let (socket, mut events) = SocketIo::options("http://localhost:3000").auth(&auth).connect().await?;
//! socket.emit("message", &("hi", 1))?;
//! let sum: u32 = socket.emit_with_ack("sum", &[2, 3]).await?.first()?;
//! println!("the server says {sum}");
//! while let Some(event) = events.next().await {
//!     match event {
//!         SocketIoEvent::Event(event) => {
//!             println!("{}: {}", event.name, event.arguments.text());
//!             if let Some(ack) = event.ack {
//!                 ack.send(&["got it"])?;
//!             }
//!         }
//!         SocketIoEvent::Connected { recovered: false, .. } => println!("here, perhaps with a gap"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Any WebSocket
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use parlor_client::{Address, Received, Socket, SocketOptions};
//!
//! let address = Address::parse("wss://example.org/feed")?;
//! let mut socket = Socket::open(&address, &SocketOptions::default()).await?;
//! socket.send_text("hello").await?;
//! while let Received::Text(text) = socket.recv().await {
//!     println!("{text}");
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod address;
pub mod api;
mod backoff;
mod client;
mod driver;
mod error;
mod event;
mod native;
mod options;
mod session;
mod socket;
mod socketio;
mod stream;
mod tls;

pub use address::{Address, query_value};
pub use client::{Client, Events, Message};
pub use error::{Error, Refused};
pub use event::Event;
pub use options::{Opened, Options};
/// Where to begin, and which part of a history to read.
pub use parlor_proto::native::command::{Begin, Range};
/// What the server says, as values.
pub use parlor_proto::native::decode as wire;
pub use parlor_proto::native::decode::Welcome;
pub use parlor_proto::position::Since;
/// What Socket.IO events and acks carry.
pub use parlor_proto::socketio::{Arguments, Binary, Value};
/// Which compression to offer.
pub use parlor_proto::ws::deflate::Offer;
pub use socket::{Received, Socket, SocketOptions};
pub use socketio::{
    Ack, Acknowledged, Disconnect, Incoming, SocketIo, SocketIoEvent, SocketIoEvents, SocketIoOptions,
};
pub use tls::Tls;
