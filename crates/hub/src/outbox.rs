//! `Outbox`: a connection's bounded queue of encoded bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use parlor_proto::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};

/// Bytes that wait to be written, in order. An empty outbox owns no memory; nearly always there is nothing, or the one
/// run of frames of this turn, which must not allocate. It is 56 bytes, so that its connection's entry has room for it
/// in its first line of the cache.
///
/// Invariant: `bytes` is the sum of what waits, less what was written of `first`; `rest` is there only behind a `first`,
/// and never empty.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Bytes>,
    #[expect(clippy::box_collection, reason = "32 bytes in every connection for what is rarely there")]
    rest: Option<Box<VecDeque<Chunk>>>,
    bytes: u32,
    messages: u32,
    first_messages: u32,
    /// Part of `first` is written.
    begun: bool,
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
    /// Queues whole frames that others share. `Err`: the limits are passed and nothing was queued. No bytes are a bell,
    /// for which nothing waits.
    pub fn push(&mut self, bytes: Bytes, messages: u32) -> Result<(), Slow> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.len() + bytes.len() > OUTBOX_BYTES && !self.is_empty()
            || self.messages as usize + messages as usize > OUTBOX_MESSAGES
        {
            return Err(Slow);
        }
        self.push_unlimited(bytes, messages);
        Ok(())
    }

    /// Queues what is not a slow reader's fault: replies, pages of a replay, control frames. Their number is bounded
    /// by what the connection asked for, far below 4 GB.
    pub fn push_unlimited(&mut self, bytes: Bytes, messages: u32) {
        self.bytes += bytes.len() as u32;
        self.messages += messages;
        if self.first.is_none() {
            (self.first, self.first_messages) = (Some(bytes), messages);
        } else {
            self.rest.get_or_insert_default().push_back(Chunk { bytes, messages });
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
        let rest = self.rest.iter().flat_map(|rest| rest.iter().map(|chunk| &chunk.bytes));
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
            self.push_unlimited(first, begun.first_messages);
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
            self.messages -= self.first_messages;
            self.begun = false;
            let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
            if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
                self.rest = None;
            }
            (self.first, self.first_messages) =
                next.map_or((None, 0), |Chunk { bytes, messages }| (Some(bytes), messages));
        }
        debug_assert_eq!(written, 0, "no more was written than waited");
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
