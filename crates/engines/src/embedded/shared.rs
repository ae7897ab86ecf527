//! `Shared`: what callers and the threads of the store have in common; `Stats`: what the writer has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlor_hub::order::Order;

use super::book::Heads;
use super::job::Job;
use super::queue::Queue;
use super::settings::Settings;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) secret: [u8; 16],
    pub(super) writes: Queue<Job>,
    pub(super) heads: Heads,
    pub(super) order: Arc<Order>,
    /// The latest time that a caller named.
    pub(super) latest: AtomicU64,
    pub(super) counters: Counters,
}

/// What the writer has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions that were committed for somebody.
    pub batches: u64,
    /// Publishes and record writes in them, repeats and refusals included.
    pub writes: u64,
    /// The most that one of them held.
    pub largest_batch: u64,
    /// How often the write-ahead log was written back.
    pub checkpoints: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    batches: AtomicU64,
    writes: AtomicU64,
    largest_batch: AtomicU64,
    checkpoints: AtomicU64,
}

impl Counters {
    pub(super) fn batch(&self, writes: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.largest_batch.fetch_max(writes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            batches: self.batches.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            largest_batch: self.largest_batch.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
        }
    }

    pub(super) fn checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Milliseconds since 1970: the system's clock or a caller's, whichever is ahead.
    pub(super) fn now(&self) -> u64 {
        self.latest.load(Ordering::Relaxed).max((self.settings.clock)())
    }

    /// The store cannot be trusted any more.
    pub(super) fn fail(&self, why: &str) {
        self.writes.close();
        (self.settings.fatal)(why);
    }
}
