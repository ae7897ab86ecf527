//! `Draft`: what a publisher hands in; `Publication`: the same once its place is known, as every subscriber gets it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position};
use parlor_proto::socketio::Arguments;

use crate::connection::ConnectionId;
use crate::encode::Encodings;
use crate::policy::Policy;
use crate::selector::{AwaitedAck, Selector};

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
    pub form: Form,
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
    pub delivery: Option<Box<Delivery>>,
}

/// How `data` is to be read: what Socket.IO's events have beyond one JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One argument.
    #[default]
    Value,
    /// A list of arguments; nothing but the number of them is known.
    List(u32),
    /// A list of arguments with placeholders.
    Attached {
        count: u32,
        /// For what the placeholders stand.
        attachments: Arc<[Bytes]>,
        /// The same for wires that have no attachments: base64 text stands for bytes.
        json: Arc<str>,
    },
}

impl Form {
    /// A publication's `data` and form for these arguments.
    pub fn of(arguments: &Arguments) -> (Arc<str>, Form) {
        let count = arguments.len() as u32;
        let list = || format!("[{}]", arguments.text());
        match (arguments.attachments(), count) {
            ([], 1) => (arguments.text().into(), Form::Value),
            ([], _) => (list().into(), Form::List(count)),
            (attachments, _) => {
                let plain = arguments.without_binary();
                let json =
                    if count == 1 { plain.text().into() } else { format!("[{}]", plain.text()).into() };
                (list().into(), Form::Attached { count, attachments: attachments.into(), json })
            }
        }
    }

    /// The bytes that an engine keeps beside `data`; `None` for one value. The number of arguments, then each
    /// attachment behind its length, all in 32 bits, little-endian.
    pub fn to_stored(&self) -> Option<Vec<u8>> {
        let (count, attachments) = match self {
            Form::Value => return None,
            Form::List(count) => (count, &[][..]),
            Form::Attached { count, attachments, .. } => (count, &attachments[..]),
        };
        let mut stored = count.to_le_bytes().to_vec();
        for attachment in attachments {
            stored.extend_from_slice(&(attachment.len() as u32).to_le_bytes());
            stored.extend_from_slice(attachment);
        }
        Some(stored)
    }

    /// The form that [`Form::to_stored`] gave; what is cut short is what an older program would have seen.
    pub fn from_stored(stored: Option<&[u8]>, data: &str) -> Form {
        let Some((count, mut rest)) = stored.and_then(|stored| stored.split_first_chunk::<4>()) else {
            return Form::Value;
        };
        let count = u32::from_le_bytes(*count);
        let mut attachments = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let Some((bytes, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize) else {
                break;
            };
            attachments.push(Bytes::copy_from_slice(bytes));
            rest = behind;
        }
        if attachments.is_empty() {
            return Form::List(count);
        }
        Arguments::parse(data, attachments).map_or(Form::List(count), |arguments| Form::of(&arguments).1)
    }
}

/// How a publication reaches fewer than all subscribers of its room, or asks them something. Only what an application
/// emits has it. The selector is kept with the publication, so that a replay knows whom it was for.
#[derive(Debug, Default)]
pub struct Delivery {
    pub selector: Selector,
    /// Whoever has something waiting does without it.
    pub volatile: bool,
    pub ack: Option<AwaitedAck>,
}

impl Delivery {
    /// That of a publication which an engine gives back: what is volatile or asks for acks is never stored.
    pub fn stored(selector: Selector) -> Delivery {
        Delivery { selector, volatile: false, ack: None }
    }
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
    pub form: Form,
    pub author: Option<Author>,
    /// The other side of a direct message; stored with it.
    pub to: Option<Author>,
    /// Milliseconds since 1970, set where order is made; never smaller than the one before it in the room.
    pub time: u64,
    pub except: Option<ConnectionId>,
    pub delivery: Option<Box<Delivery>>,
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
            form: draft.form,
            author: draft.author,
            to: draft.to,
            time,
            except: draft.except,
            delivery: draft.delivery,
            encodings: Encodings::default(),
        }
    }

    /// Epoch, offset and id: what a client sends to resume behind this message.
    pub fn position(&self) -> Option<Position> {
        self.place.map(|place| Position { epoch: place.epoch, offset: place.offset, id: self.id })
    }

    /// What it carries, as Socket.IO has it.
    pub fn arguments(&self) -> Arguments {
        match &self.form {
            Form::Value => Arguments::from_parts(&*self.data, 1, Vec::new()),
            Form::List(count) => Arguments::from_parts(self.values(), *count as usize, Vec::new()),
            Form::Attached { count, attachments, .. } => {
                Arguments::from_parts(self.values(), *count as usize, attachments.to_vec())
            }
        }
    }

    /// `data` as JSON that has no attachments.
    pub fn json(&self) -> &str {
        match &self.form {
            Form::Attached { json, .. } => json,
            Form::Value | Form::List(_) => &self.data,
        }
    }

    /// The list without its brackets.
    pub(crate) fn values(&self) -> &str {
        self.data.strip_prefix('[').and_then(|data| data.strip_suffix(']')).unwrap_or(&self.data)
    }

    /// Whether every subscriber gets it, so that it may leave in one write with others.
    pub(crate) fn is_for_all(&self) -> bool {
        self.except.is_none() && self.delivery.is_none()
    }

    /// Bytes that count against page, batch and retention limits.
    pub fn weight(&self) -> usize {
        let attached: usize = match &self.form {
            Form::Attached { attachments, .. } => attachments.iter().map(Bytes::len).sum(),
            _ => 0,
        };
        self.data.len() + self.event.len() + attached + 64
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

#[cfg(test)]
mod tests {
    use parlor_proto::socketio::Binary;

    use super::*;

    #[test]
    fn what_an_engine_keeps_is_what_was_published() {
        let bytes = |text: &'static str| Binary(Bytes::from_static(text.as_bytes()));
        let rows = [
            Arguments::one("hi"),
            Arguments::of(&(1, "two")),
            Arguments::of::<[u8; 0]>(&[]),
            Arguments::one(&bytes("raw")),
            Arguments::of(&(bytes("a"), "b", vec![bytes("")])),
        ];
        for arguments in rows.map(Result::unwrap) {
            let (data, form) = Form::of(&arguments);
            let stored = form.to_stored();
            assert_eq!(Form::from_stored(stored.as_deref(), &data), form, "{data}");
            assert_eq!(stored.is_none(), form == Form::Value);
        }
    }
}
