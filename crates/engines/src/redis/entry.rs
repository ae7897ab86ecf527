//! What is kept of a publication in a stream and sent on a channel, as bytes; and back again from bytes that anybody
//! who reaches the Redis may have written.
//!
//! A list of fields, each a tag, a length of 32 bits (little-endian) and so many bytes. A reader passes over tags that
//! it does not know, so a newer Parlor may add fields while an older one still runs.

use parlor_hub::connection::ConnectionId;
use parlor_hub::encode::Encodings;
use parlor_hub::publication::{Author, Delivery, Draft, Form, Place, Publication};
use parlor_hub::selector::Selector;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::json;
use parlor_proto::limits::{DEPTH, SOCKETIO_PAYLOAD};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};
use serde_json::value::RawValue;

const ROOM: u8 = 1;
const EVENT_NAME: u8 = 2;
const DATA: u8 = 3;
const FORM: u8 = 4;
const USER: u8 = 5;
const NAME: u8 = 6;
const TO_USER: u8 = 7;
const TO_NAME: u8 = 8;
const EXCEPT: u8 = 9;
const VOLATILE: u8 = 10;
const ONLY_ROOM: u8 = 11;
const ONLY_CONNECTION: u8 = 12;
const EXCEPT_ROOM: u8 = 13;
const EXCEPT_CONNECTION: u8 = 14;

/// The longest name that is believed, of a room, an account or an event. The limits of clients are lower; applications
/// make names of their own.
const NAME_BYTES: usize = 1024;

/// The longest `data`: a client's is at most the half.
const DATA_BYTES: usize = 2 * SOCKETIO_PAYLOAD;

/// Refuses what the other nodes would not believe.
pub(super) fn check(draft: &Draft) -> Result<(), Refusal> {
    let most =
        |what, size, limit| if size > limit { Err(Refusal::too_large(what, size, limit)) } else { Ok(()) };
    most("the data", draft.data.len(), DATA_BYTES)?;
    most("the name of the event", draft.event.len(), NAME_BYTES)?;
    most("the name of the room", draft.room.as_str().len(), NAME_BYTES)?;
    if let Some(Delivery { selector: Selector { rooms, except, .. }, .. }) = draft.delivery.as_deref() {
        for room in rooms.iter().chain(except) {
            most("the name of a room", room.as_str().len(), NAME_BYTES)?;
        }
    }
    match json::depth(&draft.data) {
        depth if depth > DEPTH => {
            let message = format!("the data is nested {depth} levels deep, the limit is {DEPTH}");
            Err(Refusal::new(Code::TooDeep, message))
        }
        _ => Ok(()),
    }
}

/// The bytes of a publication; its place and time are written by Redis beside them.
pub(super) fn encode(publication: &Publication) -> Vec<u8> {
    let mut out = Vec::with_capacity(publication.weight() + 128);
    put(&mut out, ROOM, publication.room.as_str());
    put(&mut out, EVENT_NAME, &*publication.event);
    put(&mut out, DATA, &*publication.data);
    if let Some(form) = publication.form.to_stored() {
        put(&mut out, FORM, form);
    }
    for (author, user, name) in [(&publication.author, USER, NAME), (&publication.to, TO_USER, TO_NAME)] {
        if let Some(author) = author {
            put(&mut out, user, &*author.user);
            put(&mut out, name, &*author.name);
        }
    }
    if let Some(connection) = publication.except {
        put(&mut out, EXCEPT, connection.to_string());
    }
    if let Some(delivery) = &publication.delivery {
        let Selector { rooms, connections, except, except_connections } = &delivery.selector;
        rooms.iter().for_each(|room| put(&mut out, ONLY_ROOM, room.as_str()));
        connections.iter().for_each(|id| put(&mut out, ONLY_CONNECTION, id.to_string()));
        except.iter().for_each(|room| put(&mut out, EXCEPT_ROOM, room.as_str()));
        except_connections.iter().for_each(|id| put(&mut out, EXCEPT_CONNECTION, id.to_string()));
        put(&mut out, VOLATILE, [u8::from(delivery.volatile)]);
    }
    out
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The publication that bytes stand for; `None` if it cannot have been written by a Parlor.
pub(super) fn decode(id: MessageId, place: Option<Place>, time: u64, bytes: &[u8]) -> Option<Publication> {
    let (mut room, mut event, mut data, mut form) = (None, None, None, None);
    let (mut user, mut name, mut to_user, mut to_name) = (None, None, None, None);
    let (mut except, mut volatile) = (None, None);
    let mut selector = Selector::default();
    let mut rest = bytes;
    while let Some((tag, field, behind)) = next_field(rest)? {
        rest = behind;
        match tag {
            ROOM => room = Some(room_name(field)?),
            EVENT_NAME => event = Some(text(field, NAME_BYTES)?),
            DATA => data = Some(text(field, DATA_BYTES)?),
            FORM => form = Some(field),
            USER => user = Some(text(field, NAME_BYTES)?),
            NAME => name = Some(text(field, NAME_BYTES)?),
            TO_USER => to_user = Some(text(field, NAME_BYTES)?),
            TO_NAME => to_name = Some(text(field, NAME_BYTES)?),
            EXCEPT => except = Some(connection(field)?),
            VOLATILE => volatile = Some(field == [1]),
            ONLY_ROOM => selector.rooms.push(room_name(field)?),
            ONLY_CONNECTION => selector.connections.push(connection(field)?),
            EXCEPT_ROOM => selector.except.push(room_name(field)?),
            EXCEPT_CONNECTION => selector.except_connections.push(connection(field)?),
            _ => {}
        }
    }
    let data = data?;
    // It is written into clients' frames as it stands.
    serde_json::from_str::<&RawValue>(data).ok()?;
    if json::depth(data) > DEPTH {
        return None;
    }
    let author = |user: Option<&str>, name: Option<&str>| {
        user.map(|user| Author { user: user.into(), name: name.unwrap_or(user).into() })
    };
    Some(Publication {
        room: room?,
        place,
        id,
        event: event?.into(),
        data: data.into(),
        form: Form::from_stored(form, data),
        author: author(user, name),
        to: author(to_user, to_name),
        time,
        except,
        delivery: volatile.map(|volatile| Box::new(Delivery { selector, volatile, ack: None })),
        encodings: Encodings::default(),
    })
}

fn text(bytes: &[u8], most: usize) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= most)
}

