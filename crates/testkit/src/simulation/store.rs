//! `Store`: a model of the embedded engine that moves only when it is told to: one writer, readers, and a disk that
//! outlives it.
//!
//! What the real one does on threads of its own is cut into moves, between which anything may happen: taking jobs,
//! committing them, showing the new head, delivering; and for a read being taken from the disk, and being answered. The
//! rules that are shared code (resume, keys, order, rings) are the real ones.

mod shared;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use parlor_hub::engine::{Done, Door, Engine, Head, Published};
use parlor_hub::memory::MemoryEngine;
use parlor_hub::order::{Order, STRIDE};
use parlor_hub::policy::{Ack, Log, Policy, Retention};
use parlor_hub::publication::{Draft, Place, Publication};
use parlor_hub::window::{Mark, WINDOW_BYTES, Window};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{MessageId, Position};

pub(super) use self::shared::Shared;
use super::disk::{Disk, Kept};
use crate::dice::Dice;
use crate::torture::{Stored, Truth};

const SECRET: [u8; 16] = [7; 16];

pub(super) struct Store {
    door: OnceLock<Weak<dyn Door>>,
    order: Arc<Order>,
    rings: MemoryEngine,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    disk: Disk,
    window: Window,
    /// What the writer has shown of rooms.
    heads: BTreeMap<RoomName, (Head, u64)>,
    queue: VecDeque<Job>,
    writer: Writer,
    reads: Vec<Read>,
    last_time: u64,
    ids: u64,
    /// Things may be refused.
    faults: bool,
    /// What is read is answered before it is spread: joins do not build on the contrary, cursors do.
    is_early: bool,
    truth: Truth,
}

struct Job {
    draft: Draft,
    /// `None`: it is only passed on, in its place.
    keep: Option<Retention>,
    now: u64,
    done: Done<Published>,
}

/// Where the writer is.
enum Writer {
    Idle,
    /// It has taken these and numbered the batch.
    Took(Vec<Job>, u64),
    /// They are on the disk and are told one after the other; `true`: the first one's head is shown already.
    Tells(VecDeque<Outcome>, bool),
}

enum Outcome {
    Stored {
        publication: Arc<Publication>,
        place: Place,
        mark: Option<Mark>,
        first: u64,
        done: Done<Published>,
    },
    Passed {
        publication: Arc<Publication>,
        done: Done<Published>,
    },
    Answer {
        result: Result<Published, Refusal>,
        done: Done<Published>,
    },
}

/// A wish to read; then its answer, which is as old as the moment when it was taken from the disk.
enum Read {
    Asked(Take),
    /// It waits until everything up to this number is spread.
    Taken(Answer, u64),
}

type Take = Box<dyn FnOnce(&Disk) -> (Answer, u64) + Send>;
type Answer = Box<dyn FnOnce() + Send>;

