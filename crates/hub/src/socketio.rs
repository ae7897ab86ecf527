//! Socket.IO's side of the hub: which hub room is which room of a namespace, and packets as whole frames.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use parlor_proto::limits::ATTACHMENTS;
use parlor_proto::name::RoomName;
use parlor_proto::position::{BadPlace, Position};
use parlor_proto::socketio::{Arguments, MAIN, encode, msgpack};
use parlor_proto::ws::Kind;
use parlor_proto::ws::frame::{self, Opcode};

use crate::encode::WireFormat;
use crate::publication::Publication;

/// What the names of rooms begin with that hold everybody in a namespace.
const EVERYBODY: &str = "$n:";

/// The hub's room for room `room` of a namespace: `N#R`, and `R` alone in the main one, where native clients are.
pub fn room(namespace: &str, room: &str) -> RoomName {
    // A name that could be mistaken for one of the others is spelled out.
    let plain = namespace == MAIN && !room.starts_with(['/', '$']);
    RoomName::internal(if plain { room.to_owned() } else { format!("{namespace}#{room}") })
}

/// The hub's room in which every socket of a namespace is.
pub fn everybody(namespace: &str) -> RoomName {
    RoomName::internal(format!("{EVERYBODY}{namespace}"))
}

/// Whether it is the room of everybody in a namespace.
pub fn is_everybody(room: &str) -> bool {
    room.starts_with(EVERYBODY)
}

/// The namespace that a hub's room belongs to.
pub fn namespace_of(room: &str) -> &str {
    match room.strip_prefix(EVERYBODY) {
        Some(namespace) => namespace,
        None if room.starts_with('/') => room.split_once('#').map_or(MAIN, |(namespace, _)| namespace),
        None => MAIN,
    }
}

/// Frames of an event; `id` asks for an ack, `offset` is for formats whose clients resume.
pub fn event(
    format: WireFormat,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    arguments: &Arguments,
    offset: Option<&str>,
) -> Bytes {
    let arguments = &*readable(format, arguments);
    packet(
        format,
        arguments.attachments(),
        |out| encode::event(out, namespace, id, name, arguments, offset),
        |out| msgpack::event(out, namespace, id, name, arguments, offset),
    )
}

/// What clients of this format can read: those of the text parser take ten attachments, and base64 text stands for
/// bytes when there are more.
fn readable(format: WireFormat, arguments: &Arguments) -> Cow<'_, Arguments> {
    let packed = matches!(format, WireFormat::Msgpack | WireFormat::MsgpackOffset);
    if packed || arguments.attachments().len() <= ATTACHMENTS {
        return Cow::Borrowed(arguments);
    }
    Cow::Owned(arguments.without_binary())
}

/// Frames of an ack.
pub fn ack(format: WireFormat, namespace: &str, id: u64, arguments: &Arguments) -> Bytes {
    let arguments = &*readable(format, arguments);
    packet(
        format,
        arguments.attachments(),
        |out| encode::ack(out, namespace, id, arguments),
        |out| msgpack::ack(out, namespace, id, arguments),
    )
}

/// The frame that lets a client into a namespace.
pub fn connect(format: WireFormat, namespace: &str, sid: &str, pid: Option<&str>) -> Bytes {
    packet(
        format,
        &[],
        |out| match format {
            WireFormat::SocketIoV3 => encode::connect_v2(out, namespace),
            _ => encode::connect(out, namespace, sid, pid),
        },
        |out| msgpack::connect(out, namespace, sid, pid),
    )
}

/// The frame that refuses it; `data` is JSON text.
pub fn connect_error(format: WireFormat, namespace: &str, message: &str, data: Option<&str>) -> Bytes {
    packet(
        format,
        &[],
        |out| match format {
            WireFormat::SocketIoV3 => encode::connect_error_v2(out, namespace, message, data),
            _ => encode::connect_error(out, namespace, message, data),
        },
        |out| msgpack::connect_error(out, namespace, message, data),
    )
}

/// The frame that puts a client out of a namespace.
pub fn disconnect(format: WireFormat, namespace: &str) -> Bytes {
    packet(format, &[], |out| encode::disconnect(out, namespace), |out| msgpack::disconnect(out, namespace))
}

/// Frames of `["type",{…}]` for an object of the native protocol, which begins with its `type`.
pub fn native_event(object: &[u8]) -> Bytes {
    native_event_with(object, &[], None)
}

/// The same with attachments, for which placeholders stand in the object, and a place.
pub fn native_event_with(object: &[u8], attachments: &[Bytes], place: Option<&str>) -> Bytes {
    let kind = object.strip_prefix(b"{\"type\":\"").unwrap_or_default();
    let kind = &kind[..kind.iter().position(|&byte| byte == b'"').unwrap_or(0)];
    let (name, object) = (String::from_utf8_lossy(kind), String::from_utf8_lossy(object));
    let arguments = Arguments::from_parts(object, 1, attachments.to_vec());
    event(WireFormat::SocketIo, MAIN, None, &name, &arguments, place)
}

