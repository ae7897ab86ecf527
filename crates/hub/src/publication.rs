//! `Draft`: what a publisher hands in; `Publication`: the same once its place is known, as every subscriber gets it.

use std::fmt;
use std::sync::Arc;

use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position};

use crate::connection::ConnectionId;
use crate::encode::Encodings;
use crate::policy::Policy;

/// Who wrote something. The identity comes from the session, never from a message body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The account; never reused.
    pub user: Arc<str>,
    /// What people see.
    pub name: Arc<str>,
}

/// A message on its way to an engine: checked and permitted, without a place yet.
#[derive(Debug)]
pub struct Draft {
    pub room: RoomName,
    /// What is allowed and kept in this room, looked up once on the way in.
    pub policy: Policy,
    /// Made by the hub before the engine is asked. If `key` was seen before, the earlier message's id stands.
    pub id: MessageId,
    pub event: Arc<str>,
    /// JSON text exactly as it was sent: one value, checked, never re-serialised.
    pub data: Arc<str>,
    /// `None`: published by a backend with the API key.
    pub author: Option<Author>,
    /// The other side of a direct message.
    pub to: Option<Author>,
    /// Idempotency key; its scope is (author, room).
    pub key: Option<Arc<str>>,
    /// Leave this connection out of the fan-out. Not stored: on resume it sees the message.
    pub except: Option<ConnectionId>,
    /// `false`: ephemeral. It is ordered and spread but gets no offset and is never stored.
    pub store: bool,
}

/// Where a stored publication lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The life of the room's log.
    pub epoch: Epoch,
    /// +1 for each stored publication of the room within an epoch; the first is 1.
    pub offset: u64,
    /// Commit order of the whole store; grows with `offset` inside a room.
    pub seq: u64,
}

/// One message in a room, as it is delivered and as history gives it.
pub struct Publication {
    pub room: RoomName,
    /// `None`: ephemeral, or the room has no log.
    pub place: Option<Place>,
    pub id: MessageId,
    pub event: Arc<str>,
    pub data: Arc<str>,
    pub author: Option<Author>,
    /// The other side of a direct message; stored with it.
    pub to: Option<Author>,
    /// Milliseconds since 1970, set where order is made; never smaller than the one before it in the room.
    pub time: u64,
    pub except: Option<ConnectionId>,
    /// The encoded forms, each made on first need and shared by all subscribers.
    pub encodings: Encodings,
}

impl Publication {
    /// The publication that `draft` becomes at `place`.
    pub fn new(draft: Draft, place: Option<Place>, time: u64) -> Publication {
        Publication {
            room: draft.room,
            place,
            id: draft.id,
            event: draft.event,
            data: draft.data,
            author: draft.author,
            to: draft.to,
            time,
            except: draft.except,
            encodings: Encodings::default(),
        }
    }

    /// Epoch, offset and id: what a client sends to resume behind this message.
    pub fn position(&self) -> Option<Position> {
        self.place.map(|place| Position { epoch: place.epoch, offset: place.offset, id: self.id })
    }

    /// Bytes that count against page, batch and retention limits.
    pub fn weight(&self) -> usize {
        self.data.len() + self.event.len() + 64
    }
}

impl fmt::Debug for Publication {
    /// Without `data`: private messages do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("room", &self.room)
            .field("place", &self.place)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
