//! `Disk`: what a [`super::store::Store`] has committed; it outlives the process, and copies of it are backups.

use std::collections::BTreeMap;
use std::sync::Arc;

use parlor_hub::Publication;
use parlor_hub::engine::{Begin, Head, Page, Range, Resumed};
use parlor_hub::memory::epoch_of;
use parlor_hub::policy::Retention;
use parlor_hub::publication::Place;
use parlor_hub::resume::decide;
use parlor_hub::window::Mark;
use parlor_proto::limits::{PAGE_BYTES, PAGE_MESSAGES};
use parlor_proto::name::RoomName;
use parlor_proto::position::{MessageId, Position};

use crate::torture::{Stored, Truth};

#[derive(Clone, Default)]
pub(super) struct Disk {
    logs: BTreeMap<RoomName, RoomLog>,
    pub(super) keys: Vec<Kept>,
    /// No number up to here is used again.
    pub(super) seq_floor: u64,
}

/// A key that was used.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) mark: Mark,
    pub(super) position: Position,
    pub(super) time: u64,
}

/// The log of one room.
#[derive(Clone)]
pub(super) struct RoomLog {
    pub(super) head: Head,
    /// All that were ever stored; those in front are held no more.
    messages: Vec<Arc<Publication>>,
    gone: usize,
    keep: Retention,
}

const SECRET: [u8; 16] = [9; 16];

impl Disk {
    pub(super) fn log_mut(&mut self, room: &RoomName) -> &mut RoomLog {
        self.logs.entry(room.clone()).or_insert_with(|| RoomLog::new(room))
    }

    /// Looks at a room's log, an empty one if nothing was stored there yet.
    pub(super) fn read<T>(&self, room: &RoomName, read: impl FnOnce(&RoomLog) -> T) -> T {
        match self.logs.get(room) {
            Some(log) => read(log),
            None => read(&RoomLog::new(room)),
        }
    }

    /// Rooms hold no more than they keep.
    pub(super) fn trim(&mut self) {
        for log in self.logs.values_mut() {
            if let Some(most) = log.keep.messages {
                log.gone = log.gone.max(log.messages.len().saturating_sub(most as usize));
            }
        }
    }

    /// Writes down everything that was ever stored.
    pub(super) fn tell(&self, truth: &mut Truth) {
        for (room, log) in &self.logs {
            let all = log.messages.iter().filter_map(|message| {
                let (at, seq) = (message.position()?, message.place?.seq);
                Some(Stored { at, seq, data: super::label(&message.data) })
            });
            truth.logs.entry(room.to_string()).or_default().insert(log.head.epoch, all.collect());
        }
    }
}

impl RoomLog {
    fn new(room: &RoomName) -> RoomLog {
        let head = Head { epoch: epoch_of(&SECRET, 0, room), offset: 0, id: MessageId::NIL, seq: 0 };
        RoomLog { head, messages: Vec::new(), gone: 0, keep: Retention::KEEP }
    }

    pub(super) fn push(&mut self, publication: Arc<Publication>, place: Place, keep: Retention) {
        self.head = Head { epoch: place.epoch, offset: place.offset, id: publication.id, seq: place.seq };
        self.messages.push(publication);
        self.keep = keep;
    }

    /// The newest place at or before a number, whether it is still held or not.
    pub(super) fn place_at(&self, seq: u64) -> Position {
        let before = |message: &&Arc<Publication>| message.place.is_some_and(|place| place.seq <= seq);
        let newest = self.messages.iter().rfind(before).and_then(|message| message.position());
        newest.unwrap_or(Position { epoch: self.head.epoch, offset: 0, id: MessageId::NIL })
    }

    /// The oldest offset that is held, or that of the next message.
    pub(super) fn first(&self) -> u64 {
        self.gone as u64 + 1
    }

    pub(super) fn page(&self, range: Range, limit: u32) -> Page {
        let held = &self.messages[self.gone..];
        let limit = (limit as usize).min(PAGE_MESSAGES);
        let (messages, more) = match range {
            Range::After(offset) => {
                let from = (offset + 1).saturating_sub(self.first()).min(held.len() as u64) as usize;
                let page = within_bytes(held[from..].iter().take(limit));
                let more = from + page.len() < held.len();
                (page, more)
            }
            Range::Before(offset) => {
                let end = offset.map_or(held.len(), |offset| offset.saturating_sub(self.first()) as usize);
                let end = end.min(held.len());
                let mut page = within_bytes(held[..end].iter().rev().take(limit));
                page.reverse();
                let more = page.len() < end;
                (page, more)
            }
        };
        Page { head: self.head, messages, more, first: self.first() }
    }

    pub(super) fn resume(&self, begin: Begin) -> Resumed {
        let id_at = |offset: u64| {
            let known = offset + 1 >= self.first();
            self.messages.get(offset.checked_sub(1)? as usize).map(|message| message.id).filter(|_| known)
        };
        let outcome = decide(begin, self.head, self.first(), id_at);
        Resumed {
            head: self.head,
            outcome: outcome.map(|after| self.page(Range::After(after), PAGE_MESSAGES as u32)),
        }
    }
}

/// As many as fit into a page, but at least one.
fn within_bytes<'r>(messages: impl Iterator<Item = &'r Arc<Publication>>) -> Vec<Arc<Publication>> {
    let mut bytes = 0;
    let fits = |message: &&Arc<Publication>| {
        let empty = bytes == 0;
        bytes += message.weight();
        empty || bytes <= PAGE_BYTES
    };
    messages.take_while(fits).map(Arc::clone).collect()
}