impl Store {
    /// Over what an earlier one has left.
    pub(super) fn open(
        disk: Disk,
        dice: Dice,
        ids: u64,
        truth: Truth,
        ring_bytes: Option<usize>,
        is_early: bool,
    ) -> Store {
        let order = Arc::new(Order::new(disk.seq_floor));
        let mut secret = SECRET;
        secret[..8].copy_from_slice(&disk.seq_floor.to_be_bytes());
        let rings = MemoryEngine::with_order(secret, Arc::clone(&order));
        let rings = match ring_bytes {
            Some(bytes) => rings.limit_logs(bytes),
            None => rings,
        };
        let mut window = Window::new(SECRET, WINDOW_BYTES);
        for key in &disk.keys {
            window.restore(key.mark.key, key.mark.body, key.position, key.time);
        }
        let state = State {
            dice,
            disk,
            window,
            heads: BTreeMap::new(),
            queue: VecDeque::new(),
            writer: Writer::Idle,
            reads: Vec::new(),
            last_time: 0,
            ids,
            faults: false,
            is_early,
            truth,
        };
        Store { door: OnceLock::new(), order, rings, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_faults(&self, faults: bool) {
        self.state().faults = faults;
    }

    /// The newest number that was spread.
    pub(super) fn last(&self) -> u64 {
        self.order.last()
    }

    pub(super) fn has_faults(&self) -> bool {
        self.state().faults
    }

    /// The newest place of a room at or before a number; `None` where nobody can say.
    pub(super) fn place_at(&self, room: &RoomName, seq: u64) -> Option<Position> {
        if !room.starts_with("memory:") {
            return Some(self.state().disk.read(room, |log| log.place_at(seq)));
        }
        // A ring's first epoch is made when something is published there.
        let epoch = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&epoch);
        let policy = Policy { log: Log::Memory(Retention::KEEP), ..Policy::BARE };
        let done = Box::new(move |head: Result<Head, _>| {
            *tell.lock().unwrap_or_else(PoisonError::into_inner) = head.ok().map(|head| head.epoch);
        });
        self.rings.head(room, policy, done);
        let epoch = (*epoch.lock().unwrap_or_else(PoisonError::into_inner))?;
        let state = self.state();
        let log = state.truth.logs.get(&**room)?.get(&epoch)?;
        log.iter().rfind(|stored| stored.seq <= seq).map(|stored| stored.at)
    }

    /// The process is gone: what was not committed was never told, and nobody gets an answer any more.
    pub(super) fn die(&self) -> (Disk, u64, Truth) {
        let mut state = self.state();
        state.queue.clear();
        state.reads.clear();
        state.writer = Writer::Idle;
        let (disk, ids) = (state.disk.clone(), state.ids);
        (disk, ids, std::mem::take(&mut state.truth))
    }

    /// Everything that is on the disk, and what never was.
    pub(super) fn truth(&self) -> Truth {
        let state = self.state();
        let mut truth = state.truth.clone();
        state.disk.tell(&mut truth);
        truth
    }

    /// Whether something is on its way to the disk or from there to the door.
    pub(super) fn is_writing(&self) -> bool {
        let state = self.state();
        !matches!(state.writer, Writer::Idle) || !state.queue.is_empty()
    }

    /// One move of the writer or of a reader; `false` if there is nothing to do.
    pub(super) fn step(&self) -> bool {
        let mut state = self.state();
        let is_idle = matches!(state.writer, Writer::Idle);
        let writes = !is_idle || !state.queue.is_empty();
        let last = self.order.last();
        let is_ready = |read: &Read| match read {
            Read::Asked(_) => true,
            Read::Taken(_, seq) => is_idle || *seq <= last,
        };
        let ready: Vec<usize> =
            (0..state.reads.len()).filter(|&index| state.is_early || is_ready(&state.reads[index])).collect();
        if !writes && ready.is_empty() {
            return false;
        }
        if !ready.is_empty() && (!writes || state.dice.once_in(2)) {
            let index = *state.dice.pick(&ready);
            match state.reads.swap_remove(index) {
                Read::Asked(read) => {
                    let (answer, seq) = read(&state.disk);
                    state.reads.push(Read::Taken(answer, seq));
                }
                Read::Taken(answer, _) => {
                    drop(state);
                    answer();
                }
            }
            return true;
        }
        match std::mem::replace(&mut state.writer, Writer::Idle) {
            Writer::Idle => {
                let most = state.queue.len().min(256) as u64;
                let count = 1 + state.dice.roll(most) as usize;
                let jobs = state.queue.drain(..count).collect();
                let first = self.order.reserve();
                state.writer = Writer::Took(jobs, first);
            }
            Writer::Took(jobs, first) => {
                let outcomes = state.commit(jobs, first);
                state.writer = Writer::Tells(outcomes, false);
            }
            Writer::Tells(mut outcomes, shown) => {
                if let (Some(Outcome::Stored { publication, place, first, .. }), false) =
                    (outcomes.front(), shown)
                {
                    let head = head_at(publication.id, *place);
                    let (room, first) = (publication.room.clone(), *first);
                    state.heads.insert(room, (head, first));
                    state.writer = Writer::Tells(outcomes, true);
                    return true;
                }
                let Some(outcome) = outcomes.pop_front() else {
                    self.order.finish();
                    return true;
                };
                state.writer = Writer::Tells(outcomes, false);
                if let Outcome::Stored { publication, place, mark: Some(mark), .. } = &outcome {
                    let position = position_at(publication.id, *place);
                    state.window.remember(*mark, position, publication.time);
                }
                drop(state);
                self.tell(outcome);
            }
        }
        true
    }

    fn tell(&self, outcome: Outcome) {
        match outcome {
            Outcome::Stored { publication, place, done, .. } => {
                let position = Some(position_at(publication.id, place));
                let published = Published { position, ack: Ack::Local, duplicate: false };
                self.order.spread(place.seq, || {
                    self.deliver(publication);
                    done(Ok(published));
                });
            }
            Outcome::Passed { publication, done } => {
                self.deliver(publication);
                done(Ok(Published { position: None, ack: Ack::None, duplicate: false }));
            }
            Outcome::Answer { result, done } => done(result),
        }
    }

    fn deliver(&self, publication: Arc<Publication>) {
        self.state().note(&publication);
        if let Some(door) = self.door.get().and_then(Weak::upgrade) {
            door.deliver(publication);
        }
    }

    /// Has what other threads would do meanwhile happen now.
    fn meanwhile(&self) {
        let moves = {
            let mut state = self.state();
            if state.dice.once_in(3) { state.dice.roll(6) } else { 0 }
        };
        for _ in 0..moves {
            self.step();
        }
    }

    /// Asks a reader; often it has answered before anything else happens.
    fn read<T: Send + 'static>(
        &self,
        done: Done<T>,
        read: impl FnOnce(&Disk) -> T + Send + 'static,
        head: fn(&T) -> Head,
    ) {
        let mut state = self.state();
        if state.faults && state.dice.once_in(100) {
            drop(state);
            return done(Err(Refusal::new(Code::Unavailable, "the store is not there at the moment")));
        }
        let read: Take = Box::new(move |disk| {
            let read = read(disk);
            let seq = head(&read).seq;
            (Box::new(move || done(Ok(read))), seq)
        });
        if !state.dice.once_in(3) {
            return state.reads.push(Read::Asked(read));
        }
        let (answer, seq) = read(&state.disk);
        if !state.is_early && !matches!(state.writer, Writer::Idle) && seq > self.order.last() {
            return state.reads.push(Read::Taken(answer, seq));
        }
        drop(state);
        answer();
    }
}

