//! `Liveness`: whether the peer is still there, and when to look again.

use std::time::{Duration, Instant};

use parlor_proto::limits::{PING_INTERVAL, PONG_TIMEOUT, STREAM_HEARTBEAT, WRITE_STALL};

/// What one connection's silence means. Times are seconds of the worker's wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// When this connection is looked at next; an entry of the wheel for another second is stale.
    pub(crate) check_at: u32,
    /// Something arrived since the last ping.
    heard: bool,
    /// A ping went out at this second, and at the last look nothing had arrived since.
    pinged: Option<u32>,
    /// Since when something waits to be written and nothing could be.
    stalled: Option<u32>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again at this second.
    Wait(u32),
    /// Ping, and look again at this second.
    Ping(u32),
    /// No answer to the ping: 4012.
    Gone,
    /// Nobody reads: 4008.
    Stalled,
}

const PING: u32 = PING_INTERVAL.as_secs() as u32;
const PONG: u32 = PONG_TIMEOUT.as_secs() as u32;
const HEARTBEAT: u32 = STREAM_HEARTBEAT.as_secs() as u32;
const STALL: u32 = WRITE_STALL.as_secs() as u32;

impl Liveness {
    pub(crate) fn new(check_at: u32) -> Liveness {
        Liveness { check_at, heard: false, pinged: None, stalled: None }
    }

    /// The first look of a new connection: connections that came together are not pinged together.
    pub(crate) fn first_check(second: u32, slot: u32) -> u32 {
        second + PING - slot % 5
    }

    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    /// Something was written, or nothing waits any more.
    pub(crate) fn progress(&mut self) {
        self.stalled = None;
    }

    /// The socket takes nothing more. Returns the second at which to look, if the clock was not running yet.
    pub(crate) fn stall(&mut self, second: u32) -> Option<u32> {
        if self.stalled.is_some() {
            return None;
        }
        self.stalled = Some(second);
        Some(second + STALL)
    }

    /// Only whether somebody reads: for connections that have a heartbeat of their own.
    pub(crate) fn check_stall(&mut self, second: u32) -> Verdict {
        match self.stalled {
            Some(since) if second >= since + STALL => Verdict::Stalled,
            Some(since) => Verdict::Wait(since + STALL),
            None => Verdict::Wait(second + PING),
        }
    }

    /// For streams, on which nothing comes back: whether somebody reads, and a heartbeat.
    pub(crate) fn check_stream(&mut self, second: u32) -> Verdict {
        match self.stalled {
            Some(since) if second >= since + STALL => Verdict::Stalled,
            Some(since) => Verdict::Wait(since + STALL),
            None => Verdict::Ping(second + HEARTBEAT),
        }
    }

    pub(crate) fn check(&mut self, second: u32) -> Verdict {
        if self.stalled.is_some_and(|since| second >= since + STALL) {
            return Verdict::Stalled;
        }
        let stall_at = self.stalled.map_or(u32::MAX, |since| since + STALL);
        match self.pinged.take() {
            // Also whoever talks is pinged: proxies want to see something from this side too.
            Some(since) if self.heard => Verdict::Wait(stall_at.min(since + PING)),
            Some(since) if second >= since + PONG => Verdict::Gone,
            Some(since) => {
                self.pinged = Some(since);
                Verdict::Wait(stall_at.min(since + PONG))
            }
            None => {
                (self.pinged, self.heard) = (Some(second), false);
                Verdict::Ping(stall_at.min(second + PONG))
            }
        }
    }
}

/// How long the rest of a closing connection is read and thrown away, so that the system does not answer the peer's
/// last bytes with a reset that takes our Close frame with it.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// The earlier of two deadlines.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_pinged_and_then_gone() {
        let mut liveness = Liveness::new(25);
        assert_eq!(liveness.check(25), Verdict::Ping(35));
        assert_eq!(liveness.check(35), Verdict::Gone);
    }

    #[test]
    fn whoever_talks_or_answers_stays_and_is_pinged_every_25_seconds() {
        let mut liveness = Liveness::new(25);
        liveness.hear();
        assert_eq!(liveness.check(25), Verdict::Ping(35));
        liveness.hear();
        assert_eq!(liveness.check(35), Verdict::Wait(50));
        liveness.hear();
        assert_eq!(liveness.check(50), Verdict::Ping(60));
        assert_eq!(liveness.check(60), Verdict::Gone, "what came before the ping is no answer to it");
    }

    #[test]
    fn nobody_reads_for_five_seconds() {
        let mut liveness = Liveness::new(25);
        assert_eq!(liveness.stall(3), Some(8));
        assert_eq!(liveness.stall(4), None);
        assert_eq!(liveness.check(8), Verdict::Stalled);
        liveness.progress();
        assert_eq!(liveness.check(8), Verdict::Ping(18));
    }
}
