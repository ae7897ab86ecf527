//! The handle that programs hold, and the stream of what happens.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use parlor_proto::native::command::{Begin, Command, Conversation, Publish, Range, Request};
use parlor_proto::native::decode::{History, Joined, Members, Published, Rooms, ServerMessage};
use parlor_proto::native::{DEFAULT_EVENT, key};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};

use crate::driver;
use crate::error::Error;
use crate::event::Event;
use crate::options::Options;
use crate::session::{Asked, Effect};
use crate::socket::random;

/// How the driver answers a request.
pub(crate) type Caller = driver::Caller<ServerMessage>;

/// A connection to Parlor that comes back by itself; cheap to clone. When the last clone is dropped, the connection
/// is closed.
///
/// Requests are sent in the order of their calls, also while there is no connection; each waits for its own reply.
/// **[`Events::next`] must be called steadily**: when a thousand events wait, the client stops reading, and replies
/// stop with it. A program without interest in events drops [`Events`].
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) requests: mpsc::Sender<Asked<Caller>>,
    pub(crate) answer_within: Duration,
}

/// What happens, in order.
#[derive(Debug)]
pub struct Events {
    pub(crate) events: mpsc::Receiver<Event>,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Message {
    to: Conversation<'static>,
    data: Box<RawValue>,
    event: Cow<'static, str>,
    key: Option<String>,
    echo: bool,
    store: bool,
}

impl Message {
    /// A message for a room.
    ///
    /// # Errors
    /// [`Error::NoJson`] if `data` has no JSON form.
    pub fn to_room(room: impl Into<String>, data: &impl Serialize) -> Result<Self, Error> {
        Self::new(Conversation::Room(Cow::Owned(room.into())), data)
    }

    /// A direct message for the user of this name.
    ///
    /// # Errors
    /// [`Error::NoJson`] if `data` has no JSON form.
    pub fn to_user(name: impl Into<String>, data: &impl Serialize) -> Result<Self, Error> {
        Self::new(Conversation::With(Cow::Owned(name.into())), data)
    }

    fn new(to: Conversation<'static>, data: &impl Serialize) -> Result<Self, Error> {
        let data = to_raw_value(data).map_err(Error::NoJson)?;
        let event = Cow::Borrowed(DEFAULT_EVENT);
        Ok(Self { to, data, event, key: Some(new_key()?), echo: true, store: true })
    }

    /// What kind of message it is; `message` by default.
    pub fn event(self, event: impl Into<String>) -> Self {
        Self { event: Cow::Owned(event.into()), ..self }
    }

    /// A key of one's own: the same key is stored once, however often it is sent within the server's window. By
    /// default each message gets a fresh one, which makes sending it again after a break safe.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// No key: for rooms that keep no log, which refuse keys. The message is not sent again after a break.
    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Leaves this connection out of the fan-out.
    pub fn without_echo(self) -> Self {
        Self { echo: false, ..self }
    }

    /// Ephemeral: no offset, never stored, no key.
    pub fn ephemeral(self) -> Self {
        Self { store: false, key: None, ..self }
    }
}

impl Client {
    /// Connects as a guest without a name; [`Options`] has the choices.
    ///
    /// # Errors
    /// As [`Options::connect`].
    pub async fn connect(address: &str) -> Result<(Client, Events), Error> {
        Options::new(address).connect().await
    }

    /// Publishes `data` in a room and waits until the server has done with it what the room's policy says.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn publish(&self, room: &str, data: &impl Serialize) -> Result<Published, Error> {
        self.send(&Message::to_room(room, data)?).await
    }

