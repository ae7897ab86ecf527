//! `Policy`: what is allowed and kept in rooms whose names match a pattern.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What an acknowledgement to the publisher is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Handed on; nothing is kept.
    None,
    /// In this process's memory.
    Memory,
    /// Synced to this machine's disk.
    Local,
}

impl Ack {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Ack::None => "none",
            Ack::Memory => "memory",
            Ack::Local => "local",
        }
    }
}

/// Whether a room has a log and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// No log: no epoch, no offset, no resume.
    None,
    /// A ring in memory, with a new epoch at each start of the process.
    Memory(Retention),
    /// The engine's durable log. The memory engine keeps it in memory and says so in the ack.
    Stored(Retention),
}

/// What a log keeps; the oldest messages go first. Offsets never restart, even when all is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub messages: Option<u64>,
    pub bytes: Option<u64>,
    pub age_ms: Option<u64>,
}

impl Retention {
    /// Kept until an operator says otherwise.
    pub const KEEP: Retention = Retention { messages: None, bytes: None, age_ms: None };
}

/// What subscribers are told about who is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Off,
    /// How many, not who.
    Counts,
    Members,
}

/// What becomes of a room's messages for a subscriber who reads more slowly than they come, once the limits of what
/// waits are reached. Nobody waits for such a subscriber, and whoever keeps up notices nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The connection is cut (4008) and resumes from where it was.
    #[default]
    Disconnect,
    /// The oldest that wait are dropped, and a gap stands in their place.
    DropOldest,
    /// Only the newest message waits, whatever the limits; what it takes the place of is not missed.
    LatestOnly,
}

/// What is allowed and kept in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub log: Log,
    pub presence: Presence,
    pub overflow: Overflow,
}

/// Which policy holds for a room's name.
#[derive(Clone)]
pub struct Policies(Arc<dyn Fn(&str) -> Policy + Send + Sync>);

impl Policies {
    pub fn new(policy: impl Fn(&str) -> Policy + Send + Sync + 'static) -> Policies {
        Policies(Arc::new(policy))
    }

    pub fn of(&self, room: &str) -> Policy {
        (self.0)(room)
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `recent:*`: enough to come back after a week's holiday, bounded for rooms that nobody looks after.
const RECENT: Retention =
    Retention { messages: Some(1_000), bytes: Some(16 * 1024 * 1024), age_ms: Some(7 * DAY_MS) };

/// `memory:*`: one resume (at most 1,000 messages) always fits.
const RING: Retention = Retention { messages: Some(1_000), bytes: Some(16 * 1024 * 1024), age_ms: None };

impl Policy {
    /// Nothing is kept and nobody is told who is there: the rooms of an application that asks for no more.
    pub const BARE: Policy =
        Policy { log: Log::None, presence: Presence::Off, overflow: Overflow::Disconnect };

    /// The stock server's rule for a room of this name. Rooms that begin with `$` are the server's own: the
    /// direct conversations, which are kept and have no presence.
    pub fn stock(room: &str) -> Policy {
        let (log, presence) = match room.split_once(':').map(|(kind, _)| kind) {
            _ if room.starts_with('$') => (Log::Stored(Retention::KEEP), Presence::Off),
            Some("live") => (Log::None, Presence::Counts),
            Some("memory") => (Log::Memory(RING), Presence::Members),
            Some("recent") => (Log::Stored(RECENT), Presence::Members),
            _ => (Log::Stored(Retention::KEEP), Presence::Members),
        };
        Policy { log, presence, overflow: Overflow::Disconnect }
    }
}

/// Rooms whose messages may be dropped for slow readers, by name; in all others such a reader is cut.
#[derive(Clone, Debug, Default)]
pub struct Overflows(Vec<(RoomPattern, Overflow)>);

impl Overflows {
    pub fn set(&mut self, rooms: RoomPattern, overflow: Overflow) {
        self.0.push((rooms, overflow));
    }

    /// The most exact pattern that fits decides, the last one of those that are alike.
    pub fn of(&self, room: &str) -> Overflow {
        let fitting = self.0.iter().filter(|(rooms, _)| rooms.fits(room));
        fitting.max_by_key(|(rooms, _)| (rooms.name.len(), !rooms.open)).map(|row| row.1).unwrap_or_default()
    }
}

/// Names of rooms: one, or with a `*` at the end all that begin so. None of the server's own (`$`) fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPattern {
    name: String,
    /// More may follow.
    open: bool,
}

/// A pattern has its `*` at the end, if any, and is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

impl RoomPattern {
    fn fits(&self, room: &str) -> bool {
        !room.starts_with('$') && if self.open { room.starts_with(&self.name) } else { room == self.name }
    }
}

impl FromStr for RoomPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<RoomPattern, BadPattern> {
        let (name, open) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        let good = !name.contains('*') && !text.is_empty() && !name.starts_with('$');
        if good { Ok(RoomPattern { name: name.to_owned(), open }) } else { Err(BadPattern) }
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rooms are named by a name, or by its beginning and a * at the end, as in ticks:*")
    }
}

impl std::error::Error for BadPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(room: &str, log: Log, presence: Presence) {
        assert_eq!(Policy::stock(room), Policy { log, presence, overflow: Overflow::Disconnect }, "{room}");
    }

    #[test]
    fn the_name_of_a_room_decides_what_is_kept() {
        check("lobby", Log::Stored(Retention::KEEP), Presence::Members);
        check("livestock", Log::Stored(Retention::KEEP), Presence::Members);
        check("live:goals", Log::None, Presence::Counts);
        check("memory:game", Log::Memory(RING), Presence::Members);
        check("recent:news", Log::Stored(RECENT), Presence::Members);
        check("$d:a:b", Log::Stored(Retention::KEEP), Presence::Off);
    }

    #[test]
    fn the_most_exact_pattern_says_what_becomes_of_slow_readers() {
        let mut overflows = Overflows::default();
        for (rooms, overflow) in [
            ("ticks:*", Overflow::DropOldest),
            ("ticks:last:*", Overflow::LatestOnly),
            ("ticks:last:gold", Overflow::Disconnect),
            ("cursor", Overflow::LatestOnly),
        ] {
            overflows.set(rooms.parse().unwrap(), overflow);
        }
        for (room, overflow) in [
            ("ticks:", Overflow::DropOldest),
            ("ticks:gold", Overflow::DropOldest),
            ("ticks:last:tin", Overflow::LatestOnly),
            ("ticks:last:gold", Overflow::Disconnect),
            ("ticks:last:golden", Overflow::LatestOnly),
            ("cursor", Overflow::LatestOnly),
            ("cursors", Overflow::Disconnect),
            ("lobby", Overflow::Disconnect),
        ] {
            assert_eq!(overflows.of(room), overflow, "{room}");
        }
        let mut all = Overflows::default();
        all.set("*".parse().unwrap(), Overflow::DropOldest);
        assert_eq!((all.of("a"), all.of("$d:a:b")), (Overflow::DropOldest, Overflow::Disconnect));
        for bad in ["", "a*b", "**", "$d:*"] {
            assert_eq!(bad.parse::<RoomPattern>(), Err(BadPattern), "{bad}");
        }
    }
}
