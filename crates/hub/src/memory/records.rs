//! `MemoryRecords`: small values with expiry and compare-and-set, for as long as the process lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{RECORD_BYTES, RECORD_KEY_BYTES};

use crate::engine::{Done, Expect, Record, Records};

/// All values and keys together: accounts and markers of some hundred thousand users.
const MEMORY_RECORDS_BYTES: usize = 64 * 1024 * 1024;

/// What a record costs beside its key (held twice if it expires) and value.
const OVERHEAD: usize = 128;

/// Records in memory.
#[derive(Default)]
pub(super) struct MemoryRecords {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By kind and key.
    kept: BTreeMap<(String, String), Kept>,
    /// What expires, the next one first.
    expiries: BTreeSet<(u64, String, String)>,
    bytes: usize,
    last_version: u64,
}

struct Kept {
    value: Vec<u8>,
    version: u64,
    expires: Option<u64>,
}

/// Refuses what no engine keeps.
///
/// # Errors
/// `too_large`, for the key or the value.
pub fn check_record(key: &str, value: Option<&[u8]>) -> Result<(), Refusal> {
    if key.len() > RECORD_KEY_BYTES {
        return Err(Refusal::too_large("a record's key", key.len(), RECORD_KEY_BYTES));
    }
    match value {
        Some(value) if value.len() > RECORD_BYTES => {
            Err(Refusal::too_large("a record", value.len(), RECORD_BYTES))
        }
        _ => Ok(()),
    }
}

impl Records for MemoryRecords {
    fn get(&self, kind: &str, key: &str, now: u64, done: Done<Option<Record>>) {
        let found = {
            let state = self.state();
            state.kept.get(&(kind.to_owned(), key.to_owned())).and_then(|kept| kept.read(key, now))
        };
        done(Ok(found));
    }

    fn list(
        &self,
        kind: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
        done: Done<Vec<Record>>,
    ) {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((kind.to_owned(), after.to_owned())),
            _ => Bound::Included((kind.to_owned(), prefix.to_owned())),
        };
        let found = {
            let state = self.state();
            state
                .kept
                .range((from, Bound::Unbounded))
                .take_while(|((of, key), _)| of == kind && key.starts_with(prefix))
                .filter_map(|((_, key), kept)| kept.read(key, now))
                .take(limit as usize)
                .collect()
        };
        done(Ok(found));
    }

    fn put(
        &self,
        kind: &str,
        key: &str,
        value: Option<&[u8]>,
        expires: Option<u64>,
        expect: Expect,
        now: u64,
        done: Done<Option<u64>>,
    ) {
        let result = check_record(key, value)
            .and_then(|()| self.state().put((kind.to_owned(), key.to_owned()), value, expires, expect, now));
        done(result);
    }
}

impl MemoryRecords {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(
        &mut self,
        name: (String, String),
        value: Option<&[u8]>,
        expires: Option<u64>,
        expect: Expect,
        now: u64,
    ) -> Result<Option<u64>, Refusal> {
        self.purge(now);
        if !expect.holds(self.kept.get(&name).map(|kept| kept.version)) {
            return Ok(None);
        }
        let Some(value) = value else {
            self.remove(&name);
            return Ok(Some(0));
        };
        let cost = OVERHEAD + 2 * name.1.len() + value.len();
        if self.bytes + cost > MEMORY_RECORDS_BYTES {
            return Err(Refusal::new(
                Code::StorageFull,
                "the memory for records is full; use a durable engine",
            ));
        }
        self.remove(&name);
        self.last_version += 1;
        self.bytes += cost;
        if let Some(expires) = expires {
            self.expiries.insert((expires, name.0.clone(), name.1.clone()));
        }
        self.kept.insert(name, Kept { value: value.to_vec(), version: self.last_version, expires });
        Ok(Some(self.last_version))
    }

    /// Removes what is gone by now.
    fn purge(&mut self, now: u64) {
        while let Some((_, kind, key)) = self.expiries.first().filter(|(expires, ..)| *expires <= now) {
            let name = (kind.clone(), key.clone());
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &(String, String)) {
        let Some(kept) = self.kept.remove(name) else { return };
        self.bytes -= OVERHEAD + 2 * name.1.len() + kept.value.len();
        if let Some(expires) = kept.expires {
            self.expiries.remove(&(expires, name.0.clone(), name.1.clone()));
        }
    }
}

impl Kept {
    fn read(&self, key: &str, now: u64) -> Option<Record> {
        (self.expires.is_none_or(|expires| expires > now)).then(|| Record {
            key: key.to_owned(),
            value: self.value.clone(),
            version: self.version,
            expires: self.expires,
        })
    }
}

impl fmt::Debug for MemoryRecords {
    /// Without what is kept: it is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRecords").field("kept", &self.state().kept.len()).finish_non_exhaustive()
    }
}
