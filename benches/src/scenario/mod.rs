//! The scenarios: one file each, a function that gives a contestant one turn.

pub(crate) mod durable;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod rate;
pub(crate) mod resume;
pub(crate) mod slow;

use std::time::{Duration, Instant};

use crate::contestant::{Contestant, Turn};
use crate::server::Cpu;

/// Nothing has arrived for this long although something is due: it will not come any more.
pub(crate) const STALL: Duration = Duration::from_secs(3);

/// A longest wait inside a turn, so that its end is seen in time.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The start of a turn: what the server had burnt, what had been delivered.
pub(crate) struct Start {
    cpu: Cpu,
    at: Instant,
    lost: u64,
    reordered: u64,
}

impl Start {
    pub(crate) fn of(contestant: &Contestant) -> Self {
        let tracker = &contestant.tracker;
        Start {
            cpu: contestant.server.cpu(),
            at: Instant::now(),
            lost: tracker.lost,
            reordered: tracker.reordered,
        }
    }

    /// The end of a turn in which `units` were done.
    pub(crate) fn end(&self, contestant: &Contestant, units: u64) -> Turn {
        let tracker = &contestant.tracker;
        Turn {
            units,
            seconds: self.at.elapsed().as_secs_f64(),
            cpu: contestant.server.cpu().since(self.cpu),
            lost: tracker.lost.saturating_sub(self.lost),
            reordered: tracker.reordered - self.reordered,
        }
    }
}
