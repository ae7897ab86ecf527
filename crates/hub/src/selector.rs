//! `Selector`: whom a publication is for, if not all of its room; `AwaitedAck`: which of them are asked for an answer.

use std::fmt;
use std::sync::Arc;

use parlor_proto::name::RoomName;

use crate::connection::ConnectionId;

/// Who gets a publication: once each, whatever the number of rooms in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Subscribers of any of these rooms; with `connections` empty as well, everybody in the publication's own. Those of
    /// another room get it though they are not in its own; of those who are, only who is live there.
    pub rooms: Vec<RoomName>,
    pub connections: Vec<ConnectionId>,
    /// But not those who are in one of these.
    pub except: Vec<RoomName>,
    pub except_connections: Vec<ConnectionId>,
}

impl Selector {
    pub fn is_everybody(&self) -> bool {
        self.rooms.is_empty() && self.connections.is_empty()
    }
}

/// Every recipient is asked for an ack of this number.
#[derive(Clone)]
pub struct AwaitedAck {
    pub id: u64,
    pub recipients: Arc<dyn Recipients>,
}

/// Learns who was given a publication that asks for acks.
pub trait Recipients: Send + Sync {
    /// So many workers will say whom they gave it. Called before any of them does.
    fn expect(&self, workers: usize);
    /// One worker's recipients.
    fn given(&self, connections: Vec<ConnectionId>);
}

impl fmt::Debug for AwaitedAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedAck").field("id", &self.id).finish_non_exhaustive()
    }
}
