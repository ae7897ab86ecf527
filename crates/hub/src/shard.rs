//! `Shard`: one worker's connections and their outboxes. A plain struct that nobody else touches.

mod fan_out;
mod follow;
mod held;
mod places;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parlor_proto::name::RoomName;
use parlor_proto::position::MessageId;
use rustc_hash::FxHashMap;

use crate::command::{Reply, Ticket};
use crate::connection::ConnectionId;
use crate::encode::WireFormat;
use crate::hub::Hub;
use crate::join::CatchingUp;
use crate::mailbox::Mail;
use crate::outbox::Outbox;
use crate::policy::Overflow;
use crate::publication::{Author, Publication};
use crate::rooms::RoomKey;
use crate::slots::Slots;
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::limits::RESUME_MAX;
use parlor_proto::position::Position;

use fan_out::selects;
use held::Held;

/// A worker's share of the hub.
#[derive(Debug)]
pub struct Shard {
    pub(crate) hub: Arc<Hub>,
    pub(crate) worker: u16,
    entries: Slots<Entry>,
    /// Slots that are free again, and the first that was never used.
    free: Vec<u32>,
    next: u32,
    pub(crate) rooms: FxHashMap<RoomKey, ShardRoom>,
    keys: HashMap<RoomName, RoomKey>,
    users: HashMap<Arc<str>, Vec<u32>>,
    /// Connections with something new to write, each once.
    dirty: Vec<u32>,
    /// Connections that wait for their outbox to drain before the next page of a replay.
    pub(crate) hungry: Vec<(u32, RoomKey)>,
    /// What waits for connections that are on their way into a room.
    held: FxHashMap<u32, Held>,
    mails: Vec<Mail>,
    replies: Vec<Mail>,
    run: Vec<Arc<Publication>>,
    delivered: u64,
    /// Messages that were dropped for slow readers.
    dropped: u64,
    pub(crate) outstanding: usize,
}

/// A connection. What the fan-out and the write after it touch comes first and fills one line of the cache: with a
/// thousand subscribers every further line is a miss, and eight of them cost a tenth of a delivery.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Entry {
    pub(crate) outbox: Outbox,
    pub(crate) cut: Option<CloseCode>,
    format: WireFormat,
    dirty: bool,
    /// It is about to end and enters no room again.
    left: bool,
    pub(crate) id: ConnectionId,
    pub(crate) author: Option<Author>,
    pub(crate) rooms: Vec<Joined>,
    /// What it had heard of the rooms that it was in when it left them all.
    heard: Vec<(RoomName, Heard)>,
}

const _: () = assert!(std::mem::offset_of!(Entry, dirty) < 64 && size_of::<Option<Entry>>() <= 192);

/// A connection's place in a room.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) key: RoomKey,
    /// Where it stands in `ShardRoom::live`; `u32::MAX` while it is catching up.
    index: u32,
    format: WireFormat,
    /// The newest publication with a selector, or of a replay, that was for it.
    given: u64,
    quiet: Option<Box<Quiet>>,
}

/// How far a connection is in the log of a room where not everything is for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Everything up to here that is for it was queued for it.
    pub passed: Position,
    /// The offset of the newest publication that was; 0 if none was since it joined.
    pub given: u64,
    /// The last long times before in which nothing was.
    pub quiet: [Option<Quiet>; 2],
}

/// A part of a room's log of which nothing was for a connection. Who comes back after a long silence and has not got what
/// ended it goes on behind the silence; what it got before may not be kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Nothing after this offset was for it, ...
    pub after: u64,
    /// ... up to here.
    pub until: Position,
}

/// Publications that make a silence long: half of what a resume may give.
const SILENCE: u64 = RESUME_MAX as u64 / 2;

impl Quiet {
    /// The silence that the next publication after `until` ends, if it was a long one.
    fn ended(after: u64, until: Option<Position>) -> Option<Quiet> {
        until.filter(|until| until.offset > after + SILENCE).map(|until| Quiet { after, until })
    }
}

const CATCHING_UP: u32 = u32::MAX;

/// The subscribers of one room on this worker.
#[derive(Debug)]
pub(crate) struct ShardRoom {
    pub(crate) name: RoomName,
    overflow: Overflow,
    /// Dense, in no order: the fan-out walks it.
    live: Vec<Subscriber>,
    pub(crate) catching_up: Vec<CatchingUp>,
    /// The newest publication that was delivered here, and the offset of the newest one without a selector.
    passed: Option<Position>,
    given: u64,
    quiet: Option<Quiet>,
    /// The `seq` and id of the newest stored publication that came by here.
    newest: Option<(u64, MessageId)>,
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
    /// All rooms that the connection follows with ids are live, and from here on their publications carry them.
    /// Everything up to the newest of them, given here, was queued.
    Settled { connection: ConnectionId, newest: Option<(u64, MessageId)> },
    /// End this connection with a `bye`.
    Cut { connection: ConnectionId, code: CloseCode },
}

