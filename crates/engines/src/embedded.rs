//! `EmbeddedEngine`: rooms on this machine's disk, in SQLite; nothing else has to run.
//!
//! One thread writes. While a commit is on its way to the disk, what comes next collects in a bounded queue, and the
//! next commit takes it along: a slow disk makes batches larger, not the line longer. A few threads read. Rings and
//! rooms without a log are served by a [`MemoryEngine`] that shares the order with the writer.
//!
//! **Lock order:** queues are locked alone, and so are heads, but for the writer. For the rest see [`parlor_hub::order`]:
//! the writer holds the order's locks while it delivers, notes the head and answers.

mod book;
mod disk;
mod job;
mod open;
mod queue;
mod read;
mod readers;
mod schema;
mod settings;
mod shared;
mod sweep;
mod writer;

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use parlor_hub::engine::{
    Begin, Done, Door, Engine, Expect, Frontier, Head, Page, Published, Range, Record, Records, Resumed,
};
use parlor_hub::memory::{MemoryEngine, check_record};
use parlor_hub::order::Order;
use parlor_hub::policy::{Ack, Log, Policy, Retention};
use parlor_hub::publication::Draft;
use parlor_hub::window::Window;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, Position, Since};
use rusqlite::Connection;

use self::book::Heads;
use self::job::{Job, Put};
pub use self::open::OpenError;
use self::queue::{Queue, Refused};
use self::readers::{ReadJob, Readers};
pub use self::settings::{EXIT_STORE_FAILED, Settings};
use self::settings::{READERS, WRITES_QUEUED, WRITES_QUEUED_BYTES};
pub use self::shared::Stats;
use self::shared::{Counters, Shared};
use self::writer::Writer;

/// The durable engine of one node.
pub struct EmbeddedEngine {
    shared: Arc<Shared>,
    rings: MemoryEngine,
    readers: Readers,
    /// Until `start`: what the writer's thread will own.
    parts: Mutex<Option<Parts>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    life: [u8; 16],
    clean: bool,
    /// Dropped last: it is what keeps other processes out.
    _lock: OnceLock<File>,
}

struct Parts {
    writer: Connection,
    readers: Vec<Connection>,
    window: Window,
    seq_floor: u64,
}

impl EmbeddedEngine {
    /// Opens the data directory, makes it if it is missing, and brings an older store up to date.
    ///
    /// # Errors
    /// Why the directory cannot be used, with a sentence that says what to do.
    pub fn open(settings: Settings) -> Result<EmbeddedEngine, OpenError> {
        let opened = open::open(&settings, READERS)?;
        let path = settings.dir.join("parlor.db");
        let window = restore_window(&opened.writer, opened.secret, settings.key_bytes)
            .map_err(|error| OpenError::Store { path, error })?;
        let order = Arc::new(Order::new(opened.last_seq));
        let shared = Arc::new(Shared {
            settings,
            secret: opened.secret,
            writes: Queue::new(WRITES_QUEUED, WRITES_QUEUED_BYTES),
            heads: Heads::new(),
            order: Arc::clone(&order),
            latest: AtomicU64::new(0),
            counters: Counters::default(),
        });
        let parts =
            Parts { writer: opened.writer, readers: opened.readers, window, seq_floor: opened.seq_floor };
        Ok(EmbeddedEngine {
            rings: MemoryEngine::with_order(opened.ring_secret, order),
            readers: Readers::new(),
            parts: Mutex::new(Some(parts)),
            threads: Mutex::default(),
            life: opened.life,
            clean: opened.clean,
            _lock: OnceLock::from(opened.lock),
            shared,
        })
    }