impl State {
    /// The id of the next message: what the hub has made is random.
    fn next_id(&mut self, now: u64) -> MessageId {
        self.ids += 1;
        MessageId::new(now, u128::from(self.ids))
    }

    /// Notes what is spread from memory.
    fn note(&mut self, publication: &Publication) {
        let (room, data) = (publication.room.to_string(), super::label(&publication.data));
        match publication.place {
            None => self.truth.passed.entry(room).or_default().push(data),
            Some(_) if !room.starts_with("memory:") => {}
            Some(place) => {
                let stored = Stored { at: position_at(publication.id, place), seq: place.seq, data };
                let epochs = self.truth.logs.entry(room).or_default();
                epochs.entry(place.epoch).or_default().push(stored);
            }
        }
    }

    /// One transaction for all jobs; sometimes it fails, and nothing of it was done.
    fn commit(&mut self, jobs: Vec<Job>, first: u64) -> VecDeque<Outcome> {
        let fails = self.faults && self.dice.once_in(40);
        let mut seq = first;
        let mut batch: BTreeMap<u128, (u64, Position)> = BTreeMap::new();
        let mut outcomes = VecDeque::new();
        for Job { draft, keep, now, done } in jobs {
            let Some(keep) = keep else {
                self.last_time = self.last_time.max(now);
                let publication = Arc::new(Publication::new(draft, None, self.last_time));
                outcomes.push_back(Outcome::Passed { publication, done });
                continue;
            };
            if fails {
                let result = Err(Refusal::new(Code::StorageFull, "the disk is full"));
                outcomes.push_back(Outcome::Answer { result, done });
                continue;
            }
            let mark = self.window.mark(&draft);
            let known = match mark {
                None => Ok(None),
                Some(mark) => match batch.get(&mark.key) {
                    Some((body, _)) if *body != mark.body => Err(parlor_hub::window::reused()),
                    Some((_, position)) => Ok(Some(*position)),
                    None => self.window.look(&mark, now),
                },
            };
            match known {
                Err(refusal) => outcomes.push_back(Outcome::Answer { result: Err(refusal), done }),
                Ok(Some(position)) => {
                    let result = Ok(Published { position: Some(position), ack: Ack::Local, duplicate: true });
                    outcomes.push_back(Outcome::Answer { result, done });
                }
                Ok(None) => {
                    self.last_time = self.last_time.max(now);
                    let log = self.disk.log_mut(&draft.room);
                    let place = Place { epoch: log.head.epoch, offset: log.head.offset + 1, seq };
                    let publication = Arc::new(Publication::new(draft, Some(place), self.last_time));
                    log.push(Arc::clone(&publication), place, keep);
                    if let Some(mark) = mark {
                        let position = position_at(publication.id, place);
                        batch.insert(mark.key, (mark.body, position));
                        let key = Kept { mark, position, time: publication.time };
                        self.disk.keys.push(key);
                    }
                    self.disk.seq_floor = seq + 1024 * STRIDE;
                    seq += STRIDE;
                    outcomes.push_back(Outcome::Stored { publication, place, mark, first: 1, done });
                }
            }
        }
        self.disk.trim();
        for outcome in &mut outcomes {
            if let Outcome::Stored { publication, first, .. } = outcome {
                *first = self.disk.log_mut(&publication.room).first();
            }
        }
        outcomes
    }
}

fn is_stored(policy: Policy) -> bool {
    matches!(policy.log, Log::Stored(_))
}

fn head_at(id: MessageId, place: Place) -> Head {
    Head { epoch: place.epoch, offset: place.offset, id, seq: place.seq }
}

fn position_at(id: MessageId, place: Place) -> Position {
    Position { epoch: place.epoch, offset: place.offset, id }
}