impl Shard {
    pub fn new(hub: Arc<Hub>, worker: u16) -> Shard {
        Shard {
            hub,
            worker,
            entries: Slots::default(),
            next: 0,
            free: Vec::new(),
            rooms: FxHashMap::default(),
            keys: HashMap::new(),
            users: HashMap::new(),
            dirty: Vec::new(),
            hungry: Vec::new(),
            held: FxHashMap::default(),
            mails: Vec::new(),
            replies: Vec::new(),
            run: Vec::new(),
            delivered: 0,
            dropped: 0,
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
            self.next += 1;
            self.next - 1
        });
        let id = ConnectionId::new(random, self.worker, slot);
        if let Some(author) = &author {
            self.hub.users.attach(&author.user, self.worker);
            self.users.entry(Arc::clone(&author.user)).or_default().push(slot);
        }
        self.entries.put(
            slot,
            Entry {
                id,
                author,
                outbox: Outbox::default(),
                rooms: Vec::new(),
                format,
                dirty: false,
                left: false,
                cut: None,
                heard: Vec::new(),
            },
        );
        id
    }

    /// Says whose connection it is, once, before it joins anything.
    pub fn identify(&mut self, id: ConnectionId, author: Author) {
        let Some(entry) = self.entry_mut(id).filter(|entry| entry.author.is_none()) else { return };
        entry.author = Some(author.clone());
        self.hub.users.attach(&author.user, self.worker);
        self.users.entry(author.user).or_default().push(id.slot());
    }

    /// Has a connection spoken to in another format from now on, except in rooms that it is in.
    pub fn speak(&mut self, id: ConnectionId, format: WireFormat) {
        if let Some(entry) = self.entry_mut(id) {
            entry.format = format;
        }
    }

    /// Takes a connection out of its rooms and from its account: from now on it gets only what is sent to it alone.
    pub fn leave_everything(&mut self, id: ConnectionId, now: u64) {
        let heard = self.heard_of_logs(id);
        let Some(entry) = self.entry_mut(id) else { return };
        entry.left = true;
        // It may be done a second time, when there is nothing to leave any more.
        entry.heard.extend(heard);
        let rooms = std::mem::take(&mut entry.rooms);
        self.held.remove(&id.slot());
        for joined in rooms {
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
        self.entries.take(id.slot());
        self.free.push(id.slot());
    }

    /// Drops what a slow reader has not begun to get, so that it can be told why it is cut.
    pub fn drop_queued(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.outbox.drop_queued();
        }
    }

    /// Whether this very connection is still here.
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.entry(id).is_some()
    }

    /// The connection that now holds the slot.
    pub fn connection(&self, slot: u32) -> Option<ConnectionId> {
        self.entries.get(slot).map(|entry| entry.id)
    }

    pub fn author(&self, id: ConnectionId) -> Option<&Author> {
        self.entry(id)?.author.as_ref()
    }

    pub fn outbox(&self, slot: u32) -> Option<&Outbox> {
        self.entries.get(slot).map(|entry| &entry.outbox)
    }

    /// Forgets what was written.
    pub fn advance(&mut self, slot: u32, written: usize) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.outbox.advance(written);
        }
    }

    /// Queues bytes that are for this connection alone: replies and control frames.
    pub fn send(&mut self, slot: u32, bytes: Bytes) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.outbox.push_unlimited(bytes, 1);
            mark(entry, &mut self.dirty, slot);
        }
    }

    /// Has the worker look at what waits for a connection: how it is written has changed.
    pub fn mark_dirty(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot) {
            mark(entry, &mut self.dirty, slot);
        }
    }

    /// Exchanges the list of connections that have something to write for an empty one.
    pub fn take_dirty(&mut self, empty: &mut Vec<u32>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut self.dirty, empty);
        for &slot in empty.iter() {
            if let Some(entry) = self.entries.get_mut(slot) {
                entry.dirty = false;
            }
        }
        if self.delivered > 0 {
            self.hub.stats.delivered.fetch_add(self.delivered, Ordering::Relaxed);
            self.delivered = 0;
        }
        if self.dropped > 0 {
            self.hub.stats.dropped.fetch_add(self.dropped, Ordering::Relaxed);
            self.dropped = 0;
        }
    }
}

fn mark(entry: &mut Entry, dirty: &mut Vec<u32>, slot: u32) {
    if !entry.dirty {
        entry.dirty = true;
        dirty.push(slot);
    }
}
