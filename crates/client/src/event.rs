//! What a client is told without having asked.

use std::time::Duration;

use parlor_proto::native::decode::{Bye, Direct, Joined, Message, Presence, Read, Welcome};

use crate::error::{Error, Refused};

/// Something happened. Messages of one room come in its order, each once.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The connection is open, for the first time or again.
    Welcome(Welcome),
    /// A room was joined, for the first time or again; its messages follow as events of their own. After a break,
    /// `recovered` says whether what was missed follows; `Some(false)` is a gap, and `reason` says why.
    Joined(Joined),
    /// A room cannot be joined again after a break.
    JoinRefused {
        /// Which.
        room: String,
        /// Why.
        refused: Refused,
    },
    /// A message in a room that was joined.
    Message(Message),
    /// A direct message, of this user or to it.
    Direct(Direct),
    /// Who came to a room, and who left it.
    Presence(Presence),
    /// Somebody has read up to a place.
    Read(Read),
    /// The server says that it will end the connection, and why.
    Bye(Bye),
    /// A refusal that answers no request.
    Error(Refused),
    /// The connection is gone; the next attempt comes after this wait.
    Waiting {
        /// From now.
        wait: Duration,
        /// Why the last connection ended, or the last attempt failed.
        error: Error,
    },
    /// It is over. Nothing follows.
    Closed(Error),
}
