//! `Writer`: the one thread that changes the store. It takes what is queued, commits it together, and only then
//! tells anybody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parlor_hub::engine::{Done, Door, Head, Published};
use parlor_hub::order::STRIDE;
use parlor_hub::policy::{Ack, Retention};
use parlor_hub::publication::{Draft, Place, Publication};
use parlor_hub::window::{Mark, Window, reused};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::Position;
use rusqlite::{Connection, OptionalExtension, params};

use super::book::Book;
use super::disk::Disk;
use super::job::{Failure, Job, Outcome, Put, int, internal, judge, storage_full};
use super::open::SEQ_AHEAD;
use super::queue::Taken;
use super::schema::{OFFSET_BITS, row_of};
use super::settings::{BATCH, BATCH_BYTES, SWEEP_AT_LEAST, SWEEP_ROWS, WAL_BYTES, WAL_IDLE_BYTES};
use super::shared::Shared;
use super::sweep::trim;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    door: Arc<dyn Door>,
    pub(super) db: Connection,
    pub(super) book: Book,
    pub(super) window: Window,
    disk: Disk,
    /// Pages in the write-ahead log; SQLite says so after each commit.
    wal_pages: Arc<AtomicU64>,
    page_size: u64,
    /// Versions of records: a counter from a random start, so that a restart does not repeat one.
    last_version: u64,
    seq_floor: u64,
    /// Nothing new could be stored the last time.
    full: bool,
    /// The newest time that a message got; rooms share it, so that no room's time runs backwards.
    last_time: u64,
    swept: Instant,
    /// The room that the next idle step begins behind.
    pub(super) sweep_after: i64,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        door: Arc<dyn Door>,
        mut db: Connection,
        window: Window,
        seq_floor: u64,
        random: u64,
    ) -> rusqlite::Result<Writer> {
        let wal_pages = Arc::new(AtomicU64::new(0));
        let pages = Arc::clone(&wal_pages);
        db.wal_hook(Some(move |_: &mut _, count| {
            pages.store(count as u64, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Writer {
            disk: Disk::new(&shared.settings.dir, shared.settings.min_free),
            book: Book::new(shared.secret),
            page_size: db.pragma_query_value(None, "page_size", |row| row.get(0))?,
            shared,
            door,
            db,
            window,
            wal_pages,
            last_version: random,
            seq_floor,
            full: false,
            last_time: 0,
            swept: Instant::now(),
            sweep_after: 0,
        })
    }

    /// Works until the queue is closed and empty, then closes the store. Returns early if the store failed.
    pub(super) fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let idle = self.shared.settings.idle;
            let taken = self.shared.writes.take(&mut jobs, BATCH, BATCH_BYTES, idle);
            let going_on = match taken {
                Taken::Some => self.carry_out(&mut jobs) && self.write_back() && self.sweep_if_overdue(),
                Taken::Nothing => self.rest(),
                Taken::Closed => return self.close(),
            };
            if !going_on {
                return;
            }
        }
    }

    /// One transaction for all jobs, then delivery and answers in their order. `false`: the store failed.
    fn carry_out(&mut self, jobs: &mut Vec<Job>) -> bool {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let first = self.shared.order.reserve();
        let low = self.disk.is_low();
        let result = self.transact(jobs, first, low, &mut outcomes);
        let going_on = match result {
            Ok(()) => {
                self.tell_full(low);
                self.announce(outcomes);
                true
            }
            Err(error) => match self.take_back(&error) {
                Failure::Refuse(refusal) => {
                    self.tell_full(low || refusal.code == Code::StorageFull);
                    self.refuse(outcomes, std::mem::take(jobs), &refusal);
                    true
                }
                Failure::Fatal => {
                    self.shared.fail(&format!("the store failed: {error}"));
                    false
                }
            },
        };
        self.shared.order.finish();
        going_on
    }

    /// Writes the jobs down; what is left in `jobs` after an error was not begun.
    fn transact(
        &mut self,
        jobs: &mut Vec<Job>,
        first: u64,
        low: bool,
        outcomes: &mut Vec<Outcome>,
    ) -> rusqlite::Result<()> {
        let mut batch = Batch { seq: first, keys: HashMap::new(), trim: HashSet::new() };
        let stored = jobs.iter().any(Job::is_stored);
        if stored {
            self.begin()?;
        }
        let mut failed = Ok(());
        for job in std::mem::take(jobs) {
            if failed.is_err() {
                jobs.push(job);
                continue;
            }
            failed = self.apply(job, low, &mut batch, outcomes);
        }
        failed?;
        if !stored {
            return Ok(());
        }
        let mut rows = SWEEP_ROWS;
        for room in &batch.trim {
            if let Some(room) = self.book.at_hand(room) {
                rows -= trim(&self.db, room, self.shared.now(), rows)?;
            }
        }
        self.forget_keys((2 * batch.keys.len()).min(SWEEP_ROWS))?;
        if batch.seq > first {
            // Not for repeats alone: a full disk still answers them.
            self.raise_floor(batch.seq)?;
        }
        self.commit()
    }

    fn apply(
        &mut self,
        job: Job,
        full: bool,
        batch: &mut Batch,
        outcomes: &mut Vec<Outcome>,
    ) -> rusqlite::Result<()> {
        match job {
            Job::Publish { done, .. } if full => {
                outcomes.push(Outcome::Answer { result: Err(storage_full()), done });
            }
            Job::Publish { draft, keep, now, done } => match self.known(&draft, now, batch) {
                Ok((None, mark)) => match self.store(draft, keep, mark, now, batch) {
                    Ok((publication, place)) => {
                        outcomes.push(Outcome::Stored { publication, place, mark, done });
                    }
                    Err(error) => {
                        outcomes.push(Outcome::Answer { result: Err(internal()), done });
                        return Err(error);
                    }
                },
                Ok((Some(position), _)) => {
                    let result = Ok(Published { position: Some(position), ack: Ack::Local, duplicate: true });
                    outcomes.push(Outcome::Answer { result, done });
                }
                Err(refusal) => outcomes.push(Outcome::Answer { result: Err(refusal), done }),
            },
            Job::Pass { draft, now, done } => {
                self.last_time = now.max(self.last_time);
                let publication = Arc::new(Publication::new(draft, None, self.last_time));
                outcomes.push(Outcome::Passed { publication, done });
            }
            Job::Put(put) if full && put.value.is_some() => {
                outcomes.push(Outcome::Put { result: Err(storage_full()), done: put.done });
            }
            Job::Put(put) => {
                let result = self.put(&put);
                let answer = result.as_ref().map(|version| *version).map_err(|_| internal());
                outcomes.push(Outcome::Put { result: answer, done: put.done });
                result?;
            }
        }
        Ok(())
    }

    /// The position of an earlier message with this key, committed or in this batch.
    fn known(
        &mut self,
        draft: &Draft,
        now: u64,
        batch: &mut Batch,
    ) -> Result<(Option<Position>, Option<Mark>), Refusal> {
        let Some(mark) = self.window.mark(draft) else { return Ok((None, None)) };
        match batch.keys.get(&mark.key) {
            Some((body, _)) if *body != mark.body => Err(reused()),
            Some((_, position)) => Ok((Some(*position), Some(mark))),
            None => Ok((self.window.look(&mark, now)?, Some(mark))),
        }
    }

    /// Writes one message down.
    fn store(
        &mut self,
        draft: Draft,
        keep: Retention,
        mark: Option<Mark>,
        now: u64,
        batch: &mut Batch,
    ) -> rusqlite::Result<(Arc<Publication>, Place)> {
        let room = self.book.enter(&self.db, &draft.room, keep)?;
        let place = Place { epoch: room.head.epoch, offset: room.head.offset + 1, seq: batch.seq };
        if place.offset >> OFFSET_BITS != 0 {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, place.offset as i64));
        }
        // The room's own time counts after a restart, when the clock may have been set back.
        let time = now.max(self.last_time).max(room.time);
        self.last_time = time;
        let publication = Arc::new(Publication::new(draft, Some(place), time));
        let weight = room.weight + publication.weight() as u64;
        let id = publication.id.0.to_be_bytes();
        let author = publication.author.as_ref();
        let to = publication.to.as_ref();
        let row = row_of(room.no, place.offset);
        self.db
            .prepare_cached(
                "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                row,
                place.seq,
                id,
                time,
                weight,
                &*publication.event,
                &*publication.data,
                author.map(|author| &*author.user),
                author.map(|author| &*author.name),
                to.map(|to| &*to.user),
                to.map(|to| &*to.name),
                publication.form.to_stored(),
                publication.delivery.as_ref().map(|delivery| delivery.selector.to_stored()),
            ])?;
        if let Some(mark) = mark {
            self.db
                .prepare_cached("INSERT INTO recent VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![place.seq, row, id, time, mark.key.to_be_bytes(), mark.body as i64])?;
            let position = Position { epoch: place.epoch, offset: place.offset, id: publication.id };
            batch.keys.insert(mark.key, (mark.body, position));
        }
        room.head = Head { epoch: place.epoch, offset: place.offset, id: publication.id, seq: place.seq };
        room.weight = weight;
        room.time = time;
        if room.is_over() {
            batch.trim.insert(publication.room.clone());
        }
        batch.seq += STRIDE;
        Ok((publication, place))
    }

    fn put(&mut self, put: &Put) -> rusqlite::Result<Option<u64>> {
        let version = self
            .db
            .prepare_cached(
                "SELECT version FROM records
                 WHERE kind = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
            )?
            .query_row((&put.kind, &put.key, int(put.now)), |row| row.get::<_, i64>(0))
            .optional()?;
        if !put.expect.holds(version.map(|version| version as u64)) {
            return Ok(None);
        }
        let Some(value) = &put.value else {
            let mut delete = self.db.prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?;
            delete.execute((&put.kind, &put.key))?;
            return Ok(Some(0));
        };
        self.last_version = self.last_version.wrapping_add(1).max(1);
        self.db
            .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![put.kind, put.key, value, self.last_version as i64, put.expires.map(int),])?;
        Ok(Some(self.last_version))
    }

    /// Delivers and answers what is committed.
    fn announce(&mut self, outcomes: Vec<Outcome>) {
        self.shared.counters.batch(outcomes.len());
        for outcome in outcomes {
            match outcome {
                Outcome::Stored { publication, place, mark, done } => {
                    let position = Position { epoch: place.epoch, offset: place.offset, id: publication.id };
                    let head =
                        Head { epoch: place.epoch, offset: place.offset, id: publication.id, seq: place.seq };
                    if let Some(mark) = mark {
                        self.window.remember(mark, position, publication.time);
                    }
                    let room = publication.room.clone();
                    let first = self.book.at_hand(&room).map_or(1, |room| room.first);
                    let published = Published { position: Some(position), ack: Ack::Local, duplicate: false };
                    self.shared.order.spread(place.seq, || {
                        self.door.deliver(publication);
                        // Not before: whoever knows of it takes what has a lower number for delivered.
                        self.shared.heads.set(&room, head, first);
                        done(Ok(published));
                    });
                }
                Outcome::Passed { publication, done } => self.pass(publication, done),
                Outcome::Answer { result, done } => done(result),
                Outcome::Put { result, done } => done(result),
            }
        }
    }

    /// One line in the log when the disk is full, and one when it no longer is.
    fn tell_full(&mut self, full: bool) {
        match (self.full, full) {
            (false, true) => tracing::warn!("the disk is full: nothing new is stored, reading goes on"),
            (true, false) => tracing::info!("there is space on the disk again"),
            _ => {}
        }
        self.full = full;
    }

    fn pass(&self, publication: Arc<Publication>, done: Done<Published>) {
        self.door.deliver(publication);
        done(Ok(Published { position: None, ack: Ack::None, duplicate: false }));
    }

    /// Answers what was not stored, and what was not even begun. What never was for the store is spread all the same.
    fn refuse(&mut self, outcomes: Vec<Outcome>, jobs: Vec<Job>, refusal: &Refusal) {
        for outcome in outcomes {
            match outcome {
                Outcome::Stored { done, .. } | Outcome::Answer { done, .. } => done(Err(refusal.clone())),
                Outcome::Passed { publication, done } => self.pass(publication, done),
                Outcome::Put { done, .. } => done(Err(refusal.clone())),
            }
        }
        for job in jobs {
            match job {
                Job::Pass { draft, now, done } => {
                    self.last_time = now.max(self.last_time);
                    self.pass(Arc::new(Publication::new(draft, None, self.last_time)), done);
                }
                job => job.refuse(refusal.clone()),
            }
        }
    }

    /// Takes a transaction back that did not go through, and says what that means.
    fn take_back(&mut self, error: &rusqlite::Error) -> Failure {
        if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
            return Failure::Fatal;
        }
        self.book.clear();
        // Whether the floor was raised in this transaction is not worth knowing: the next one writes it again.
        self.seq_floor = 0;
        judge(error)
    }

    /// Writes the log back into the file when it is long, or when nothing waits.
    fn write_back(&mut self) -> bool {
        let bytes = self.wal_pages.load(Ordering::Relaxed) * self.page_size;
        if bytes > WAL_BYTES || (bytes > WAL_IDLE_BYTES && self.shared.writes.is_empty()) {
            return self.checkpoint("PASSIVE");
        }
        true
    }

    /// `PASSIVE` waits for nobody; `TRUNCATE` also empties the log's file. `false`: the store failed.
    fn checkpoint(&mut self, mode: &str) -> bool {
        if self.wal_pages.swap(0, Ordering::Relaxed) == 0 {
            return true;
        }
        let result = self.db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        self.shared.counters.checkpoint();
        self.survives(result)
    }

    /// What is done when nothing waits.
    fn rest(&mut self) -> bool {
        self.checkpoint("PASSIVE") && self.sweep_now()
    }

    fn sweep_if_overdue(&mut self) -> bool {
        self.swept.elapsed() < SWEEP_AT_LEAST || self.sweep_now()
    }

    fn sweep_now(&mut self) -> bool {
        self.swept = Instant::now();
        let result = self.sweep();
        self.survives(result)
    }

    /// After work that nobody waits for: goes on unless nobody can know what the disk has.
    fn survives(&mut self, result: rusqlite::Result<()>) -> bool {
        let Err(error) = result else { return true };
        let fatal = matches!(self.take_back(&error), Failure::Fatal);
        if fatal {
            self.shared.fail(&format!("the store failed: {error}"));
        }
        !fatal
    }

    /// Keeps the numbers that a restart skips ahead of those in use.
    pub(super) fn raise_floor(&mut self, seq: u64) -> rusqlite::Result<()> {
        if seq + SEQ_AHEAD / 2 > self.seq_floor {
            self.seq_floor = seq + SEQ_AHEAD;
            self.db.execute("UPDATE header SET seq_floor = ?1", [self.seq_floor as i64])?;
        }
        Ok(())
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.db.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    fn close(mut self) {
        let result = self.db.execute("UPDATE header SET clean = 1", []).map(drop);
        if self.survives(result) {
            self.checkpoint("TRUNCATE");
        }
    }
}

/// What the jobs of one transaction share.
struct Batch {
    /// The number of the next message.
    seq: u64,
    /// Keys of this batch: the hash of the body, and where the message is.
    keys: HashMap<u128, (u64, Position)>,
    /// Rooms that hold more than they keep.
    trim: HashSet<RoomName>,
}
