//! What a connection is not given yet: its client says one place for all its rooms, so while it is on its way into one of
//! them it gets nothing of the others, and then everything in the order of the store.

use std::sync::Arc;

use parlor_proto::codes::CloseCode;
use parlor_proto::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};
use parlor_proto::name::RoomName;

use super::{CATCHING_UP, Event, Shard, Subscriber, selects};
use crate::connection::ConnectionId;
use crate::join::CatchingUp;
use crate::publication::Publication;
use crate::rooms::RoomKey;

/// Publications that wait for one connection, in the order of `seq`.
#[derive(Debug, Default)]
pub(super) struct Held {
    publications: Vec<Arc<Publication>>,
    bytes: usize,
}

impl Shard {
    /// Holds back what is published in the rooms of a connection, until [`Shard::release`] finds it live in all of them.
    pub(crate) fn hold(&mut self, id: ConnectionId) {
        let Some(entry) = self.entry(id) else { return };
        let live: Vec<RoomKey> = entry
            .rooms
            .iter()
            .filter(|joined| joined.index != CATCHING_UP)
            .map(|joined| joined.key)
            .collect();
        let slot = id.slot();
        self.held.entry(slot).or_default();
        for key in live {
            let Some(Subscriber { after, .. }) = self.set_aside(slot, key) else { continue };
            if let Some(room) = self.rooms.get_mut(&key) {
                room.catching_up.push(CatchingUp::held(slot, after));
            }
        }
    }

    /// Holds back what is published in a room that a connection is on its way into.
    pub(super) fn hold_in(&mut self, slot: u32, key: RoomKey) {
        let waiting = self.rooms.get_mut(&key).map_or(&mut [][..], |room| &mut room.catching_up);
        waiting.iter_mut().filter(|waiting| waiting.slot == slot).for_each(|waiting| {
            *waiting = CatchingUp::held(slot, 0);
        });
    }

    /// What was held back so far, instead of having it sent.
    pub(super) fn take_held(&mut self, slot: u32) -> Option<Vec<Arc<Publication>>> {
        self.held.get_mut(&slot).map(|held| std::mem::take(held).publications)
    }

    pub(crate) fn is_held(&self, slot: u32) -> bool {
        self.held.contains_key(&slot)
    }

    /// Gives a connection what was held back, and what is published from here on, unless it still waits for a room.
    pub(crate) fn release(&mut self, slot: u32) {
        let Some(entry) = self.entries.get_mut(slot).filter(|_| self.held.contains_key(&slot)) else {
            return;
        };
        let mut live = Vec::new();
        for joined in entry.rooms.iter_mut().filter(|joined| joined.index == CATCHING_UP) {
            let Some(room) = self.rooms.get(&joined.key) else { continue };
            let waiting = room.catching_up.iter().find(|waiting| waiting.slot == slot);
            match waiting.map(|waiting| (waiting.held_after(), waiting.is_awaited())) {
                Some((Some(after), _)) => live.push((joined, after)),
                Some((None, true)) => return,
                _ => {}
            }
        }
        for (joined, after) in live {
            if let Some(room) = self.rooms.get_mut(&joined.key) {
                room.catching_up.retain(|waiting| waiting.slot != slot);
                room.enter(slot, joined, after);
            }
        }
        let format = entry.format;
        if let Some(held) = self.held.remove(&slot) {
            self.send_publications(slot, format, &held.publications);
        }
    }

    /// Notes a run of a room's publications for those who are held in it.
    pub(super) fn hold_back_run(&mut self, key: RoomKey, run: &[Arc<Publication>], events: &mut Vec<Event>) {
        let Some(room) = self.rooms.get(&key).filter(|_| !self.held.is_empty()) else { return };
        let held = room.catching_up.iter().filter_map(|waiting| Some((waiting.slot, waiting.held_after()?)));
        for (slot, after) in held.collect::<Vec<_>>() {
            for publication in run {
                if publication.place.is_none_or(|place| place.offset > after) {
                    self.hold_back(slot, publication, events);
                }
            }
        }
    }

    /// Notes a publication for those whom its selector names and who are held.
    pub(super) fn hold_back_selected(
        &mut self,
        key: RoomKey,
        publication: &Arc<Publication>,
        events: &mut Vec<Event>,
    ) {
        let Some(delivery) = publication.delivery.as_deref().filter(|delivery| !delivery.volatile) else {
            return;
        };
        let selector = &delivery.selector;
        let is_for = |slot: &u32| {
            self.entries.get(*slot).is_some_and(|entry| {
                let is_in_its_room = || entry.rooms.iter().any(|joined| joined.key == key);
                selects(selector, &self.keys, entry) && (!selector.is_everybody() || is_in_its_room())
            })
        };
        for slot in self.held.keys().copied().filter(is_for).collect::<Vec<_>>() {
            self.hold_back(slot, publication, events);
        }
    }

    /// Notes what is delivered to a connection, behind everything that it has.
    pub(super) fn hold_back(&mut self, slot: u32, publication: &Arc<Publication>, events: &mut Vec<Event>) {
        let (Some(held), Some(entry)) = (self.held.get_mut(&slot), self.entries.get(slot)) else { return };
        if publication.except != Some(entry.id) {
            held.push(held.publications.len(), publication);
            self.limit_held(slot, events);
        }
    }

    /// Notes what was read from the log of the room that a connection is on its way into, where the store has it.
    pub(crate) fn fill_in(&mut self, slot: u32, page: &[Arc<Publication>], events: &mut Vec<Event>) {
        let Some(held) = self.held.get_mut(&slot) else { return };
        for publication in page {
            let seq = publication.place.map(|place| place.seq);
            let is_later = |held: &Arc<Publication>| held.place.is_some_and(|place| Some(place.seq) > seq);
            let at = held.publications.iter().position(is_later);
            held.push(at.unwrap_or(held.publications.len()), publication);
        }
        self.limit_held(slot, events);
    }

    /// For whom more waits than for a slow reader may, ends like one, and comes back to the place that it has.
    fn limit_held(&mut self, slot: u32, events: &mut Vec<Event>) {
        let is_over = |held: &Held| held.bytes > OUTBOX_BYTES || held.publications.len() > OUTBOX_MESSAGES;
        if self.held.get(&slot).is_some_and(is_over) {
            self.held.insert(slot, Held::default());
            self.cut(slot, CloseCode::SLOW, events);
        }
    }

    /// Forgets what waits of a room that the connection has left; the rest may wait for nothing any more.
    pub(super) fn left_held(&mut self, slot: u32, room: &RoomName) {
        if let Some(held) = self.held.get_mut(&slot) {
            held.publications.retain(|publication| publication.room != *room);
            held.bytes = held.publications.iter().map(|publication| publication.weight()).sum();
            self.release(slot);
        }
    }
}

impl Held {
    fn push(&mut self, at: usize, publication: &Arc<Publication>) {
        self.bytes += publication.weight();
        self.publications.insert(at, Arc::clone(publication));
    }
}
