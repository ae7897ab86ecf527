//! Encoding once per wire format: the whole frame, shared by every subscriber that speaks the format.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use parlor_proto::native::encode as native;
use parlor_proto::ws::frame::{self, Opcode};

use crate::mailbox::{ReadNotice, ReadPlace};
use crate::presence::PresenceChange;
use crate::publication::{Author, Publication};

/// How a connection wants what the hub sends. A closed set, so that an encoding has a place in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFormat {
    /// The native protocol: one JSON object in one WebSocket text frame of a server.
    Native = 0,
    /// A route that speaks for itself; nothing is pushed to it.
    Raw = 1,
}

pub(crate) const FORMATS: usize = 1;

/// A publication's encoded forms, each made on first need.
#[derive(Debug, Default)]
pub struct Encodings([OnceLock<Bytes>; FORMATS]);

/// The frame of one publication.
pub(crate) fn publication(publication: &Publication, format: WireFormat) -> Bytes {
    let WireFormat::Native = format else { return Bytes::new() };
    let encode = || in_frame(|out| native::entry(out, &entry(publication)));
    publication.encodings.0[format as usize].get_or_init(encode).clone()
}

/// What the native protocol says of a publication in a room.
pub fn message(publication: &Publication) -> native::Message<'_> {
    native::Message {
        room: &publication.room,
        place: publication.position(),
        from: publication.author.as_ref().map(member),
        event: &publication.event,
        data: &publication.data,
        time: publication.time,
    }
}

/// What it says of a publication wherever both kinds may stand.
pub fn entry(publication: &Publication) -> native::Entry<'_> {
    match (&publication.author, &publication.to) {
        (Some(from), Some(to)) => native::Entry::Direct(native::Direct {
            from: member(from),
            to: member(to),
            place: publication.position(),
            event: &publication.event,
            data: &publication.data,
            time: publication.time,
        }),
        _ => native::Entry::Message(message(publication)),
    }
}

/// A user on the wire.
pub fn member(author: &Author) -> native::Member<'_> {
    native::Member { user: &author.user, name: &author.name }
}

pub(crate) fn presence(change: &PresenceChange, format: WireFormat) -> Bytes {
    let WireFormat::Native = format else { return Bytes::new() };
    let encode = || {
        in_frame(|out| {
            let joined: Vec<_> = change.joined.iter().map(member).collect();
            let left: Vec<_> = change.left.iter().map(member).collect();
            native::presence(out, &change.room, change.version, &joined, &left, change.count as u64);
        })
    };
    change.encoded[format as usize].get_or_init(encode).clone()
}

pub(crate) fn read(notice: &ReadNotice, format: WireFormat) -> Bytes {
    let WireFormat::Native = format else { return Bytes::new() };
    in_frame(|out| {
        let of = match &notice.place {
            ReadPlace::Room(room) => native::Of::Room(room),
            ReadPlace::With(other) => native::Of::With(member(other)),
        };
        native::read(out, None, of, &notice.user, notice.offset);
    })
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

/// Publications that are delivered together: their joined bytes, once per wire format.
pub(crate) struct Run<'r> {
    run: &'r [Arc<Publication>],
    joined: [Option<Bytes>; FORMATS],
    /// Several workers share the publications: each takes a copy of the bytes, because a reference count that two
    /// cores write for every subscriber costs more than copying once.
    shared: bool,
}

impl<'r> Run<'r> {
    pub(crate) fn new(run: &'r [Arc<Publication>], shared: bool) -> Run<'r> {
        Run { run, joined: Default::default(), shared }
    }

    /// The bytes of all of them.
    pub(crate) fn whole(&mut self, format: WireFormat) -> Bytes {
        let WireFormat::Native = format else { return Bytes::new() };
        let (run, shared) = (self.run, self.shared);
        self.joined[format as usize]
            .get_or_insert_with(|| match run {
                [one] if !shared => publication(one, format),
                _ => join(run, format),
            })
            .clone()
    }

    /// The bytes of those after an offset, and how many they are; `None` if there are none.
    pub(crate) fn after(&self, format: WireFormat, after: u64) -> Option<(Bytes, u32)> {
        // Ephemeral publications have no offset; they come in order, so those behind `after` are for everyone.
        let behind =
            |publication: &Arc<Publication>| publication.place.is_none_or(|place| place.offset > after);
        let part = &self.run[self.run.iter().position(behind)?..];
        Some((join(part, format), part.len() as u32))
    }
}

fn join(run: &[Arc<Publication>], format: WireFormat) -> Bytes {
    let frames: Vec<Bytes> = run.iter().map(|one| publication(one, format)).collect();
    let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    frames.iter().for_each(|frame| joined.extend_from_slice(frame));
    joined.freeze()
}
