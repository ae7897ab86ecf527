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
//! [`Client`] speaks the native protocol: it connects again after a break (back-off with full jitter), joins its rooms
//! from the last position, and sends again what was not answered, with the same key. [`Socket`] is one WebSocket
//! connection to any server, and [`api::Api`] the HTTP interface for backends. All of it runs on tokio; with
//! `wss://` and `https://` addresses over TLS ([`Tls`] says whom to trust).

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
pub use socket::{Received, Socket, SocketOptions};
pub use socketio::{
    Ack, Acknowledged, Disconnect, Incoming, SocketIo, SocketIoEvent, SocketIoEvents, SocketIoOptions,
};
pub use tls::Tls;
