//! Engine.IO: the transport under Socket.IO, protocol revision 4, and 3 for old clients.
//!
//! [`packet`] reads and writes single packets, [`payload`] the bodies of long polling, [`handshake`] the query of a
//! request and the first packet. [`Session`] is the machine of one session: its heartbeat, and on which transport
//! it stands. The published document is `engine.io-protocol`, revision 4.

pub mod handshake;
pub mod packet;
pub mod payload;
mod session;

pub use handshake::{Fault, Query};
pub use packet::{Kind, Packet};
pub use session::{Alarm, Heartbeat, Reason, Received, Session, Transport};

/// The revision of the protocol that a client speaks, as `EIO` in its query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Of Socket.IO 1 and 2: the client pings, packets in a payload carry their length.
    V3,
    /// Of Socket.IO 3 and 4: the server pings, packets in a payload are separated.
    V4,
}
