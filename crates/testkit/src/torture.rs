//! What clients write down while everything goes wrong around them, and the checker that reads it afterwards.
//!
//! A client notes what it was told, in the order in which it was told. [`check()`] compares the notes of all of them with
//! each other and with what the store held in the end; it knows nothing of transports, processes or time.

mod check;
mod lives;
mod read;

use std::collections::BTreeMap;

use parlor_proto::position::{Epoch, Position};

pub use check::{Fault, Rule, check};
pub use lives::check_from;
pub use read::{read_engine, read_store};

/// The notes of one client.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub who: String,
    /// Each with the number of the store's life in which its connection was; see [`Truth`].
    pub notes: Vec<(usize, Note)>,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Its message is stored.
    Acked {
        room: String,
        at: Position,
        data: String,
    },
    /// From here on it follows a room; it had everything up to `since`. `head`: where the room stood, if that was said.
    Joined {
        room: String,
        since: Option<Position>,
        head: Option<Position>,
        outcome: Outcome,
    },
    /// A message; without a place if it is not stored.
    Message {
        room: String,
        at: Option<Position>,
        data: String,
    },
    /// It has everything in its rooms up to this place of the store.
    Passed {
        seq: u64,
    },
    Left {
        room: String,
    },
    /// Its connection is over, and it follows nothing any more.
    Cut {
        code: u16,
    },
    /// Nothing is on its way to anybody: it must have everything.
    Quiet,
}

/// What a client is told about the gap behind its position.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It showed no position: what comes begins at the head, or with so many messages before it.
    Fresh,
    Recovered,
    /// The gap is not given, for this reason.
    Lost(String),
}

/// Everything that a store held in one of its lives. A backup that is put back begins another life.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// All messages that were ever stored in it, the first with offset 1, by room and epoch. Of a room that is not here
    /// nothing is known, and only clients are compared.
    pub logs: BTreeMap<String, BTreeMap<Epoch, Vec<Stored>>>,
    /// What was spread without being stored, in the order of the rooms.
    pub passed: BTreeMap<String, Vec<String>>,
}

impl Truth {
    /// Whether it has this message there; `None` if nothing is known of the room.
    pub fn has(&self, room: &str, place: Position) -> Option<bool> {
        let log = self.logs.get(room)?.get(&place.epoch);
        let found = place.offset.checked_sub(1).zip(log).and_then(|(index, log)| log.get(index as usize));
        Some(place.offset == 0 || found.is_some_and(|stored| stored.at == place))
    }

    /// It began as a copy of `before`: until somebody noticed, its logs went by the names that they had there.
    pub fn also_called(&mut self, before: &Truth) {
        for (room, epochs) in &mut self.logs {
            let Some(messages) = epochs.values().next().cloned() else { continue };
            for epoch in before.logs.get(room).into_iter().flat_map(BTreeMap::keys) {
                let as_before = |stored: &Stored| {
                    let mut stored = stored.clone();
                    stored.at.epoch = *epoch;
                    stored
                };
                epochs.entry(*epoch).or_insert_with(|| messages.iter().map(as_before).collect());
            }
        }
    }
}

/// A message in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub at: Position,
    pub seq: u64,
    pub data: String,
}
