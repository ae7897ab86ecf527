//! Encoding once per wire format: the whole frame, shared by every subscriber that speaks the format.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use parlor_proto::json::{self, string};
use parlor_proto::native::encode as native;
use parlor_proto::position::Cursor;
use parlor_proto::socketio::Arguments;
use parlor_proto::sse;
use parlor_proto::ws::Kind;
use parlor_proto::ws::frame::{self, Opcode};

use crate::deflate;
use crate::mailbox::{ReadNotice, ReadPlace};
use crate::presence::PresenceChange;
use crate::publication::{Author, Form, Publication};
use crate::socketio;

/// How a connection wants what the hub sends. A closed set, so that an encoding has a place in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFormat {
    /// The native protocol: one JSON object in one WebSocket text frame of a server.
    Native = 0,
    /// A route that speaks for itself: the data alone, in one frame. Text for a JSON string, the bytes for an
    /// attachment, JSON text for everything else.
    Raw = 1,
    /// Socket.IO: an Engine.IO message in a text frame, then a binary frame for each attachment.
    SocketIo = 2,
    /// The same with the position as the last argument, with which a client resumes.
    SocketIoOffset = 3,
    /// For clients of Engine.IO 3, whose binary frames begin with a digit too.
    SocketIoV3 = 4,
    /// The parser that packs everything into one binary frame.
    Msgpack = 5,
    MsgpackOffset = 6,
    /// The native protocol's objects as events of Socket.IO, named by their `type`.
    SocketIoNative = 7,
    /// `Raw` as messages of Engine.IO 4: a digit stands in front of text.
    EngineIo = 8,
    /// `Raw` as messages of Engine.IO 3: in front of bytes too.
    EngineIoV3 = 9,
    /// `SocketIoNative` with a place behind those that are publications of a log, for clients that can be recovered.
    SocketIoNativeOffset = 10,
    /// The native objects as server-sent events, with the cursor as their id.
    Sse = 11,
    /// The same without an id: what the client's place must not move by.
    SsePlain = 12,
    /// The native objects, one per line.
    Lines = 13,
    /// The same for whoever fetches them: publications only.
    Fetched = 14,
    /// No bytes: the connection only learns that something was published.
    Bell = 15,
    /// `Native` for a WebSocket that agreed on compression: what is published is compressed where that is worth it.
    NativeDeflated = 16,
}

const FORMATS: usize = 17;

impl WireFormat {
    /// For pages of one room's log: a place in them would turn back the place that the client has in all its rooms.
    pub(crate) fn replayed(self) -> WireFormat {
        match self {
            WireFormat::SocketIoNativeOffset => WireFormat::SocketIoNative,
            // A page is read for one subscriber, who would be compressed for alone.
            WireFormat::NativeDeflated => WireFormat::Native,
            other => other.catching_up(),
        }
    }

    /// The same with what is published compressed, for whoever takes frames that others share
    /// ([`Agreement::takes_shared`](parlor_proto::ws::deflate::Agreement::takes_shared)). Only the native protocol has it.
    pub fn deflated(self) -> WireFormat {
        match self {
            WireFormat::Native => WireFormat::NativeDeflated,
            other => other,
        }
    }

    /// What it is while other rooms of the connection may be behind: an id would move the client's place past what
    /// they still owe it.
    pub(crate) fn catching_up(self) -> WireFormat {
        match self {
            WireFormat::Sse => WireFormat::SsePlain,
            other => other,
        }
    }
}

/// A publication's encoded forms, each made on first need. Most are needed in the native form only.
#[derive(Debug, Default)]
pub struct Encodings {
    native: OnceLock<Bytes>,
    others: OnceLock<Box<[OnceLock<Bytes>; FORMATS]>>,
}

impl Encodings {
    fn of(&self, format: WireFormat) -> &OnceLock<Bytes> {
        match format {
            WireFormat::Native => &self.native,
            other => &self.others.get_or_init(Box::default)[other as usize],
        }
    }
}

/// The frames of one publication of the store with this life.
pub(crate) fn publication(publication: &Publication, format: WireFormat, life: u64) -> Bytes {
    let encode = || match format {
        WireFormat::NativeDeflated => {
            deflate::deflated(self::publication(publication, WireFormat::Native, life))
        }
        WireFormat::Native => in_frame(|out| native::entry(out, &entry(publication))),
        WireFormat::Sse => {
            let cursor = publication.place.map(|place| Cursor { life, seq: place.seq, id: publication.id });
            in_event(cursor, |out| native::entry(out, &entry(publication)))
        }
        WireFormat::SsePlain => in_event(None, |out| native::entry(out, &entry(publication))),
        WireFormat::Lines | WireFormat::Fetched => in_line(|out| native::entry(out, &entry(publication))),
        WireFormat::Bell => Bytes::new(),
        WireFormat::Raw => raw(publication, b"", b""),
        WireFormat::EngineIo => raw(publication, b"4", b""),
        WireFormat::EngineIoV3 => raw(publication, b"4", &[4]),
        WireFormat::SocketIoNative => native_event(publication, None),
        WireFormat::SocketIoNativeOffset => native_event(publication, socketio::Place::of(publication)),
        _ => event(publication, format),
    };
    publication.encodings.of(format).get_or_init(encode).clone()
}

