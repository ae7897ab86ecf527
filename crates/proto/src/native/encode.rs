//! What the server says: every object of the protocol, appended to a buffer as JSON.
//!
//! Each function writes one whole object and nothing around it: no frame, no line end. `id` is always the JSON text
//! of the command's `id`, as [`super::command::Request::id`] gives it.

use crate::codes::{CloseCode, Refusal};
use crate::limits;
use crate::position::Position;

use super::VERSION;
use super::write::{Object, list};
use crate::json::write_text as text;

/// A user as others see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    pub user: &'a str,
    pub name: &'a str,
}

/// The room, or the other side of the direct conversation, that something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// `"room"`: its name.
    Room(&'a str),
    /// `"with"` and `"with_user"`: name and account of the other side.
    With(Member<'a>),
}

/// A message in a room.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub room: &'a str,
    /// `None`: ephemeral, or the room has no log.
    pub place: Option<Position>,
    /// `None`: published by the application.
    pub from: Option<Member<'a>>,
    pub event: &'a str,
    /// JSON text.
    pub data: &'a str,
    /// In ms since 1970.
    pub time: u64,
}

/// A direct message.
#[derive(Clone, Copy, Debug)]
pub struct Direct<'a> {
    pub from: Member<'a>,
    pub to: Member<'a>,
    /// `None`: ephemeral.
    pub place: Option<Position>,
    pub event: &'a str,
    /// JSON text.
    pub data: &'a str,
    /// In ms since 1970.
    pub time: u64,
}

/// One entry of a history: the same objects that are pushed.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    Message(Message<'a>),
    Direct(Direct<'a>),
}

/// The first thing on every connection.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// Names the connection; `Parlor-Session` of `POST /send`.
    pub session: &'a str,
    pub user: &'a str,
    pub name: &'a str,
    /// What a guest shows to be the same guest again.
    pub token: Option<&'a str>,
    /// Name and version, as in `parlor/0.1.0`.
    pub server: &'a str,
}

/// A subscription that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a> {
    pub of: Of<'a>,
    /// The room's head when the subscription began; `None` in rooms without a log.
    pub head: Option<Position>,
    /// Only when `since` was given: `Ok` with the gap complete (its first page is in `messages`, the rest follows as
    /// ordinary messages), or the reason why nothing of it is replayed.
    pub recovered: Option<Result<(), &'a str>>,
    pub messages: &'a [Entry<'a>],
    /// `None` where the room has no presence.
    pub presence: Option<Presence<'a>>,
    /// Messages behind the read marker; `None` for guests without one.
    pub unread: Option<u64>,
}

/// Who is in a room.
#[derive(Clone, Copy, Debug)]
pub struct Presence<'a> {
    /// At most [`limits::MEMBERS_LISTED`]; empty in rooms that tell counts only.
    pub members: &'a [Member<'a>],
    /// How many users there are, listed or not.
    pub count: u64,
    /// +1 for each change that was pushed.
    pub version: u64,
}

/// One row of the answer to `rooms`.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    pub room: &'a str,
    /// Users in it.
    pub count: u64,
    /// Its head; `None` without a log.
    pub offset: Option<u64>,
    pub unread: Option<u64>,
}

/// `{"type":"welcome",…}`
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    Object::new(out, "welcome")
        .text("session", welcome.session)
        .text("user", welcome.user)
        .text("name", welcome.name)
        .maybe(welcome.token, |object, token| object.text("token", token))
        .number("protocol", u64::from(VERSION))
        .text("server", welcome.server)
        .object("limits", |limits| limits.number("data", limits::DATA as u64))
        .end();
}

/// `{"type":"joined",…}`, as a reply to `join` or by itself on opening.
pub fn joined(out: &mut Vec<u8>, id: Option<&str>, joined: &Joined<'_>) {
    let object = of(Object::reply(out, "joined", id), joined.of);
    let object = place(object, joined.head).maybe(joined.recovered, |object, recovered| match recovered {
        Ok(()) => object.flag("recovered", true),
        Err(reason) => object.flag("recovered", false).text("reason", reason),
    });
    object
        .list("messages", joined.messages, entry)
        .maybe(joined.presence.as_ref(), presence_fields)
        .maybe(joined.unread, |object, unread| object.number("unread", unread))
        .end();
}

/// `{"type":"left",…}`
pub fn left(out: &mut Vec<u8>, id: Option<&str>, room: &str) {
    Object::reply(out, "left", id).text("room", room).end();
}

/// `{"type":"message",…}`
pub fn message(out: &mut Vec<u8>, message: &Message<'_>) {
    place(Object::new(out, "message").text("room", message.room), message.place)
        .maybe(message.from, |object, from| object.text("from", from.name).text("user", from.user))
        .text("event", message.event)
        .raw("data", message.data)
        .number("time", message.time)
        .end();
}

/// `{"type":"direct",…}`
pub fn direct(out: &mut Vec<u8>, direct: &Direct<'_>) {
    let object = Object::new(out, "direct")
        .text("from", direct.from.name)
        .text("user", direct.from.user)
        .text("to", direct.to.name)
        .text("to_user", direct.to.user);
    place(object, direct.place)
        .text("event", direct.event)
        .raw("data", direct.data)
        .number("time", direct.time)
        .end();
}

/// A message or a direct message.
pub fn entry(out: &mut Vec<u8>, entry: &Entry<'_>) {
    match entry {
        Entry::Message(entry) => message(out, entry),
        Entry::Direct(entry) => direct(out, entry),
    }
}

