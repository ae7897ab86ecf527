//! `Rest`: what waits in an outbox behind the first chunk; whoever has one does not read as fast as is written.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::rooms::RoomTag;

/// The chunks behind the first.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) queue: VecDeque<Chunk>,
    /// The sums of the queue's [`Kind::Droppable`] chunks.
    pub(super) droppable_bytes: u32,
    pub(super) droppable_messages: u32,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) room: RoomTag,
    /// Of a gap: how many are missing.
    pub(super) messages: u32,
    pub(super) kind: Kind,
}

/// What may become of a chunk that is not begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is written, or the connection ends.
    #[default]
    Kept,
    /// The oldest of these go when there is no room.
    Droppable,
    /// The next one of the same room takes its place.
    Latest,
    /// It says how much is missing of its room here.
    Gap,
}

/// Messages that went, while the queue goes around.
struct Gap {
    room: RoomTag,
    /// Where it stands.
    index: usize,
    missed: u32,
    /// Nothing of the room is left behind it yet: more that goes belongs to it.
    open: bool,
}

impl Rest {
    pub(super) fn push_back(&mut self, chunk: Chunk) {
        self.droppable_bytes += chunk.droppable().0;
        self.droppable_messages += chunk.droppable().1;
        self.queue.push_back(chunk);
    }

    pub(super) fn push_front(&mut self, chunk: Chunk) {
        self.droppable_bytes += chunk.droppable().0;
        self.droppable_messages += chunk.droppable().1;
        self.queue.push_front(chunk);
    }

    pub(super) fn pop_front(&mut self) -> Option<Chunk> {
        let chunk = self.queue.pop_front()?;
        self.droppable_bytes -= chunk.droppable().0;
        self.droppable_messages -= chunk.droppable().1;
        Some(chunk)
    }

    /// Drops droppable chunks from the front until so many bytes and messages went, and leaves one gap for each room
    /// where the first of them was. Returns how many messages went.
    pub(super) fn drop_older(
        &mut self,
        bytes: u32,
        messages: u32,
        gap: &mut impl FnMut(RoomTag, u32) -> Bytes,
    ) -> u32 {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut gone = (0, 0);
        let mut left = 0;
        // The queue goes around once, without those that are dropped.
        for _ in 0..self.queue.len() {
            let Some(chunk) = self.pop_front() else { break };
            let drops = chunk.kind == Kind::Droppable && (gone.0 < bytes || gone.1 < messages);
            if drops {
                gone = (gone.0 + chunk.droppable().0, gone.1 + chunk.messages);
            }
            let open = gaps.iter_mut().find(|gap| gap.open && gap.room == chunk.room);
            match (open, chunk.kind) {
                (Some(gap), Kind::Droppable) if !drops => gap.open = false,
                (Some(gap), Kind::Droppable | Kind::Gap) => {
                    gap.missed += chunk.messages;
                    continue;
                }
                (None, kind) if drops || kind == Kind::Gap => {
                    gaps.push(Gap { room: chunk.room, index: left, missed: chunk.messages, open: true });
                }
                _ => {}
            }
            // Where a gap begins its frames are made when it is known how long it is.
            let place = Chunk { room: chunk.room, bytes: Bytes::new(), messages: 0, kind: Kind::Gap };
            self.push_back(if drops { place } else { chunk });
            left += 1;
        }
        for Gap { room, index, missed, .. } in gaps.into_iter().rev() {
            let chunk = &mut self.queue[index];
            if chunk.messages != missed {
                (chunk.bytes, chunk.messages) = (gap(room, missed), missed);
            }
            if chunk.bytes.is_empty() {
                self.queue.remove(index);
            }
        }
        gone.1
    }
}

impl Chunk {
    /// The messages that it counts as.
    pub(super) fn counts(&self) -> u32 {
        if self.kind == Kind::Gap { 1 } else { self.messages.min(u16::MAX.into()) }
    }

    /// The bytes and messages that may be dropped.
    pub(super) fn droppable(&self) -> (u32, u32) {
        if self.kind == Kind::Droppable { (self.bytes.len() as u32, self.messages) } else { (0, 0) }
    }
}
