//! `Broadcast`: who gets a message, and what else is done with them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parlor_hub::selector::AwaitedAck;
use parlor_hub::{ConnectionId, Delivery, Selector};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::socketio::{Arguments, BadArguments};

use super::ack::{AckError, Answers, Collector};
use super::namespace::Namespace;
use super::payload::Payload;
use super::socket::Socket;
use crate::sent::{Message, Sent};

/// A message for several clients: each of them gets it once, whatever the rooms that they have in common.
#[derive(Clone, Debug)]
#[must_use = "say what to do: emit, join, disconnect"]
pub struct Broadcast {
    namespace: Namespace,
    /// Rooms and ids; empty: everybody.
    to: Vec<String>,
    except: Vec<String>,
    /// Who emits, and is left out.
    without: Option<Socket>,
    volatile: bool,
    timeout: Duration,
}

/// How long a broadcast waits for acks when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Broadcast {
    pub(super) fn new(namespace: &Namespace) -> Broadcast {
        let namespace = namespace.clone();
        Broadcast {
            namespace,
            to: Vec::new(),
            except: Vec::new(),
            without: None,
            volatile: false,
            timeout: TIMEOUT,
        }
    }

    pub(super) fn without(mut self, socket: &Socket) -> Broadcast {
        self.without = Some(socket.clone());
        self
    }

    /// Those in this room too, or the socket of this id.
    pub fn to(mut self, room: &str) -> Broadcast {
        self.to.push(room.to_owned());
        self
    }

    /// But not those in this room, or the socket of this id.
    pub fn except(mut self, room: &str) -> Broadcast {
        self.except.push(room.to_owned());
        self
    }

    /// The emitting socket too, if it is among those whom the message is for.
    pub fn and_itself(mut self) -> Broadcast {
        self.without = None;
        self
    }

    /// Whoever has something waiting already does without it.
    pub fn volatile(mut self) -> Broadcast {
        self.volatile = true;
        self
    }

    /// How long [`Broadcast::emit_with_ack`] waits.
    pub fn timeout(mut self, timeout: Duration) -> Broadcast {
        self.timeout = timeout;
        self
    }

    /// Emits. It takes its place when it is called; the result says when it is done.
    pub fn emit<T: Payload + ?Sized>(self, event: &str, data: &T) -> Sent {
        match data.to_arguments() {
            Ok(arguments) => self.publish(event, &arguments, None),
            Err(error) => unwritable(&error),
        }
    }

    /// Emits and asks everybody for an ack; waits until all have answered or left, or the time is over. Clients of other
    /// nodes hear it without being asked.
    ///
    /// # Errors
    /// The event cannot be written. Clients that do not answer are counted in [`Answers::missing`].
    pub fn emit_with_ack<T: Payload + ?Sized>(
        self,
        event: &str,
        data: &T,
    ) -> impl Future<Output = Result<Answers, AckError>> + Send + use<T> {
        let (collector, all_there) = Collector::new();
        let id = self.namespace.next_id();
        let asking = self.namespace.ask(id, Arc::clone(&collector));
        let timeout = self.timeout;
        let emitted = data.to_arguments().map(|arguments| {
            self.publish(event, &arguments, Some(AwaitedAck { id, recipients: collector.clone() }))
        });
        async move {
            let _asking = asking;
            emitted.map_err(AckError::Unwritable)?;
            // Nobody is left to answer, or the time is over: what came is the result.
            let _ = tokio::time::timeout(timeout, all_there).await;
            Ok(collector.take())
        }
    }

    fn publish(self, event: &str, arguments: &Arguments, ack: Option<AwaitedAck>) -> Sent {
        let Some(hub) = self.namespace.shared.registry.hub() else { return Sent::done() };
        let recovers = self.namespace.window().is_some();
        let (mut selector, except) = self.selector(recovers);
        let is_special = self.volatile || ack.is_some();
        // One room, and nothing special about it: its own order, and one walk of its subscribers.
        let single = !recovers
            && !is_special
            && selector.rooms.len() == 1
            && selector.connections.is_empty()
            && selector.except.is_empty()
            && selector.except_connections.is_empty();
        let room = match single {
            true => selector.rooms.remove(0),
            false => self.namespace.everybody(),
        };
        let chosen = is_special || selector != Selector::default();
        let delivery = chosen.then(|| Box::new(Delivery { selector, volatile: self.volatile, ack }));
        let message = Message { room, event: Some(event), arguments, store: !is_special, delivery };
        Sent::publish(hub, except, message)
    }

    /// Whom it is for, and the emitting connection if that is left out. Ids are connections, except where everybody has a
    /// room of its own.
    fn selector(&self, recovers: bool) -> (Selector, Option<ConnectionId>) {
        let mut selector = Selector::default();
        let own_rooms = self.namespace.has_own_rooms();
        let find = |name: &String| -> Result<ConnectionId, RoomName> {
            let socket = if own_rooms { None } else { self.namespace.socket(name) };
            socket.map(|socket| socket.connection()).ok_or_else(|| self.namespace.room(name))
        };
        for name in &self.to {
            match find(name) {
                Ok(connection) => selector.connections.push(connection),
                Err(room) => selector.rooms.push(room),
            }
        }
        for name in &self.except {
            match find(name) {
                Ok(connection) => selector.except_connections.push(connection),
                Err(room) => selector.except.push(room),
            }
        }
        let mut except = None;
        match &self.without {
            Some(socket) if recovers => selector.except.push(self.namespace.room(socket.id())),
            Some(socket) => except = Some(socket.connection()),
            None => {}
        }
        (selector, except)
    }

    /// Those whom a message would be for now.
    pub fn sockets(&self) -> Vec<Socket> {
        let mut sockets = self.namespace.sockets();
        sockets.retain(|socket| {
            let named = self.to.is_empty() || self.to.iter().any(|room| socket.is_in(room));
            let without = self.without.as_ref().is_some_and(|without| without.is(socket));
            named && !without && !self.except.iter().any(|room| socket.is_in(room))
        });
        sockets
    }

    /// Has all of them enter a room; those who are in too many stay out.
    pub fn join(self, room: &str) {
        for socket in self.sockets() {
            if let Err(refusal) = socket.join(room) {
                tracing::debug!(?refusal, "a socket could not join");
            }
        }
    }

    /// Has all of them leave a room.
    pub fn leave(self, room: &str) {
        self.sockets().iter().for_each(|socket| socket.leave(room));
    }

    /// Puts all of them out of the namespace.
    pub fn disconnect(self) {
        self.sockets().iter().for_each(Socket::disconnect);
    }
}

/// An event that cannot be written is told to nobody.
pub(super) fn unwritable(error: &BadArguments) -> Sent {
    tracing::warn!(%error, "an event cannot be written");
    Sent::refused(Refusal::new(Code::BadMessage, format!("it cannot be written: {error}")))
}
