//! A latency histogram with buckets of about 3 %: fixed memory, no dependency.

/// Buckets for each doubling.
const FINE: u64 = 32;

/// Counts of values in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        let bucket = bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.largest = self.largest.max(micros);
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
        self.largest = self.largest.max(other.largest);
    }

    /// The value that this share (0 to 1) of all values does not exceed, in microseconds.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return upper_edge(bucket).min(self.largest);
            }
        }
        self.largest
    }

    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }
}

fn bucket(value: u64) -> usize {
    if value < FINE {
        return value as usize;
    }
    // The position of the highest bit names the doubling; the five bits below it the bucket in it.
    let doubling = u64::from(value.ilog2()) - 5;
    (FINE + doubling * FINE + ((value >> doubling) - FINE)) as usize
}

fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let doubling = (bucket - FINE) / FINE;
    ((FINE + (bucket - FINE) % FINE + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_above_the_edge_of_its_bucket_nor_far_below() {
        for value in (0..5_000).chain([65_535, 65_536, 1_000_000, 59_999_999]) {
            let edge = upper_edge(bucket(value));
            assert!(edge >= value && edge - value <= value / 32, "{value}: {edge}");
        }
    }

    #[test]
    fn quantiles_of_a_hundred_values() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.add(value * 10));
        assert!((500..=516).contains(&histogram.quantile(0.5)), "{}", histogram.quantile(0.5));
        assert!((990..=1000).contains(&histogram.quantile(0.99)));
        assert_eq!(histogram.quantile(1.0), 1000);
        let mut both = Histogram::default();
        both.merge(&histogram);
        assert_eq!((both.largest(), both.quantile(0.5)), (1000, histogram.quantile(0.5)));
    }
}