/// A place in all rooms that a client follows: behind this publication, in the order of the whole store. The position in
/// its room proves that it is still the same one. On the wire one opaque string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub position: Position,
    pub room: RoomName,
}

impl Place {
    /// `None`: it is not stored.
    pub fn of(publication: &Publication) -> Option<Place> {
        let (seq, position) = (publication.place?.seq, publication.position()?);
        Some(Place { seq, position, room: publication.room.clone() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.seq, self.position, self.room.as_str())
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Place, BadPlace> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().ok_or(BadPlace);
        let (seq, position, room) = (next()?, next()?, next()?);
        let seq = seq.parse().map_err(|_| BadPlace)?;
        Ok(Place { seq, position: position.parse()?, room: RoomName::internal(room) })
    }
}

fn packet(
    format: WireFormat,
    attachments: &[Bytes],
    as_text: impl FnOnce(&mut Vec<u8>),
    as_msgpack: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut content = Vec::with_capacity(256);
    let mut out;
    match format {
        WireFormat::Msgpack | WireFormat::MsgpackOffset => {
            as_msgpack(&mut content);
            out = Vec::with_capacity(content.len() + frame::MAX_HEADER);
            frame::write_message(&mut out, Kind::Binary, &content);
        }
        _ => {
            // Engine.IO's digit for a message.
            content.push(b'4');
            as_text(&mut content);
            let attached: usize = attachments.iter().map(|bytes| bytes.len() + frame::MAX_HEADER).sum();
            out = Vec::with_capacity(content.len() + frame::MAX_HEADER + attached);
            frame::write_message(&mut out, Kind::Text, &content);
            for attachment in attachments {
                // Clients of Engine.IO 3 find the digit here too, as a byte.
                let digit: &[u8] = if format == WireFormat::SocketIoV3 { &[4] } else { &[] };
                frame::write_header(&mut out, true, false, Opcode::Binary, digit.len() + attachment.len());
                out.extend_from_slice(digit);
                out.extend_from_slice(attachment);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use parlor_proto::socketio::Binary;

    use super::*;

    #[test]
    fn a_room_of_the_main_namespace_is_the_room_of_that_name() {
        for (namespace, name, expected) in [
            ("/", "lobby", "lobby"),
            ("/chat", "lobby", "/chat#lobby"),
            ("/", "/chat#lobby", "/#/chat#lobby"),
            ("/", "$n:/", "/#$n:/"),
            ("/", "", ""),
        ] {
            let found = room(namespace, name);
            assert_eq!((&*found, namespace_of(&found)), (expected, namespace));
            assert!(!is_everybody(&found));
        }
        assert_eq!(namespace_of(&everybody("/chat")), "/chat");
        assert!(is_everybody(&everybody("/")));
    }

    #[test]
    fn the_header_comes_first_and_then_each_attachment_in_a_frame() {
        let arguments = Arguments::one(&Binary(Bytes::from_static(b"ab"))).unwrap();
        let event = |format| event(format, "/", None, "e", &arguments, None);
        let text = b"\x81\x27451-[\"e\",{\"_placeholder\":true,\"num\":0}]";
        assert_eq!(event(WireFormat::SocketIo), [&text[..], b"\x82\x02ab"].concat());
        assert_eq!(event(WireFormat::SocketIoV3), [&text[..], b"\x82\x03\x04ab"].concat());
        assert_eq!(event(WireFormat::Msgpack)[0], 0x82);
    }

    #[test]
    fn a_place_is_one_string_and_names_any_room() {
        let place = Place {
            seq: 65_536,
            position: "k3.42.01K0X1PB1X008J4CT4ANK7F24S".parse().unwrap(),
            room: RoomName::internal("a/b"),
        };
        let text = "65536/k3.42.01K0X1PB1X008J4CT4ANK7F24S/a/b";
        assert_eq!((place.to_string().as_str(), text.parse()), (text, Ok(place)));
        for bad in ["", "1", "1/k3.42.0", "x/k3.42.0/a", "1/k3/a"] {
            assert_eq!(bad.parse::<Place>(), Err(BadPlace), "{bad}");
        }
    }

    #[test]
    fn a_native_object_is_an_event_of_its_type() {
        let frames = native_event(b"{\"type\":\"message\",\"room\":\"a\"}");
        assert_eq!(&frames[2..], b"42[\"message\",{\"type\":\"message\",\"room\":\"a\"}]");
    }
}
