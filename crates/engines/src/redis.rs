//! `RedisEngine`: rooms in a Redis or Valkey that several nodes share.
//!
//! One thread owns one connection (`link`). A publication gets its place by one script, which keeps it and spreads it to
//! the nodes that have subscribers in its room. What was missed while the connection was gone is read from the log
//! before anything later is delivered (`follow`).

mod address;
mod connect;
mod entry;
mod follow;
mod hold;
mod job;
mod link;
mod read;
mod scripts;
mod settings;
mod wire;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use parlor_hub::engine::{
    Begin, Done, Door, Engine, Expect, Frontier, Head, Lost, Page, Published, Range, Record, Records, Resumed,
};
use parlor_hub::memory::check_record;
use parlor_hub::order::Order;
use parlor_hub::policy::{Ack, Log, Policy, Retention};
use parlor_hub::publication::{Author, Draft};
use parlor_hub::resume::decide;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::PAGE_MESSAGES;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};
use tokio::runtime::{Builder, Runtime};

use crate::embedded::EXIT_STORE_FAILED;

pub use self::address::Address;
pub use self::connect::ConnectError;
use self::job::{Ask, Inbox, Job, Verb};
use self::link::Link;
use self::read::{What, head_of, page_of, read_log};
use self::scripts::{Names, Script};
pub use self::settings::Settings;
use self::settings::{QUEUED, QUEUED_BYTES, TOLD_BYTES};
use self::wire::Value;

/// The engine of one of several nodes.
pub struct RedisEngine {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the engine's thread have in common.
struct Shared {
    settings: Settings,
    names: Names,
    inbox: Inbox,
    /// What is promised; checked at each connection.
    ack: Ack,
    /// Names this engine among the nodes.
    node: u64,
    /// Names the store if it has no name yet.
    draw: [u8; 16],
    /// The first half of the store's name.
    life: AtomicU64,
    /// The latest time that a caller named.
    latest: AtomicU64,
    /// Times of rooms without a log.
    order: Order,
    /// Messages that no Parlor can have written.
    dropped: AtomicU64,
}

impl RedisEngine {
    /// Connects and checks that this server keeps what is promised. Blocks for at most some seconds.
    ///
    /// # Errors
    /// Why it cannot be used, with a sentence that says what to do and holds no secret.
    pub fn open(settings: Settings) -> Result<RedisEngine, ConnectError> {
        let names = Names::new(&settings.prefix);
        let random = |bytes: &mut [u8]| {
            getrandom::fill(bytes).map_err(|error| ConnectError::Runtime(io::Error::other(error)))
        };
        let (mut draw, mut node) = ([0; 16], [0; 8]);
        random(&mut draw)?;
        random(&mut node)?;
        let connect = || {
            let runtime = runtime().map_err(ConnectError::Runtime)?;
            runtime.block_on(connect::connect(&settings, &names, draw))
        };
        // On a thread of its own: the caller's may have a runtime already.
        let connected = std::thread::scope(|scope| scope.spawn(connect).join()).unwrap_or_else(|_| {
            Err(ConnectError::Runtime(io::Error::other(
                "the attempt to connect panicked; please report this",
            )))
        })?;
        let shared = Shared {
            names,
            inbox: Inbox::new(QUEUED, QUEUED_BYTES, settings.patience),
            ack: connected.ack,
            node: u64::from_be_bytes(node),
            draw,
            life: AtomicU64::new(life_of(connected.store)),
            latest: AtomicU64::new(0),
            order: Order::new(0),
            dropped: AtomicU64::new(0),
            settings,
        };
        Ok(RedisEngine { shared: Arc::new(shared), thread: Mutex::default() })
    }

    /// Messages that were dropped because no Parlor can have written them.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn see(&self, now: u64) {
        self.shared.latest.fetch_max(now, Ordering::Relaxed);
    }

    /// Has Redis answer something; `read` makes of the answer what the caller wants.
    fn ask<T: Send + 'static>(
        &self,
        ask: (Verb, Vec<String>, Vec<Vec<u8>>),
        done: Done<T>,
        read: impl FnOnce(&Value) -> Option<T> + Send + 'static,
    ) {
        self.ask_behind(None, ask, done, read);
    }

    /// Asks for something of a room's log: answered when everything up to its head is delivered.
    fn ask_log<T: Send + 'static>(
        &self,
        ask: (Verb, Vec<String>, Vec<Vec<u8>>),
        done: Done<T>,
        read: impl FnOnce(&Value) -> Option<T> + Send + 'static,
    ) {
        self.ask_behind(Some(|value| Some(head_of(value.list()?)?.seq)), ask, done, read);
    }

    fn ask_behind<T: Send + 'static>(
        &self,
        behind: Option<fn(&Value) -> Option<u64>>,
        (verb, keys, args): (Verb, Vec<String>, Vec<Vec<u8>>),
        done: Done<T>,
        read: impl FnOnce(&Value) -> Option<T> + Send + 'static,
    ) {
        let repeatable = !matches!(verb, Verb::Script(Script::Put));
        let answer = answer(done, read);
        self.shared.inbox.push(Job::Ask(Ask { verb, keys, args, repeatable, behind, answer }));
    }

    fn read(
        &self,
        room: &RoomName,
        policy: Policy,
        what: What,
        limit: u32,
    ) -> (Verb, Vec<String>, Vec<Vec<u8>>) {
        read_log(&self.shared, room, Some(policy), what, limit)
    }
}

