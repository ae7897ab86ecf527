//! The places of a shard's connections in rooms, for `join` and for the fan-out.

use parlor_proto::limits::ROOMS_PER_CONNECTION;
use parlor_proto::name::RoomName;

use super::{CATCHING_UP, Entry, Event, Heard, Joined, Quiet, Shard, ShardRoom, Subscriber};
use crate::command::Ticket;
use crate::connection::ConnectionId;
use crate::encode::WireFormat;
use crate::join::{CatchingUp, Who};
use crate::rooms::RoomKey;
use crate::socketio;

impl Shard {
    pub(crate) fn entry(&self, id: ConnectionId) -> Option<&Entry> {
        self.entries.get(id.slot()).filter(|entry| entry.id == id)
    }

    pub(crate) fn entry_mut(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        self.entries.get_mut(id.slot()).filter(|entry| entry.id == id)
    }

    /// The room's key, if the connection is in it.
    pub(crate) fn joined(&self, id: ConnectionId, room: &RoomName) -> Option<RoomKey> {
        let key = *self.keys.get(room)?;
        self.entry(id)?.rooms.iter().any(|joined| joined.key == key).then_some(key)
    }

    pub(crate) fn is_in_too_many_rooms(&self, id: ConnectionId) -> bool {
        self.entry(id).is_some_and(|entry| entry.rooms.len() >= ROOMS_PER_CONNECTION)
    }

    /// Notes that the connection is catching up in a room.
    pub(crate) fn begin_catching_up(
        &mut self,
        id: ConnectionId,
        key: RoomKey,
        name: &RoomName,
        ticket: Ticket,
        format: Option<WireFormat>,
    ) {
        let slot = id.slot();
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let format = format.unwrap_or(entry.format);
        if entry.rooms.iter().any(|joined| joined.key == key) {
            self.set_aside(slot, key);
        } else {
            entry.rooms.push(Joined { key, index: CATCHING_UP, format, given: 0, quiet: None });
        }
        let room = self.room_of(name, key);
        room.catching_up.retain(|waiting| waiting.slot != slot);
        room.catching_up.push(CatchingUp::new(slot, ticket));
    }