/// `{"type":"published",…}`, the answer to `publish`, and to `direct` with `to` and `to_user`. `ack` says what the
/// answer is worth: `none`, `memory`, `local` or `replicated`.
pub fn published(out: &mut Vec<u8>, id: Option<&str>, of: Of<'_>, at: Option<Position>, ack: &str) {
    let object = Object::reply(out, "published", id);
    let object = match of {
        Of::Room(room) => object.text("room", room),
        Of::With(to) => object.text("to", to.name).text("to_user", to.user),
    };
    place(object, at).text("ack", ack).end();
}

/// `{"type":"presence",…}`: who came and went since the version before. Both lists are empty in rooms that tell
/// counts only.
pub fn presence(
    out: &mut Vec<u8>,
    room: &str,
    version: u64,
    joined: &[Member<'_>],
    left: &[Member<'_>],
    count: u64,
) {
    Object::new(out, "presence")
        .text("room", room)
        .number("version", version)
        .list("joined", joined, member)
        .list("left", left, member)
        .number("count", count)
        .end();
}

/// `{"type":"gap",…}`: so many messages of the room would have stood here, and were dropped because they were not read in
/// time.
pub fn gap(out: &mut Vec<u8>, room: &str, missed: u64) {
    Object::new(out, "gap").text("room", room).number("missed", missed).end();
}

/// `{"type":"members",…}`
pub fn members(out: &mut Vec<u8>, id: Option<&str>, room: &str, presence: &Presence<'_>) {
    presence_fields(Object::reply(out, "members", id).text("room", room), presence).end();
}

/// `{"type":"history",…}`, oldest first; `more` says whether there is more in the direction that was asked for.
pub fn history(out: &mut Vec<u8>, id: Option<&str>, of_: Of<'_>, messages: &[Entry<'_>], more: bool) {
    of(Object::reply(out, "history", id), of_).list("messages", messages, entry).flag("more", more).end();
}

/// `{"type":"rooms",…}`
pub fn rooms(out: &mut Vec<u8>, id: Option<&str>, rooms: &[Room<'_>], more: bool) {
    Object::reply(out, "rooms", id).list("rooms", rooms, room).flag("more", more).end();
}

/// `{"type":"read",…}`: the answer to `read`, and pushed to the user's other connections.
pub fn read(out: &mut Vec<u8>, id: Option<&str>, of_: Of<'_>, user: &str, offset: u64) {
    of(Object::reply(out, "read", id), of_).text("user", user).number("offset", offset).end();
}

/// `{"type":"result",…}`, the answer to `call`; `data` is JSON text.
pub fn result(out: &mut Vec<u8>, id: Option<&str>, data: &str) {
    Object::reply(out, "result", id).raw("data", data).end();
}

/// `{"type":"pong"}`
pub fn pong(out: &mut Vec<u8>, id: Option<&str>) {
    Object::reply(out, "pong", id).end();
}

/// `{"type":"ok"}`: done, and there is nothing more to say.
pub fn ok(out: &mut Vec<u8>, id: Option<&str>) {
    Object::reply(out, "ok", id).end();
}

/// `{"type":"error",…}`
pub fn error(out: &mut Vec<u8>, id: Option<&str>, refusal: &Refusal) {
    let suggestions = (!refusal.suggestions.is_empty()).then_some(&refusal.suggestions);
    Object::reply(out, "error", id)
        .text("code", refusal.code.as_str())
        .text("message", &refusal.message)
        .maybe(refusal.retry_after, |object, after| object.seconds("retry_after", after))
        .maybe(suggestions, |object, names| object.list("suggestions", names, |out, name| text(out, name)))
        .end();
}

/// `{"type":"bye",…}`, the last thing before a close with the same code.
pub fn bye(out: &mut Vec<u8>, code: CloseCode, retry_after: Option<std::time::Duration>) {
    Object::new(out, "bye")
        .number("code", u64::from(code.0))
        .text("reason", code.reason())
        .flag("reconnect", code.reconnect())
        .maybe(retry_after, |object, after| object.seconds("retry_after", after))
        .end();
}

/// `[…]` of messages, for answers that are not objects of this protocol.
pub fn entries(out: &mut Vec<u8>, messages: &[Entry<'_>]) {
    list(out, messages, &mut entry);
}

fn of<'o>(object: Object<'o>, of: Of<'_>) -> Object<'o> {
    match of {
        Of::Room(room) => object.text("room", room),
        Of::With(member) => object.text("with", member.name).text("with_user", member.user),
    }
}

fn place(object: Object<'_>, place: Option<Position>) -> Object<'_> {
    object.maybe(place, |object, place| object.number("offset", place.offset).plain("pos", place))
}

fn presence_fields<'o>(object: Object<'o>, presence: &Presence<'_>) -> Object<'o> {
    object
        .list("members", presence.members, member)
        .number("count", presence.count)
        .number("version", presence.version)
}

fn member(out: &mut Vec<u8>, member: &Member<'_>) {
    Object::bare(out).text("user", member.user).text("name", member.name).end();
}

fn room(out: &mut Vec<u8>, room: &Room<'_>) {
    Object::bare(out)
        .text("room", room.room)
        .number("count", room.count)
        .maybe(room.offset, |object, offset| object.number("offset", offset))
        .maybe(room.unread, |object, unread| object.number("unread", unread))
        .end();
}
