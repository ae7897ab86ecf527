//! `Dice`: random numbers from a seed, the same ones again from the same seed.

use std::time::SystemTime;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From the seed that `PARLOR_SEED` gives, or a new one; it is printed.
    pub fn printed(test: &str) -> Dice {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let seed = given_seed().unwrap_or(time.as_nanos() as u64);
        println!("{test}: PARLOR_SEED={seed}");
        Dice(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn roll(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Below `end`, as an index.
    pub fn index(&mut self, end: usize) -> usize {
        self.roll(end as u64) as usize
    }

    /// True once in `times` on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.index(from.len())]
    }

    /// Dice of their own for somebody who throws whenever it likes.
    pub fn fork(&mut self) -> Dice {
        Dice(self.number())
    }
}

/// The seed that a failed run has printed.
pub fn given_seed() -> Option<u64> {
    std::env::var("PARLOR_SEED").ok()?.parse().ok()
}