/// The data alone, as a route without a protocol of its own shows it, behind what its transport puts before text and
/// before bytes.
fn raw(publication: &Publication, before_text: &[u8], before_bytes: &[u8]) -> Bytes {
    let mut out = Vec::new();
    match &publication.form {
        // Bytes and nothing around them; other values may hold some.
        Form::Attached { count: 1, attachments, .. } if publication.values().starts_with(PLACEHOLDER) => {
            frame::write_message(&mut out, Kind::Binary, &[before_bytes, &attachments[0]].concat());
        }
        _ => {
            let json = publication.json();
            let text = string(json);
            let text = text.as_deref().unwrap_or(json).as_bytes();
            frame::write_message(&mut out, Kind::Text, &[before_text, text].concat());
        }
    }
    out.into()
}

/// How a value begins that is nothing but an attachment.
const PLACEHOLDER: &str = "{\"_placeholder\":true";

/// The event of a Socket.IO room, as a packet of its namespace.
fn event(publication: &Publication, format: WireFormat) -> Bytes {
    let namespace = socketio::namespace_of(&publication.room);
    let offset = match format {
        WireFormat::SocketIoOffset | WireFormat::MsgpackOffset => publication.position(),
        _ => None,
    };
    let offset = offset.map(|position| position.to_string());
    let id = publication.delivery.as_ref().and_then(|delivery| Some(delivery.ack.as_ref()?.id));
    let arguments = publication.arguments();
    socketio::event(format, namespace, id, &publication.event, &arguments, offset.as_deref())
}

/// The native protocol's object of a publication as an event; bytes in it stay bytes.
fn native_event(publication: &Publication, place: Option<socketio::Place>) -> Bytes {
    let place = place.map(|place| place.to_string());
    let mut object = Vec::with_capacity(256);
    match &publication.form {
        Form::Attached { count: 1, attachments, .. } => {
            native::entry(&mut object, &entry_with(publication, publication.values()));
            socketio::native_event_with(&object, attachments, place.as_deref())
        }
        _ => {
            native::entry(&mut object, &entry(publication));
            socketio::native_event_with(&object, &[], place.as_deref())
        }
    }
}

/// What the native protocol says of a publication in a room.
fn message<'p>(publication: &'p Publication, data: &'p str) -> native::Message<'p> {
    native::Message {
        room: &publication.room,
        place: publication.position(),
        from: publication.author.as_ref().map(member),
        event: &publication.event,
        data,
        time: publication.time,
    }
}

/// What it says of a publication wherever both kinds may stand.
pub fn entry(publication: &Publication) -> native::Entry<'_> {
    entry_with(publication, publication.json())
}

/// The same with other data.
pub fn entry_with<'p>(publication: &'p Publication, data: &'p str) -> native::Entry<'p> {
    match (&publication.author, &publication.to) {
        (Some(from), Some(to)) => native::Entry::Direct(native::Direct {
            from: member(from),
            to: member(to),
            place: publication.position(),
            event: &publication.event,
            data,
            time: publication.time,
        }),
        _ => native::Entry::Message(message(publication, data)),
    }
}

/// A user on the wire.
pub fn member(author: &Author) -> native::Member<'_> {
    native::Member { user: &author.user, name: &author.name }
}

/// What is pushed of a room's members; `None` for wires that have no word for it.
pub(crate) fn presence(change: &PresenceChange, format: WireFormat) -> Option<Bytes> {
    let write = |out: &mut Vec<u8>| {
        let joined: Vec<_> = change.joined.iter().map(member).collect();
        let left: Vec<_> = change.left.iter().map(member).collect();
        native::presence(out, &change.room, change.version, &joined, &left, change.count as u64);
    };
    push(&change.encodings, format, write)
}

/// What is pushed when somebody has read something.
pub(crate) fn read(notice: &ReadNotice, format: WireFormat) -> Option<Bytes> {
    let write = |out: &mut Vec<u8>| {
        let of = match &notice.place {
            ReadPlace::Room(room) => native::Of::Room(room),
            ReadPlace::With(other) => native::Of::With(member(other)),
        };
        native::read(out, None, of, &notice.user, notice.offset);
    };
    push(&notice.encodings, format, write)
}

