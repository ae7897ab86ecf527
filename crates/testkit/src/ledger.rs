//! `Ledger`: what publishers and subscribers were told, to be compared with what a store holds afterwards.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::torture::{Stored, read_store};

/// A message where it is: the offset in its room, and its id.
pub type Told = (u64, String);

/// Everything that anybody was told. Each message has a `data` of its own.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By room and data.
    acked: HashMap<(String, String), Told>,
    delivered: HashMap<(String, String), Told>,
}

impl Ledger {
    /// A publisher was told that its message is stored. Told twice, it must be told the same.
    #[track_caller]
    pub fn acked(&mut self, room: &str, data: &str, told: Told) {
        let before = self.acked.insert((room.to_owned(), data.to_owned()), told.clone());
        assert!(
            before.is_none_or(|before| before == told),
            "{data} in {room} was acknowledged at two places"
        );
    }

    /// A subscriber got a message; after a restart it may get it again.
    #[track_caller]
    pub fn delivered(&mut self, room: &str, data: &str, told: Told) {
        let before = self.delivered.insert((room.to_owned(), data.to_owned()), told.clone());
        assert!(before.is_none_or(|before| before == told), "{data} in {room} was delivered at two places");
    }

    /// Compares with a store that no process has open: nothing that was told is missing or elsewhere, nothing is
    /// there twice, no offset is missing. Gives the number of messages.
    #[track_caller]
    pub fn check(&self, store: &Path) -> usize {
        let truth = read_store(store);
        // A room has one epoch, unless its store lost something.
        let stored: HashMap<&String, &Vec<Stored>> =
            truth.logs.iter().filter_map(|(room, epochs)| Some((room, epochs.values().next()?))).collect();
        let mut count = 0;
        for (room, messages) in &stored {
            let mut seen = HashSet::new();
            for (n, Stored { at, data, .. }) in messages.iter().enumerate() {
                assert_eq!(at.offset, n as u64 + 1, "the offsets of {room} have a gap");
                assert!(seen.insert(data), "{data} is twice in {room}");
                count += 1;
            }
        }
        for (what, told) in [("acknowledged", &self.acked), ("delivered", &self.delivered)] {
            for ((room, data), (offset, id)) in told {
                let there = stored.get(room).and_then(|messages| messages.get(*offset as usize - 1));
                let there = there.map(|there| (there.at.offset, there.at.id.to_string(), &there.data));
                let expected = (*offset, id.clone(), data);
                assert_eq!(there, Some(expected), "{data} was {what} in {room} and is not there");
            }
        }
        count
    }
}
