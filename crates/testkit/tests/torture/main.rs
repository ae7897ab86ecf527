//! Everything at once against the real server: every transport on a network that delays, cuts, half-closes and throttles,
//! publishers that say again what was not answered, nodes and stores that are ended, killed, stopped and set back.
//! Afterwards one checker reads what everybody noted, and the store.

mod crowd;
mod diary;
mod follow;
mod line;
mod network;
#[cfg(feature = "redis-tests")]
mod nodes;
mod one;
mod publish;
#[cfg(feature = "redis-tests")]
mod witness;

use std::sync::Mutex;
use std::time::Duration;

/// One at a time: what is promised in seconds is measured.
static ALONE: Mutex<()> = Mutex::new(());

/// How long trouble is made: once to see that it works, long for a release.
fn duration() -> Duration {
    let given = std::env::var("PARLOR_TORTURE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let full = std::env::var_os("PARLOR_FULL").is_some_and(|full| full == "1");
    Duration::from_secs(given.unwrap_or(if full { 900 } else { 15 }))
}