    /// Whether the last process that used the store closed it. If not, nothing that was acknowledged is missing.
    pub fn was_clean(&self) -> bool {
        self.clean
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    fn write(&self, job: Job, weight: usize) {
        let (job, refusal) = match self.shared.writes.push(job, weight) {
            Ok(()) => return,
            Err(Refused::Full(job)) => {
                let message = "too much waits for the disk; try again";
                (job, Refusal::new(Code::Busy, message).retry_after(Duration::from_secs(1)))
            }
            Err(Refused::Closed(job)) => (job, stopping()),
        };
        job.refuse(refusal);
    }

    /// Runs `read` on a thread that may wait for the disk.
    fn read<T: Send + 'static>(
        &self,
        done: Done<T>,
        read: impl FnOnce(&read::Reader) -> rusqlite::Result<T> + Send + 'static,
    ) {
        self.readers.run(ReadJob::new(done, read));
    }

    /// The same for a room's log, which is answered once everything up to its head is delivered: nobody is told of a
    /// place in the order of the store who could still be given something with a lower one.
    fn read_log<T: Send + 'static>(
        &self,
        done: Done<T>,
        read: impl FnOnce(&read::Reader) -> rusqlite::Result<T> + Send + 'static,
        head: impl FnOnce(&T) -> u64 + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        self.read(done, move |reader| {
            let found = read(reader)?;
            shared.order.wait_for(head(&found));
            Ok(found)
        });
    }

    fn see(&self, now: u64) {
        self.shared.latest.fetch_max(now, Ordering::Relaxed);
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let guarded = move || {
            // A fault of ours: what the thread had promised is not known any more.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                shared
                    .fail("a thread of the store panicked; this is a fault of the program, please report it");
            }
        };
        match std::thread::Builder::new().name(name.to_owned()).spawn(guarded) {
            Ok(thread) => self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread),
            Err(error) => self.shared.fail(&format!("cannot start a thread for the store: {error}")),
        }
    }
}

impl Engine for EmbeddedEngine {
    fn start(&self, door: Arc<dyn Door>) {
        self.rings.start(Arc::clone(&door));
        let Some(parts) = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        for db in parts.readers {
            let reader = read::Reader { db, secret: self.shared.secret };
            self.spawn("parlor-read", self.readers.work(reader));
        }
        let start = random_version().map_err(|error| error.to_string()).and_then(|version| {
            Writer::new(Arc::clone(&self.shared), door, parts.writer, parts.window, parts.seq_floor, version)
                .map_err(|error| error.to_string())
        });
        match start {
            Ok(writer) => self.spawn("parlor-write", move || writer.run()),
            Err(error) => self.shared.fail(&format!("the store cannot be started: {error}")),
        }
    }

    fn ack(&self) -> Ack {
        Ack::Local
    }

    fn publish(&self, draft: Draft, now: u64, done: Done<Published>) {
        self.see(now);
        let weight = 512 + draft.data.len() + draft.event.len();
        match draft.policy.log {
            Log::Stored(keep) if draft.store => self.write(Job::Publish { draft, keep, now, done }, weight),
            Log::Stored(_) if draft.key.is_none() => self.write(Job::Pass { draft, now, done }, weight),
            _ => self.rings.publish(draft, now, done),
        }
    }

    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>) {
        if stored(policy).is_none() {
            return self.rings.head(room, policy, done);
        }
        if let Some((head, _)) = self.shared.heads.get(room) {
            return done(Ok(head));
        }
        let room = room.clone();
        self.read_log(done, move |reader| reader.head(&room), |head| head.seq);
    }

    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>) {
        if stored(policy).is_none() {
            return self.rings.history(room, policy, range, limit, done);
        }
        let room = room.clone();
        self.read_log(done, move |reader| reader.history(&room, range, limit), |page| page.head.seq);
    }

    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>) {
        if stored(policy).is_none() {
            return self.rings.resume(room, policy, begin, done);
        }
        // After a restart of something in between, everybody comes back at once, and most have missed nothing.
        if let Some((head, first)) = self.shared.heads.get(room)
            && begin == Begin::Since(Since::Position(head.position()))
        {
            let page = Page { head, messages: Vec::new(), more: false, first };
            return done(Ok(Resumed { head, outcome: Ok(page) }));
        }
        let room = room.clone();
        self.read_log(done, move |reader| reader.resume(&room, begin), |resumed| resumed.head.seq);
    }

    fn life(&self) -> u64 {
        // 64 of its 128 random bits are enough for a name.
        (u128::from_be_bytes(self.life) >> 64) as u64
    }

    fn frontier(&self, done: Done<Frontier>) {
        self.rings.frontier(done);
    }

    fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32, done: Done<Vec<(RoomName, Head)>>) {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let rings = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&rings);
        let collect: Done<Vec<(RoomName, Head)>> = Box::new(move |rooms| {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = rooms.unwrap_or_default();
        });
        // Answers before it returns: rings are in memory.
        self.rings.rooms(&prefix, after.as_deref(), limit, collect);
        let mut all = std::mem::take(&mut *rings.lock().unwrap_or_else(PoisonError::into_inner));
        self.read(done, move |reader| {
            all.extend(reader.rooms(&prefix, after.as_deref(), limit)?);
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all.truncate(limit as usize);
            Ok(all)
        });
    }

    fn interest(&self, _room: &RoomName, _wanted: bool) {}

    fn records(&self) -> &dyn Records {
        self
    }

    fn stop(&self) {
        self.rings.stop();
        self.shared.writes.close();
        // Readers first: the writer empties its log only when nobody reads from it.
        self.readers.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in it was told by `Shared::fail`.
            let _ = thread.join();
        }
    }
}

