//! `Order`: the numbers and times that publications get, in the order in which they are spread.
//!
//! **Lock order:** the numbers, then one lane, then what the door takes. The closures run under these locks, so
//! that place, delivery and answer of a room agree; they neither block nor come back here.

use std::hash::BuildHasher;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use parlor_proto::name::RoomName;
use rustc_hash::FxBuildHasher;

/// Sequence numbers that a durable log takes are multiples of this; those between belong to rings in memory, which
/// are spread while a commit is on its way and still must not overtake it. 2^63 / 2^16 commits of one message at
/// 100,000 a second last 44 years; 65,535 publications into rings fit beside one commit.
pub const STRIDE: u64 = 1 << 16;

/// Enough that two workers rarely want the same lane; a lane is a word.
const LANES: usize = 64;

/// One store's sequence numbers, and for every room outside the store a time that never runs backwards.
#[derive(Debug)]
pub struct Order {
    numbers: Mutex<Numbers>,
    /// A batch has ended.
    ended: Condvar,
    /// The time of the newest publication in the rooms whose names fall here.
    lanes: Box<[Mutex<u64>]>,
}

#[derive(Debug)]
struct Numbers {
    /// The newest number that was spread.
    last: u64,
    /// The lowest number that is given out but not spread yet.
    pending: Option<u64>,
}

/// More was published into rings during one commit than there are numbers: later it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl Order {
    /// `last`: every number up to it was used before.
    pub fn new(last: u64) -> Order {
        Order {
            numbers: Mutex::new(Numbers { last, pending: None }),
            ended: Condvar::new(),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
        }
    }

    /// The newest number that was spread.
    pub fn last(&self) -> u64 {
        self.numbers().last
    }

    /// Spreads something that is not kept: `spread(time)`.
    pub fn pass(&self, room: &RoomName, now: u64, spread: impl FnOnce(u64)) {
        let mut time = self.lane(room);
        *time = now.max(*time);
        spread(*time);
    }

    /// Spreads something that a ring in memory keeps: `spread(Ok((seq, time)))`. After `Err` nothing was given out.
    pub fn place<T>(
        &self,
        room: &RoomName,
        now: u64,
        spread: impl FnOnce(Result<(u64, u64), Crowded>) -> T,
    ) -> T {
        let mut numbers = self.numbers();
        let seq = numbers.last + 1;
        if numbers.pending.is_some_and(|pending| seq >= pending) {
            return spread(Err(Crowded));
        }
        numbers.last = seq;
        let mut time = self.lane(room);
        *time = now.max(*time);
        spread(Ok((seq, *time)))
    }

    /// Gives out the number of the first publication of a batch; those after it follow in steps of [`STRIDE`].
    /// One batch at a time: it ends with [`Order::finish`].
    pub fn reserve(&self) -> u64 {
        let mut numbers = self.numbers();
        debug_assert_eq!(numbers.pending, None, "one batch at a time");
        let first = (numbers.last / STRIDE + 1) * STRIDE;
        numbers.pending = Some(first);
        first
    }

    /// Spreads one publication of the batch, in the batch's order.
    pub fn spread<T>(&self, seq: u64, spread: impl FnOnce() -> T) -> T {
        let mut numbers = self.numbers();
        numbers.last = seq;
        numbers.pending = Some(seq + STRIDE);
        spread()
    }

    /// Ends the batch; what was given out and not spread is free again.
    pub fn finish(&self) {
        self.numbers().pending = None;
        self.ended.notify_all();
    }

    /// Waits until everything up to a number that was read is spread. What is read of a batch before it is spread would
    /// be ahead of everything that is still to come with a lower number; a batch takes as long as its commit.
    pub fn wait_for(&self, seq: u64) {
        let ahead = |numbers: &mut Numbers| numbers.pending.is_some() && numbers.last < seq;
        drop(self.ended.wait_while(self.numbers(), ahead));
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, room: &RoomName) -> MutexGuard<'_, u64> {
        let lane = FxBuildHasher.hash_one(room) as usize % LANES;
        self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomName {
        RoomName::internal("room")
    }

    fn passed(order: &Order, now: u64) -> u64 {
        let mut seen = 0;
        order.pass(&room(), now, |time| seen = time);
        seen
    }

    fn placed(order: &Order, now: u64) -> Result<(u64, u64), Crowded> {
        order.place(&room(), now, |place| place)
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_turn_time_around() {
        let order = Order::new(0);
        assert_eq!(passed(&order, 1000), 1000);
        assert_eq!(passed(&order, 900), 1000);
        assert_eq!(placed(&order, 950), Ok((1, 1000)));
    }

    #[test]
    fn rings_go_on_between_the_messages_of_a_commit() {
        let order = Order::new(70_000);
        let seq = order.reserve();
        assert_eq!(seq, 2 * STRIDE);
        assert_eq!(placed(&order, 1), Ok((70_001, 1)));
        order.spread(seq, || ());
        assert_eq!(placed(&order, 1), Ok((seq + 1, 1)));
        order.spread(seq + STRIDE, || ());
        order.finish();
        assert_eq!(order.last(), seq + STRIDE);
    }

    #[test]
    fn rings_do_not_overtake_a_commit_that_takes_too_long() {
        let order = Order::new(STRIDE - 2);
        order.reserve();
        assert_eq!(placed(&order, 1), Ok((STRIDE - 1, 1)));
        assert_eq!(placed(&order, 1), Err(Crowded));
        order.finish();
        assert_eq!(placed(&order, 1), Ok((STRIDE, 1)));
        assert_eq!(order.reserve(), 2 * STRIDE);
    }

    #[test]
    fn a_batch_that_failed_leaves_no_trace() {
        let order = Order::new(0);
        order.reserve();
        order.finish();
        assert_eq!(order.reserve(), STRIDE);
    }
}
