//! What a Socket.IO client is told without having asked, and how it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parlor_proto::socketio::{Arguments, encode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Asked, Shared, hand_in, list};
use crate::error::Error;

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketIoEvent {
    /// The namespace is open, for the first time or again. `recovered`: the server has kept this connection's rooms, and
    /// what was missed follows; otherwise there may be a gap.
    Connected {
        /// The server's name for this connection; the same again if it was recovered.
        sid: String,
        /// False at the first connection.
        recovered: bool,
    },
    /// An event of the application.
    Event(Incoming),
    /// The connection is gone.
    Disconnected(Disconnect),
    /// The next attempt to connect comes after this wait.
    Waiting {
        /// From now.
        wait: Duration,
        /// Why the last connection ended, or the last attempt failed.
        error: Error,
    },
    /// It is over. Nothing follows.
    Closed(Error),
}

/// An event that the server emitted.
#[derive(Debug)]
pub struct Incoming {
    /// Its name.
    pub name: String,
    /// What it carries: [`Arguments::read`] gives all as a tuple, [`Arguments::first`] the first.
    pub arguments: Arguments,
    /// Its place in the stream that a server with connection state recovery keeps. Such a server puts it behind the
    /// arguments, and it is taken off there; the protocol marks it by nothing but its place, so that with such a server a
    /// volatile event loses a last argument that is text to here.
    pub offset: Option<String>,
    /// There when the server wants an ack.
    pub ack: Option<Ack>,
}

/// Answers one event.
#[derive(Debug)]
pub struct Ack {
    /// Weak, so that an ack that is kept does not keep the connection.
    pub(super) door: mpsc::WeakSender<Asked>,
    pub(super) shared: Arc<Shared>,
    pub(super) connection: u64,
    pub(super) id: u64,
}

impl Ack {
    /// Sends the list of arguments, as [`SocketIo::emit`](super::SocketIo::emit) takes it. When the connection has ended
    /// meanwhile, nothing is sent: the server has stopped waiting.
    ///
    /// # Errors
    /// As [`SocketIo::emit`](super::SocketIo::emit).
    pub fn send<T: Serialize + ?Sized>(self, arguments: &T) -> Result<(), Error> {
        let arguments = list(arguments)?;
        let write = |out: &mut Vec<u8>| encode::ack(out, &self.shared.namespace, self.id, &arguments);
        let message = self.shared.message(&arguments, write)?;
        let place = self.shared.place()?;
        let door = self.door.upgrade().ok_or(Error::Closed)?;
        hand_in(&door, Asked::Ack { message, place, connection: self.connection })
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnect {
    /// The server ended it on purpose; the client does not come back.
    ServerDisconnect,
    /// The program did.
    ClientDisconnect,
    /// The server did not ping in the time that it had promised.
    PingTimeout,
    /// The connection was closed.
    TransportClose,
    /// The connection broke.
    TransportError,
    /// The server sent what is not Socket.IO.
    ParseError,
}

impl Disconnect {
    /// The words of the JavaScript client.
    pub fn as_str(self) -> &'static str {
        match self {
            Disconnect::ServerDisconnect => "io server disconnect",
            Disconnect::ClientDisconnect => "io client disconnect",
            Disconnect::PingTimeout => "ping timeout",
            Disconnect::TransportClose => "transport close",
            Disconnect::TransportError => "transport error",
            Disconnect::ParseError => "parse error",
        }
    }

    pub(super) fn of(error: &Error) -> Disconnect {
        match error {
            Error::Dismissed => Disconnect::ServerDisconnect,
            Error::Closed => Disconnect::ClientDisconnect,
            Error::Timeout(_) => Disconnect::PingTimeout,
            Error::Broken(_) => Disconnect::TransportError,
            Error::BadAnswer(_) => Disconnect::ParseError,
            _ => Disconnect::TransportClose,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
