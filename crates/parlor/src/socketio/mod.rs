//! Socket.IO: namespaces with handlers, and the sockets in them.

mod ack;
mod broadcast;
mod class;
mod conversation;
mod entry;
mod extract;
mod handler;
mod handshake;
mod namespace;
mod options;
mod recovery;
mod registry;
mod socket;

pub use ack::{Ack, AckError, Answers, Asked, Reply};
pub use broadcast::{Broadcast, Emitted};
pub use class::NamespaceHandler;
pub use extract::{Auth, Data, EventName, FromEvent, Reason, Rest, State};
pub use handler::{ConnectHandler, EventHandler};
pub use handshake::Handshake;
pub use namespace::{ConnectRefused, Namespace};
pub use options::{Parser, SocketIoOptions};
pub use socket::{Payload, Socket};

pub(crate) use conversation::Conversation;
pub(crate) use registry::Registry;
