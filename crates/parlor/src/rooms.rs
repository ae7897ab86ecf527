//! `Rooms`: publishing into rooms from anywhere, and the rooms of one raw connection.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parlor_hub::encode::WireFormat;
use parlor_hub::{ConnectionId, Delivery, Hub, Selector, socketio};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::ROOMS_PER_CONNECTION;
use parlor_proto::name::RoomName;
use parlor_proto::socketio::{Arguments, MAIN};
use serde::Serialize;

use crate::clock::now;
use crate::groups::{GroupEvent, Groups};
use crate::sent::{Message, Sent};

/// All rooms of a server, for any thread, inside a handler and outside of one. A clone is the same thing.
///
/// A room is whoever has joined it: raw connections by [`WebSocket::join`](crate::WebSocket::join), clients of the chat
/// and of Socket.IO's main namespace as they do. It needs no making, and is gone when nobody is in it. Its name is any
/// text.
///
/// Before the server listens nobody is in any room, and a message is refused with `unavailable`.
#[derive(Clone, Default)]
pub struct Rooms {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    hub: OnceLock<Arc<Hub>>,
    groups: Groups,
}

impl Rooms {
    /// Those who are in this room. It is told to them once [`Audience::send`] is called.
    pub fn to(&self, room: &str) -> Audience {
        Audience::new(self.shared.hub.get().cloned(), None, room)
    }

    /// Connections in the room, on whatever protocol. Who has left in this moment may still be among them.
    pub fn count(&self, room: &str) -> usize {
        self.shared.hub.get().map_or(0, |hub| hub.subscribers(&name(room)) as usize)
    }

    /// Has every [`Consumer`](crate::Consumer) that is in the group handle an event, as
    /// [`Channel::group_send`](crate::Channel::group_send).
    ///
    /// # Errors
    /// `bad_message` if `value` cannot be written as JSON.
    pub fn group_send<T: Serialize + ?Sized>(
        &self,
        group: &str,
        kind: &str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.shared.groups.send(group, &GroupEvent::new(kind, value)?);
        Ok(())
    }

    /// The same for one who has more to say than can be taken at once, such as a file: waits for a first member where
    /// there is none, and for the quickest one where all are 512 events (or 128 KB) behind. Slower ones are not waited
    /// for; those who are 4,096 events behind are closed, as [`Consumer`](crate::Consumer) says.
    ///
    /// # Errors
    /// `bad_message` if `value` cannot be written as JSON.
    pub async fn group_feed<T: Serialize + ?Sized>(
        &self,
        group: &str,
        kind: &str,
        value: &T,
    ) -> Result<(), Refusal> {
        let event = GroupEvent::new(kind, value)?;
        self.shared.groups.feed(group, event).await;
        Ok(())
    }

    /// Consumers that are in the group.
    pub fn group_count(&self, group: &str) -> usize {
        self.shared.groups.count(group)
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// From here on there are rooms.
    pub(crate) fn open(&self, hub: &Arc<Hub>) {
        let _ = self.shared.hub.set(Arc::clone(hub));
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").field("hub", &self.shared.hub.get()).finish_non_exhaustive()
    }
}

/// Those whom a message is for: each connection once, whatever the number of rooms in common.
#[derive(Clone, Debug)]
#[must_use = "nothing is told before `send`"]
pub struct Audience {
    hub: Option<Arc<Hub>>,
    /// The connection that is left out.
    from: Option<ConnectionId>,
    /// Never empty.
    rooms: Vec<RoomName>,
    except: Vec<RoomName>,
}

impl Audience {
    fn new(hub: Option<Arc<Hub>>, from: Option<ConnectionId>, room: &str) -> Audience {
        Audience { hub, from, rooms: vec![name(room)], except: Vec::new() }
    }

    /// And those who are in this room.
    pub fn to(mut self, room: &str) -> Audience {
        let room = name(room);
        if !self.rooms.contains(&room) {
            self.rooms.push(room);
        }
        self
    }

    /// But nobody who is in this room.
    pub fn except(mut self, room: &str) -> Audience {
        self.except.push(name(room));
        self
    }