fn room_name(bytes: &[u8]) -> Option<RoomName> {
    text(bytes, NAME_BYTES).map(RoomName::internal)
}

fn connection(bytes: &[u8]) -> Option<ConnectionId> {
    ConnectionId::parse(text(bytes, 64)?)
}

/// Who is in a room, as bytes.
pub(super) fn encode_present(room: &RoomName, who: &Author) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, ROOM, room.as_str());
    put(&mut out, USER, &*who.user);
    put(&mut out, NAME, &*who.name);
    out
}

/// The room and the account that bytes stand for.
pub(super) fn decode_present(bytes: &[u8]) -> Option<(RoomName, Author)> {
    let (mut room, mut user, mut name) = (None, None, None);
    let mut rest = bytes;
    while let Some((tag, field, behind)) = next_field(rest)? {
        rest = behind;
        match tag {
            ROOM => room = Some(room_name(field)?),
            USER => user = Some(text(field, NAME_BYTES)?),
            NAME => name = Some(text(field, NAME_BYTES)?),
            _ => {}
        }
    }
    Some((room?, Author { user: user?.into(), name: name?.into() }))
}

/// Tag, bytes and what is behind them; `Some(None)` at the end, `None` if it is cut short.
#[allow(clippy::type_complexity)]
fn next_field(bytes: &[u8]) -> Option<Option<(u8, &[u8], &[u8])>> {
    let Some((&tag, behind)) = bytes.split_first() else { return Some(None) };
    let (length, behind) = behind.split_first_chunk::<4>()?;
    let (field, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some(Some((tag, field, behind)))
}

/// What arrives on a channel: who spread it, and what. The line before the bytes is written by a script.
pub(super) struct Spread {
    /// The node that published it.
    pub(super) node: u64,
    pub(super) publication: Publication,
}

/// Reads `p1 NODE EPOCH OFFSET SEQ TIME ID` and the bytes of a publication; EPOCH is `-` for what is not kept.
pub(super) fn decode_spread(bytes: &[u8]) -> Option<Spread> {
    // The line is at most 132 bytes.
    let end = bytes.iter().take(160).position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut words = line.split(' ');
    if words.next()? != "p1" {
        return None;
    }
    let node = hex(words.next()?)?;
    let epoch = words.next()?;
    let (offset, seq, time) = (number(words.next()?)?, number(words.next()?)?, number(words.next()?)?);
    let id = message_id(words.next()?)?;
    if words.next().is_some() {
        return None;
    }
    let place = match epoch {
        "-" => None,
        epoch => Some(Place { epoch: Epoch(hex(epoch)?), offset, seq }),
    };
    if place.is_some_and(|place| place.offset == 0) {
        return None;
    }
    Some(Spread { node, publication: decode(id, place, time, &bytes[end + 1..])? })
}

/// Numbers that Redis's scripts count with are exact up to 2^53.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

pub(super) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| plain && number <= NUMBER_MAX)
}

