//! `MemoryEngine`: rings in memory for rooms with a log, straight to the door for all others.
//!
//! It is an engine of its own, and the part of every other engine that serves what is not stored.
//!
//! **Lock order:** the logs, then what [`Order`] locks, then what the door takes. One lock holds all logs, because
//! sequence numbers grow over all rooms in the order of delivery: more locks would all wait for the same one.
//! Publications that are not kept take a room's lane only.

mod records;
mod ring;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};
use siphasher::sip::SipHasher24;

use crate::engine::{
    Begin, Done, Door, Engine, Frontier, Head, Lost, Page, Published, Range, Records, Resumed,
};
use crate::order::Order;
use crate::policy::{Ack, Log, Policy, Retention};
use crate::publication::{Draft, Place, Publication};
use crate::window::{WINDOW_BYTES, Window};

use self::records::MemoryRecords;
pub use self::records::check_record;
use self::ring::Ring;

/// All rings together. Past it the room that was silent for longest loses its log, and says so by a new epoch.
const MEMORY_LOGS_BYTES: usize = 256 * 1024 * 1024;

/// What a ring costs beside its messages.
const RING_OVERHEAD: usize = 512;

/// Rooms, keys and records in memory; all of it is new at each start.
pub struct MemoryEngine {
    door: OnceLock<Arc<dyn Door>>,
    stopped: AtomicBool,
    order: Arc<Order>,
    life: u64,
    logs: Mutex<Logs>,
    records: MemoryRecords,
}

struct Logs {
    secret: [u8; 16],
    /// How often a log was given up; part of every epoch, so that no two lives of a log have the same name.
    lives: u64,
    /// Every log that was given up, in this process or an earlier one, had nothing beyond this number.
    lost: u64,
    rings: BTreeMap<RoomName, Ring>,
    /// The rings by the number of their newest publication: the first was silent for longest.
    silent: BTreeMap<u64, RoomName>,
    bytes: usize,
    bytes_limit: usize,
    window: Window,
    /// The latest time that a publisher named, for the age of what is read.
    now: u64,
}

impl MemoryEngine {
    /// `secret` is random: it makes the epochs, and the hashes of keys.
    pub fn new(secret: [u8; 16]) -> MemoryEngine {
        Self::with_order(secret, Arc::new(Order::new(0)))
    }

    /// The part of another engine, whose sequence numbers it shares.
    pub fn with_order(secret: [u8; 16], order: Arc<Order>) -> MemoryEngine {
        let lost = order.last();
        MemoryEngine {
            door: OnceLock::new(),
            stopped: AtomicBool::new(false),
            order,
            life: epoch_of(&secret, 0, &RoomName::internal("$")).0,
            logs: Mutex::new(Logs {
                secret,
                lives: 0,
                lost,
                rings: BTreeMap::new(),
                silent: BTreeMap::new(),
                bytes: 0,
                bytes_limit: MEMORY_LOGS_BYTES,
                window: Window::new(secret, WINDOW_BYTES),
                now: 0,
            }),
            records: MemoryRecords::default(),
        }
    }

    /// The same with less room for rings, so that tests can fill it.
    pub fn limit_logs(self, bytes: usize) -> MemoryEngine {
        self.logs().bytes_limit = bytes;
        self
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> Result<&Arc<dyn Door>, Refusal> {
        match self.door.get() {
            Some(door) if !self.stopped.load(Ordering::Acquire) => Ok(door),
            _ => Err(Refusal::new(Code::Unavailable, "the server is stopping; try again on the next one")),
        }
    }

    fn pass(&self, door: &Arc<dyn Door>, draft: Draft, now: u64, done: Done<Published>) {
        if draft.key.is_some() {
            let message = "a key needs a room with a log and a message that is stored; leave out `key`";
            return done(Err(Refusal::new(Code::NoLog, message)));
        }
        let room = draft.room.clone();
        self.order.pass(&room, now, |time| {
            door.deliver(Arc::new(Publication::new(draft, None, time)));
            done(Ok(Published { position: None, ack: Ack::None, duplicate: false }));
        });
    }

    fn keep(
        &self,
        door: &Arc<dyn Door>,
        draft: Draft,
        retention: Retention,
        now: u64,
        done: Done<Published>,
    ) {
        let mut logs = self.logs();
        let logs = &mut *logs;
        logs.now = logs.now.max(now);
        let mark = logs.window.mark(&draft);
        match mark.map_or(Ok(None), |mark| logs.window.look(&mark, logs.now)) {
            Ok(None) => {}
            Ok(earlier) => {
                return done(Ok(Published { position: earlier, ack: Ack::Memory, duplicate: true }));
            }
            Err(refusal) => return done(Err(refusal)),
        }
        let room = draft.room.clone();
        let epoch = logs.epoch(&room);
        let ring = logs.rings.entry(room.clone()).or_insert_with(|| {
            logs.bytes += RING_OVERHEAD;
            Ring::new(epoch)
        });
        let before = ring.head();
        let bytes_before = ring.bytes();
        self.order.place(&room, now, |numbers| {
            let Ok((seq, time)) = numbers else {
                return done(Err(Refusal::new(Code::Busy, "the disk is slow; try again")));
            };
            let place = Place { epoch: before.epoch, offset: before.offset + 1, seq };
            let publication = Arc::new(Publication::new(draft, Some(place), time));
            ring.push(Arc::clone(&publication));
            door.deliver(publication);
            let position = ring.head().position();
            if let Some(mark) = mark {
                logs.window.remember(mark, position, logs.now);
            }
            logs.silent.remove(&before.seq);
            logs.silent.insert(seq, room.clone());
            done(Ok(Published { position: Some(position), ack: Ack::Memory, duplicate: false }));
        });
        ring.trim(retention, logs.now);
        logs.bytes = logs.bytes + ring.bytes() - bytes_before;
        logs.give_up_silent(door);
    }

    /// Looks at the ring of a room, an empty one if nothing was published yet.
    fn read<T>(&self, room: &RoomName, retention: Retention, read: impl FnOnce(&Ring) -> T) -> T {
        let mut logs = self.logs();
        let logs = &mut *logs;
        let Some(ring) = logs.rings.get_mut(room) else { return read(&Ring::new(logs.epoch(room))) };
        let bytes_before = ring.bytes();
        ring.trim(retention, logs.now);
        logs.bytes -= bytes_before - ring.bytes();
        read(ring)
    }
}

impl Engine for MemoryEngine {
    fn start(&self, door: Arc<dyn Door>) {
        let first = self.door.set(door).is_ok();
        debug_assert!(first, "an engine is started once");
    }

