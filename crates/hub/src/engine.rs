//! `Engine`: the contract of everything that orders, stores and spreads publications.

use std::sync::Arc;

use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position, Since};

use crate::policy::{Ack, Policy};
use crate::publication::{Author, Draft, Publication};

/// Called exactly once with the result, from whatever thread has it (the caller's own, before the method returns,
/// included). It never blocks; that of a publish does not call the engine either, which may hold its locks then.
/// Publishes of one room are answered in their order, refusals of what never got a place excepted. If the process
/// ends first, it is not called: then nothing was promised.
pub type Done<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// The one door by which publications come back from an engine: `hub::deliver`.
pub trait Door: Send + Sync {
    /// Hands a publication to the subscribers on this node. It never blocks, takes only the room's short lock and
    /// does not call the engine, which may hold locks of its own. Shared, because a ring in memory keeps it too.
    fn deliver(&self, publication: Arc<Publication>);
    /// The log of this room lost something or was rewound: positions from before are void.
    fn epoch_changed(&self, room: &RoomName, epoch: Epoch);
    /// Who is in a room on other nodes; `now` is milliseconds since 1970. Not called by engines of one node.
    fn present(&self, _room: &RoomName, _elsewhere: Elsewhere, _now: u64) {}
    /// Another node says something, by [`Engine::tell`]. `false`: no Parlor can have said it.
    fn told(&self, _node: u64, _bytes: &[u8]) -> bool {
        true
    }
}

/// Who is in a room on other nodes. Each node is a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// These and nobody else.
    Are(Vec<(u64, Author)>),
    Came(u64, Author),
    /// This account, from this node.
    Went(u64, Arc<str>),
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// `None` where nothing is stored.
    pub position: Option<Position>,
    pub ack: Ack,
    /// The key was seen before: this is the earlier message's position, and nothing was stored or spread now.
    pub duplicate: bool,
}

/// The newest place of a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub epoch: Epoch,
    /// 0: nothing was ever stored.
    pub offset: u64,
    /// The id of the newest message; 0 if there is none.
    pub id: MessageId,
    /// Commit number of the newest message of the room.
    pub seq: u64,
}

impl Head {
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset, id: self.id }
    }
}

/// How far a store has come, for cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// Everything that was or will be stored with a `seq` up to here was delivered, and reading finds it.
    pub last: u64,
    /// No log in memory (`Log::Memory`) has lost anything with a `seq` beyond this otherwise than by its retention.
    pub rings_since: u64,
}

/// Which part of a log to read. Pages come oldest first and are never empty when something is in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The newest messages before this offset (`None`: the newest of all).
    Before(Option<u64>),
    /// The messages after this offset, in order.
    After(u64),
}

/// A piece of a log.
#[derive(Clone, Debug)]
pub struct Page {
    pub head: Head,
    /// Contiguous, oldest first; at most the limit asked for and at most `limits::PAGE_BYTES`, but at least one
    /// if there is one.
    pub messages: Vec<Arc<Publication>>,
    /// More messages lie beyond in the direction of reading.
    pub more: bool,
    /// The offset of the oldest message still held; `head.offset + 1` if none is.
    pub first: u64,
}

/// Where a subscriber wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Behind a position that the client knows.
    Since(Since),
    /// With the newest `n` messages.
    Last(u32),
}

/// Why a gap cannot be given. Nothing of it is given then: never part of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    EpochChanged,
    Trimmed,
    Diverged,
    TooMany,
    NoLog,
}

impl Lost {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Lost::EpochChanged => "epoch_changed",
            Lost::Trimmed => "trimmed",
            Lost::Diverged => "diverged",
            Lost::TooMany => "too_many",
            Lost::NoLog => "no_log",
        }
    }
}

/// The answer to `resume`: the gap's first page, or why there is none.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Taken from the same snapshot of the store as `outcome`.
    pub head: Head,
    /// The first page behind the position and whether more follows up to `head`.
    pub outcome: Result<Page, Lost>,
}

/// Orders, stores and spreads publications, and keeps small records.
///
/// **Order.** All stored publications of one room get offsets 1, 2, 3, … in the order in which they are delivered
/// and acknowledged; `seq` grows over all rooms in the order of delivery. What one thread publishes in one room is
/// delivered in that order, stored or not.
///
/// **Reading.** When `head`, `history` and `resume` answer, everything up to the `seq` of the head that they tell was
/// delivered: whoever has read up to a place is not given anything before it afterwards.
///
/// **Durability.** `publish` with `Log::Stored` calls `Door::deliver` and then `done` only when the publication is
/// as durable as the engine's ack level says. Nobody, publisher or subscriber, sees a message that a crash can
/// un-happen. `Log::None` and `store: false` skip the store, not the engine.
///
/// **Idempotency.** A key is remembered per (author, room) for at least `limits::KEY_WINDOW`, across
/// restarts for stored rooms. The same key with another body is `key_reused`; a key whose own time
/// (`native::key::time`) is older than the window is `key_expired`. If the window's memory is full, it shortens to no
/// less than `limits::KEY_WINDOW_MIN`; then new keyed publishes are `busy`. What is not stored takes no key: `no_log`.
///
/// **Failure.** A refusal means that the publication is not stored and will not be. When an engine whose store is its
/// own cannot know, it ends the process rather than guess. One whose store is elsewhere says `unavailable`: the
/// publication may have been stored, and if so it is delivered; a repeat with the same key is safe. While such an engine
/// reads what it has missed, it may answer a publisher before it delivers.
///
/// **Cancellation.** There is none: what was handed in is carried out.
///
/// Methods may be called from any thread, return at once and do no I/O on the caller's thread.
pub trait Engine: Send + Sync {
    /// Called once before anything else.
    fn start(&self, door: Arc<dyn Door>);

