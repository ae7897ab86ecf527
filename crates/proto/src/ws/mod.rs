//! WebSocket (RFC 6455, RFC 7692) for both roles, without sockets or clocks.
//!
//! Start with [`Connection`]: it is handed the bytes that arrive and hands back messages. [`handshake`] is what
//! happens before, [`ServerConnection`] is both for a program without an HTTP library, [`deflate`] is the compression extension, [`frame`] writes the frames of a fan-out, which are
//! encoded once and shared by all who receive them. `examples/blocking_echo.rs` drives all of it over `std::net`.

mod close;
mod config;
mod conn;
pub mod deflate;
mod failure;
pub mod frame;
pub mod handshake;
pub mod mask;
mod message;
mod receive;
mod send;
mod server;
pub mod utf8;

pub use close::CloseCode;
pub use config::Config;
pub use conn::{Connection, Kind, Role, State};
pub use failure::Failure;
pub use receive::{ClosedBy, Event, Received};
pub use server::{Arrived, ServerConnection};
