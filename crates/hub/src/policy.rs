//! `Policy`: what is allowed and kept in rooms whose names match a pattern.

use std::fmt;
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

/// What is allowed and kept in one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub log: Log,
    pub presence: Presence,
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
    pub const BARE: Policy = Policy { log: Log::None, presence: Presence::Off };

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
        Policy { log, presence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(room: &str, log: Log, presence: Presence) {
        assert_eq!(Policy::stock(room), Policy { log, presence }, "{room}");
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
}
