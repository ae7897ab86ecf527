//! The native protocol: JSON objects, one per WebSocket text frame; the same objects on every other transport.
//!
//! A server parses a [`command::Request`] and [`encode`]s answers; a client writes the same request with
//! [`command::Request::encode`] and reads answers with [`decode`].
//! Positions are opaque strings (see [`crate::position`]), `time` is in ms since 1970, `retry_after` in s.

pub mod command;
pub mod decode;
pub mod encode;
mod fields;
pub mod key;
mod send;
mod write;

/// The version of the protocol, as `welcome.protocol` and `?v=` say it.
pub const VERSION: u32 = 1;

/// The WebSocket subprotocol that names this version.
pub const SUBPROTOCOL: &str = "parlor.v1";

/// The event name of a publication that names none.
pub const DEFAULT_EVENT: &str = "message";
