//! Reading everything that a store holds.

use std::path::Path;
use std::sync::Arc;

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::Publication;
use parlor_hub::engine::{Door, Engine, Range};
use parlor_hub::policy::{Log, Policy, Retention};
use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;

use super::{Stored, Truth};
use crate::engine_suite::wait;

struct Nobody;

impl Door for Nobody {
    fn deliver(&self, _publication: Arc<Publication>) {}
    fn epoch_changed(&self, _room: &RoomName, _epoch: Epoch) {}
}

/// What an embedded store holds that no process has open.
#[track_caller]
pub fn read_store(dir: &Path) -> Truth {
    read_engine(&EmbeddedEngine::open(Settings::new(dir)).unwrap_or_else(|error| panic!("{error}")))
}

/// All messages of all rooms, by an engine that is used for nothing else. Data is JSON text as it was sent.
#[track_caller]
pub fn read_engine(engine: &dyn Engine) -> Truth {
    let policy = Policy { log: Log::Stored(Retention::KEEP), ..Policy::BARE };
    engine.start(Arc::new(Nobody));
    let rooms = wait(|done| engine.rooms("", None, u32::MAX, done)).expect("a list of rooms");
    let mut truth = Truth::default();
    for (room, head) in rooms {
        let mut messages = Vec::new();
        loop {
            let after = messages.last().map_or(0, |last: &Stored| last.at.offset);
            let page =
                wait(|done| engine.history(&room, policy, Range::After(after), 100, done)).expect("a page");
            messages.extend(page.messages.iter().filter_map(|message| {
                let data = message.data.to_string();
                Some(Stored { at: message.position()?, seq: message.place?.seq, data })
            }));
            if !page.more {
                break;
            }
        }
        truth.logs.entry(room.as_str().to_owned()).or_default().insert(head.epoch, messages);
    }
    engine.stop();
    truth
}
