//! How long to wait before the next attempt to connect: doubled each time, with full jitter.

use std::time::Duration;

/// The first ceiling: most breaks are a restart or a change of network.
const FIRST: Duration = Duration::from_millis(500);

/// The last ceiling: a server that comes back after an hour is found within this time.
const CEILING: Duration = Duration::from_secs(20);

/// The wait before retry number `attempt` (0 is the first). `chance` is drawn evenly from all of `u32`, so that a
/// thousand clients of one restarted server spread out; what the server asked for is a floor under it.
pub(crate) fn delay(attempt: u32, chance: u32, asked: Option<Duration>) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << attempt.min(16)).min(CEILING);
    asked.unwrap_or_default() + ceiling.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_last() {
        for (attempt, millis) in [(0, 500), (1, 1_000), (5, 16_000), (6, 20_000), (u32::MAX, 20_000)] {
            assert_eq!(delay(attempt, u32::MAX, None), Duration::from_millis(millis));
            assert_eq!(delay(attempt, 0, None), Duration::ZERO);
        }
    }

    #[test]
    fn what_the_server_asks_for_is_a_floor() {
        assert_eq!(delay(0, 0, Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(delay(0, u32::MAX, Some(Duration::from_secs(3))), Duration::from_millis(3_500));
    }
}
