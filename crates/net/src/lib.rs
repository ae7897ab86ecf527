//! Workers and sockets: the only crate that opens a socket for users.
//!
//! A [`Server`] starts one worker per core. hyper reads request heads, but not a poll's; a WebSocket request that the
//! [`Application`] wants is taken over: the worker then owns the socket and drives it from one loop, without a task,
//! a timer or a buffer for a connection at rest. [`Mount`] brings it the requests of somebody else's listener.

mod accept;
mod admission;
mod application;
mod bridge;
mod clock;
mod engineio;
mod errand;
mod exchange;
mod head;
mod liveness;
mod memory;
mod mount;
mod origin;
mod patient;
mod polling;
mod polls;
mod proxy;
mod server;
mod socket;
mod sockets;
mod stream;
mod takeover;
mod tls;
mod wheel;
mod worker;

pub use admission::Limits;
pub use application::{
    Answer, Application, Context, Conversation, Exchange, Http, Incoming, Opened, Opening, Route,
};
pub use clock::{Activity, Clock};
pub use engineio::EngineIo;
pub use memory::Memory;
pub use mount::Mount;
pub use origin::Origins;
pub use proxy::{ForwardedIn, Proxies};
pub use server::{Handle, Server, Settings};
pub use stream::Stream;
pub use tls::Tls;
