//! `Ring`: the log of one room in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use parlor_proto::limits::{PAGE_BYTES, PAGE_MESSAGES};
use parlor_proto::position::{Epoch, MessageId};

use crate::engine::{Begin, Head, Page, Range, Resumed};
use crate::policy::Retention;
use crate::publication::Publication;
use crate::resume::decide;

/// The newest publications of a room. Offsets go on when all of them are gone.
#[derive(Debug)]
pub(super) struct Ring {
    head: Head,
    /// The id of the newest message that is gone: who has seen that one has missed nothing.
    gone: MessageId,
    /// Contiguous, oldest first; the last one is `head` unless it was trimmed.
    messages: VecDeque<Arc<Publication>>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(epoch: Epoch) -> Ring {
        Ring {
            head: Head { epoch, offset: 0, id: MessageId::NIL, seq: 0 },
            gone: MessageId::NIL,
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// What the messages weigh together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a publication whose place is the next one.
    pub(super) fn push(&mut self, publication: Arc<Publication>) {
        let Some(place) = publication.place else { return };
        debug_assert_eq!(place.offset, self.head.offset + 1);
        self.head = Head { epoch: place.epoch, offset: place.offset, id: publication.id, seq: place.seq };
        self.bytes += publication.weight();
        self.messages.push_back(publication);
    }

    /// Drops what retention no longer keeps.
    pub(super) fn trim(&mut self, retention: Retention, now: u64) {
        while let Some(oldest) = self.messages.front() {
            let too_many = retention.messages.is_some_and(|most| self.messages.len() as u64 > most);
            let too_large = retention.bytes.is_some_and(|most| self.bytes as u64 > most);
            let too_old = retention.age_ms.is_some_and(|age| oldest.time.saturating_add(age) < now);
            if !(too_many || too_large || too_old) {
                return;
            }
            self.bytes -= oldest.weight();
            self.gone = oldest.id;
            self.messages.pop_front();
        }
    }

    pub(super) fn page(&self, range: Range, limit: u32) -> Page {
        let limit = (limit as usize).clamp(1, PAGE_MESSAGES);
        let first = self.first();
        let (messages, more) = match range {
            Range::After(offset) => {
                let skip = offset.saturating_add(1).saturating_sub(first) as usize;
                let messages: Vec<_> = within_bytes(self.messages.iter().skip(skip).take(limit));
                let more = messages.last().and_then(offset_of).is_some_and(|last| last < self.head.offset);
                (messages, more)
            }
            Range::Before(offset) => {
                let end = offset.map_or(self.messages.len(), |offset| offset.saturating_sub(first) as usize);
                let end = end.min(self.messages.len());
                let mut messages: Vec<_> = within_bytes(self.messages.range(..end).rev().take(limit));
                messages.reverse();
                let more = messages.first().and_then(offset_of).is_some_and(|oldest| oldest > first);
                (messages, more)
            }
        };
        Page { head: self.head, messages, more, first }
    }

    pub(super) fn resume(&self, begin: Begin) -> Resumed {
        let outcome = decide(begin, self.head, self.first(), |offset| self.id_at(offset));
        Resumed {
            head: self.head,
            outcome: outcome.map(|after| self.page(Range::After(after), PAGE_MESSAGES as u32)),
        }
    }

    /// The offset of the oldest message held; that of the next one if none is.
    fn first(&self) -> u64 {
        self.head.offset + 1 - self.messages.len() as u64
    }

    fn id_at(&self, offset: u64) -> Option<MessageId> {
        if offset + 1 == self.first() {
            return Some(self.gone);
        }
        let place = offset.checked_sub(self.first())?;
        self.messages.get(place as usize).map(|message| message.id)
    }
}

fn offset_of(publication: &Arc<Publication>) -> Option<u64> {
    publication.place.map(|place| place.offset)
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
