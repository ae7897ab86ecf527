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

/// Clients only answer pings and poll on; more in a row than this is not rest, whatever waits.
const ROUNDS: u32 = 1000;

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
    /// The server has ended, or server and clients never come to rest.
    pub async fn advance(&self, by: Duration) {
        let (clock, clients) = (self.clock.clone(), self.clients.clone());
        let by = Duration::from_millis(by.as_nanos().div_ceil(1_000_000) as u64);
        let went_by = self.clients.there(async move {
            let mut left = by;
            settle(&clock, &clients).await?;
            while !left.is_zero() {
                left -= clock.pass(left).await?;
                answer(&clock, &clients).await?;
            }
            settle(&clock, &clients).await
        });
        went_by.await.expect(GOES_ON);
        self.passed.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Waits until the server and the clients have done all that they can do without time going by. Afterwards what a
    /// client has not heard was not sent.
    ///
    /// # Panics
    /// The server has ended, or server and clients never come to rest.
    pub async fn settle(&self) {
        let (clock, clients) = (self.clock.clone(), self.clients.clone());
        self.clients.there(async move { settle(&clock, &clients).await }).await.expect(GOES_ON);
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

const GOES_ON: &str = "the server of this clock goes on";

/// Until nobody has anything to do. `None`: the server has ended.
async fn settle(clock: &Clock, clients: &Clients) -> Option<()> {
    clock.settle().await?;
    answer(clock, clients).await?;
    // A packet may be on its way for a moment when nobody has anything to do.
    clock.settle().await?;
    answer(clock, clients).await
}

/// Has the clients hear what the server has said, and the server what they answer, until they have heard nothing.
async fn answer(clock: &Clock, clients: &Clients) -> Option<()> {
    for _ in 0..ROUNDS {
        if !clients.settle().await {
            return Some(());
        }
        clock.settle().await?;
    }
    panic!(
        "server and clients do not come to rest: {ROUNDS} times a client heard something, and there was more"
    );
}
