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

    /// The bytes that an engine keeps beside a publication. Four lists: rooms, connections, and those of either that are
    /// left out. Each is its length and its texts, each text its length and its bytes; lengths have 32 bits,
    /// little-endian. The ids of connections are kept although no process but this one has them: without them a
    /// publication for one connection would be one for everybody.
    pub fn to_stored(&self) -> Vec<u8> {
        let names = |rooms: &[RoomName]| rooms.iter().map(|room| room.as_str().to_owned()).collect();
        let ids = |list: &[ConnectionId]| list.iter().map(ConnectionId::to_string).collect();
        let lists: [Vec<String>; 4] =
            [names(&self.rooms), ids(&self.connections), names(&self.except), ids(&self.except_connections)];
        let mut stored = Vec::new();
        for list in lists {
            stored.extend_from_slice(&(list.len() as u32).to_le_bytes());
            for text in list {
                stored.extend_from_slice(&(text.len() as u32).to_le_bytes());
                stored.extend_from_slice(text.as_bytes());
            }
        }
        stored
    }

    /// The selector that [`Selector::to_stored`] gave; `None` if it is damaged, for then nobody knows whom it was for.
    pub fn from_stored(mut stored: &[u8]) -> Option<Selector> {
        let rest = &mut stored;
        let names = |texts: Vec<&str>| texts.into_iter().map(RoomName::internal).collect();
        let ids = |texts: Vec<&str>| texts.into_iter().map(ConnectionId::parse).collect::<Option<_>>();
        let selector = Selector {
            rooms: names(texts(rest)?),
            connections: ids(texts(rest)?)?,
            except: names(texts(rest)?),
            except_connections: ids(texts(rest)?)?,
        };
        rest.is_empty().then_some(selector)
    }
}

fn texts<'s>(stored: &mut &'s [u8]) -> Option<Vec<&'s str>> {
    let count = number(stored)?;
    (0..count)
        .map(|_| {
            let length = number(stored)? as usize;
            let (text, rest) = stored.split_at_checked(length)?;
            *stored = rest;
            std::str::from_utf8(text).ok()
        })
        .collect()
}

fn number(stored: &mut &[u8]) -> Option<u32> {
    let (number, rest) = stored.split_first_chunk::<4>()?;
    *stored = rest;
    Some(u32::from_le_bytes(*number))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_selects_the_same_and_what_is_cut_short_selects_nobody() {
        let id = |n| ConnectionId::new(n, 3, 70_000);
        let selector = Selector {
            rooms: vec![RoomName::internal("/chat#böse"), RoomName::internal("")],
            connections: vec![id(1)],
            except: vec![RoomName::internal("b")],
            except_connections: vec![id(2), id(3)],
        };
        let stored = selector.to_stored();
        assert_eq!(Selector::from_stored(&stored), Some(selector));
        for end in 0..stored.len() {
            assert_eq!(Selector::from_stored(&stored[..end]), None, "{end}");
        }
        assert_eq!(Selector::from_stored(&[&stored[..], &[0]].concat()), None);
        assert_eq!(Selector::default().to_stored(), [0; 16]);
    }
}
