//! `Outbox`: a connection's bounded queue of encoded bytes, and what goes when it is full.

mod rest;
#[cfg(test)]
mod tests;

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use parlor_proto::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};

use self::rest::{Chunk, Kind, Rest};
use crate::policy::Overflow;
use crate::rooms::RoomTag;

/// Bytes that wait to be written, in order. An empty outbox owns no memory; nearly always there is nothing, or the one
/// run of frames of this turn, which must not allocate. It is 56 bytes, so that its connection's entry has room for it
/// in its first line of the cache.
///
/// Invariant: `bytes` is the sum of what waits, less what was written of `first`; `rest` is there only behind a `first`,
/// and its queue is never empty.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Bytes>,
    rest: Option<Box<Rest>>,
    bytes: u32,
    messages: u32,
    first_room: RoomTag,
    first_messages: u16,
    first_kind: Kind,
    /// Part of `first` is written.
    begun: bool,
}

const _: () = assert!(size_of::<Outbox>() == 56);

/// The connection reads more slowly than its rooms are written: it is cut and can resume.
#[derive(Debug, PartialEq, Eq)]
pub struct Slow;

impl Outbox {
    /// Queues whole frames of a room, which others share, and returns how many messages went for it: with
    /// [`Overflow::LatestOnly`] the room's one that waits, and, if there is no room, the older half of what waits of
    /// rooms with [`Overflow::DropOldest`]. These frames go themselves if that is their policy and nothing else helps.
    /// No bytes are a bell, for which nothing waits.
    ///
    /// `gap(room, missed)` has the frames that stand where messages went; none where the wire has no word for it.
    ///
    /// # Errors
    /// The limits are passed all the same, and nothing was queued.
    pub fn offer(
        &mut self,
        frames: Bytes,
        messages: u32,
        room: RoomTag,
        overflow: Overflow,
        mut gap: impl FnMut(RoomTag, u32) -> Bytes,
    ) -> Result<u32, Slow> {
        if frames.is_empty() {
            return Ok(0);
        }
        let (kind, mut gone) = match overflow {
            Overflow::Disconnect => (Kind::Kept, 0),
            Overflow::DropOldest => (Kind::Droppable, 0),
            Overflow::LatestOnly => (Kind::Latest, self.supersede(room)),
        };
        if !self.fits(&frames, messages) {
            gone += self.make_room(&frames, messages, &mut gap);
        }
        if self.fits(&frames, messages) {
            self.append(Chunk { bytes: frames, room, messages, kind });
        } else if kind == Kind::Droppable {
            self.add_gap(room, messages, &mut gap);
            gone += messages;
        } else {
            return Err(Slow);
        }
        Ok(gone)
    }

    /// Queues what is not a slow reader's fault: replies, pages of a replay, control frames. Their number is bounded
    /// by what the connection asked for, far below 4 GB.
    pub fn push_unlimited(&mut self, bytes: Bytes, messages: u32) {
        self.append(Chunk { bytes, room: RoomTag::default(), messages, kind: Kind::Kept });
    }

    fn fits(&self, frames: &Bytes, messages: u32) -> bool {
        (self.len() + frames.len() <= OUTBOX_BYTES || self.is_empty())
            && self.messages as usize + messages as usize <= OUTBOX_MESSAGES
    }

    fn append(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes.len() as u32;
        self.messages += chunk.counts();
        if self.first.is_none() {
            self.put_first(chunk);
        } else {
            self.rest.get_or_insert_default().push_back(chunk);
        }
    }

    fn put_first(&mut self, chunk: Chunk) {
        // A run or a page has some hundred messages, and a gap that has more stays as it is.
        self.first_messages = chunk.messages.min(u16::MAX.into()) as u16;
        (self.first_room, self.first_kind) = (chunk.room, chunk.kind);
        (self.first, self.begun) = (Some(chunk.bytes), false);
    }

    fn first_counts(&self) -> u32 {
        if self.first_kind == Kind::Gap { 1 } else { self.first_messages.into() }
    }

    /// Fills the first place from the rest.
    fn move_up(&mut self) {
        if self.first.is_none()
            && let Some(rest) = &mut self.rest
            && let Some(next) = rest.pop_front()
        {
            self.put_first(next);
        }
        if self.rest.as_ref().is_some_and(|rest| rest.queue.is_empty()) {
            self.rest = None;
        }
    }

