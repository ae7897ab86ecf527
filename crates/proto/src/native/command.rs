//! What clients say: one JSON text to one [`Request`], borrowed from it, or a [`Refused`] that keeps the id.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::DEFAULT_EVENT;
use super::fields::{Fields, read_fields};
use crate::codes::{Code, Refusal};
use crate::json;
use crate::limits;
use crate::position::Since;

/// A command and what its answer is matched by.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The `id` as JSON text, a string or a number exactly as it was sent; the reply repeats it.
    pub id: Option<&'a str>,
    pub command: Command<'a>,
}

/// A text that is no command, with its `id` if that could be read, so that the refusal is answered to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    pub id: Option<&'a str>,
    pub refusal: Refusal,
}

/// What a client asks for. Names are as sent: their grammar is checked where they are first used.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    Join { room: Cow<'a, str>, begin: Begin },
    Leave { room: Cow<'a, str> },
    Publish(Publish<'a>),
    Direct { to: Cow<'a, str>, data: &'a RawValue, event: Cow<'a, str>, key: Option<Cow<'a, str>> },
    History { of: Conversation<'a>, range: Range, limit: Option<u32> },
    Members { room: Cow<'a, str> },
    Rooms { prefix: Option<Cow<'a, str>>, after: Option<Cow<'a, str>>, limit: Option<u32> },
    Read { of: Conversation<'a>, offset: u64 },
    Call { method: Cow<'a, str>, data: Option<&'a RawValue> },
    Auth { token: Cow<'a, str> },
    Ping,
}

/// A message for a room.
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    pub room: Cow<'a, str>,
    /// JSON text exactly as sent: at most [`limits::DATA`] bytes and [`limits::DEPTH`] deep.
    pub data: &'a RawValue,
    pub event: Cow<'a, str>,
    /// Idempotency key: 1 to [`limits::KEY`] printable ASCII characters.
    pub key: Option<Cow<'a, str>>,
    /// `false` leaves the sender's own connection out of the fan-out.
    pub echo: bool,
    /// `false` is ephemeral: no offset, never stored.
    pub store: bool,
}

/// With what a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The messages behind this place, all of them or none.
    Since(Since),
    /// The newest messages, so many; 0 for none, which is also the default.
    Last(u32),
}

/// A room, or the direct conversation with a user of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conversation<'a> {
    Room(Cow<'a, str>),
    With(Cow<'a, str>),
}

/// Which part of a history is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The newest messages.
    Newest,
    /// The newest before this place.
    Before(Since),
    /// The oldest behind this place.
    After(Since),
}

impl<'a> Request<'a> {
    /// Reads one command.
    ///
    /// Unknown fields are ignored. `data` is kept as text and checked for size and depth; the size of the whole
    /// text is the transport's to check ([`limits::NATIVE_MESSAGE`]).
    ///
    /// # Errors
    /// `bad_json`, `bad_message` (its sentence shows a correct command), `unknown_type`, `too_large`, `too_deep`.
    pub fn parse(text: &'a str) -> Result<Self, Refused<'a>> {
        let mut fields = Fields::default();
        let read = read_fields(text, &mut fields);
        let given = fields.id.filter(|id| id.get() != "null");
        let id = given.and_then(valid_id);
        let parse = || {
            read?;
            if given.is_some() && id.is_none() {
                let sentence =
                    format!("\"id\" is a string or a number of at most {} bytes", limits::COMMAND_ID);
                return Err(Refusal::new(Code::BadMessage, sentence));
            }
            Command::from_fields(&fields)
        };
        match parse() {
            Ok(command) => Ok(Self { id, command }),
            Err(refusal) => Err(Refused { id, refusal }),
        }
    }

    /// Reads the body of a `POST /send`: one command or an array of them, in order.
    ///
    /// # Errors
    /// The refusal of a text that is neither; refused elements are in the list.
    pub fn parse_batch(text: &'a str) -> Result<Vec<Result<Self, Refused<'a>>>, Refused<'a>> {
        if !text.trim_start().starts_with('[') {
            return Self::parse(text).map(|request| vec![Ok(request)]);
        }
        match serde_json::from_str::<Vec<&'a RawValue>>(text) {
            Ok(list) => Ok(list.into_iter().map(|one| Self::parse(one.get())).collect()),
            Err(error) => {
                let refusal = Refusal::new(Code::BadJson, format!("not a JSON array of commands: {error}"));
                Err(Refused { id: None, refusal })
            }
        }
    }
}

impl<'a> Publish<'a> {
    /// Reads the body of a `POST /api/publish`: the fields of a `publish` command, with or without its `type`.
    ///
    /// # Errors
    /// As of [`Request::parse`].
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        read_fields(text, &mut fields)?;
        Typed { kind: "publish", fields: &fields }.publish()
    }
}

impl<'a> Command<'a> {
    /// Every `type` that [`Request::parse`] knows, each with a correct command.
    pub const EXAMPLES: [(&'static str, &'static str); 11] = [
        ("join", r#"{"type":"join","room":"lobby","last":10}"#),
        ("leave", r#"{"type":"leave","room":"lobby"}"#),
        ("publish", r#"{"type":"publish","room":"lobby","data":"hi"}"#),
        ("direct", r#"{"type":"direct","to":"bob","data":"psst"}"#),
        ("history", r#"{"type":"history","room":"lobby","limit":50}"#),
        ("members", r#"{"type":"members","room":"lobby"}"#),
        ("rooms", r#"{"type":"rooms","prefix":"a"}"#),
        ("read", r#"{"type":"read","room":"lobby","offset":42}"#),
        ("call", r#"{"type":"call","method":"add","data":[1,2]}"#),
        ("auth", r#"{"type":"auth","token":"…"}"#),
        ("ping", r#"{"type":"ping"}"#),
    ];

    /// The `type` of this command.
    pub const fn kind(&self) -> &'static str {
        match self {
            Command::Join { .. } => "join",
            Command::Leave { .. } => "leave",
            Command::Publish(_) => "publish",
            Command::Direct { .. } => "direct",
            Command::History { .. } => "history",
            Command::Members { .. } => "members",
            Command::Rooms { .. } => "rooms",
            Command::Read { .. } => "read",
            Command::Call { .. } => "call",
            Command::Auth { .. } => "auth",
            Command::Ping => "ping",
        }
    }

    fn from_fields(fields: &Fields<'a>) -> Result<Self, Refusal> {
        let Some(kind) = fields.kind else {
            return Err(wrong("publish", "a command has a \"type\""));
        };
        let Some(kind) = json::text(kind) else {
            return Err(wrong("publish", "\"type\" is a string"));
        };
        let Some(&(kind, _)) = Self::EXAMPLES.iter().find(|row| row.0 == kind) else {
            let known: Vec<&str> = Self::EXAMPLES.iter().map(|row| row.0).collect();
            let shown: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
            let sentence = format!("there is no command \"{shown}\"; there are {}", known.join(", "));
            return Err(Refusal::new(Code::UnknownType, sentence));
        };
        let of = Typed { kind, fields };
        Ok(match kind {
            "join" => Command::Join { room: of.text("room")?, begin: of.begin()? },
            "leave" => Command::Leave { room: of.text("room")? },
            "publish" => Command::Publish(of.publish()?),
            "direct" => {
                Command::Direct { to: of.text("to")?, data: of.data()?, event: of.event()?, key: of.key()? }
            }
            "history" => {
                Command::History { of: of.conversation()?, range: of.range()?, limit: of.number("limit")? }
            }
            "members" => Command::Members { room: of.text("room")? },
            "rooms" => Command::Rooms {
                prefix: of.optional_text("prefix")?,
                after: of.optional_text("after")?,
                limit: of.number("limit")?,
            },
            "read" => Command::Read {
                of: of.conversation()?,
                offset: of.number("offset")?.ok_or_else(|| of.missing("offset"))?,
            },
            "call" => Command::Call { method: of.method()?, data: of.optional_data()? },
            "auth" => Command::Auth { token: of.token()? },
            _ => Command::Ping,
        })
    }
}

/// The fields of one command, read under the rules of its type.
struct Typed<'f, 'a> {
    kind: &'static str,
    fields: &'f Fields<'a>,
}

impl<'a> Typed<'_, 'a> {
    fn publish(&self) -> Result<Publish<'a>, Refusal> {
        Ok(Publish {
            room: self.text("room")?,
            data: self.data()?,
            event: self.event()?,
            key: self.key()?,
            echo: self.flag("echo")?,
            store: self.flag("store")?,
        })
    }

    /// A field that must be there and be a string that is not empty.
    fn text(&self, name: &str) -> Result<Cow<'a, str>, Refusal> {
        match self.optional_text(name)? {
            Some(text) if text.is_empty() => Err(self.wrong(format!("\"{name}\" is empty"))),
            Some(text) => Ok(text),
            None => Err(self.missing(name)),
        }
    }

    /// A string, if it is there; `null` counts as absent, because many serialisers write it.
    fn optional_text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(value) => {
                json::text(value).map(Some).ok_or_else(|| self.wrong(format!("\"{name}\" is a string")))
            }
        }
    }

    fn number<T: serde::Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map(Some)
                .map_err(|_| self.wrong(format!("\"{name}\" is a whole number that is not negative"))),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.fields.get(name).map(RawValue::get) {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.wrong(format!("\"{name}\" is true or false"))),
        }
    }

    fn place(&self, name: &str) -> Result<Option<Since>, Refusal> {
        let Some(value) = self.fields.get(name) else {
            return Ok(None);
        };
        // A number stands for itself, a string for what is in it.
        let text = json::text(value).unwrap_or(Cow::Borrowed(value.get()));
        let place = text.parse().map_err(|error| self.wrong(format!("\"{name}\" is {error}")))?;
        Ok(Some(place))
    }

    fn begin(&self) -> Result<Begin, Refusal> {
        match (self.place("since")?, self.number("last")?) {
            (Some(_), Some(_)) => Err(self.wrong("give \"since\" or \"last\", not both")),
            (Some(since), None) => Ok(Begin::Since(since)),
            (None, last) => Ok(Begin::Last(last.unwrap_or(0))),
        }
    }

    fn range(&self) -> Result<Range, Refusal> {
        match (self.place("before")?, self.place("after")?) {
            (Some(_), Some(_)) => Err(self.wrong("give \"before\" or \"after\", not both")),
            (Some(before), None) => Ok(Range::Before(before)),
            (None, Some(after)) => Ok(Range::After(after)),
            (None, None) => Ok(Range::Newest),
        }
    }

    fn conversation(&self) -> Result<Conversation<'a>, Refusal> {
        match (self.fields.get("room"), self.fields.get("with")) {
            (Some(_), None) => Ok(Conversation::Room(self.text("room")?)),
            (None, Some(_)) => Ok(Conversation::With(self.text("with")?)),
            _ => Err(self.wrong("give \"room\", or \"with\" for a direct conversation")),
        }
    }

    fn data(&self) -> Result<&'a RawValue, Refusal> {
        // Here `null` is a value: what was published is what is delivered.
        let value = self.fields.data.ok_or_else(|| self.missing("data"))?;
        json::check_value("data", value, limits::DATA)?;
        Ok(value)
    }

    fn optional_data(&self) -> Result<Option<&'a RawValue>, Refusal> {
        if self.fields.data.is_none() { Ok(None) } else { self.data().map(Some) }
    }

    fn event(&self) -> Result<Cow<'a, str>, Refusal> {
        let event = self.optional_text("event")?.unwrap_or(Cow::Borrowed(DEFAULT_EVENT));
        if event.is_empty() || event.len() > limits::EVENT || event.chars().any(char::is_control) {
            let sentence = format!("\"event\" is 1 to {} bytes without control characters", limits::EVENT);
            return Err(self.wrong(sentence));
        }
        Ok(event)
    }

    fn key(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let key = self.optional_text("key")?;
        let fits =
            |key: &str| (1..=limits::KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        match key {
            Some(key) if !fits(&key) => {
                Err(self.wrong(format!("\"key\" is 1 to {} printable ASCII characters", limits::KEY)))
            }
            key => Ok(key),
        }
    }

    fn method(&self) -> Result<Cow<'a, str>, Refusal> {
        let method = self.text("method")?;
        if method.len() > limits::METHOD || method.chars().any(char::is_control) {
            let sentence = format!("\"method\" is 1 to {} bytes without control characters", limits::METHOD);
            return Err(self.wrong(sentence));
        }
        Ok(method)
    }

    fn token(&self) -> Result<Cow<'a, str>, Refusal> {
        let token = self.text("token")?;
        if token.len() > limits::TOKEN {
            return Err(Refusal::too_large("the token", token.len(), limits::TOKEN));
        }
        Ok(token)
    }

    fn missing(&self, name: &str) -> Refusal {
        self.wrong(format!("\"{name}\" is missing"))
    }

    fn wrong(&self, sentence: impl AsRef<str>) -> Refusal {
        wrong(self.kind, sentence.as_ref())
    }
}

/// `bad_message`: what is wrong, and a correct command of this type.
fn wrong(kind: &str, sentence: &str) -> Refusal {
    let example = Command::EXAMPLES.iter().find(|row| row.0 == kind).map_or("", |row| row.1);
    Refusal::new(Code::BadMessage, format!("{kind}: {sentence}; a correct command is {example}"))
}

/// The text of an id that may be repeated in a reply: a string or a number of bounded length.
fn valid_id(id: &RawValue) -> Option<&str> {
    let text = id.get();
    let kind = text.as_bytes().first()?;
    let fits = text.len() <= limits::COMMAND_ID && matches!(kind, b'"' | b'-' | b'0'..=b'9');
    // A string that does not decode would make every reply to it unreadable.
    let whole = *kind != b'"' || json::text(id).is_some();
    (fits && whole).then_some(text)
}
