//! `TestClock`: time that goes by when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlor_net::Clock;

use super::clients::Clients;

/// The clock of a [`TestServer`](super::TestServer). It stands still but for [`TestClock::advance`].
///
/// On it is all that the server waits for (heartbeats, time-outs, acks, recovery windows, rates, presence), the time that
/// messages bear, and whatever handlers wait for with `tokio::time`. Not on it: threads that sleep, and the check for
/// handlers that hold their worker, which is about real time.
#[derive(Clone, Debug)]
pub struct TestClock {
    clock: Clock,
    clients: Clients,
    passed: Arc<AtomicU64>,
}

/// Rounds in which neither side did anything before all is said to be quiet: a packet may be on its way once.
const QUIET_ROUNDS: u32 = 2;
/// Whoever never comes to rest (a client and a handler that answer each other for ever) is not waited for.
const ROUNDS: u32 = 10_000;

impl TestClock {
    pub(super) fn new(clock: Clock, clients: Clients) -> TestClock {
        TestClock { clock, clients, passed: Arc::default() }
    }

    /// Lets time go by, and returns when the server has done what that asked for and the clients have heard it.
    ///
    /// What is due on the way happens in its order, each at its own time, and clients answer pings. `by` is rounded up to
    /// whole milliseconds.
    ///
    /// # Panics
    /// The server has ended.
    pub async fn advance(&self, by: Duration) {
        let mut left = Duration::from_millis(by.as_nanos().div_ceil(1_000_000) as u64);
        self.settle().await;
        while !left.is_zero() {
            let passed = self.clock.pass(left).await.expect("the server of this clock goes on");
            self.passed.fetch_add(passed.as_millis() as u64, Ordering::Relaxed);
            left -= passed;
            self.settle().await;
        }
    }

    /// Waits until the server and the clients have done all that they can do without time going by. Afterwards what a
    /// client has not heard was not sent.
    ///
    /// # Panics
    /// The server has ended.
    pub async fn settle(&self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let clients = self.clients.settle().await;
            let server = self.clock.settle().await.expect("the server of this clock goes on");
            quiet = if clients || server { 0 } else { quiet + 1 };
            if quiet == QUIET_ROUNDS {
                return;
            }
        }
    }

    /// How much has gone by since the server started.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }

    /// Milliseconds since 1970, as messages bear them.
    pub fn now(&self) -> u64 {
        self.clock.wall()
    }

    pub(super) fn release(&self) {
        self.clock.release();
    }
}
