//! `Outbox`: a connection's bounded queue of encoded bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use parlor_proto::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};

/// Bytes that wait to be written, in order. An empty outbox owns no memory.
///
/// Invariant: `bytes` is the sum of what the queue holds, less what was written of its front.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Queue,
    bytes: usize,
    messages: u32,
    /// Part of the front chunk is written.
    begun: bool,
}

/// Nearly always there is nothing, or the one run of frames of this turn: that must not allocate.
#[derive(Debug, Default)]
enum Queue {
    #[default]
    Empty,
    One(Chunk),
    Many(VecDeque<Chunk>),
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    messages: u32,
}

/// The connection reads more slowly than its rooms are written: it is cut and can resume.
#[derive(Debug, PartialEq, Eq)]
pub struct Slow;

impl Outbox {
    /// Queues whole frames that others share. `Err`: the limits are passed and nothing was queued.
    pub fn push(&mut self, bytes: Bytes, messages: u32) -> Result<(), Slow> {
        if self.bytes + bytes.len() > OUTBOX_BYTES && !self.is_empty()
            || self.messages as usize + messages as usize > OUTBOX_MESSAGES
        {
            return Err(Slow);
        }
        self.push_unlimited(bytes, messages);
        Ok(())
    }

    /// Queues what is not a slow reader's fault: replies, pages of a replay, control frames. Their number is bounded
    /// by what the connection asked for.
    pub fn push_unlimited(&mut self, bytes: Bytes, messages: u32) {
        self.bytes += bytes.len();
        self.messages += messages;
        let chunk = Chunk { bytes, messages };
        match &mut self.queue {
            Queue::Many(queue) => queue.push_back(chunk),
            Queue::Empty => self.queue = Queue::One(chunk),
            Queue::One(_) => {
                let Queue::One(first) = std::mem::take(&mut self.queue) else { return };
                let mut queue = VecDeque::with_capacity(8);
                queue.push_back(first);
                queue.push_back(chunk);
                self.queue = Queue::Many(queue);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.queue, Queue::Empty)
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// The single slice that waits, if it is just one: then a plain write is cheaper than a vectored one.
    pub fn single(&self) -> Option<&[u8]> {
        match &self.queue {
            Queue::One(chunk) => Some(&chunk.bytes),
            _ => None,
        }
    }

    /// Fills `slices` from the front and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match &self.queue {
            Queue::Empty => 0,
            Queue::One(chunk) => {
                slices[0] = IoSlice::new(&chunk.bytes);
                1
            }
            Queue::Many(queue) => {
                let mut filled = 0;
                for (slice, chunk) in slices.iter_mut().zip(queue) {
                    *slice = IoSlice::new(&chunk.bytes);
                    filled += 1;
                }
                filled
            }
        }
    }

    /// Drops what waits, except a chunk that is partly written: the peer must get the rest of its frame.
    pub fn drop_queued(&mut self) {
        let begun = std::mem::take(&mut self.begun);
        let front = match std::mem::take(&mut self.queue) {
            Queue::One(chunk) if begun => Some(chunk),
            Queue::Many(mut queue) if begun => queue.pop_front(),
            _ => None,
        };
        *self = Outbox::default();
        if let Some(chunk) = front {
            self.push_unlimited(chunk.bytes, chunk.messages);
            self.begun = true;
        }
    }

    /// Forgets `written` bytes from the front.
    pub fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        self.begun |= written > 0;
        match &mut self.queue {
            Queue::Empty => debug_assert_eq!(written, 0),
            Queue::One(chunk) => {
                if written == chunk.bytes.len() {
                    self.queue = Queue::Empty;
                    self.messages = 0;
                    self.begun = false;
                } else {
                    chunk.bytes.advance(written);
                }
            }
            Queue::Many(queue) => {
                while let Some(front) = queue.front_mut() {
                    if written < front.bytes.len() {
                        front.bytes.advance(written);
                        return;
                    }
                    written -= front.bytes.len();
                    self.messages -= front.messages;
                    self.begun = written > 0;
                    queue.pop_front();
                }
                self.queue = Queue::Empty;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn bytes_leave_in_order_however_they_are_written() {
        let mut outbox = Outbox::default();
        assert!(outbox.is_empty());
        for text in ["one", "two", "three"] {
            outbox.push(Bytes::from_static(text.as_bytes()), 1).unwrap();
        }
        assert_eq!(waiting(&outbox), b"onetwothree");
        assert_eq!(outbox.single(), None);
        outbox.advance(4);
        assert_eq!(waiting(&outbox), b"wothree");
        assert_eq!(outbox.len(), 7);
        outbox.advance(7);
        assert!(outbox.is_empty());
        assert_eq!((outbox.len(), outbox.messages), (0, 0));
        outbox.push(Bytes::from_static(b"four"), 1).unwrap();
        outbox.advance(1);
        assert_eq!(outbox.single(), Some(&b"our"[..]));
    }

    #[test]
    fn a_slow_reader_is_found_by_bytes_or_by_messages() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from(vec![0; OUTBOX_BYTES]), 1).unwrap();
        assert_eq!(outbox.push(Bytes::from_static(b"x"), 1), Err(Slow));

        let mut outbox = Outbox::default();
        for _ in 0..OUTBOX_MESSAGES {
            outbox.push(Bytes::from_static(b"x"), 1).unwrap();
        }
        assert_eq!(outbox.push(Bytes::from_static(b"x"), 1), Err(Slow));
    }

    #[test]
    fn what_is_dropped_never_cuts_a_frame() {
        for (written, left) in [(0, ""), (2, "e"), (3, ""), (4, "wo")] {
            let mut outbox = Outbox::default();
            for text in ["one", "two", "three"] {
                outbox.push(Bytes::from_static(text.as_bytes()), 1).unwrap();
            }
            outbox.advance(written);
            outbox.drop_queued();
            assert_eq!(waiting(&outbox), left.as_bytes(), "after {written}");
            assert_eq!(outbox.len(), left.len());
        }
    }

    #[test]
    fn one_message_larger_than_the_limit_still_passes() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Bytes::from(vec![0; OUTBOX_BYTES + 1]), 1), Ok(()));
    }
}
