//! Socket.IO, protocol revision 5: namespaces, events and acks on top of Engine.IO.
//!
//! [`Decoder`] turns the messages of a session into [`Packet`]s, with their attachments; [`encode`] writes them as text,
//! [`msgpack`] in the other parser's form. What an event carries are its [`Arguments`]: JSON text as it was sent, and
//! the attachments that placeholders in it stand for. [`client`] is the other side of it all. The
//! published document is `socket.io-protocol`, revision 5.

mod arguments;
mod binary;
pub mod client;
mod decode;
pub mod encode;
pub mod msgpack;
mod shape;
mod value;

pub use arguments::{Arguments, BadArguments};
pub use binary::Binary;
pub use decode::{Decoder, Packet, ParseError};
pub use value::Value;

/// The namespace of a packet that names none.
pub const MAIN: &str = "/";

/// Event names that are Socket.IO's own; a client that sends one breaks the protocol.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
