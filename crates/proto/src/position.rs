//! Places in logs: epochs, message ids, positions and cursors, and the strings that stand for them on the wire.
//!
//! The strings are opaque to clients, safe in URLs and canonical: one place has one string, and what does not
//! print back to itself does not parse.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The name of one life of a room's log: 64 random bits, drawn when the log is created or loses anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A message's id: a ULID, that is 48 bits of milliseconds since 1970 and 80 random bits, the time first.
///
/// It is also the proof that a position still means the same message after a log was rewound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

impl MessageId {
    /// The id of no message: what a position at offset 0 holds.
    pub const NIL: Self = Self(0);

    /// An id from the time in ms since 1970 (48 bits are kept) and randomness (80 bits are kept).
    pub const fn new(time_ms: u64, random: u128) -> Self {
        Self(((time_ms as u128 & 0xFFFF_FFFF_FFFF) << 80) | (random & ((1 << 80) - 1)))
    }

    /// When it was made, in ms since 1970.
    pub const fn time_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

/// The position of a publication in its room: `k3.42.01J…` on the wire.
///
/// Offset 0 with [`MessageId::NIL`] is the place before the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: u64,
    pub id: MessageId,
}

/// From where to read on: a position, or an offset of whatever epoch is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Since {
    Position(Position),
    Offset(u64),
}

impl Since {
    /// The offset, whichever way it was given.
    pub const fn offset(self) -> u64 {
        match self {
            Since::Position(position) => position.offset,
            Since::Offset(offset) => offset,
        }
    }
}

/// A place in everything that a store holds: `k3-4711-01J…` on the wire, so that it cannot pass for a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The store's life: 64 random bits, as [`Epoch`] for a room.
    pub life: u64,
    /// The place in commit order.
    pub seq: u64,
    /// The message there, or [`MessageId::NIL`] at seq 0.
    pub id: MessageId,
}

/// The text is not a place that this server can have given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPlace;

impl Display for BadPlace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("not a position or cursor of this server; send one exactly as it came, or an offset")
    }
}

impl std::error::Error for BadPlace {}

impl Display for Epoch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(Base36::new(self.0).as_str())
    }
}

impl Display for MessageId {
    /// 26 characters of Crockford's base 32; the nil id is `0`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if *self == Self::NIL {
            return f.write_str("0");
        }
        let mut text = [0u8; ULID_LENGTH];
        for (place, byte) in text.iter_mut().enumerate() {
            *byte = CROCKFORD[(self.0 >> (125 - 5 * place)) as usize & 31];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.offset, self.id)
    }
}

impl Display for Since {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Since::Position(position) => position.fmt(f),
            Since::Offset(offset) => offset.fmt(f),
        }
    }
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", Epoch(self.life), self.seq, self.id)
    }
}

impl FromStr for Epoch {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        parse_base36(text).map(Epoch).ok_or(BadPlace)
    }
}

impl FromStr for MessageId {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        if text == "0" {
            return Ok(Self::NIL);
        }
        // 26 characters hold 130 bits; the first may only use three of its five.
        if text.len() != ULID_LENGTH || text.as_bytes()[0] > b'7' {
            return Err(BadPlace);
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let digit = CROCKFORD.iter().position(|&known| known == byte).ok_or(BadPlace)?;
            bits = bits << 5 | digit as u128;
        }
        if bits == 0 { Err(BadPlace) } else { Ok(Self(bits)) }
    }
}

impl FromStr for Position {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (epoch, offset, id) = parse_place(text, '.')?;
        Ok(Self { epoch: Epoch(epoch), offset, id })
    }
}

impl FromStr for Since {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        match parse_decimal(text) {
            Some(offset) => Ok(Since::Offset(offset)),
            None => text.parse().map(Since::Position),
        }
    }
}

impl FromStr for Cursor {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (life, seq, id) = parse_place(text, '-')?;
        Ok(Self { life, seq, id })
    }
}

