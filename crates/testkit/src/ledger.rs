//! `Ledger`: what publishers and subscribers were told, to be compared with what a store holds afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::Publication;
use parlor_hub::engine::{Door, Engine, Range};
use parlor_hub::policy::{Log, Policy, Retention};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, Position};

use crate::engine_suite::wait;

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
        let stored = read_all(store);
        let mut count = 0;
        for (room, messages) in &stored {
            let mut seen = HashSet::new();
            for (n, (offset, _, data)) in messages.iter().enumerate() {
                assert_eq!(*offset, n as u64 + 1, "the offsets of {room} have a gap");
                assert!(seen.insert(data), "{data} is twice in {room}");
                count += 1;
            }
        }
        for (what, told) in [("acknowledged", &self.acked), ("delivered", &self.delivered)] {
            for ((room, data), (offset, id)) in told {
                let there = stored.get(room).and_then(|messages| messages.get(*offset as usize - 1));
                let expected = (*offset, id.clone(), data.clone());
                assert_eq!(there, Some(&expected), "{data} was {what} in {room} and is not there");
            }
        }
        count
    }
}

struct Nobody;

impl Door for Nobody {
    fn deliver(&self, _publication: Arc<Publication>) {}
    fn epoch_changed(&self, _room: &RoomName, _epoch: Epoch) {}
}

/// Offset, id and data of all messages of all rooms.
fn read_all(store: &Path) -> BTreeMap<String, Vec<(u64, String, String)>> {
    let policy = Policy { log: Log::Stored(Retention::KEEP), ..Policy::BARE };
    let engine = EmbeddedEngine::open(Settings::new(store)).unwrap_or_else(|error| panic!("{error}"));
    engine.start(Arc::new(Nobody));
    let rooms = wait(|done| engine.rooms("", None, u32::MAX, done)).expect("a list of rooms");
    let mut stored = BTreeMap::new();
    for (room, _) in rooms {
        let mut messages = Vec::new();
        loop {
            let after = messages.len() as u64;
            let page =
                wait(|done| engine.history(&room, policy, Range::After(after), 100, done)).expect("a page");
            messages.extend(page.messages.iter().filter_map(|message| {
                let Position { offset, id, .. } = message.position()?;
                Some((offset, id.to_string(), message.data.to_string()))
            }));
            if !page.more {
                break;
            }
        }
        stored.insert(room.as_str().to_owned(), messages);
    }
    engine.stop();
    stored
}