/// 16 hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<u64> {
    let plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(text, 16).ok())?
}

pub(super) fn hex_of(number: u64) -> String {
    format!("{number:016x}")
}

/// 32 hexadecimal digits.
pub(super) fn message_id(text: &str) -> Option<MessageId> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok().map(MessageId))?
}

pub(super) fn text_of(id: MessageId) -> String {
    format!("{:032x}", id.0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn full() -> Publication {
        let connection = ConnectionId::new(7, 1, 2);
        let selector = Selector {
            rooms: vec![RoomName::internal("a b"), RoomName::internal("")],
            connections: vec![connection],
            except: vec![RoomName::internal("#x")],
            except_connections: vec![connection, connection],
        };
        let author = |name: &str| Some(Author { user: format!("g{name}").into(), name: name.into() });
        Publication {
            room: RoomName::internal("room"),
            place: Some(Place { epoch: Epoch(0xAB), offset: 3, seq: 9 }),
            id: MessageId(5),
            event: "message".into(),
            data: r#"["ä",{"_placeholder":true,"num":0}]"#.into(),
            form: Form::from_stored(
                Some(b"\x02\0\0\0\x03\0\0\0\0\n\xFF"),
                r#"["ä",{"_placeholder":true,"num":0}]"#,
            ),
            author: author("ann"),
            to: author("bob"),
            time: 12,
            except: Some(connection),
            delivery: Some(Box::new(Delivery { selector, volatile: true, ack: None })),
            encodings: Encodings::default(),
        }
    }

    fn line() -> Vec<u8> {
        let mut bytes =
            b"p1 00000000000000ff 00000000000000ab 3 9 12 00000000000000000000000000000005\n".to_vec();
        bytes.extend(encode(&full()));
        bytes
    }

    #[test]
    fn what_is_spread_arrives_whole() {
        let spread = decode_spread(&line()).expect("ours");
        let (sent, got) = (full(), spread.publication);
        assert_eq!(spread.node, 0xFF);
        assert_eq!((&got.room, got.place, got.id, got.time), (&sent.room, sent.place, sent.id, sent.time));
        assert_eq!((&got.event, &got.data, &got.form), (&sent.event, &sent.data, &sent.form));
        assert!(
            matches!(&got.form, Form::Attached { attachments, .. } if attachments[0] == Bytes::from_static(b"\0\n\xFF"))
        );
        assert_eq!((&got.author, &got.to, got.except), (&sent.author, &sent.to, sent.except));
        let (got, sent) = (got.delivery.expect("a delivery"), sent.delivery.expect("a delivery"));
        assert_eq!((got.selector, got.volatile), (sent.selector, true));
    }

    #[test]
    fn a_field_of_a_newer_version_is_passed_over() {
        let mut bytes = encode(&full());
        put(&mut bytes, 200, "new");
        assert!(decode(MessageId(5), None, 0, &bytes).is_some());
    }

    #[test]
    fn what_no_parlor_wrote_is_not_believed() {
        let good = line();
        // No byte may be missing, and no cut or flipped byte may do worse than be refused.
        for cut in 0..good.len() {
            assert!(decode_spread(&good[..cut]).is_none() || cut > 100, "cut at {cut}");
        }
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                decode_spread(&bad);
            }
        }
        let replaced = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&good).replacen(from, to, 1);
            decode_spread(text.as_bytes()).is_none()
        };
        for (from, to) in [
            ("p1", "p2"),
            (" 3 9", " 0 9"),
            (" 3 9", " -3 9"),
            (" 3 9", " 99999999999999999999 9"),
            (" 3 9", " 3 9 9"),
            ("00ff ", "00fg "),
            ("\n", " "),
        ] {
            assert!(replaced(from, to), "{from:?} to {to:?}");
        }
        for bytes in [&b""[..], b"\n", b"\x80\x04\x95pickle", b"{\"method\":\"emit\"}", &[0xFF; 4096]] {
            assert!(decode_spread(bytes).is_none());
        }
        let mut not_json = encode(&full());
        put(&mut not_json, DATA, "{");
        assert!(decode(MessageId(5), None, 0, &not_json).is_none());
        let mut deep = encode(&full());
        put(&mut deep, DATA, "[".repeat(DEPTH + 1) + &"]".repeat(DEPTH + 1));
        assert!(decode(MessageId(5), None, 0, &deep).is_none());
    }
}
