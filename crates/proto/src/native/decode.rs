//! What the server says, read by clients: one JSON text to one [`ServerMessage`]; unknown fields are ignored.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codes::Code;

/// An object from the server. Replies carry the `id` of their command as JSON text.
#[derive(Clone, Debug)]
pub enum ServerMessage {
    Welcome(Welcome),
    Joined(Joined),
    Left(Left),
    Message(Message),
    Direct(Direct),
    Published(Published),
    Gap(Gap),
    Presence(Presence),
    Members(Members),
    History(History),
    Rooms(Rooms),
    Read(Read),
    Result(CallResult),
    Pong(Reply),
    Ok(Reply),
    Error(Error),
    Bye(Bye),
    /// A type from a newer server.
    Unknown(String),
}

/// The `id` of a reply, as JSON text.
pub type Id = Option<Box<RawValue>>;

#[derive(Clone, Debug, Deserialize)]
pub struct Welcome {
    pub session: String,
    pub user: String,
    pub name: String,
    pub token: Option<String>,
    pub protocol: u32,
    pub server: String,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// The largest `data`, in bytes.
    pub data: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Joined {
    pub id: Id,
    /// `None` for a direct conversation, which has `with`.
    pub room: Option<String>,
    pub with: Option<String>,
    pub with_user: Option<String>,
    pub offset: Option<u64>,
    pub pos: Option<String>,
    /// Only after `since`: whether the gap is complete.
    pub recovered: Option<bool>,
    /// Why it is not.
    pub reason: Option<String>,
    #[serde(default)]
    pub messages: Vec<Entry>,
    #[serde(default)]
    pub members: Vec<Member>,
    pub count: Option<u64>,
    pub version: Option<u64>,
    pub unread: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Left {
    pub id: Id,
    pub room: String,
}

/// A message in a room.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    pub room: String,
    pub offset: Option<u64>,
    pub pos: Option<String>,
    /// `None`: published by the application.
    pub from: Option<String>,
    pub user: Option<String>,
    pub event: String,
    pub data: Box<RawValue>,
    /// In ms since 1970.
    pub time: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Direct {
    pub from: String,
    pub user: String,
    pub to: String,
    pub to_user: String,
    pub offset: Option<u64>,
    pub pos: Option<String>,
    pub event: String,
    pub data: Box<RawValue>,
    /// In ms since 1970.
    pub time: u64,
}

/// Messages that were dropped here because they were not read in time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    pub room: String,
    /// How many.
    pub missed: u64,
}

/// One entry of a history or a replay.
#[derive(Clone, Debug)]
pub enum Entry {
    Message(Message),
    Direct(Direct),
}

#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    pub id: Id,
    pub room: Option<String>,
    /// The recipient of a direct message.
    pub to: Option<String>,
    pub to_user: Option<String>,
    pub offset: Option<u64>,
    pub pos: Option<String>,
    /// `none`, `memory`, `local` or `replicated`.
    pub ack: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    pub user: String,
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Presence {
    pub room: String,
    pub version: u64,
    #[serde(default)]
    pub joined: Vec<Member>,
    #[serde(default)]
    pub left: Vec<Member>,
    pub count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Members {
    pub id: Id,
    pub room: String,
    pub members: Vec<Member>,
    pub count: u64,
    pub version: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct History {
    pub id: Id,
    pub room: Option<String>,
    pub with: Option<String>,
    /// Oldest first.
    pub messages: Vec<Entry>,
    pub more: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Rooms {
    pub id: Id,
    pub rooms: Vec<Room>,
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Room {
    pub room: String,
    pub count: u64,
    pub offset: Option<u64>,
    pub unread: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Read {
    pub id: Id,
    pub room: Option<String>,
    pub with: Option<String>,
    pub user: String,
    pub offset: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct CallResult {
    pub id: Id,
    pub data: Box<RawValue>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Reply {
    pub id: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Error {
    pub id: Id,
    /// As sent: a newer server has codes that [`Error::known`] does not know.
    pub code: String,
    pub message: String,
    /// In seconds.
    pub retry_after: Option<f64>,
    /// With `name_taken`: names that are free.
    #[serde(default)]
    pub suggestions: Vec<String>,
}

impl Error {
    /// The code, if this version knows it.
    pub fn known(&self) -> Option<Code> {
        Code::parse(&self.code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Bye {
    pub code: u16,
    pub reason: String,
    pub reconnect: bool,
    /// In seconds.
    pub retry_after: Option<f64>,
}

impl ServerMessage {
    /// Reads one object.
    ///
    /// # Errors
    /// The text is not JSON, has no `type`, or lacks what objects of its type have.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            // A raw value, because it is borrowed whatever it holds.
            #[serde(rename = "type", borrow)]
            kind: &'a RawValue,
        }

        let kind: Kind<'_> = serde_json::from_str(text)?;
        let kind: String = serde_json::from_str(kind.kind.get())?;
        Ok(match kind.as_str() {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "joined" => Self::Joined(serde_json::from_str(text)?),
            "left" => Self::Left(serde_json::from_str(text)?),
            "message" => Self::Message(serde_json::from_str(text)?),
            "direct" => Self::Direct(serde_json::from_str(text)?),
            "published" => Self::Published(serde_json::from_str(text)?),
            "gap" => Self::Gap(serde_json::from_str(text)?),
            "presence" => Self::Presence(serde_json::from_str(text)?),
            "members" => Self::Members(serde_json::from_str(text)?),
            "history" => Self::History(serde_json::from_str(text)?),
            "rooms" => Self::Rooms(serde_json::from_str(text)?),
            "read" => Self::Read(serde_json::from_str(text)?),
            "result" => Self::Result(serde_json::from_str(text)?),
            "pong" => Self::Pong(serde_json::from_str(text)?),
            "ok" => Self::Ok(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            "bye" => Self::Bye(serde_json::from_str(text)?),
            _ => Self::Unknown(kind),
        })
    }

    /// The `id` of the command that this answers, as JSON text.
    pub fn id(&self) -> Option<&str> {
        let id = match self {
            Self::Joined(reply) => &reply.id,
            Self::Left(reply) => &reply.id,
            Self::Published(reply) => &reply.id,
            Self::Members(reply) => &reply.id,
            Self::History(reply) => &reply.id,
            Self::Rooms(reply) => &reply.id,
            Self::Read(reply) => &reply.id,
            Self::Result(reply) => &reply.id,
            Self::Pong(reply) | Self::Ok(reply) => &reply.id,
            Self::Error(reply) => &reply.id,
            Self::Welcome(_) | Self::Message(_) | Self::Direct(_) | Self::Gap(_) => return None,
            Self::Presence(_) | Self::Bye(_) | Self::Unknown(_) => return None,
        };
        id.as_deref().map(RawValue::get)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        // Read as text first: `data` must stay as it was sent, which buffered values do not allow.
        let text = <Box<RawValue>>::deserialize(reader)?;
        match ServerMessage::parse(text.get()).map_err(serde::de::Error::custom)? {
            ServerMessage::Message(message) => Ok(Entry::Message(message)),
            ServerMessage::Direct(direct) => Ok(Entry::Direct(direct)),
            _ => Err(serde::de::Error::custom("a history holds messages and direct messages")),
        }
    }
}
