//! `Shared`: the store as the hub has it, an engine.

use std::fmt;
use std::sync::{Arc, Weak};

use parlor_hub::engine::{
    Begin, Done, Door, Engine, Frontier, Head, Page, Published, Range, Records, Resumed,
};
use parlor_hub::policy::{Ack, Log, Policy};
use parlor_hub::publication::{Draft, Publication};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, Since};

use super::{Job, Store, is_stored};

/// The door of the rings: what comes through it is noted.
struct RingDoor(Weak<Store>);

impl Door for RingDoor {
    fn deliver(&self, publication: Arc<Publication>) {
        if let Some(store) = self.0.upgrade() {
            store.deliver(publication);
        }
    }

    fn epoch_changed(&self, room: &RoomName, epoch: Epoch) {
        let Some(store) = self.0.upgrade() else { return };
        if let Some(door) = store.door.get().and_then(Weak::upgrade) {
            door.epoch_changed(room, epoch);
        }
    }
}

/// The store as the hub has it.
pub(in crate::simulation) struct Shared(pub(in crate::simulation) Arc<Store>);

impl Engine for Shared {
    fn start(&self, door: Arc<dyn Door>) {
        let _ = self.0.door.set(Arc::downgrade(&door));
        self.0.rings.start(Arc::new(RingDoor(Arc::downgrade(&self.0))));
    }

    fn ack(&self) -> Ack {
        Ack::Local
    }

    fn publish(&self, mut draft: Draft, now: u64, done: Done<Published>) {
        let store = &self.0;
        let mut state = store.state();
        draft.id = state.next_id(now);
        let keep = match draft.policy.log {
            Log::Stored(keep) if draft.store => Some(keep),
            Log::Stored(_) if draft.key.is_none() => None,
            _ => {
                drop(state);
                return store.rings.publish(draft, now, done);
            }
        };
        state.queue.push_back(Job { draft, keep, now, done });
    }

    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>) {
        if !is_stored(policy) {
            return self.0.rings.head(room, policy, done);
        }
        let shown = self.0.state().heads.get(room).copied();
        if let Some((head, _)) = shown {
            return done(Ok(head));
        }
        let room = room.clone();
        self.0.read(done, move |disk| disk.read(&room, |log| log.head), |head| *head);
    }

    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>) {
        if !is_stored(policy) {
            return self.0.rings.history(room, policy, range, limit, done);
        }
        let room = room.clone();
        self.0.read(done, move |disk| disk.read(&room, |log| log.page(range, limit)), |page| page.head);
    }

    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>) {
        self.0.meanwhile();
        if !is_stored(policy) {
            return self.0.rings.resume(room, policy, begin, done);
        }
        let shown = self.0.state().heads.get(room).copied();
        if let Some((head, first)) = shown
            && begin == Begin::Since(Since::Position(head.position()))
        {
            let page = Page { head, messages: Vec::new(), more: false, first };
            return done(Ok(Resumed { head, outcome: Ok(page) }));
        }
        let room = room.clone();
        self.0.read(done, move |disk| disk.read(&room, |log| log.resume(begin)), |resumed| resumed.head);
    }

    fn life(&self) -> u64 {
        7
    }

    fn frontier(&self, done: Done<Frontier>) {
        self.0.rings.frontier(done);
    }

    fn rooms(&self, _prefix: &str, _after: Option<&str>, _limit: u32, done: Done<Vec<(RoomName, Head)>>) {
        done(Ok(Vec::new()));
    }

    fn interest(&self, _room: &RoomName, _wanted: bool) {
        self.0.meanwhile();
    }

    fn records(&self) -> &dyn Records {
        self.0.rings.records()
    }

    fn stop(&self) {
        self.0.rings.stop();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
