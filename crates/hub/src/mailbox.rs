//! `Mailbox`: the queue by which other threads, and sequencers, reach a worker.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;

use crate::command::{Reply, Ticket};
use crate::connection::ConnectionId;
use crate::encode::{Encodings, WireFormat};
use crate::engine::{Page, Resumed};
use crate::presence::PresenceChange;
use crate::publication::{Author, Publication};
use crate::rooms::RoomKey;

/// What a worker is told. Order matters: it is the order of the room.
#[derive(Debug)]
pub enum Mail {
    /// For the room's subscribers on this worker.
    Publication(RoomKey, Arc<Publication>),
    /// Frames for one connection, in order with what is published.
    Send {
        connection: ConnectionId,
        frames: Bytes,
        /// Left out if something waits for the connection.
        volatile: bool,
    },
    /// From here on the connection gets what is published in this room; it is counted as a subscriber already.
    Enter {
        connection: ConnectionId,
        room: RoomName,
        key: RoomKey,
        format: WireFormat,
    },
    /// From here on it no longer does.
    Exit {
        connection: ConnectionId,
        room: RoomName,
    },
    /// For the connections of these two accounts.
    Direct(Arc<Publication>, [Arc<str>; 2]),
    Presence(RoomKey, Arc<PresenceChange>),
    /// How far an account has read, for its connections.
    Read {
        user: Arc<str>,
        notice: Arc<ReadNotice>,
    },
    /// From here on the connection gets what is published.
    Live {
        connection: ConnectionId,
        room: RoomKey,
        after: u64,
        ticket: Option<Ticket>,
    },
    /// The answer to a connection's wish to begin at a position.
    Resumed {
        connection: ConnectionId,
        room: RoomKey,
        /// Of the join: one that came later is answered by its own.
        ticket: Ticket,
        result: Result<Resumed, Refusal>,
    },
    /// The next page of a replay.
    Page {
        connection: ConnectionId,
        room: RoomKey,
        /// What it follows.
        after: u64,
        result: Result<Page, Refusal>,
    },
    /// The answer to a command.
    Reply {
        connection: ConnectionId,
        ticket: Ticket,
        result: Result<Reply, Refusal>,
    },
    /// The room's log lost something: what its subscribers hold is void.
    EpochChanged(RoomKey),
    /// An operator or the application ends a connection.
    Kick {
        connection: ConnectionId,
        code: u16,
    },
}

/// What an account has read, as it is pushed to its connections.
#[derive(Debug)]
pub struct ReadNotice {
    /// A room, or the other account of a direct conversation.
    pub place: ReadPlace,
    pub user: Arc<str>,
    pub offset: u64,
    pub(crate) encodings: Encodings,
}

impl ReadNotice {
    pub fn new(place: ReadPlace, user: Arc<str>, offset: u64) -> ReadNotice {
        ReadNotice { place, user, offset, encodings: Encodings::default() }
    }
}

/// Where something was read.
#[derive(Debug)]
pub enum ReadPlace {
    Room(RoomName),
    With(Author),
}

/// A worker's incoming queue. Cheap to push to from any thread.
pub struct Mailbox {
    queue: Mutex<Vec<Mail>>,
    length: AtomicUsize,
    /// What the mails weigh together, their publications counted for each.
    bytes: AtomicUsize,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// Mails that may wait before publishes are refused as `busy`. A worker empties its mailbox every turn, so this
/// many mean that it has stood still for a second or more.
pub(crate) const MAILBOX_FULL: usize = 100_000;

/// The same in bytes: what one handler may emit in one go, and no more than a small machine has.
pub(crate) const MAILBOX_BYTES: usize = 64 * 1024 * 1024;

impl Mail {
    fn weight(&self) -> usize {
        match self {
            Mail::Publication(_, publication) | Mail::Direct(publication, _) => publication.weight(),
            Mail::Send { frames, .. } => frames.len(),
            _ => 0,
        }
    }
}

impl Mailbox {
    /// `wake` must make the worker look into its mailbox soon; it is called when the first mail arrives.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Mailbox {
        Mailbox {
            queue: Mutex::default(),
            length: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            wake: Box::new(wake),
        }
    }

    pub fn push(&self, mail: Mail) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.bytes.fetch_add(mail.weight(), Ordering::Relaxed);
        queue.push(mail);
        self.length.store(queue.len(), Ordering::Relaxed);
        let first = queue.len() == 1;
        drop(queue);
        if first {
            (self.wake)();
        }
    }

    /// Makes the worker look at the time and at its mailbox.
    pub fn wake(&self) {
        (self.wake)();
    }

    /// Exchanges the waiting mails for the (empty) vector that the worker brings, so that neither side allocates.
    pub fn swap(&self, empty: &mut Vec<Mail>) {
        debug_assert!(empty.is_empty());
        if self.length.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, empty);
        self.length.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.length.load(Ordering::Relaxed) >= MAILBOX_FULL
            || self.bytes.load(Ordering::Relaxed) >= MAILBOX_BYTES
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("length", &self.length).finish_non_exhaustive()
    }
}