    /// Takes out what waits of a room of which only the latest counts, unless it is begun; returns how much that was.
    fn supersede(&mut self, room: RoomTag) -> u32 {
        if self.first_kind == Kind::Latest && self.first_room == room && !self.begun {
            let gone = if self.first.is_some() { self.first_messages.into() } else { 0 };
            self.advance(self.first.as_ref().map_or(0, Bytes::len));
            return gone;
        }
        let Some(rest) = &mut self.rest else { return 0 };
        // Where it comes often, it is near the end.
        let found = rest.queue.iter().rposition(|chunk| chunk.kind == Kind::Latest && chunk.room == room);
        let Some(gone) = found.and_then(|index| rest.queue.remove(index)) else { return 0 };
        self.bytes -= gone.bytes.len() as u32;
        self.messages -= gone.counts();
        self.move_up();
        gone.messages
    }

    /// Drops the oldest of what may go, of all rooms, until the frames fit: at least half of it, so that a reader who
    /// stays behind does not cost a walk over what waits for every message. Where all of it would not do, nothing goes.
    fn make_room(
        &mut self,
        frames: &Bytes,
        messages: u32,
        gap: &mut impl FnMut(RoomTag, u32) -> Bytes,
    ) -> u32 {
        let may_go = self.first_kind == Kind::Droppable
            || self.first_kind == Kind::Gap && self.first_messages < u16::MAX;
        if may_go && !self.begun {
            let (room, messages, kind) = (self.first_room, self.first_messages.into(), self.first_kind);
            let first = self.first.take().map(|bytes| Chunk { bytes, room, messages, kind });
            first.into_iter().for_each(|first| self.rest.get_or_insert_default().push_front(first));
        }
        let first = self.first.as_ref().map_or((0, 0), |first| (first.len() as u32, self.first_counts()));
        let mut gone = 0;
        // Once, or twice if the gaps themselves take the last of it.
        while let Some(rest) = self.rest.as_mut().filter(|rest| rest.droppable_messages > 0) {
            let bytes = (self.bytes as usize + frames.len()).saturating_sub(OUTBOX_BYTES) as u32;
            let messages = (self.messages + messages).saturating_sub(OUTBOX_MESSAGES as u32);
            let enough = bytes <= rest.droppable_bytes && messages <= rest.droppable_messages;
            if (bytes, messages) == (0, 0) || !enough {
                break;
            }
            let half = |short: u32, all: u32| if short == 0 { 0 } else { short.max(all / 2) };
            let bytes = half(bytes, rest.droppable_bytes);
            gone += rest.drop_older(bytes, half(messages, rest.droppable_messages), gap);
            (self.bytes, self.messages) = rest.queue.iter().fold(first, |(bytes, messages), chunk| {
                (bytes + chunk.bytes.len() as u32, messages + chunk.counts())
            });
        }
        self.move_up();
        gone
    }

    /// Says behind everything that waits that messages of a room are missing.
    fn add_gap(&mut self, room: RoomTag, missed: u32, gap: &mut impl FnMut(RoomTag, u32) -> Bytes) {
        let of_room = |chunk: &&mut Chunk| chunk.room == room;
        let newest = self.rest.as_mut().and_then(|rest| rest.queue.iter_mut().rev().find(of_room));
        let Some(last) = newest.filter(|newest| newest.kind == Kind::Gap) else {
            let bytes = gap(room, missed);
            if !bytes.is_empty() {
                self.append(Chunk { bytes, room, messages: missed, kind: Kind::Gap });
            }
            return;
        };
        last.messages += missed;
        let bytes = gap(room, last.messages);
        // A connection that has left the room keeps what it was told.
        if !bytes.is_empty() {
            self.bytes = self.bytes + bytes.len() as u32 - last.bytes.len() as u32;
            last.bytes = bytes;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes as usize
    }

    /// The single slice that waits, if it is just one: then a plain write is cheaper than a vectored one.
    pub fn single(&self) -> Option<&[u8]> {
        if self.rest.is_some() { None } else { self.first.as_deref() }
    }

    /// Fills `slices` from the front and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = self.rest.iter().flat_map(|rest| rest.queue.iter().map(|chunk| &chunk.bytes));
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(self.first.iter().chain(rest)) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Drops what waits, except a chunk that is partly written: the peer must get the rest of its frame.
    pub fn drop_queued(&mut self) {
        let begun = std::mem::take(self);
        if let Some(first) = begun.first.filter(|_| begun.begun) {
            self.push_unlimited(first, begun.first_messages.into());
            self.begun = true;
        }
    }

    /// Forgets `written` bytes from the front.
    pub fn advance(&mut self, mut written: usize) {
        self.bytes -= written as u32;
        while let Some(first) = &mut self.first {
            if written < first.len() {
                first.advance(written);
                self.begun |= written > 0;
                return;
            }
            written -= first.len();
            self.messages -= self.first_counts();
            self.first = None;
            self.move_up();
        }
        debug_assert_eq!(written, 0, "no more was written than waited");
    }
}