impl Records for EmbeddedEngine {
    fn get(&self, kind: &str, key: &str, now: u64, done: Done<Option<Record>>) {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        self.read(done, move |reader| reader.record(&kind, &key, now));
    }

    fn list(
        &self,
        kind: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
        done: Done<Vec<Record>>,
    ) {
        let (kind, prefix, after) = (kind.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        self.read(done, move |reader| reader.records(&kind, &prefix, after.as_deref(), limit, now));
    }

    fn put(
        &self,
        kind: &str,
        key: &str,
        value: Option<&[u8]>,
        expires: Option<u64>,
        expect: Expect,
        now: u64,
        done: Done<Option<u64>>,
    ) {
        self.see(now);
        if let Err(refusal) = check_record(key, value) {
            return done(Err(refusal));
        }
        let put = Put {
            kind: kind.to_owned(),
            key: key.to_owned(),
            value: value.map(<[u8]>::to_vec),
            expires,
            expect,
            now,
            done,
        };
        let weight = 256 + kind.len() + key.len() + value.map_or(0, <[u8]>::len);
        self.write(Job::Put(put), weight);
    }
}

impl Drop for EmbeddedEngine {
    /// Stops if nobody did, so that the lock outlives the threads.
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for EmbeddedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedEngine")
            .field("settings", &self.shared.settings)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The keys that the store still knows.
fn restore_window(db: &Connection, secret: [u8; 16], bytes: usize) -> rusqlite::Result<Window> {
    let mut window = Window::new(secret, bytes);
    let mut statement = db.prepare(&format!(
        "SELECT key, body, epoch, row, id, recent.time FROM recent JOIN rooms ON no = row >> {} ORDER BY recent.seq",
        schema::OFFSET_BITS
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let position = Position {
            epoch: Epoch(row.get::<_, i64>(2)? as u64),
            offset: schema::offset_of(row.get(3)?),
            id: read::id(row, 4)?,
        };
        let key = u128::from_be_bytes(row.get(0)?);
        window.restore(key, row.get::<_, i64>(1)? as u64, position, row.get(5)?);
    }
    Ok(window)
}

/// Where the versions of records start: far from where any other process of this store did.
fn random_version() -> Result<u64, getrandom::Error> {
    getrandom::u64().map(|random| random >> 1)
}

/// What a room keeps in the store, if it is kept there.
fn stored(policy: Policy) -> Option<Retention> {
    match policy.log {
        Log::Stored(keep) => Some(keep),
        Log::Memory(_) | Log::None => None,
    }
}

fn stopping() -> Refusal {
    Refusal::new(Code::Unavailable, "the server is stopping; try again on the next one")
}
