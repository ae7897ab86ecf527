//! `Shard`: one worker's connections and their places in rooms; the fan-out. A plain struct that nobody else touches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use parlor_proto::limits::ROOMS_PER_CONNECTION;
use parlor_proto::name::RoomName;
use rustc_hash::FxHashMap;

use crate::command::{Reply, Ticket};
use crate::connection::ConnectionId;
use crate::encode::{self, WireFormat};
use crate::hub::Hub;
use crate::join::CatchingUp;
use crate::mailbox::Mail;
use crate::outbox::Outbox;
use crate::publication::{Author, Publication};
use crate::rooms::RoomKey;
use parlor_proto::codes::{CloseCode, Refusal};

/// A worker's share of the hub.
#[derive(Debug)]
pub struct Shard {
    pub(crate) hub: Arc<Hub>,
    pub(crate) worker: u16,
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    pub(crate) rooms: FxHashMap<RoomKey, ShardRoom>,
    keys: HashMap<RoomName, RoomKey>,
    users: HashMap<Arc<str>, Vec<u32>>,
    /// Connections with something new to write, each once.
    dirty: Vec<u32>,
    /// Connections that wait for their outbox to drain before the next page of a replay.
    pub(crate) hungry: Vec<(u32, RoomKey)>,
    mails: Vec<Mail>,
    replies: Vec<Mail>,
    run: Vec<Arc<Publication>>,
    delivered: u64,
    pub(crate) outstanding: usize,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: ConnectionId,
    pub(crate) author: Option<Author>,
    pub(crate) outbox: Outbox,
    pub(crate) rooms: Vec<Joined>,
    format: WireFormat,
    dirty: bool,
    pub(crate) cut: Option<CloseCode>,
}

/// A connection's place in a room.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) key: RoomKey,
    /// Where it stands in `ShardRoom::live`; `u32::MAX` while it is catching up.
    index: u32,
}

const CATCHING_UP: u32 = u32::MAX;

/// The subscribers of one room on this worker.
#[derive(Debug)]
pub(crate) struct ShardRoom {
    pub(crate) name: RoomName,
    /// Dense, in no order: the fan-out walks it.
    live: Vec<Subscriber>,
    pub(crate) catching_up: Vec<CatchingUp>,
}

/// A connection's entry in a room, with the facts that the fan-out needs.
#[derive(Clone, Copy, Debug)]
struct Subscriber {
    slot: u32,
    format: WireFormat,
    /// What it has read from the log already; a publication up to here is not for it.
    after: u64,
}

/// What the worker has to do for the shard.
#[derive(Debug)]
pub enum Event {
    /// Give this to the connection's conversation.
    Reply { connection: ConnectionId, ticket: Ticket, result: Result<Reply, Refusal> },
    /// End this connection with a `bye`.
    Cut { connection: ConnectionId, code: CloseCode },
}

/// Publications joined into one write, at most: a turn's bytes of one room stay within a page.
const RUN_MESSAGES: usize = 64;
const RUN_BYTES: usize = 64 * 1024;

impl Shard {
    pub fn new(hub: Arc<Hub>, worker: u16) -> Shard {
        Shard {
            hub,
            worker,
            entries: Vec::new(),
            free: Vec::new(),
            rooms: FxHashMap::default(),
            keys: HashMap::new(),
            users: HashMap::new(),
            dirty: Vec::new(),
            hungry: Vec::new(),
            mails: Vec::new(),
            replies: Vec::new(),
            run: Vec::new(),
            delivered: 0,
            outstanding: 0,
        }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// This shard's worker.
    pub fn worker(&self) -> u16 {
        self.worker
    }

    /// Commands that were accepted and are not answered yet, joins apart.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Enters a connection. `random` must come from a cryptographic source.
    pub fn connect(&mut self, random: u128, author: Option<Author>, format: WireFormat) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        let id = ConnectionId::new(random, self.worker, slot);
        if let Some(author) = &author {
            self.hub.users.attach(&author.user, self.worker);
            self.users.entry(Arc::clone(&author.user)).or_default().push(slot);
        }
        self.entries[slot as usize] = Some(Box::new(Entry {
            id,
            author,
            outbox: Outbox::default(),
            rooms: Vec::new(),
            format,
            dirty: false,
            cut: None,
        }));
        id
    }

