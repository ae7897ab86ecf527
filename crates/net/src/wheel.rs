//! `Wheel`: when to look at which connection next, in whole seconds.

use std::time::{Duration, Instant};

/// Seconds around the wheel; more than the longest wait (a ping interval), so that an entry never laps.
const BUCKETS: usize = 64;

/// One list of slots per second. A connection stands in it with four bytes and no timer object; whoever reschedules
/// it earlier leaves a stale entry behind, which the connection's own note of its time tells apart.
#[derive(Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<u32>>,
    start: Instant,
    /// The next second to be looked at.
    next: u32,
    entries: usize,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Wheel {
        Wheel { buckets: vec![Vec::new(); BUCKETS], start: now, next: 0, entries: 0 }
    }

    /// The second that `at` lies in, rounded up: nothing happens early.
    pub(crate) fn second(&self, at: Instant) -> u32 {
        at.saturating_duration_since(self.start).as_millis().div_ceil(1000) as u32
    }

    /// Enters `slot` for a second; one that is past, or too far ahead, is moved to the nearest that can be.
    pub(crate) fn insert(&mut self, slot: u32, second: u32) -> u32 {
        let second = second.clamp(self.next, self.next + BUCKETS as u32 - 1);
        self.buckets[second as usize % BUCKETS].push(slot);
        self.entries += 1;
        second
    }

    /// Moves everything that is due into `due` as (slot, second).
    pub(crate) fn take_due(&mut self, now: Instant, due: &mut Vec<(u32, u32)>) {
        let passed = now.saturating_duration_since(self.start).as_secs() as u32;
        while self.next <= passed {
            let second = self.next;
            let bucket = &mut self.buckets[second as usize % BUCKETS];
            self.entries -= bucket.len();
            due.extend(bucket.drain(..).map(|slot| (slot, second)));
            // A burst must not keep its memory.
            if bucket.capacity() > 1024 {
                *bucket = Vec::new();
            }
            self.next += 1;
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.entries == 0 {
            return None;
        }
        let ahead = (0..BUCKETS as u32)
            .find(|ahead| !self.buckets[(self.next + ahead) as usize % BUCKETS].is_empty())?;
        Some(self.start + Duration::from_secs(u64::from(self.next + ahead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_due_in_its_second_and_not_before() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(wheel.next_due(), None);
        assert_eq!(wheel.insert(7, wheel.second(at(1_500))), 2);
        assert_eq!(wheel.insert(8, wheel.second(at(25_000))), 25);
        assert_eq!(wheel.next_due(), Some(at(2_000)));
        let mut due = Vec::new();
        wheel.take_due(at(1_999), &mut due);
        assert_eq!(due, []);
        wheel.take_due(at(2_000), &mut due);
        assert_eq!(due, [(7, 2)]);
        assert_eq!(wheel.next_due(), Some(at(25_000)));
        // Far too late, everything comes at once.
        wheel.take_due(at(900_000), &mut due);
        assert_eq!(due, [(7, 2), (8, 25)]);
        assert_eq!(wheel.insert(9, 3), 901);
    }
}