    /// And the connection that sends, if it is in one of these rooms: those of [`WebSocket::to`](crate::WebSocket::to)
    /// are without it.
    pub fn and_itself(mut self) -> Audience {
        self.from = None;
        self
    }

    /// Sends them a value.
    ///
    /// A raw connection gets the data alone in one frame: a string as text, a binary [`Message`](crate::Message) as
    /// bytes, everything else as JSON text. Clients of other protocols get the event `message`.
    ///
    /// It is on its way when this returns. Await the result to know whether it was refused. What goes to one room stands
    /// in that room's log, if it keeps one; what goes to several rooms, or leaves rooms out, is not kept.
    pub fn send<T: Serialize + ?Sized>(self, value: &T) -> Sent {
        let Some(hub) = &self.hub else {
            let sentence = "nobody is here: the server does not listen yet";
            return Sent::refused(Refusal::new(Code::Unavailable, sentence));
        };
        let arguments = match Arguments::one(value) {
            Ok(arguments) => arguments,
            Err(error) => {
                return Sent::refused(Refusal::new(Code::BadMessage, format!("this is not sent: {error}")));
            }
        };
        let is_plain = self.rooms.len() == 1 && self.except.is_empty();
        let delivery = (!is_plain).then(|| {
            let (rooms, except) = (self.rooms.clone(), self.except.clone());
            let selector = Selector { rooms, except, ..Selector::default() };
            Box::new(Delivery { selector, ..Delivery::default() })
        });
        let room = self.rooms[0].clone();
        let message = Message { room, event: None, arguments: &arguments, store: is_plain, delivery };
        Sent::publish(hub, self.from, message)
    }
}

/// The rooms of one raw connection.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// `None` until the connection is in the hub; its handler runs afterwards.
    place: Option<Place>,
    /// It is in no room again.
    over: bool,
    /// Invariant: at most [`ROOMS_PER_CONNECTION`], each once.
    rooms: Vec<Box<str>>,
}

/// Where the hub has a connection.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) hub: Arc<Hub>,
    pub(crate) connection: ConnectionId,
    pub(crate) format: WireFormat,
}

impl Membership {
    pub(crate) fn begin(&mut self, place: Place) {
        self.place = Some(place);
    }

    pub(crate) fn end(&mut self) {
        self.over = true;
        self.rooms.clear();
    }

    pub(crate) fn join(&mut self, room: &str) -> Result<(), Refusal> {
        if self.over || self.rooms.iter().any(|joined| **joined == *room) {
            return Ok(());
        }
        if self.rooms.len() >= ROOMS_PER_CONNECTION {
            return Err(too_many("rooms"));
        }
        self.place.iter().for_each(|place| place.enter(room));
        self.rooms.push(room.into());
        Ok(())
    }

    pub(crate) fn leave(&mut self, room: &str) {
        let Some(at) = self.rooms.iter().position(|joined| **joined == *room) else { return };
        self.rooms.swap_remove(at);
        if let Some(place) = &self.place {
            place.hub.exit(place.connection, &name(room));
        }
    }

    pub(crate) fn rooms(&self) -> Vec<String> {
        self.rooms.iter().map(|room| room.to_string()).collect()
    }

    /// Connections in the room, as [`Rooms::count`] has it.
    pub(crate) fn count(&self, room: &str) -> usize {
        self.place.as_ref().map_or(0, |place| place.hub.subscribers(&name(room)) as usize)
    }

    /// Those in the room, but for this connection.
    pub(crate) fn to(&self, room: &str) -> Audience {
        let (hub, from) = self.place.clone().map(|place| (place.hub, place.connection)).unzip();
        Audience::new(hub, from, room)
    }
}

impl Place {
    fn enter(&self, room: &str) {
        self.hub.enter(self.connection, &name(room), self.format, now(&self.hub));
    }
}

/// `what`: rooms, or groups.
pub(crate) fn too_many(what: &str) -> Refusal {
    let message = format!("a connection may be in {ROOMS_PER_CONNECTION} {what}; leave one first");
    Refusal::new(Code::TooManyRooms, message)
}

/// The hub's room of this name: the one that clients of the chat and of Socket.IO mean.
fn name(room: &str) -> RoomName {
    socketio::room(MAIN, room)
}