    /// Takes a connection out of its rooms and from its account: from now on it gets only what is sent to it alone.
    pub fn leave_everything(&mut self, id: ConnectionId, now: u64) {
        let Some(entry) = self.entry_mut(id) else { return };
        for joined in std::mem::take(&mut entry.rooms) {
            self.remove_subscriber(id.slot(), &joined, now);
        }
        let Some(author) = self.entry_mut(id).and_then(|entry| entry.author.take()) else { return };
        self.hub.users.detach(&author.user, self.worker);
        if let Some(slots) = self.users.get_mut(&author.user) {
            slots.retain(|&slot| slot != id.slot());
            if slots.is_empty() {
                self.users.remove(&author.user);
            }
        }
    }

    /// Takes a connection out of everything. What was queued for it is dropped.
    pub fn disconnect(&mut self, id: ConnectionId, now: u64) {
        if !self.contains(id) {
            return;
        }
        self.leave_everything(id, now);
        self.entries[id.slot() as usize] = None;
        self.free.push(id.slot());
    }

    /// Drops what a slow reader has not begun to get, so that it can be told why it is cut.
    pub fn drop_queued(&mut self, slot: u32) {
        if let Some(entry) = self.entries[slot as usize].as_mut() {
            entry.outbox.drop_queued();
        }
    }