    /// Sends `data` to the user of this name.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn direct(&self, to: &str, data: &impl Serialize) -> Result<Published, Error> {
        self.send(&Message::to_user(to, data)?).await
    }

    /// Publishes a message. With a key it may be called again with the same message after an error, for as long as
    /// the server's window: it is stored once.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn send(&self, message: &Message) -> Result<Published, Error> {
        let key = message.key.as_deref().map(Cow::Borrowed);
        let event = Cow::Borrowed(&*message.event);
        let data: &RawValue = &message.data;
        let command = match &message.to {
            Conversation::Room(room) => Command::Publish(Publish {
                room: Cow::Borrowed(room),
                data,
                event,
                key,
                echo: message.echo,
                store: message.store,
            }),
            Conversation::With(name) => Command::Direct { to: Cow::Borrowed(name), data, event, key },
        };
        match self.request(&command).await? {
            ServerMessage::Published(published) => Ok(published),
            other => Err(unexpected("published", &other)),
        }
    }

    /// Joins a room, beginning with its newest `last` messages; joined rooms are joined again after every break.
    /// Its messages come as events, those of the past first.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn join(&self, room: &str, last: u32) -> Result<Joined, Error> {
        self.join_from(room, Begin::Last(last)).await
    }

    /// Joins a room from a place that is known from before.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn join_from(&self, room: &str, begin: Begin) -> Result<Joined, Error> {
        match self.request(&Command::Join { room: room.into(), begin }).await? {
            ServerMessage::Joined(joined) => Ok(joined),
            other => Err(unexpected("joined", &other)),
        }
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn leave(&self, room: &str) -> Result<(), Error> {
        self.request(&Command::Leave { room: room.into() }).await.map(|_| ())
    }

    /// A piece of a room's history, oldest first.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn history(&self, room: &str, range: Range, limit: Option<u32>) -> Result<History, Error> {
        let of = Conversation::Room(room.into());
        match self.request(&Command::History { of, range, limit }).await? {
            ServerMessage::History(history) => Ok(history),
            other => Err(unexpected("history", &other)),
        }
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn members(&self, room: &str) -> Result<Members, Error> {
        match self.request(&Command::Members { room: room.into() }).await? {
            ServerMessage::Members(members) => Ok(members),
            other => Err(unexpected("members", &other)),
        }
    }

    /// Rooms whose names begin with `prefix`.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn rooms(&self, prefix: &str) -> Result<Rooms, Error> {
        let prefix = (!prefix.is_empty()).then(|| prefix.into());
        match self.request(&Command::Rooms { prefix, after: None, limit: None }).await? {
            ServerMessage::Rooms(rooms) => Ok(rooms),
            other => Err(unexpected("rooms", &other)),
        }
    }

    /// Sends any command and gives its reply; refusals are errors.
    ///
    /// # Errors
    /// The server refuses, or does not answer in time.
    pub async fn request(&self, command: &Command<'_>) -> Result<ServerMessage, Error> {
        let (caller, answer) = oneshot::channel();
        let asked = asked(command, caller);
        let wait = async {
            self.requests.send(asked).await.map_err(|_| Error::Closed)?;
            answer.await.unwrap_or(Err(Error::Closed))
        };
        timeout(self.answer_within, wait).await.map_err(|_| Error::Timeout(self.answer_within))?
    }
}

impl Events {
    /// The next event; `None` after [`Event::Closed`]. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// The command as the session wants it: what it changes, and whether it may be sent twice.
pub(crate) fn asked<T>(command: &Command<'_>, caller: T) -> Asked<T> {
    let mut text = Vec::new();
    Request { id: None, command: command.clone() }.encode(&mut text);
    let effect = match command {
        Command::Join { room, .. } => Effect::Join(room.to_string()),
        Command::Leave { room } => Effect::Leave(room.to_string()),
        _ => Effect::None,
    };
    let repeat = match command {
        Command::Publish(Publish { key, .. }) | Command::Direct { key, .. } => key.is_some(),
        Command::Call { .. } | Command::Auth { .. } | Command::Ping => false,
        _ => true,
    };
    Asked { command: text, repeat, effect, caller }
}

fn new_key() -> Result<String, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Ok(key::make(now, u64::from_ne_bytes(random()?)))
}

fn unexpected(wanted: &str, got: &ServerMessage) -> Error {
    Error::BadAnswer(format!("the server answered with something other than \"{wanted}\": {got:?}"))
}
