//! `Order`: the numbers and times that publications get, given out in the order in which they are spread.
//!
//! **Lock order:** the numbers, then one lane, then what the door takes. The closures run under these locks, so
//! that place, delivery and answer of a room agree; they neither block nor come back here.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor_proto::name::RoomName;
use rustc_hash::FxBuildHasher;

/// Sequence numbers that a durable log takes are multiples of this; those between belong to rings in memory, which
/// are spread while a commit is on its way and still must not overtake it. 2^63 / 2^16 commits of one message at
/// 100,000 a second last 44 years; 65,535 publications into rings fit beside one commit.
pub const STRIDE: u64 = 1 << 16;

/// Enough that two workers rarely want the same lane; a lane is a few words.
const LANES: usize = 64;

/// One store's sequence numbers, and for every room a time that never runs backwards.
#[derive(Debug)]
pub struct Order {
    numbers: Mutex<Numbers>,
    /// A room's lane is chosen by its name.
    lanes: Box<[Mutex<Lane>]>,
}

#[derive(Debug)]
struct Numbers {
    /// The newest number that was spread.
    last: u64,
    /// The lowest number that is given out but not spread yet.
    pending: Option<u64>,
}

/// The times of the rooms whose names fall here.
#[derive(Debug, Default)]
struct Lane {
    /// The time of the newest publication that was spread.
    last: u64,
    /// Times that are given out but not spread yet: how many, the first and the newest of them.
    pending: u32,
    first: u64,
    newest: u64,
}

/// More was published into rings during one commit than there are numbers: later it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl Order {
    /// `last`: every number up to it was used before.
    pub fn new(last: u64) -> Order {
        Order {
            numbers: Mutex::new(Numbers { last, pending: None }),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
        }
    }

    /// The newest number that was spread.
    pub fn last(&self) -> u64 {
        self.numbers().last
    }

    /// Spreads something that is not kept: `spread(time)`.
    pub fn pass(&self, room: &RoomName, now: u64, spread: impl FnOnce(u64)) {
        let mut lane = self.lane(room);
        let time = lane.pass(now);
        spread(time);
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
        let mut lane = self.lane(room);
        let time = lane.pass(now);
        spread(Ok((seq, time)))
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

    /// Gives out the time of one publication of the batch. What passes meanwhile is spread before it and gets no
    /// later time.
    pub fn stamp(&self, room: &RoomName, now: u64) -> u64 {
        let mut lane = self.lane(room);
        let time = now.max(lane.last).max(lane.newest);
        if lane.pending == 0 {
            lane.first = time;
        }
        lane.pending += 1;
        lane.newest = time;
        time
    }

    /// Spreads one publication of the batch, in the batch's order.
    pub fn spread<T>(&self, room: &RoomName, seq: u64, time: u64, spread: impl FnOnce() -> T) -> T {
        let mut numbers = self.numbers();
        numbers.last = seq;
        numbers.pending = Some(seq + STRIDE);
        let mut lane = self.lane(room);
        lane.last = time;
        lane.pending -= 1;
        spread()
    }

    /// Takes back the time of a publication that will not be spread.
    pub fn unstamp(&self, room: &RoomName) {
        self.lane(room).pending -= 1;
    }

    /// Ends the batch; what was given out and not spread is free again.
    pub fn finish(&self) {
        self.numbers().pending = None;
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, room: &RoomName) -> MutexGuard<'_, Lane> {
        let lane = FxBuildHasher.hash_one(room) as usize % LANES;
        self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn pass(&mut self, now: u64) -> u64 {
        let ceiling = if self.pending > 0 { self.first } else { u64::MAX };
        self.last = now.min(ceiling).max(self.last);
        self.last
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
        assert_eq!(order.stamp(&room(), 10), 1000);
    }

    #[test]
    fn what_passes_a_commit_is_not_later_than_what_it_overtook() {
        let order = Order::new(70_000);
        let seq = order.reserve();
        assert_eq!(seq, 2 * STRIDE);
        assert_eq!(order.stamp(&room(), 1000), 1000);
        assert_eq!(order.stamp(&room(), 1005), 1005);
        assert_eq!(passed(&order, 1003), 1000);
        assert_eq!(placed(&order, 1003), Ok((70_001, 1000)));
        order.spread(&room(), seq, 1000, || ());
        assert_eq!(placed(&order, 1003), Ok((seq + 1, 1000)));
        order.spread(&room(), seq + STRIDE, 1005, || ());
        order.finish();
        assert_eq!(passed(&order, 1007), 1007);
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
        order.stamp(&room(), 1000);
        order.unstamp(&room());
        order.finish();
        assert_eq!(order.reserve(), STRIDE);
        assert_eq!(passed(&order, 1001), 1001);
    }
}