/// What stands where messages of a room were dropped; nothing for wires that have no word for it.
pub(crate) fn gap(room: &str, missed: u32, format: WireFormat) -> Bytes {
    let write = |room: &str| {
        let mut object = Vec::with_capacity(64);
        native::gap(&mut object, room, missed.into());
        object
    };
    match format.replayed() {
        WireFormat::Native => in_frame(|out| native::gap(out, room, missed.into())),
        WireFormat::SsePlain => in_event(None, |out| native::gap(out, room, missed.into())),
        WireFormat::Lines | WireFormat::Fetched => in_line(|out| native::gap(out, room, missed.into())),
        WireFormat::SocketIoNative => socketio::native_event(&write(room)),
        format @ (WireFormat::SocketIo
        | WireFormat::SocketIoOffset
        | WireFormat::SocketIoV3
        | WireFormat::Msgpack
        | WireFormat::MsgpackOffset) => {
            let object = write(socketio::name_of(room));
            let arguments = Arguments::from_parts(String::from_utf8_lossy(&object), 1, Vec::new());
            socketio::event(format, socketio::namespace_of(room), None, "gap", &arguments, None)
        }
        _ => Bytes::new(),
    }
}

fn push(encodings: &Encodings, format: WireFormat, write: impl FnOnce(&mut Vec<u8>)) -> Option<Bytes> {
    // What is no publication has no place.
    let format = format.replayed();
    let encode = || match format {
        WireFormat::Native => Some(in_frame(write)),
        WireFormat::SsePlain => Some(in_event(None, write)),
        WireFormat::Lines => Some(in_line(write)),
        WireFormat::SocketIoNative => {
            let mut object = Vec::with_capacity(256);
            write(&mut object);
            Some(socketio::native_event(&object))
        }
        _ => None,
    };
    let place = encodings.of(format);
    match place.get() {
        Some(encoded) => Some(encoded.clone()),
        None => encode().map(|encoded| place.get_or_init(|| encoded).clone()),
    }
}

/// A server's text frame around what `write` appends.
fn in_frame(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut text = Vec::with_capacity(256);
    write(&mut text);
    let mut whole = Vec::with_capacity(text.len() + frame::header_len(text.len()));
    frame::write_header(&mut whole, true, false, Opcode::Text, text.len());
    whole.extend_from_slice(&text);
    whole.into()
}

/// A server-sent event around what `write` appends.
fn in_event(id: Option<Cursor>, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut object = Vec::with_capacity(256);
    write(&mut object);
    let mut event = Vec::with_capacity(object.len() + 64);
    sse::event(&mut event, id, &object);
    event.into()
}

/// What `write` appends as one line: JSON holds line ends between its tokens only, where a space says the same.
fn in_line(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut line = Vec::with_capacity(256);
    write(&mut line);
    json::one_line(&mut line);
    line.push(b'\n');
    line.into()
}

/// Publications that are delivered together: their joined bytes, once per wire format.
pub(crate) struct Run<'r> {
    run: &'r [Arc<Publication>],
    joined: [Option<Bytes>; FORMATS],
    /// Several workers share the publications: each takes a copy of the bytes, because a reference count that two
    /// cores write for every subscriber costs more than copying once.
    shared: bool,
    life: u64,
}

impl<'r> Run<'r> {
    pub(crate) fn new(run: &'r [Arc<Publication>], shared: bool, life: u64) -> Run<'r> {
        Run { run, joined: Default::default(), shared, life }
    }

    /// The bytes of all of them.
    pub(crate) fn whole(&mut self, format: WireFormat) -> Bytes {
        let (run, shared, life) = (self.run, self.shared, self.life);
        self.joined[format as usize]
            .get_or_insert_with(|| match run {
                [one] if !shared => publication(one, format, life),
                _ => join(run, format, life),
            })
            .clone()
    }

    /// The bytes of those after an offset, and how many they are; `None` if there are none. What is not stored is for
    /// everyone, and may stand before what is not.
    pub(crate) fn after(&self, format: WireFormat, after: u64) -> Option<(Bytes, u32)> {
        let behind =
            |publication: &&Arc<Publication>| publication.place.is_none_or(|place| place.offset > after);
        let part: Vec<_> = self.run.iter().filter(behind).cloned().collect();
        (!part.is_empty()).then(|| (join(&part, format, self.life), part.len() as u32))
    }
}

fn join(run: &[Arc<Publication>], format: WireFormat, life: u64) -> Bytes {
    let frames: Vec<Bytes> = run.iter().map(|one| publication(one, format, life)).collect();
    let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    frames.iter().for_each(|frame| joined.extend_from_slice(frame));
    joined.freeze()
}
