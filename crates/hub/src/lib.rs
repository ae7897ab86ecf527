//! The rules of messaging: who is in which room, in what order things happen there, and who gets them.
//!
//! The hub knows no socket, no clock and no runtime: time is handed in, bytes are handed out. A publication goes
//! down through [`publish`], an [`engine::Engine`] gives it its place, and it comes back through one door,
//! `deliver`, into the [`mailbox`] of every worker with subscribers, whose [`shard`] walks them.
//!
//! **Lock order:** an engine's own locks, then one room's (`rooms`), then the users table, then a mailbox. Nothing
//! calls an engine while it holds a room.

pub mod command;
pub mod connection;
mod deflate;
mod deliver;
pub mod encode;
pub mod engine;
pub mod hub;
mod join;
pub mod mailbox;
pub mod memory;
pub mod order;
pub mod outbox;
pub mod policy;
pub mod presence;
pub mod publication;
pub mod publish;
pub mod rate;
pub mod resume;
mod rooms;
pub mod selector;
pub mod shard;
pub mod slots;
pub mod socketio;
mod users;
pub mod window;

pub use command::{Command, Reply, Ticket};
pub use connection::ConnectionId;
pub use engine::Engine;
pub use hub::Hub;
pub use publication::{Author, Delivery, Form, Publication};
pub use selector::Selector;
pub use shard::{Heard, Quiet, Shard};
