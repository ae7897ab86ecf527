//! Extractors: what a handler says by the types of its arguments.

use std::ops::Deref;
use std::sync::Arc;

use parlor_proto::socketio::{Arguments, BadArguments};
use serde::de::DeserializeOwned;

use super::ack::Ack;
use super::handshake::Handshake;
use super::namespace::Namespace;
use super::socket::Socket;

/// What a handler is called for.
#[derive(Debug)]
pub struct Event {
    pub(super) socket: Socket,
    pub(super) name: String,
    pub(super) arguments: Arguments,
    /// The number of the ack that is wanted; taken by the first [`Ack`].
    pub(super) ack: Option<u64>,
    pub(super) reason: &'static str,
}

/// Something that a handler can ask for.
pub trait FromEvent: Sized {
    /// # Errors
    /// The event does not carry it; the handler is not called then, and an ack that is wanted says why.
    fn from_event(event: &mut Event) -> Result<Self, BadArguments>;
}

/// What the event carries: a tuple reads all arguments (`null` for those that are missing), any other type the first.
#[derive(Clone, Copy, Debug)]
pub struct Data<T>(pub T);

/// The arguments as they came, to be looked at or emitted again unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest(pub Arguments);

impl Rest {
    /// Reads them as [`Data`] does: a tuple from all arguments, any other type from the first.
    ///
    /// # Errors
    /// They are something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        self.0.to_value()
    }
}

/// The name of the event, for handlers that hear of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

/// Why a socket has left, in upstream's words: `transport close`, `client namespace disconnect` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str);

/// What the client sent to be let in: `auth` of the JavaScript client. An absent one reads as an empty object.
#[derive(Clone, Copy, Debug)]
pub struct Auth<T>(pub T);

/// A value that was given to the server with `state`.
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T> Clone for State<T> {
    fn clone(&self) -> State<T> {
        State(Arc::clone(&self.0))
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl FromEvent for Socket {
    fn from_event(event: &mut Event) -> Result<Socket, BadArguments> {
        Ok(event.socket.clone())
    }
}

impl FromEvent for Namespace {
    fn from_event(event: &mut Event) -> Result<Namespace, BadArguments> {
        Ok(event.socket.namespace().clone())
    }
}

impl FromEvent for Arc<Handshake> {
    fn from_event(event: &mut Event) -> Result<Arc<Handshake>, BadArguments> {
        Ok(event.socket.shared_handshake())
    }
}

impl<T: DeserializeOwned> FromEvent for Data<T> {
    fn from_event(event: &mut Event) -> Result<Data<T>, BadArguments> {
        event.arguments.to_value().map(Data)
    }
}

impl FromEvent for Rest {
    fn from_event(event: &mut Event) -> Result<Rest, BadArguments> {
        Ok(Rest(event.arguments.clone()))
    }
}

impl FromEvent for Ack {
    fn from_event(event: &mut Event) -> Result<Ack, BadArguments> {
        Ok(Ack::new(event.ack.take().map(|id| (event.socket.clone(), id))))
    }
}

impl FromEvent for EventName {
    fn from_event(event: &mut Event) -> Result<EventName, BadArguments> {
        Ok(EventName(event.name.clone()))
    }
}

impl FromEvent for Reason {
    fn from_event(event: &mut Event) -> Result<Reason, BadArguments> {
        Ok(Reason(event.reason))
    }
}

impl<T: DeserializeOwned> FromEvent for Auth<T> {
    fn from_event(event: &mut Event) -> Result<Auth<T>, BadArguments> {
        match event.socket.raw_auth() {
            Some(auth) => auth.first().map(Auth),
            None => Arguments::from_parts("{}", 1, Vec::new()).first().map(Auth),
        }
    }
}

impl<T: Send + Sync + 'static> FromEvent for State<T> {
    fn from_event(event: &mut Event) -> Result<State<T>, BadArguments> {
        let found = event.socket.namespace().shared.registry.state();
        found.map(State).ok_or_else(|| {
            BadArguments::new(format_args!("no state of type {} was set", std::any::type_name::<T>()))
        })
    }
}