/// A number in lower-case base 36 without an allocation; 64 bits need 13 digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base36 {
    digits: [u8; 13],
    start: usize,
}

impl Base36 {
    pub(crate) fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; 13];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
            number /= 36;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}

/// The number that lower-case base 36 text without leading zeros stands for.
pub(crate) fn parse_base36(text: &str) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        number.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

fn parse_decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn parse_place(text: &str, separator: char) -> Result<(u64, u64, MessageId), BadPlace> {
    let (life, rest) = text.split_once(separator).ok_or(BadPlace)?;
    let (number, id) = rest.split_once(separator).ok_or(BadPlace)?;
    let life = parse_base36(life).ok_or(BadPlace)?;
    let number = parse_decimal(number).ok_or(BadPlace)?;
    Ok((life, number, id.parse()?))
}

/// Crockford's base 32, which leaves out I, L, O and U (ULID specification).
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const ULID_LENGTH: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: MessageId = MessageId(0x0198_3A1B_2C3D_0011_2233_4455_6677_8899);

    #[test]
    fn places_print_as_literal_text() {
        let position = Position { epoch: Epoch(723), offset: 42, id: ID };
        assert_eq!(position.to_string(), "k3.42.01K0X1PB1X008J4CT4ANK7F24S");
        assert_eq!(position.to_string().parse(), Ok(position));
        let cursor = Cursor { life: u64::MAX, seq: 0, id: MessageId::NIL };
        assert_eq!(cursor.to_string(), "3w5e11264sgsf-0-0");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn an_id_begins_with_its_time() {
        let id = MessageId::new(1_790_000_000_000, u128::MAX);
        assert_eq!(id.time_ms(), 1_790_000_000_000);
        assert!(id < MessageId::new(1_790_000_000_001, 0));
        assert!(id.to_string() < MessageId::new(1_790_000_000_001, 0).to_string());
    }

    #[test]
    fn since_takes_a_position_or_an_offset() {
        assert_eq!("42".parse(), Ok(Since::Offset(42)));
        let position = Position { epoch: Epoch(1), offset: 7, id: ID };
        assert_eq!(position.to_string().parse(), Ok(Since::Position(position)));
        assert_eq!(Since::Position(position).offset(), 7);
    }

    #[test]
    fn text_that_was_never_given_out_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "k3",
            "k3.42",
            "k3.42.",
            "K3.42.0",
            "k3.042.0",
            "k3.+42.0",
            "0k3.42.0",
            "k3.42.00",
            "k3.42.0.",
            "k3-42-0",
            "3w5e11264sgsg.1.0",
            "k3.18446744073709551616.0",
            "k3.42.01k0x1pb1x008j4ct4ank7f24s",
            "k3.42.81K0X1PB1X008J4CT4ANK7F24S",
            "k3.42.00000000000000000000000000",
            "k3.42.01K0X1PB1X008J4CT4ANK7F2é",
        ] {
            assert_eq!(text.parse::<Position>(), Err(BadPlace), "{text}");
        }
        assert_eq!("-1".parse::<Since>(), Err(BadPlace));
        assert_eq!("k3.42.0".parse::<Cursor>(), Err(BadPlace));
    }

    proptest! {
        #[test]
        fn every_place_survives_its_text(epoch: u64, offset: u64, id: u128) {
            let position = Position { epoch: Epoch(epoch), offset, id: MessageId(id) };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            prop_assert_eq!(position.to_string().parse(), Ok(Since::Position(position)));
            let cursor = Cursor { life: epoch, seq: offset, id: MessageId(id) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn what_parses_prints_back(text in "[0-9a-zA-Z.]{0,40}|[0-9a-z]{1,3}\\.[0-9]{1,3}\\.[0-7][0-9A-Z]{25}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (text.parse::<Since>(), text.parse::<Cursor>());
        }
    }
}
