//! `Place`: how far somebody is in several rooms: a cursor, and what was given beyond it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use parlor_proto::limits::ROOMS_PER_CONNECTION;
use parlor_proto::name::RoomName;
use parlor_proto::position::{BadPlace, Cursor, Since};
use sha2::{Digest, Sha256};

/// Whoever comes with a position for each room may be further in one than in another. What is behind all of them comes in
/// the order of the store, so a page may end before a place that a room was at from the start: until it is passed, that
/// room keeps its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of all rooms that have no place of their own.
    pub cursor: Cursor,
    /// Rooms that are somewhere else, and where.
    ahead: Vec<(Key, Since)>,
}

/// Stands for a room's name, which may be long and may hold anything. No longer than what it takes the place of in a URL,
/// `&since=`; should two rooms of one client ever share it, one is told that it is at a place of another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u32);

impl Key {
    fn of(room: &RoomName) -> Key {
        let hash = Sha256::digest(room.as_str());
        Key(hash.iter().take(4).fold(0, |key, byte| key << 8 | u32::from(*byte)))
    }
}

impl Place {
    /// `ahead`: the rooms that are not at the cursor.
    pub fn new(cursor: Cursor, ahead: impl Iterator<Item = (RoomName, Since)>) -> Place {
        Place { cursor, ahead: ahead.map(|(room, since)| (Key::of(&room), since)).collect() }
    }

    /// Where a room is, if it is not at the cursor.
    pub fn ahead(&self, room: &RoomName) -> Option<Since> {
        if self.ahead.is_empty() {
            return None;
        }
        let key = Key::of(room);
        self.ahead.iter().find(|(other, _)| *other == key).map(|(_, since)| *since)
    }
}

impl From<Cursor> for Place {
    fn from(cursor: Cursor) -> Place {
        Place { cursor, ahead: Vec::new() }
    }
}

/// `CURSOR_KEY.SINCE_KEY.SINCE`, with the key in hexadecimal.
impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.cursor.fmt(f)?;
        self.ahead.iter().try_for_each(|(Key(key), since)| write!(f, "_{key:08x}.{since}"))
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Place, BadPlace> {
        let mut parts = text.split('_');
        let cursor = parts.next().unwrap_or_default().parse()?;
        let mut ahead = Vec::new();
        for part in parts {
            let (key, since) = part.split_once('.').ok_or(BadPlace)?;
            let is_key = key.len() == 8 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_key || ahead.len() == ROOMS_PER_CONNECTION {
                return Err(BadPlace);
            }
            ahead.push((Key(u32::from_str_radix(key, 16).map_err(|_| BadPlace)?), since.parse()?));
        }
        Ok(Place { cursor, ahead })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CURSOR: &str = "k3-42-01K0X1PB1X008J4CT4ANK7F24S";

    #[test]
    fn a_place_is_read_as_it_was_written_and_a_cursor_is_one_too() {
        let (lobby, other) = (RoomName::internal("lobby"), RoomName::internal("大厅 #1"));
        let since = "k3.42.01K0X1PB1X008J4CT4ANK7F24S".parse().unwrap();
        let ahead = [(lobby.clone(), since), (other.clone(), Since::Offset(7))];
        let place = Place::new(CURSOR.parse().unwrap(), ahead.into_iter());
        let text = place.to_string();
        assert_eq!(text, format!("{CURSOR}_4b5dc076.k3.42.01K0X1PB1X008J4CT4ANK7F24S_963df3f4.7"));
        assert_eq!(text.parse(), Ok(place.clone()));
        assert_eq!((place.ahead(&lobby), place.ahead(&other)), (Some(since), Some(Since::Offset(7))));
        assert_eq!(place.ahead(&RoomName::internal("b")), None);
        assert_eq!(CURSOR.parse(), Ok(Place::from(CURSOR.parse::<Cursor>().unwrap())));
    }

    #[test]
    fn what_was_never_given_out_is_refused() {
        let too_many = format!("{CURSOR}{}", "_00000001.7".repeat(ROOMS_PER_CONNECTION + 1));
        let with = |part: &str| format!("{CURSOR}{part}");
        for text in [
            with("_"),
            with("_00000001"),
            with("_00000001."),
            with("_1.7"),
            with("_0000000A.7"),
            with("_+0000001.7"),
            with("_00000001.07"),
            with("_00000001.7_"),
            too_many,
        ] {
            assert_eq!(text.parse::<Place>(), Err(BadPlace), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_back(parts in "(_[0-9a-f]{8}\\.[0-9]{1,3}|[_0-9a-zA-Z.~-]{0,5}){0,3}") {
            let text = format!("{CURSOR}{parts}");
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Place>();
        }
    }
}
