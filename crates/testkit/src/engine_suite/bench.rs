//! `Bench`: an engine, a door that writes everything down, and the calls that tests make.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use parlor_hub::engine::{Begin, Done, Door, Engine, Expect, Head, Page, Published, Range, Record, Resumed};
use parlor_hub::policy::{Log, Policy, Retention};
use parlor_hub::publication::{Author, Draft, Form, Publication};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position};

/// A log that keeps everything.
pub const KEEP: Retention = Retention::KEEP;
pub const STORED: Policy = Policy { log: Log::Stored(KEEP), ..Policy::BARE };
pub const MEMORY: Policy = Policy { log: Log::Memory(KEEP), ..Policy::BARE };
pub const LIVE: Policy = Policy { log: Log::None, ..Policy::BARE };

/// The time at which a bench begins, in ms since 1970.
pub const START: u64 = 1_790_000_000_000;

/// A wait this long means that the answer never comes; no test depends on its length.
const FOREVER: Duration = Duration::from_secs(30);

/// What happened at the door or to a publisher, in order.
#[derive(Clone, Debug)]
pub enum Event {
    Delivered(Arc<Publication>),
    Answered(Result<Published, Refusal>),
    EpochChanged(RoomName, Epoch),
}

#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

impl Recorder {
    fn push(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.grown.notify_all();
    }
}

impl Door for Recorder {
    fn deliver(&self, publication: Arc<Publication>) {
        self.push(Event::Delivered(publication));
    }

    fn epoch_changed(&self, room: &RoomName, epoch: Epoch) {
        self.push(Event::EpochChanged(room.clone(), epoch));
    }
}

/// An engine on a table.
pub struct Bench {
    pub engine: Arc<dyn Engine>,
    recorder: Arc<Recorder>,
    now: AtomicU64,
    next_id: AtomicU64,
    /// What must live as long as the engine, such as its directory.
    _kept: Box<dyn Send + Sync>,
}

impl Bench {
    pub fn new(engine: Arc<dyn Engine>, kept: impl Send + Sync + 'static) -> Bench {
        let recorder = Arc::new(Recorder::default());
        engine.start(Arc::clone(&recorder) as Arc<dyn Door>);
        Bench {
            engine,
            recorder,
            now: AtomicU64::new(START),
            next_id: AtomicU64::new(1),
            _kept: Box::new(kept),
        }
    }

    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn set_now(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Time and the next id, for [`Bench::go_on`].
    pub fn next(&self) -> (u64, u64) {
        (self.now(), self.next_id.load(Ordering::Relaxed))
    }

    /// Goes on where another bench, which had the same store, left off.
    pub fn go_on(&self, (now, next_id): (u64, u64)) {
        self.set_now(now);
        self.next_id.store(next_id, Ordering::Relaxed);
    }

    /// A message of ann's with a new id.
    pub fn draft(&self, room: &str, policy: Policy, data: &str) -> Draft {
        let id = MessageId::new(self.now(), u128::from(self.next_id.fetch_add(1, Ordering::Relaxed)));
        Draft {
            room: RoomName::internal(room),
            policy,
            id,
            event: "message".into(),
            data: data.into(),
            form: Form::Value,
            author: Some(author("ann")),
            to: None,
            key: None,
            except: None,
            store: true,
            delivery: None,
        }
    }

    /// Publishes and writes down the answer among the events.
    pub fn post(&self, draft: Draft) {
        let recorder = Arc::clone(&self.recorder);
        let done = Box::new(move |result| recorder.push(Event::Answered(result)));
        self.engine.publish(draft, self.now(), done);
    }

    /// Publishes and waits for the answer.
    pub fn try_publish(&self, draft: Draft) -> Result<Published, Refusal> {
        wait(|done| self.engine.publish(draft, self.now(), done))
    }

    /// Publishes into a room that keeps things and waits for the place.
    #[track_caller]
    pub fn publish(&self, room: &str, policy: Policy, data: &str) -> Position {
        let published = self.try_publish(self.draft(room, policy, data)).expect("published");
        published.position.expect("a place")
    }

    #[track_caller]
    pub fn head(&self, room: &str, policy: Policy) -> Head {
        wait(|done| self.engine.head(&RoomName::internal(room), policy, done)).expect("a head")
    }

    #[track_caller]
    pub fn page(&self, room: &str, policy: Policy, range: Range, limit: u32) -> Page {
        wait(|done| self.engine.history(&RoomName::internal(room), policy, range, limit, done))
            .expect("a page")
    }

    #[track_caller]
    pub fn resume(&self, room: &str, policy: Policy, begin: Begin) -> Resumed {
        wait(|done| self.engine.resume(&RoomName::internal(room), policy, begin, done)).expect("an answer")
    }

    #[track_caller]
    pub fn get(&self, kind: &str, key: &str) -> Option<Record> {
        wait(|done| self.engine.records().get(kind, key, self.now(), done)).expect("a read")
    }

    pub fn put(
        &self,
        kind: &str,
        key: &str,
        value: Option<&[u8]>,
        expires: Option<u64>,
        expect: Expect,
    ) -> Result<Option<u64>, Refusal> {
        wait(|done| self.engine.records().put(kind, key, value, expires, expect, self.now(), done))
    }

    /// All events once there are `count` of them.
    #[track_caller]
    pub fn events(&self, count: usize) -> Vec<Event> {
        let events = self.recorder.events.lock().unwrap();
        let (events, timeout) =
            self.recorder.grown.wait_timeout_while(events, FOREVER, |events| events.len() < count).unwrap();
        assert!(!timeout.timed_out(), "{} events instead of {count}: {events:?}", events.len());
        events.clone()
    }

    /// How many stored messages of a room have come through the door, whenever that is called.
    pub fn delivered_in(&self, room: &str) -> impl Fn() -> u64 + Send + 'static {
        let (recorder, room) = (Arc::clone(&self.recorder), RoomName::internal(room));
        let is_of = move |event: &&Event| matches!(event, Event::Delivered(one) if one.room == room && one.place.is_some());
        move || recorder.events.lock().unwrap().iter().filter(&is_of).count() as u64
    }

    /// The publications that came through the door so far.
    pub fn delivered(&self) -> Vec<Arc<Publication>> {
        let events = self.recorder.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Delivered(publication) => Some(Arc::clone(publication)),
                _ => None,
            })
            .collect()
    }

    /// Looks again and again until it is so; for what an engine does behind, without telling anybody.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !so() {
            assert!(begin.elapsed() < FOREVER, "never: {what}");
            // Others need the processor for it to become so.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

/// Calls something that answers through a closure, and waits for the answer.
///
/// # Panics
/// If no answer comes.
#[track_caller]
pub fn wait<T: Send + 'static>(call: impl FnOnce(Done<T>)) -> Result<T, Refusal> {
    let (sender, receiver) = mpsc::channel();
    call(Box::new(move |result| {
        let _ = sender.send(result);
    }));
    receiver.recv_timeout(FOREVER).expect("an answer")
}

pub fn author(user: &str) -> Author {
    Author { user: user.into(), name: user.into() }
}

/// The code of what must be a refusal.
#[track_caller]
pub fn refused<T: fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.expect_err("a refusal").code
}