fn answer<T: Send + 'static>(
    done: Done<T>,
    read: impl FnOnce(&Value) -> Option<T> + Send + 'static,
) -> Box<dyn FnOnce(Result<Value, Refusal>) + Send> {
    Box::new(move |answer| done(answer.and_then(|value| understood(read, &value))))
}

/// What cursors call a store of this name.
fn life_of(store: [u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = store;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn understood<T>(read: impl FnOnce(&Value) -> Option<T>, value: &Value) -> Result<T, Refusal> {
    read(value).ok_or_else(|| {
        tracing::error!("Redis holds what no Parlor of this version can have written there");
        Refusal::new(Code::Internal, "the store could not be read; the server's log says more")
    })
}

impl Engine for RedisEngine {
    fn start(&self, door: Arc<dyn Door>) {
        let link = Link::new(Arc::clone(&self.shared), door);
        let work = || match runtime() {
            Ok(runtime) => {
                let work = AssertUnwindSafe(|| runtime.block_on(link.run()));
                if catch_unwind(work).is_err() {
                    fail("the engine's thread panicked; this is a fault of the program, please report it");
                }
            }
            Err(error) => fail(&format!("the engine's thread cannot work: {error}")),
        };
        match std::thread::Builder::new().name("parlor-redis".to_owned()).spawn(work) {
            Ok(thread) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread),
            Err(error) => fail(&format!("the engine's thread cannot be started: {error}")),
        }
    }

    fn ack(&self) -> Ack {
        self.shared.ack
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn publish(&self, draft: Draft, now: u64, done: Done<Published>) {
        self.see(now);
        if let Err(refusal) = entry::check(&draft) {
            return done(Err(refusal));
        }
        let job = match retention(draft.policy) {
            Some(keep) if draft.store => Job::Publish { draft, keep, now, done },
            _ if draft.key.is_some() => {
                let message = "a key needs a room with a log and a message that is stored; leave out `key`";
                return done(Err(Refusal::new(Code::NoLog, message)));
            }
            _ => Job::Pass { draft, now, done },
        };
        self.shared.inbox.push(job);
    }

    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>) {
        if retention(policy).is_none() {
            return done(Err(Refusal::no_log(room.as_str(), "positions")));
        }
        self.ask_log(self.read(room, policy, What::Head, 1), done, |value| head_of(value.list()?));
    }

    fn life(&self) -> u64 {
        self.shared.life.load(Ordering::Relaxed)
    }

    /// Answered when everything up to it is delivered. Rings are kept by Redis as logs are, and lose nothing otherwise.
    fn frontier(&self, done: Done<Frontier>) {
        let read = |value: &Value| Some(Frontier { last: value.number().unwrap_or(0), rings_since: 0 });
        let ask = (Verb::Plain("GET"), vec![self.shared.names.seq()], Vec::new());
        self.ask_behind(Some(Value::number), ask, done, read);
    }

    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>) {
        if retention(policy).is_none() {
            return done(Err(Refusal::no_log(room.as_str(), "history")));
        }
        let what = match range {
            Range::After(offset) => What::After(offset),
            Range::Before(offset) => What::Before(offset),
        };
        let name = room.clone();
        let limit = limit.clamp(1, PAGE_MESSAGES as u32);
        self.ask_log(self.read(room, policy, what, limit), done, move |value| page_of(&name, value, what));
    }

    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>) {
        if retention(policy).is_none() {
            let head = Head { epoch: Epoch(0), offset: 0, id: MessageId::NIL, seq: 0 };
            return done(Ok(Resumed { head, outcome: Err(Lost::NoLog) }));
        }
        let what = match begin {
            Begin::Since(since) => What::Since(since.offset()),
            Begin::Last(n) => What::Last(n),
        };
        let name = room.clone();
        let ask = self.read(room, policy, what, PAGE_MESSAGES as u32);
        self.ask_log(ask, done, move |value| {
            let page = page_of(&name, value, what)?;
            let at = value.list()?.get(5)?.text().and_then(entry::message_id);
            let head = page.head;
            let outcome = decide(begin, head, page.first, |_| at).map(|_| page);
            Some(Resumed { head, outcome })
        });
    }

    fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32, done: Done<Vec<(RoomName, Head)>>) {
        let names = &self.shared.names;
        let args = [&names.meta_of_all(), prefix, after.unwrap_or_default(), &limit.to_string()];
        let args = args.map(|text| text.as_bytes().to_vec()).to_vec();
        self.ask((Verb::Script(Script::Rooms), vec![names.rooms()], args), done, |value| {
            let room = |row: &Value| {
                let (name, head) = row.list()?.split_first()?;
                Some((RoomName::internal(name.text()?), head_of(head)?))
            };
            value.list()?.iter().map(room).collect()
        });
    }

    fn interest(&self, room: &RoomName, wanted: bool) {
        self.shared.inbox.interest(room, wanted);
    }

    fn present(&self, room: &RoomName, who: &Author, here: bool) {
        self.shared.inbox.present(room, who, here);
    }

    fn tell(&self, node: Option<u64>, bytes: Vec<u8>) -> Result<(), Refusal> {
        if bytes.len() > TOLD_BYTES {
            return Err(Refusal::too_large("what the other nodes are told", bytes.len(), TOLD_BYTES));
        }
        self.shared.inbox.push(Job::Tell { node, bytes });
        Ok(())
    }

    fn others(&self, done: Done<Vec<u64>>) {
        let own = self.shared.node;
        // One that has ended is there with a 0 until another has taken back what it had said.
        let args = ["1", "+inf"].map(|text| text.as_bytes().to_vec()).to_vec();
        let ask = (Verb::Plain("ZRANGEBYSCORE"), vec![self.shared.names.nodes()], args);
        self.ask(ask, done, move |value| {
            let nodes = value.list()?.iter().map(|node| entry::hex(node.text()?));
            Some(nodes.collect::<Option<Vec<_>>>()?.into_iter().filter(|node| *node != own).collect())
        });
    }

    fn records(&self) -> &dyn Records {
        self
    }

    fn stop(&self) {
        self.shared.inbox.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It does not panic: that ends the process.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Records for RedisEngine {
    fn get(&self, kind: &str, key: &str, now: u64, done: Done<Option<Record>>) {
        let [values, ..] = self.shared.names.records(kind);
        let wanted = key.to_owned();
        let args = vec![key.as_bytes().to_vec()];
        self.ask((Verb::Plain("HGET"), vec![values], args), done, move |value| match value {
            Value::Null => Some(None),
            value => {
                let record = record_of(wanted, value.bytes()?)?;
                Some(Some(record).filter(|record| record.expires.is_none_or(|expires| expires > now)))
            }
        });
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
        let [values, names, ..] = self.shared.names.records(kind);
        let args = [prefix, after.unwrap_or_default(), &limit.to_string(), &now.to_string()];
        let args = args.map(|text| text.as_bytes().to_vec()).to_vec();
        self.ask((Verb::Script(Script::List), vec![values, names], args), done, |value| {
            let record = |row: &Value| {
                let [key, value] = row.list()? else { return None };
                record_of(key.text()?.to_owned(), value.bytes()?)
            };
            value.list()?.iter().map(record).collect()
        });
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
        let (expected, version) = match expect {
            Expect::Anything => ("any", String::new()),
            Expect::Absent => ("absent", String::new()),
            Expect::Version(version) => ("version", version.to_string()),
        };
        // Far from where any other life of the store began, and room to count: a script counts up to 2^53.
        let start = getrandom::u64().unwrap_or_default() >> 14;
        let args = vec![
            key.as_bytes().to_vec(),
            if value.is_some() { b"set".to_vec() } else { b"delete".to_vec() },
            value.unwrap_or_default().to_vec(),
            expires.map(|expires| expires.to_string()).unwrap_or_default().into_bytes(),
            expected.as_bytes().to_vec(),
            version.into_bytes(),
            now.to_string().into_bytes(),
            start.to_string().into_bytes(),
        ];
        let keys = self.shared.names.records(kind).to_vec();
        self.ask((Verb::Script(Script::Put), keys, args), done, |value| match value.list()? {
            [word] if word.text() == Some("other") => Some(None),
            [word, version] if word.text() == Some("written") => Some(Some(version.number()?)),
            _ => None,
        });
    }
}

impl Drop for RedisEngine {
    /// Stops if nobody did.
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEngine")
            .field("settings", &self.shared.settings)
            .field("inbox", &self.shared.inbox)
            .finish_non_exhaustive()
    }
}

/// Without its thread the engine would let everybody wait for ever.
fn fail(why: &str) {
    eprintln!("parlor: {why}");
    std::process::exit(EXIT_STORE_FAILED);
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

/// What is kept of a room, if it has a log. Rings in memory are shared between the nodes, and acknowledged as such.
fn retention(policy: Policy) -> Option<Retention> {
    match policy.log {
        Log::None => None,
        Log::Memory(keep) | Log::Stored(keep) => Some(keep),
    }
}

/// A record as it is kept: `VERSION EXPIRES`, a line's end, the value.
fn record_of(key: String, kept: &[u8]) -> Option<Record> {
    let end = kept.iter().position(|&byte| byte == b'\n')?;
    let (version, expires) = std::str::from_utf8(&kept[..end]).ok()?.split_once(' ')?;
    let expires = match expires {
        "" => None,
        // Later than scripts can count is never.
        expires => Some(expires.parse().ok()?),
    };
    Some(Record { key, value: kept[end + 1..].to_vec(), version: entry::number(version)?, expires })
}
