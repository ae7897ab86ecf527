//! `Hub`: the handle to everything that the workers of a process share.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use parlor_proto::name::RoomName;
use parlor_proto::position::MessageId;

use crate::command::{Members, RoomInfo};
use crate::engine::{Done, Engine};
use crate::mailbox::{Mail, Mailbox, ReadNotice};
use crate::policy::{Policies, Policy};
use crate::publication::Author;
use crate::rooms::Rooms;
use crate::users::Users;

/// Rooms, users, workers' mailboxes and the engine. Shared as `Arc<Hub>`.
pub struct Hub {
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
    pub(crate) mailboxes: Box<[Arc<Mailbox>]>,
    engine: Arc<dyn Engine>,
    policies: Policies,
    ids: IdSource,
    /// When rooms have something to tell about their members.
    due: Mutex<BTreeSet<(u64, RoomName)>>,
    /// The earliest of `due`, or `u64::MAX`: read every turn without a lock.
    next_due: AtomicU64,
    limited: bool,
    own_time: OnceLock<Arc<AtomicU64>>,
    listener: OnceLock<NodeListener>,
    /// Figures for the metrics page.
    pub stats: Stats,
}

/// Hears what another node says; `false`: no Parlor can have said it.
pub type NodeListener = Box<dyn Fn(u64, &[u8]) -> bool + Send + Sync>;

/// Counters of what went through the hub since the start.
#[derive(Debug, Default)]
pub struct Stats {
    pub published: AtomicU64,
    pub delivered: AtomicU64,
    /// Connections that were cut because they did not read in time, ...
    pub slow: AtomicU64,
    /// ... and messages that were dropped instead, where the room's policy says so.
    pub dropped: AtomicU64,
}

/// An entry without subscribers is kept this long, so that its rate limit and its members' grace hold.
pub(crate) const ROOM_IDLE_MS: u64 = 15_000;

impl Hub {
    /// Starts the engine with this hub as its door. `mailboxes` has one entry per worker; `limited: false` lifts
    /// the rates (not the sizes), for benchmarks.
    pub fn start(
        engine: Arc<dyn Engine>,
        mailboxes: Vec<Arc<Mailbox>>,
        policies: Policies,
        limited: bool,
    ) -> Arc<Hub> {
        let workers = mailboxes.len();
        let hub = Arc::new(Hub {
            rooms: Rooms::new(workers),
            users: Users::new(workers),
            mailboxes: mailboxes.into(),
            engine: Arc::clone(&engine),
            policies,
            ids: IdSource::default(),
            due: Mutex::default(),
            next_due: AtomicU64::new(u64::MAX),
            limited,
            own_time: OnceLock::new(),
            listener: OnceLock::new(),
            stats: Stats::default(),
        });
        engine.start(hub.clone());
        hub
    }

    /// Who hears what other nodes say; the first one stays. It never blocks.
    pub fn listen_to_nodes(&self, listener: NodeListener) {
        let _ = self.listener.set(listener);
    }