    fn ack(&self) -> Ack {
        Ack::Memory
    }

    fn publish(&self, draft: Draft, now: u64, done: Done<Published>) {
        let door = match self.door() {
            Ok(door) => door,
            Err(refusal) => return done(Err(refusal)),
        };
        match retention(draft.policy) {
            Some(retention) if draft.store => self.keep(door, draft, retention, now, done),
            _ => self.pass(door, draft, now, done),
        }
    }

    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>) {
        done(match retention(policy) {
            Some(retention) => Ok(self.read(room, retention, Ring::head)),
            None => Err(Refusal::no_log(room.as_str(), "positions")),
        });
    }

    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>) {
        done(match retention(policy) {
            Some(retention) => Ok(self.read(room, retention, |ring| ring.page(range, limit))),
            None => Err(Refusal::no_log(room.as_str(), "history")),
        });
    }

    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>) {
        done(Ok(match retention(policy) {
            Some(retention) => self.read(room, retention, |ring| ring.resume(begin)),
            None => {
                let head = Head { epoch: Epoch(0), offset: 0, id: MessageId::NIL, seq: 0 };
                Resumed { head, outcome: Err(Lost::NoLog) }
            }
        }));
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn frontier(&self, done: Done<Frontier>) {
        let rings_since = self.logs().lost;
        done(Ok(Frontier { last: self.order.last(), rings_since }));
    }

    fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32, done: Done<Vec<(RoomName, Head)>>) {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = self
            .logs()
            .rings
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(prefix))
            .filter(|(name, _)| !name.as_str().starts_with('$'))
            .take(limit as usize)
            .map(|(name, ring)| (name.clone(), ring.head()))
            .collect();
        done(Ok(found));
    }

    fn interest(&self, _room: &RoomName, _wanted: bool) {}

    fn records(&self) -> &dyn Records {
        &self.records
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

impl Logs {
    /// The epoch of a room's log, if there is one already or once there will be. A keyed hash instead of a draw,
    /// so that asking about a room does not have to remember it.
    fn epoch(&self, room: &RoomName) -> Epoch {
        epoch_of(&self.secret, self.lives, room)
    }

    /// Keeps all rings together under their limit.
    fn give_up_silent(&mut self, door: &Arc<dyn Door>) {
        while self.bytes > self.bytes_limit && self.silent.len() > 1 {
            let Some((seq, room)) = self.silent.pop_first() else { return };
            self.lost = self.lost.max(seq);
            if let Some(ring) = self.rings.remove(&room) {
                self.bytes -= ring.bytes() + RING_OVERHEAD;
            }
            self.lives += 1;
            door.epoch_changed(&room, self.epoch(&room));
        }
    }
}

/// 64 bits that nobody can guess: a keyed hash of the room's name and of the log's life.
pub fn epoch_of(secret: &[u8; 16], life: u64, room: &RoomName) -> Epoch {
    use std::hash::Hasher;
    let mut hash = SipHasher24::new_with_key(secret);
    hash.write_u64(life);
    hash.write(room.as_str().as_bytes());
    Epoch(hash.finish())
}

/// What is kept of a room, if it has a log.
fn retention(policy: Policy) -> Option<Retention> {
    match policy.log {
        Log::None => None,
        Log::Memory(retention) | Log::Stored(retention) => Some(retention),
    }
}

impl fmt::Debug for MemoryEngine {
    /// Without what is kept: it is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let logs = self.logs();
        f.debug_struct("MemoryEngine")
            .field("rooms", &logs.rings.len())
            .field("bytes", &logs.bytes)
            .field("window", &logs.window)
            .finish_non_exhaustive()
    }
}
