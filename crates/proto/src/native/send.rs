//! Writing commands, for clients: the reverse of [`Request::parse`].

use super::DEFAULT_EVENT;
use super::command::{Begin, Command, Conversation, Publish, Range, Request};
use super::write::Object;
use crate::position::Since;

impl Request<'_> {
    /// Appends this command as one JSON object. What is at its default is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let object = Object::reply(out, self.command.kind(), self.id);
        fields(object, &self.command).end();
    }
}

fn fields<'o>(object: Object<'o>, command: &Command<'_>) -> Object<'o> {
    match command {
        Command::Join { room, begin } => {
            let object = object.text("room", room);
            match begin {
                Begin::Since(since) => place(object, "since", *since),
                Begin::Last(0) => object,
                Begin::Last(count) => object.number("last", u64::from(*count)),
            }
        }
        Command::Leave { room } | Command::Members { room } => object.text("room", room),
        Command::Publish(Publish { room, data, event, key, echo, store }) => {
            let object = content(object.text("room", room), data.get(), event, key.as_deref());
            let object = if *echo { object } else { object.flag("echo", false) };
            if *store { object } else { object.flag("store", false) }
        }
        Command::Direct { to, data, event, key } => {
            content(object.text("to", to), data.get(), event, key.as_deref())
        }
        Command::History { of, range, limit } => {
            let object = match range {
                Range::Newest => conversation(object, of),
                Range::Before(before) => place(conversation(object, of), "before", *before),
                Range::After(after) => place(conversation(object, of), "after", *after),
            };
            object.maybe(*limit, |object, limit| object.number("limit", u64::from(limit)))
        }
        Command::Rooms { prefix, after, limit } => object
            .maybe(prefix.as_deref(), |object, prefix| object.text("prefix", prefix))
            .maybe(after.as_deref(), |object, after| object.text("after", after))
            .maybe(*limit, |object, limit| object.number("limit", u64::from(limit))),
        Command::Read { of, offset } => conversation(object, of).number("offset", *offset),
        Command::Call { method, data } => {
            object.text("method", method).maybe(*data, |object, data| object.raw("data", data.get()))
        }
        Command::Auth { token } => object.text("token", token),
        Command::Ping => object,
    }
}

fn content<'o>(object: Object<'o>, data: &str, event: &str, key: Option<&str>) -> Object<'o> {
    let object = if event == DEFAULT_EVENT { object } else { object.text("event", event) };
    object.maybe(key, |object, key| object.text("key", key)).raw("data", data)
}

fn conversation<'o>(object: Object<'o>, of: &Conversation<'_>) -> Object<'o> {
    match of {
        Conversation::Room(room) => object.text("room", room),
        Conversation::With(name) => object.text("with", name),
    }
}

fn place<'o>(object: Object<'o>, name: &str, place: Since) -> Object<'o> {
    match place {
        Since::Position(position) => object.plain(name, position),
        Since::Offset(offset) => object.number(name, offset),
    }
}