    pub(crate) fn told(&self, node: u64, bytes: &[u8]) -> bool {
        self.listener.get().is_none_or(|listener| listener(node, bytes))
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Has the application be told a test's time, in milliseconds since 1970; the first one stands.
    pub fn set_own_time(&self, time: Arc<AtomicU64>) {
        let _ = self.own_time.set(time);
    }

    /// The time of a test that owns it. `None`: whoever speaks to the hub reads the system's, for the hub itself reads
    /// no clock.
    pub fn own_time(&self) -> Option<u64> {
        self.own_time.get().map(|time| time.load(Ordering::Relaxed))
    }

    /// Whether rates are enforced.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// What is allowed and kept in a room of this name.
    pub fn policy(&self, room: &str) -> Policy {
        self.policies.of(room)
    }

    pub fn mailbox(&self, worker: u16) -> &Arc<Mailbox> {
        &self.mailboxes[usize::from(worker)]
    }

    /// Connections that an account has, on all workers.
    pub fn connections_of(&self, user: &str) -> u32 {
        self.users.connections(user)
    }

    /// Connections that get what is published in a room.
    pub fn subscribers(&self, room: &RoomName) -> u32 {
        self.rooms.lock(room).get(room).map_or(0, |room| room.subscriber_count())
    }

    /// Who is in the room now.
    pub fn members(&self, room: &RoomName) -> Members {
        self.rooms.lock(room).get(room).map(|room| room.presence.members()).unwrap_or_default()
    }

    /// Rooms that have members or a log, in the order of their names; `more` if the limit cut the list.
    pub fn rooms(
        self: &Arc<Self>,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        done: Done<(Vec<RoomInfo>, bool)>,
    ) {
        let mut rooms = std::collections::BTreeMap::new();
        for table in self.rooms.each_shard() {
            for (name, room) in table.iter() {
                let wanted = name.starts_with(prefix) && after.is_none_or(|after| &**name > after);
                let count = room.presence.count();
                if wanted && count > 0 && !name.starts_with('$') {
                    rooms.insert(name.clone(), RoomInfo { room: name.clone(), count, head: None });
                }
            }
        }
        // One more than asked for tells whether there are more.
        let fetch = limit.saturating_add(1);
        let reply = Box::new(move |stored: Result<Vec<(RoomName, crate::engine::Head)>, _>| {
            done(stored.map(|stored| {
                for (name, head) in stored {
                    let info = RoomInfo { room: name.clone(), count: 0, head: None };
                    rooms.entry(name).or_insert(info).head = Some(head);
                }
                let more = rooms.len() > limit as usize;
                (rooms.into_values().take(limit as usize).collect(), more)
            }));
        });
        self.engine.rooms(prefix, after, fetch, reply);
    }

    /// Tells an account's connections how far it has read.
    pub fn notify_read(&self, users: &[Arc<str>], notice: ReadNotice) {
        let notice = Arc::new(notice);
        for user in users {
            self.users.each_worker(std::slice::from_ref(user), |worker| {
                let mail = Mail::Read { user: Arc::clone(user), notice: Arc::clone(&notice) };
                self.mailboxes[worker].push(mail);
            });
        }
    }

    /// When [`Hub::tick`] has something to do, in milliseconds since 1970; `u64::MAX` for never.
    pub fn next_tick(&self) -> u64 {
        self.next_due.load(Ordering::Relaxed)
    }

    /// Sends the presence changes that are due and forgets rooms that nobody uses. One worker calls this.
    pub fn tick(&self, now: u64) {
        for name in self.take_due(now) {
            let mut table = self.rooms.lock(&name);
            let Some(room) = table.get_mut(&name) else { continue };
            let (change, mut next) = room.presence.tick(&name, now);
            if let Some(change) = change {
                let change = Arc::new(change);
                for (worker, &count) in room.subscribers.iter().enumerate() {
                    if count > 0 {
                        self.mailboxes[worker].push(Mail::Presence(room.key, Arc::clone(&change)));
                    }
                }
            }
            let empty = room.subscriber_count() == 0 && !room.presence.has_own();
            if empty && next.is_none() {
                match room.bucket.idle_ms(now) {
                    idle if idle >= ROOM_IDLE_MS => {
                        table.remove(&name);
                        drop(table);
                        self.engine.interest(&name, false);
                        // Somebody may have come in between, whose wish must be the last.
                        if self.subscribers(&name) > 0 {
                            self.engine.interest(&name, true);
                        }
                        continue;
                    }
                    idle => next = Some(now + ROOM_IDLE_MS - idle),
                }
            }
            drop(table);
            if let Some(next) = next {
                self.schedule(name, next);
            }
        }
    }

    /// Has [`Hub::tick`] look at a room at a time.
    pub(crate) fn schedule(&self, room: RoomName, at: u64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert((at, room));
        let earliest = due.first().map_or(u64::MAX, |first| first.0);
        let changed = self.next_due.swap(earliest, Ordering::Relaxed) != earliest;
        drop(due);
        // The first worker keeps this clock; an empty mail would do, but waking is enough.
        if changed {
            self.mailboxes[0].wake();
        }
    }

    fn take_due(&self, now: u64) -> Vec<RoomName> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Vec::new();
        while due.first().is_some_and(|first| first.0 <= now) {
            names.extend(due.pop_first().map(|first| first.1));
        }
        self.next_due.store(due.first().map_or(u64::MAX, |first| first.0), Ordering::Relaxed);
        names.dedup();
        names
    }

    pub(crate) fn next_id(&self, now: u64) -> MessageId {
        self.ids.next(now)
    }

    /// The conversation of two accounts: a room that nobody else can name, join or read.
    pub fn direct_room(a: &Author, b: &Author) -> RoomName {
        let (first, second) = if a.user <= b.user { (a, b) } else { (b, a) };
        RoomName::internal(format!("$d:{}:{}", first.user, second.user))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("workers", &self.mailboxes.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Message ids: the time and 80 bits that nobody guesses, without asking the system each time. The keys of the two
/// hashers come from the system's entropy at the start; no two ids of a process hash the same number.
#[derive(Debug, Default)]
struct IdSource {
    high: RandomState,
    low: RandomState,
    counter: AtomicU64,
}

impl IdSource {
    fn next(&self, now: u64) -> MessageId {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let random = u128::from(self.high.hash_one(n)) << 64 | u128::from(self.low.hash_one(n));
        MessageId::new(now, random)
    }
}