    /// Enters a connection that wants nothing from the log; it was counted as a subscriber when it was said.
    pub(super) fn enter(
        &mut self,
        id: ConnectionId,
        name: &RoomName,
        key: RoomKey,
        format: WireFormat,
        now: u64,
    ) {
        let slot = id.slot();
        let entry = self.entries.get_mut(slot).filter(|entry| entry.id == id && !entry.left);
        let Some(entry) = entry.filter(|entry| entry.rooms.iter().all(|joined| joined.key != key)) else {
            // It is gone or about to go, or in the room already.
            self.hub.leave_room(self.worker, name, Who::Counted(None), now);
            return;
        };
        let joined = entry.rooms.len();
        entry.rooms.push(Joined { key, index: CATCHING_UP, format, given: 0, quiet: None });
        let room = self.room_of(name, key);
        let index = room.live.len() as u32;
        room.live.push(Subscriber { slot, format, after: 0 });
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.rooms[joined].index = index;
        }
    }

    /// The room's subscribers on this worker.
    fn room_of(&mut self, name: &RoomName, key: RoomKey) -> &mut ShardRoom {
        self.rooms.entry(key).or_insert_with(|| {
            self.keys.insert(name.clone(), key);
            ShardRoom {
                name: name.clone(),
                live: Vec::new(),
                catching_up: Vec::new(),
                passed: None,
                given: 0,
                quiet: None,
                newest: None,
            }
        })
    }

    /// Moves a connection from those that catch up to those that get what is published.
    pub(crate) fn enter_live(&mut self, id: ConnectionId, key: RoomKey, after: u64, events: &mut Vec<Event>) {
        let slot = id.slot();
        let Some(entry) = self.entries.get_mut(slot).filter(|entry| entry.id == id) else { return };
        let Some(joined) = entry.rooms.iter_mut().find(|joined| joined.key == key) else { return };
        let Some(room) = self.rooms.get_mut(&key) else { return };
        room.catching_up.retain(|waiting| waiting.slot != slot);
        if self.held.contains_key(&slot) {
            room.catching_up.push(CatchingUp::held(slot, after));
            return self.release(slot);
        }
        room.enter(slot, joined, after);
        match joined.format {
            WireFormat::Sse => self.settle(slot, events),
            // What was delivered while it was on its way in is in the log.
            WireFormat::Bell => self.mark_dirty(slot),
            _ => {}
        }
    }

    /// Has publications carry ids once all rooms that a connection follows with ids are live: what is delivered from
    /// then on comes in the order of `seq` across them.
    pub(crate) fn settle(&mut self, slot: u32, events: &mut Vec<Event>) {
        let Some(entry) = self.entries.get(slot) else { return };
        let followed = || entry.rooms.iter().filter(|joined| joined.format == WireFormat::Sse);
        if followed().next().is_none() || followed().any(|joined| joined.index == CATCHING_UP) {
            return;
        }
        let mut newest = None;
        for joined in followed() {
            let Some(room) = self.rooms.get_mut(&joined.key) else { continue };
            newest = newest.max(room.newest);
            if let Some(subscriber) = room.live.get_mut(joined.index as usize) {
                subscriber.format = WireFormat::Sse;
            }
        }
        events.push(Event::Settled { connection: entry.id, newest });
    }

    /// How far a connection is in a room's log, or was when it left everything; `None` while it catches up, and as long
    /// as nothing was delivered there.
    pub fn heard(&self, id: ConnectionId, room: &RoomName) -> Option<Heard> {
        let entry = self.entry(id)?;
        let left = entry.heard.iter().find(|(name, _)| name == room).map(|(_, heard)| *heard);
        left.or_else(|| {
            let key = self.keys.get(room)?;
            self.heard_in(entry.rooms.iter().find(|joined| joined.key == *key)?)
        })
    }

    fn heard_in(&self, joined: &Joined) -> Option<Heard> {
        let room = self.rooms.get(&joined.key).filter(|_| joined.index != CATCHING_UP)?;
        // What was for everybody ended a silence for this one only if nothing else had since.
        let of_all = room.quiet.filter(|quiet| joined.given < quiet.until.offset);
        let of_all = of_all.map(|quiet| Quiet { after: quiet.after.max(joined.given), ..quiet });
        let quiet = [joined.quiet.as_deref().copied(), of_all];
        Some(Heard { passed: room.passed?, given: room.given.max(joined.given), quiet })
    }

    /// How far a connection is in the logs of everybody in a namespace: the only ones of which a part is for it.
    pub(super) fn heard_of_logs(&self, id: ConnectionId) -> Vec<(RoomName, Heard)> {
        let rooms = self.entry(id).map_or(&[][..], |entry| &entry.rooms);
        let everybody = rooms.iter().filter_map(|joined| {
            let name = &self.rooms.get(&joined.key)?.name;
            socketio::is_everybody(name).then_some((name.clone(), self.heard_in(joined)?))
        });
        everybody.collect()
    }

    /// The wire format that a connection wants of a room.
    pub(crate) fn format_in(&self, slot: u32, key: RoomKey) -> WireFormat {
        let entry = self.entries.get(slot);
        let joined = entry.and_then(|entry| entry.rooms.iter().find(|joined| joined.key == key));
        joined.map_or(WireFormat::Raw, |joined| joined.format)
    }

    /// Takes a connection out of one room; `None` if it was not in it.
    pub(crate) fn leave(&mut self, id: ConnectionId, room: &RoomName, now: u64) -> Option<()> {
        let key = self.joined(id, room)?;
        let entry = self.entry_mut(id)?;
        let index = entry.rooms.iter().position(|joined| joined.key == key)?;
        let joined = entry.rooms.swap_remove(index);
        self.remove_subscriber(id.slot(), &joined, now);
        self.left_held(id.slot(), room);
        Some(())
    }

    pub(super) fn remove_subscriber(&mut self, slot: u32, joined: &Joined, now: u64) {
        let author = self.entries.get(slot).and_then(|entry| entry.author.clone());
        self.remove_from_live(joined.key, joined.index);
        let Some(room) = self.rooms.get_mut(&joined.key) else { return };
        room.catching_up.retain(|waiting| waiting.slot != slot);
        let name = room.name.clone();
        if room.live.is_empty() && room.catching_up.is_empty() {
            self.rooms.remove(&joined.key);
            self.keys.remove(&name);
        }
        self.hub.leave_room(self.worker, &name, Who::of(author.as_ref(), Some(joined.format)), now);
    }

    /// Has a connection get nothing in a room that it stays in.
    pub(super) fn set_aside(&mut self, slot: u32, key: RoomKey) -> Option<Subscriber> {
        let entry = self.entries.get_mut(slot)?;
        let joined = entry.rooms.iter_mut().find(|joined| joined.key == key)?;
        let index = std::mem::replace(&mut joined.index, CATCHING_UP);
        self.remove_from_live(key, index)
    }

    fn remove_from_live(&mut self, key: RoomKey, index: u32) -> Option<Subscriber> {
        let room = self.rooms.get_mut(&key).filter(|_| index != CATCHING_UP)?;
        let removed = room.live.swap_remove(index as usize);
        if let Some(moved) = room.live.get(index as usize)
            && let Some(entry) = self.entries.get_mut(moved.slot)
            && let Some(joined) = entry.rooms.iter_mut().find(|joined| joined.key == key)
        {
            joined.index = index;
        }
        Some(removed)
    }
}

impl ShardRoom {
    /// Has a connection get what is published from here on.
    pub(super) fn enter(&mut self, slot: u32, joined: &mut Joined, after: u64) {
        joined.index = self.live.len() as u32;
        self.live.push(Subscriber { slot, format: joined.format.catching_up(), after });
    }
}
