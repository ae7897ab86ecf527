//! Socket.IO: namespaces with handlers, and the sockets in them.
//!
//! A handler is an `async` function of up to six arguments, in any order, each of one of these types:
//!
//! | Argument | What it is |
//! |---|---|
//! | [`Socket`] | who it comes from |
//! | [`Data<T>`](Data) | what the event carries: a tuple reads all arguments, another type the first |
//! | [`Rest`] | the arguments unread, to be emitted again unchanged |
//! | [`Ack`] | the answer that the client may want |
//! | [`Auth<T>`](Auth) | what the client sent to be let in |
//! | [`State<T>`](State) | a value given to [`Server::state`](crate::Server::state) |
//! | [`EventName`] | the event's name, for [`Namespace::on_any`] |
//! | [`Reason`] | why the client left, for [`Namespace::on_disconnect`] |
//! | [`Namespace`] | everybody beside it |
//! | [`Arc<Handshake>`](Handshake) | the request with which its connection was opened |
//!
//! A handler whose arguments an event does not carry is not called; an ack that is wanted says why.

mod ack;
mod broadcast;
mod class;
mod conversation;
mod entry;
mod extract;
mod handler;
mod handshake;
pub(crate) mod kept;
mod namespace;
mod options;
mod payload;
mod recovery;
mod registry;
mod server_side;
mod socket;

pub use ack::{Ack, AckError, Answers, Asked, Reply};
pub use broadcast::Broadcast;
pub use class::NamespaceHandler;
pub use extract::{Auth, Data, EventName, FromEvent, Reason, Rest, State};
pub use handler::{ConnectHandler, EventHandler};
pub use handshake::Handshake;
pub use namespace::{ConnectRefused, Namespace};
pub use options::{Parser, SocketIoOptions};
pub use payload::Payload;
pub use server_side::ServerAnswers;
pub use socket::Socket;

pub(crate) use conversation::Conversation;
pub(crate) use registry::Registry;
