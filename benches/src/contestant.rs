//! One server in a duel with its connections, and the check that every subscriber gets every number in order.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clients::Client;
use crate::server::{Cpu, Server};
use crate::swarm::Swarm;

pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) swarm: Swarm,
    pub(crate) tracker: Tracker,
}

/// What one turn gave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Deliveries, echoes or publications.
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu: Cpu,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
}

impl Turn {
    pub(crate) fn micros_each(&self) -> f64 {
        self.cpu.total as f64 / 1e3 / self.units.max(1) as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.units as f64 / self.seconds
    }
}

impl Contestant {
    /// Opens the connections of a scenario on a running server.
    pub(crate) fn new(name: &str, server: Server, client: Client, connections: usize) -> Result<Self> {
        let numbered = client.numbered;
        let mut swarm = Swarm::new(server.address, client)?;
        swarm
            .open(connections, 64)
            .with_context(|| format!("opening {connections} connections to {name}"))?;
        // Longer than Parlor's presence interval of 250 ms, so that no announcement falls into a turn.
        swarm.settle(Duration::from_millis(400))?;
        Ok(Contestant { name: name.into(), server, swarm, tracker: Tracker::new(connections, numbered) })
    }

    /// Publishes the next number from connection 0; it leaves with the next flush.
    pub(crate) fn publish(&mut self, size: usize) {
        let number = self.tracker.publish();
        let frame = self.swarm.client.publish(number, size);
        self.swarm.send(0, &frame);
    }
}

/// Which subscriber has received what.
#[derive(Debug)]
pub(crate) struct Tracker {
    /// Do messages carry their own number, or is it only counted?
    numbered: bool,
    /// The number that each connection should see next.
    expected: Vec<u64>,
    /// The next number to publish.
    next: u64,
    /// For each number in flight, from the oldest on: how many connections have it.
    reached: VecDeque<usize>,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
}

impl Tracker {
    pub(crate) fn new(connections: usize, numbered: bool) -> Self {
        Tracker {
            numbered,
            expected: vec![0; connections],
            next: 0,
            reached: VecDeque::new(),
            deliveries: 0,
            lost: 0,
            reordered: 0,
        }
    }

    pub(crate) fn publish(&mut self) -> u64 {
        self.reached.push_back(0);
        self.next += 1;
        self.next - 1
    }

    /// The number that the next publication gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Notes a delivery and returns the number that it was.
    pub(crate) fn receive(&mut self, connection: usize, number: u64) -> u64 {
        let expected = self.expected[connection];
        let number = if self.numbered { number } else { expected };
        self.deliveries += 1;
        if number < expected || number >= self.next {
            // Overtaken by a later one, which made this one count as lost; or a number out of nowhere.
            self.reordered += 1;
            self.lost = self.lost.saturating_sub(1);
            return number;
        }
        self.lost += number - expected;
        self.expected[connection] = number + 1;
        let base = self.next - self.reached.len() as u64;
        for passed in expected.max(base)..=number {
            self.reached[(passed - base) as usize] += 1;
        }
        number
    }

    /// How many of the oldest numbers in flight have reached everyone since the last call.
    pub(crate) fn complete(&mut self) -> usize {
        let all = self.expected.len();
        let before = self.reached.len();
        while self.reached.front() == Some(&all) {
            self.reached.pop_front();
        }
        before - self.reached.len()
    }

    /// Does everyone have all numbers below `head`?
    pub(crate) fn has_reached_all(&self, head: u64) -> bool {
        self.expected.iter().all(|expected| *expected >= head)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.reached.len()
    }

    /// Gives up on what is in flight: it is lost.
    pub(crate) fn give_up(&mut self) {
        self.lost += self.expected.iter().map(|expected| self.next - expected).sum::<u64>();
        self.expected.fill(self.next);
        self.reached.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(published: usize) -> Tracker {
        let mut tracker = Tracker::new(2, true);
        for _ in 0..published {
            tracker.publish();
        }
        tracker
    }

    #[test]
    fn a_number_is_complete_when_everyone_has_it() {
        let mut t = tracker(2);
        t.receive(0, 0);
        t.receive(0, 1);
        assert_eq!(t.complete(), 0);
        t.receive(1, 0);
        assert_eq!((t.complete(), t.in_flight()), (1, 1));
        t.receive(1, 1);
        assert_eq!((t.complete(), t.in_flight(), t.deliveries), (1, 0, 4));
        assert_eq!((t.lost, t.reordered), (0, 0));
    }

    #[test]
    fn a_gap_is_lost_until_it_comes_late() {
        let mut t = tracker(3);
        t.receive(0, 0);
        t.receive(0, 2);
        assert_eq!((t.lost, t.reordered), (1, 0));
        t.receive(0, 1);
        assert_eq!((t.lost, t.reordered), (0, 1));
    }

    #[test]
    fn what_never_comes_is_lost() {
        let mut t = tracker(2);
        t.receive(0, 0);
        t.give_up();
        assert_eq!((t.lost, t.in_flight()), (3, 0));
        t.publish();
        t.receive(0, 2);
        assert_eq!((t.lost, t.reordered), (3, 0));
    }

    #[test]
    fn a_server_without_numbers_is_counted() {
        let mut t = Tracker::new(1, false);
        t.publish();
        t.receive(0, 0);
        t.publish();
        t.receive(0, 0);
        assert_eq!((t.complete(), t.lost, t.reordered), (2, 0, 0));
    }
}