    /// Whether this very connection is still here.
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.entry(id).is_some()
    }

    /// The connection that now holds the slot.
    pub fn connection(&self, slot: u32) -> Option<ConnectionId> {
        self.entries.get(slot as usize)?.as_ref().map(|entry| entry.id)
    }

    pub fn author(&self, id: ConnectionId) -> Option<&Author> {
        self.entry(id)?.author.as_ref()
    }

    pub fn outbox(&self, slot: u32) -> Option<&Outbox> {
        self.entries.get(slot as usize)?.as_ref().map(|entry| &entry.outbox)
    }

    /// Forgets what was written.
    pub fn advance(&mut self, slot: u32, written: usize) {
        if let Some(entry) = self.entries[slot as usize].as_mut() {
            entry.outbox.advance(written);
        }
    }

    /// Queues bytes that are for this connection alone: replies and control frames.
    pub fn send(&mut self, slot: u32, bytes: Bytes) {
        if let Some(entry) = self.entries[slot as usize].as_mut() {
            entry.outbox.push_unlimited(bytes, 1);
            mark(entry, &mut self.dirty, slot);
        }
    }

    /// Exchanges the list of connections that have something to write for an empty one.
    pub fn take_dirty(&mut self, empty: &mut Vec<u32>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut self.dirty, empty);
        for &slot in empty.iter() {
            if let Some(entry) = self.entries[slot as usize].as_mut() {
                entry.dirty = false;
            }
        }
        if self.delivered > 0 {
            self.hub.stats.delivered.fetch_add(self.delivered, Ordering::Relaxed);
            self.delivered = 0;
        }
    }

    /// Carries out what waits in the mailbox, in order, and hands `handle` what the worker has to do before the next
    /// mail is looked at: a reply to a join must be queued before what is published after it. Returns whether there
    /// was anything.
    pub fn receive_mail(&mut self, now: u64, mut handle: impl FnMut(&mut Shard, Event)) -> bool {
        let mut events = Vec::new();
        let mut mails = std::mem::take(&mut self.mails);
        self.hub.mailboxes[usize::from(self.worker)].swap(&mut mails);
        let any = !mails.is_empty();
        let mut run_room = None;
        let mut run_bytes = 0;
        // Answers to publishes come between the publications: they wait for the end of the run.
        let mut replies = std::mem::take(&mut self.replies);
        for mail in mails.drain(..) {
            match mail {
                // Publications of one room that come together leave in one write.
                Mail::Publication(key, publication) => {
                    let joins = run_room == Some(key)
                        && publication.except.is_none()
                        && self.run.len() < RUN_MESSAGES
                        && run_bytes < RUN_BYTES;
                    if !joins {
                        self.flush_run(run_room, &mut events);
                        replies.drain(..).for_each(|reply| self.receive_one(reply, now, &mut events));
                        events.drain(..).for_each(|event| handle(self, event));
                        run_bytes = 0;
                    }
                    run_bytes += publication.weight();
                    // One that leaves somebody out goes alone.
                    run_room = publication.except.is_none().then_some(key);
                    self.run.push(publication);
                    if run_room.is_none() {
                        self.flush_run(Some(key), &mut events);
                    }
                }
                reply @ Mail::Reply { .. } if run_room.is_some() => replies.push(reply),
                other => {
                    self.flush_run(run_room.take(), &mut events);
                    replies.drain(..).for_each(|reply| self.receive_one(reply, now, &mut events));
                    self.receive_one(other, now, &mut events);
                    events.drain(..).for_each(|event| handle(self, event));
                }
            }
        }
        self.flush_run(run_room, &mut events);
        replies.drain(..).for_each(|reply| self.receive_one(reply, now, &mut events));
        events.drain(..).for_each(|event| handle(self, event));
        self.replies = replies;
        self.mails = mails;
        any
    }

    fn receive_one(&mut self, mail: Mail, now: u64, events: &mut Vec<Event>) {
        match mail {
            Mail::Publication(..) => unreachable!("publications are taken in runs"),
            Mail::Direct(publication, pair) => self.fan_out_direct(&publication, &pair, events),
            Mail::Presence(key, change) => {
                let Some(room) = self.rooms.get(&key) else { return };
                let live = room.live.iter().map(|subscriber| subscriber.slot);
                let slots: Vec<u32> = live.chain(room.catching_up.iter().map(|entry| entry.slot)).collect();
                for slot in slots {
                    self.push_encoded(slot, |format| encode::presence(&change, format), events);
                }
            }
            Mail::Read { user, notice } => {
                for slot in self.users.get(&user).cloned().unwrap_or_default() {
                    self.push_encoded(slot, |format| encode::read(&notice, format), events);
                }
            }
            Mail::Live { connection, room, after, ticket } => {
                self.go_live(connection, room, after, ticket, events);
            }
            Mail::Resumed { connection, room, result } => self.resumed(connection, room, result, now, events),
            Mail::Page { connection, room, result } => self.next_page(connection, room, result, events),
            Mail::Reply { connection, ticket, result } => {
                self.outstanding = self.outstanding.saturating_sub(1);
                if self.contains(connection) {
                    events.push(Event::Reply { connection, ticket, result });
                }
            }
            Mail::EpochChanged(key) => {
                let Some(room) = self.rooms.get(&key) else { return };
                let slots: Vec<u32> = room.live.iter().map(|subscriber| subscriber.slot).collect();
                slots.into_iter().for_each(|slot| self.cut(slot, CloseCode::POSITION_LOST, events));
            }
            Mail::Kick { connection, code } => {
                if self.contains(connection) {
                    self.cut(connection.slot(), CloseCode(code), events);
                }
            }
        }
    }

    fn flush_run(&mut self, key: Option<RoomKey>, events: &mut Vec<Event>) {
        if self.run.is_empty() {
            return;
        }
        let run = std::mem::take(&mut self.run);
        if let Some(key) = key {
            self.fan_out(key, &run, events);
        }
        self.run = run;
        self.run.clear();
    }

    /// Queues a run of publications for every subscriber of the room: the bytes once per wire format, then a
    /// reference to them per subscriber, no lock and no allocation.
    fn fan_out(&mut self, key: RoomKey, run: &[Arc<Publication>], events: &mut Vec<Event>) {
        let Some(room) = self.rooms.get_mut(&key) else { return };
        let mut encoded = encode::Run::new(run, self.hub.mailboxes.len() > 1);
        let first =
            run.first().and_then(|publication| publication.place).map_or(u64::MAX, |place| place.offset);
        let except = run.first().and_then(|publication| publication.except);
        let mut slow = false;
        for subscriber in &room.live {
            let Some(entry) = self.entries[subscriber.slot as usize].as_mut() else { continue };
            let (bytes, messages) = if first > subscriber.after {
                if except == Some(entry.id) {
                    continue;
                }
                (encoded.whole(subscriber.format), run.len() as u32)
            } else {
                match encoded.after(subscriber.format, subscriber.after) {
                    Some(part) if except != Some(entry.id) => part,
                    _ => continue,
                }
            };
            self.delivered += u64::from(messages);
            if entry.outbox.push(bytes, messages).is_err() {
                slow = true;
                entry.cut = Some(CloseCode::SLOW);
            } else {
                mark(entry, &mut self.dirty, subscriber.slot);
            }
        }
        // Rare, so the list is walked again rather than carried through the loop above.
        if slow {
            let slots = room.live.iter().map(|subscriber| subscriber.slot);
            let slots: Vec<u32> = slots.filter(|&slot| is_cut(&self.entries, slot)).collect();
            slots.into_iter().for_each(|slot| self.cut(slot, CloseCode::SLOW, events));
        }
        if let Some(place) = run.last().and_then(|publication| publication.place) {
            self.reached(key, place.offset, events);
        }
    }

    fn fan_out_direct(
        &mut self,
        publication: &Arc<Publication>,
        pair: &[Arc<str>; 2],
        events: &mut Vec<Event>,
    ) {
        let mut slots = self.users.get(&pair[0]).cloned().unwrap_or_default();
        if pair[0] != pair[1] {
            slots.extend_from_slice(self.users.get(&pair[1]).map_or(&[], Vec::as_slice));
        }
        for slot in slots {
            let entry = self.entries[slot as usize].as_ref();
            if entry.is_some_and(|entry| publication.except != Some(entry.id)) {
                self.push_encoded(slot, |format| encode::publication(publication, format), events);
            }
        }
    }

    fn push_encoded(&mut self, slot: u32, bytes: impl FnOnce(WireFormat) -> Bytes, events: &mut Vec<Event>) {
        let Some(entry) = self.entries[slot as usize].as_mut() else { return };
        let bytes = bytes(entry.format);
        if entry.format == WireFormat::Raw {
            return;
        }
        self.delivered += 1;
        if entry.outbox.push(bytes, 1).is_err() {
            self.cut(slot, CloseCode::SLOW, events);
        } else {
            mark(entry, &mut self.dirty, slot);
        }
    }

    /// Queues publications for one connection in its wire format, as part of a replay.
    pub(crate) fn send_publications(&mut self, slot: u32, publications: &[Arc<Publication>]) {
        let Some(entry) = self.entries[slot as usize].as_mut() else { return };
        let mut bytes = BytesMut::new();
        for publication in publications {
            bytes.extend_from_slice(&encode::publication(publication, entry.format));
        }
        entry.outbox.push_unlimited(bytes.freeze(), publications.len() as u32);
        mark(entry, &mut self.dirty, slot);
    }

    pub(crate) fn cut(&mut self, slot: u32, code: CloseCode, events: &mut Vec<Event>) {
        let Some(entry) = self.entries[slot as usize].as_mut() else { return };
        entry.cut = Some(code);
        if code == CloseCode::SLOW {
            self.hub.stats.slow.fetch_add(1, Ordering::Relaxed);
        }
        events.push(Event::Cut { connection: entry.id, code });
    }

    // ---- places in rooms, for `join` ----

    pub(crate) fn entry(&self, id: ConnectionId) -> Option<&Entry> {
        self.entries.get(id.slot() as usize)?.as_deref().filter(|entry| entry.id == id)
    }

    pub(crate) fn entry_mut(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        self.entries.get_mut(id.slot() as usize)?.as_deref_mut().filter(|entry| entry.id == id)
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
    ) {
        let slot = id.slot();
        let Some(entry) = self.entries[slot as usize].as_mut() else { return };
        match entry.rooms.iter_mut().find(|joined| joined.key == key) {
            Some(joined) => {
                let index = std::mem::replace(&mut joined.index, CATCHING_UP);
                self.remove_from_live(key, index);
            }
            None => entry.rooms.push(Joined { key, index: CATCHING_UP }),
        }
        self.keys.insert(name.clone(), key);
        let room = self.rooms.entry(key).or_insert_with(|| ShardRoom {
            name: name.clone(),
            live: Vec::new(),
            catching_up: Vec::new(),
        });
        room.catching_up.retain(|waiting| waiting.slot != slot);
        room.catching_up.push(CatchingUp::new(slot, ticket));
    }

    /// Moves a connection from those that catch up to those that get what is published.
    pub(crate) fn enter_live(&mut self, id: ConnectionId, key: RoomKey, after: u64) {
        let slot = id.slot();
        let Some(entry) = self.entries[slot as usize].as_mut().filter(|entry| entry.id == id) else { return };
        let Some(joined) = entry.rooms.iter_mut().find(|joined| joined.key == key) else { return };
        let Some(room) = self.rooms.get_mut(&key) else { return };
        room.catching_up.retain(|waiting| waiting.slot != slot);
        joined.index = room.live.len() as u32;
        room.live.push(Subscriber { slot, format: entry.format, after });
    }

    /// Takes a connection out of one room; `None` if it was not in it.
    pub(crate) fn leave(&mut self, id: ConnectionId, room: &RoomName, now: u64) -> Option<()> {
        let key = self.joined(id, room)?;
        let entry = self.entry_mut(id)?;
        let index = entry.rooms.iter().position(|joined| joined.key == key)?;
        let joined = entry.rooms.swap_remove(index);
        self.remove_subscriber(id.slot(), &joined, now);
        Some(())
    }

    fn remove_subscriber(&mut self, slot: u32, joined: &Joined, now: u64) {
        let author = self.entries[slot as usize].as_ref().and_then(|entry| entry.author.clone());
        self.remove_from_live(joined.key, joined.index);
        let Some(room) = self.rooms.get_mut(&joined.key) else { return };
        room.catching_up.retain(|waiting| waiting.slot != slot);
        let name = room.name.clone();
        if room.live.is_empty() && room.catching_up.is_empty() {
            self.rooms.remove(&joined.key);
            self.keys.remove(&name);
        }
        self.hub.leave_room(self.worker, &name, author.as_ref(), now);
    }

    fn remove_from_live(&mut self, key: RoomKey, index: u32) {
        let Some(room) = self.rooms.get_mut(&key).filter(|_| index != CATCHING_UP) else { return };
        room.live.swap_remove(index as usize);
        let Some(moved) = room.live.get(index as usize) else { return };
        if let Some(entry) = self.entries[moved.slot as usize].as_mut()
            && let Some(joined) = entry.rooms.iter_mut().find(|joined| joined.key == key)
        {
            joined.index = index;
        }
    }
}

fn mark(entry: &mut Entry, dirty: &mut Vec<u32>, slot: u32) {
    if !entry.dirty {
        entry.dirty = true;
        dirty.push(slot);
    }
}

fn is_cut(entries: &[Option<Box<Entry>>], slot: u32) -> bool {
    entries[slot as usize].as_ref().is_some_and(|entry| entry.cut == Some(CloseCode::SLOW))
}
