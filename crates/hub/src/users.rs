//! Which workers hold connections of an account: where direct messages go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of connections per account and worker.
#[derive(Debug)]
pub(crate) struct Users {
    workers: usize,
    table: Mutex<HashMap<Arc<str>, Box<[u32]>>>,
}

impl Users {
    pub(crate) fn new(workers: usize) -> Users {
        Users { workers, table: Mutex::default() }
    }

    /// Notes one more connection and returns how many the account has now, on all workers.
    pub(crate) fn attach(&self, user: &Arc<str>, worker: u16) -> u32 {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let counts =
            table.entry(Arc::clone(user)).or_insert_with(|| vec![0; self.workers].into_boxed_slice());
        counts[usize::from(worker)] += 1;
        counts.iter().sum()
    }

    pub(crate) fn detach(&self, user: &Arc<str>, worker: u16) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = table.get_mut(user) else { return };
        counts[usize::from(worker)] -= 1;
        if counts.iter().all(|&count| count == 0) {
            table.remove(user);
        }
    }

    pub(crate) fn connections(&self, user: &str) -> u32 {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(user).map_or(0, |counts| counts.iter().sum())
    }

    /// Calls `f` for every worker that has a connection of one of the accounts, once each.
    pub(crate) fn each_worker(&self, users: &[Arc<str>], mut f: impl FnMut(usize)) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for worker in 0..self.workers {
            if users.iter().any(|user| table.get(user).is_some_and(|counts| counts[worker] > 0)) {
                f(worker);
            }
        }
    }
}
