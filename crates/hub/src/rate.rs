//! `Bucket`: a token bucket without a clock of its own.

use parlor_proto::limits::Rate;

/// What is left of a [`Rate`]. Eight bytes, because there is one in every connection.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f32,
    /// Milliseconds, wrapped: an idle gap of 49 days refills at most once too little.
    last: u32,
}

impl Bucket {
    pub fn full(rate: Rate, now_ms: u64) -> Bucket {
        Bucket { left: rate.burst as f32, last: now_ms as u32 }
    }

    /// Milliseconds since it was last asked.
    pub fn idle_ms(&self, now_ms: u64) -> u64 {
        u64::from((now_ms as u32).wrapping_sub(self.last))
    }

    /// Takes one; if there is none, says after how many milliseconds there will be.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u32> {
        let now = now_ms as u32;
        let elapsed = now.wrapping_sub(self.last);
        // A clock that stepped backwards shows as a huge gap; it refills the bucket and no more.
        self.left = (self.left + elapsed as f32 * rate.per_second as f32 / 1000.0).min(rate.burst as f32);
        self.last = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            Ok(())
        } else {
            Err(((1.0 - self.left) * 1000.0 / rate.per_second as f32).ceil() as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let rate = Rate { per_second: 20, burst: 40 };
        let mut bucket = Bucket::full(rate, 1_000);
        for _ in 0..40 {
            assert_eq!(bucket.take(rate, 1_000), Ok(()));
        }
        assert_eq!(bucket.take(rate, 1_000), Err(50));
        assert_eq!(bucket.take(rate, 1_049), Err(1));
        assert_eq!(bucket.take(rate, 1_051), Ok(()));
        let passed = (0..1_000).filter(|_| bucket.take(rate, 61_000).is_ok()).count();
        assert_eq!(passed, 40);
    }
}
