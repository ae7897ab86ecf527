//! `Command`: what an application asks of the hub for a connection; `Reply`: what comes back.

use std::sync::Arc;

use parlor_proto::name::RoomName;

use crate::encode::WireFormat;
use crate::engine::{Begin, Frontier, Head, Lost, Page, Published, Range};
use crate::publication::{Author, Delivery, Form, Publication};

/// Chosen by whoever gives a command, and given back with its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// One wish of a connection. Every command is answered with one reply or refusal, joins after their subscriber is
/// entered.
#[derive(Debug)]
pub enum Command {
    Publish(Publish),
    /// `format`: how this room's publications are wanted, if not as the connection's others are.
    Join {
        room: RoomName,
        begin: Option<Begin>,
        format: Option<WireFormat>,
    },
    Leave {
        room: RoomName,
    },
    History {
        room: RoomName,
        range: Range,
        limit: u32,
    },
    Members {
        room: RoomName,
    },
    Rooms {
        prefix: String,
        after: Option<String>,
        limit: u32,
    },
}

/// A message that somebody wants to have published.
#[derive(Debug)]
pub struct Publish {
    pub room: RoomName,
    pub event: Option<Arc<str>>,
    /// JSON text of one value.
    pub data: Arc<str>,
    pub form: Form,
    pub author: Option<Author>,
    /// The other account of a direct message; `room` is then their conversation.
    pub to: Option<Author>,
    pub key: Option<Arc<str>>,
    /// `false`: the publishing connection is left out.
    pub echo: bool,
    /// `false`: ephemeral.
    pub store: bool,
    pub delivery: Option<Box<Delivery>>,
}

impl Publish {
    /// A value that nobody in particular says to a room, kept as the room keeps things.
    pub fn new(room: RoomName, data: impl Into<Arc<str>>) -> Publish {
        Publish {
            room,
            event: None,
            data: data.into(),
            form: Form::Value,
            author: None,
            to: None,
            key: None,
            echo: true,
            store: true,
            delivery: None,
        }
    }
}

/// The answer to a command that was not refused.
#[derive(Debug)]
pub enum Reply {
    Published {
        room: RoomName,
        published: Published,
    },
    Joined(Joined),
    Left {
        room: RoomName,
    },
    History {
        room: RoomName,
        range: Range,
        page: Page,
    },
    Members {
        room: RoomName,
        members: Members,
    },
    Rooms {
        rooms: Vec<RoomInfo>,
        more: bool,
    },
    /// To [`Shard::follow`](crate::Shard::follow): everything up to here is to be read, and the rest is held back.
    Following(Frontier),
}

/// What a new subscriber is told.
#[derive(Debug)]
pub struct Joined {
    pub room: RoomName,
    /// `None` where there is no log.
    pub head: Option<Head>,
    /// Why what lies behind the client's position cannot be given; `None`: nothing is missing.
    pub lost: Option<Lost>,
    /// The first page; what does not fit follows as ordinary messages.
    pub messages: Vec<Arc<Publication>>,
    pub members: Members,
}

/// Who is in a room.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// At most `limits::MEMBERS_LISTED`; `None` in rooms that tell counts only.
    pub list: Option<Vec<Author>>,
    pub count: usize,
    /// Changes that were pushed so far; a push with a smaller or equal version is already in this list.
    pub version: u64,
}

/// A room in a listing.
#[derive(Clone, Debug)]
pub struct RoomInfo {
    pub room: RoomName,
    pub count: usize,
    /// `None` where there is no log.
    pub head: Option<Head>,
}
