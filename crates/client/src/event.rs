//! What a client is told without having asked.

use std::time::Duration;

use parlor_proto::native::decode::{Bye, Direct, Joined, Message, Presence, Read, Welcome};
use parlor_proto::position::Position;

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
    /// Messages of a room were dropped because this client read too slowly, as the server is set up for that room.
    Gap {
        /// Which.
        room: String,
        /// How many messages stood here.
        missed: u64,
        /// The last message before them: in a room with a log, [`Client::history`](crate::Client::history) has what is
        /// missing behind it.
        after: Option<Position>,
    },
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