    /// The durability that `Log::Stored` rooms have here.
    fn ack(&self) -> Ack;

    /// Whether other processes may use the same store at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Orders, stores and spreads one publication. `now` is milliseconds since 1970 by the caller's clock.
    fn publish(&self, draft: Draft, now: u64, done: Done<Published>);

    /// The newest place of a room's log; epoch and offset 0 of a room that was never written are allowed to be a
    /// fresh epoch that the first publication then keeps.
    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>);

    /// One page of a room's log, at most `limit` messages.
    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>);

    /// Decides whether the gap behind `begin` can be given whole (at most `limits::RESUME_MAX`) and reads its first page
    /// from the same snapshot. `hub::resume::decide` has the rules.
    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>);

    /// The name of this store's life: 64 random bits, drawn when the store is made or loses anything as a whole. Every
    /// cursor begins with it.
    fn life(&self) -> u64;

    /// How far the store has come by now.
    fn frontier(&self, done: Done<Frontier>);

    /// The rooms that have a log, in the order of their names' bytes: those that begin with `prefix` and come after
    /// `after`, at most `limit`. Names that begin with `$` are left out.
    fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32, done: Done<Vec<(RoomName, Head)>>);

    /// This node has (or no longer has) subscribers in the room; said before the room's log is read for one of them, and
    /// again for each. Engines of one node may ignore it; others deliver only what is published here or wanted here.
    fn interest(&self, room: &RoomName, wanted: bool);

    /// An account has its first connection of this node in the room, or no longer has one: other nodes' hubs are told by
    /// [`Door::present`], also when this node is killed. Engines of one node may ignore it.
    fn present(&self, _room: &RoomName, _who: &Author, _here: bool) {}

    /// Tells the other nodes something, or one of them; they hear it by [`Door::told`], at most once, and what is said
    /// while the store is away is lost. Engines of one node have nobody to tell.
    ///
    /// # Errors
    /// `too_large`.
    fn tell(&self, _node: Option<u64>, _bytes: Vec<u8>) -> Result<(), Refusal> {
        Ok(())
    }

    /// The other nodes that live.
    fn others(&self, done: Done<Vec<u64>>) {
        done(Ok(Vec::new()));
    }

    /// Small values for everything else that must last.
    fn records(&self) -> &dyn Records;

    /// Refuses new work, finishes what was accepted, and returns when the store is closed. Blocks; called once
    /// at the end of the process.
    fn stop(&self);
}

/// A kept value and the version to compare with when replacing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub value: Vec<u8>,
    /// Differs after every change; never 0.
    pub version: u64,
    /// Milliseconds since 1970, after which the record is gone.
    pub expires: Option<u64>,
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    /// No (unexpired) record of that key.
    Absent,
    /// The record has exactly this version.
    Version(u64),
}

impl Expect {
    /// Whether it holds for a record of this version (`None`: there is none).
    pub fn holds(self, version: Option<u64>) -> bool {
        match self {
            Expect::Anything => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
        }
    }
}

/// (kind, key) to a small value, with expiry and compare-and-set: accounts, read markers, bans.
///
/// Writes are as durable as the engine's ack level before `done` is called, and are seen by every later read. A
/// value holds at most `limits::RECORD_BYTES`, a key at most `limits::RECORD_KEY_BYTES`.
pub trait Records: Send + Sync {
    fn get(&self, kind: &str, key: &str, now: u64, done: Done<Option<Record>>);

    /// Records of a kind whose keys begin with `prefix` and come after `after`, in the order of their bytes.
    fn list(
        &self,
        kind: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
        done: Done<Vec<Record>>,
    );

    /// Writes (`Some`) or deletes (`None`). `Ok(None)`: the expectation did not hold and nothing changed; otherwise
    /// the new version (0 after a deletion).
    #[allow(clippy::too_many_arguments)]
    fn put(
        &self,
        kind: &str,
        key: &str,
        value: Option<&[u8]>,
        expires: Option<u64>,
        expect: Expect,
        now: u64,
        done: Done<Option<u64>>,
    );
}
