//! The sequencers: an entry for each room that somebody is in or has just written to, in a table that all workers
//! share. A room's order is made under its entry's lock.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor_proto::limits::ROOM_RATE;
use parlor_proto::name::RoomName;

use crate::policy::Policy;
use crate::presence::RoomPresence;
use crate::rate::Bucket;

/// A room's entry while it exists; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomKey(u64);

impl RoomKey {
    /// The key of no room: a publication that reaches only subscribers of other rooms has it.
    pub(crate) const NONE: RoomKey = RoomKey(0);
}

/// A room's sequencer.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) key: RoomKey,
    /// The newest offset that went through this entry; `None` if none has since it has subscribers.
    pub(crate) head: Option<u64>,
    /// Subscribers on each worker: where a publication has to go.
    pub(crate) subscribers: Box<[u32]>,
    pub(crate) presence: RoomPresence,
    /// What clients may still publish here.
    pub(crate) bucket: Bucket,
}

impl Room {
    pub(crate) fn subscriber_count(&self) -> u32 {
        self.subscribers.iter().sum()
    }
}

/// Enough that two workers rarely want the same lock; each is a few words.
const SHARDS: usize = 256;

type Table = HashMap<RoomName, Room>;

/// All sequencers of this node.
#[derive(Debug)]
pub(crate) struct Rooms {
    shards: Box<[Mutex<Table>]>,
    hasher: RandomState,
    next_key: AtomicU64,
    workers: usize,
}

impl Rooms {
    pub(crate) fn new(workers: usize) -> Rooms {
        Rooms {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            next_key: AtomicU64::new(1),
            workers,
        }
    }

    /// Locks the part of the table that holds the room. Short: never held across an engine call.
    pub(crate) fn lock(&self, name: &RoomName) -> MutexGuard<'_, Table> {
        let shard = self.hasher.hash_one(name) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every part in turn, for listings and sweeps.
    pub(crate) fn each_shard(&self) -> impl Iterator<Item = MutexGuard<'_, Table>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The room's entry, made if there is none.
    pub(crate) fn entry<'t>(
        &self,
        table: &'t mut Table,
        name: &RoomName,
        policy: Policy,
        now: u64,
    ) -> &'t mut Room {
        table.entry(name.clone()).or_insert_with(|| Room {
            key: RoomKey(self.next_key.fetch_add(1, Ordering::Relaxed)),
            head: None,
            subscribers: vec![0; self.workers].into_boxed_slice(),
            presence: RoomPresence::new(policy.presence),
            bucket: Bucket::full(ROOM_RATE, now),
        })
    }
}
