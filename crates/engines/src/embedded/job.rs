//! `Job`: work for the writer; what became of it; and what an error of the store means.

use std::sync::Arc;

use parlor_hub::engine::{Done, Expect, Published};
use parlor_hub::policy::Retention;
use parlor_hub::publication::{Draft, Place, Publication};
use parlor_hub::window::Mark;
use parlor_proto::codes::{Code, Refusal};
use rusqlite::ErrorCode;

/// Work for the writer.
pub(super) enum Job {
    Publish {
        draft: Draft,
        keep: Retention,
        now: u64,
        done: Done<Published>,
    },
    /// Ephemeral, in a room with a log: it waits only to keep its place among the stored messages.
    Pass {
        draft: Draft,
        now: u64,
        done: Done<Published>,
    },
    Put(Put),
}

/// A record to be written or deleted.
pub(super) struct Put {
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
    pub(super) expires: Option<u64>,
    pub(super) expect: Expect,
    pub(super) now: u64,
    pub(super) done: Done<Option<u64>>,
}

/// What is to be told once the batch is committed, or what is taken back if it is not.
pub(super) enum Outcome {
    Stored {
        publication: Arc<Publication>,
        place: Place,
        mark: Option<Mark>,
        done: Done<Published>,
    },
    Passed {
        publication: Arc<Publication>,
        done: Done<Published>,
    },
    /// Nothing was written for it: a repeat, or a refusal.
    Answer {
        result: Result<Published, Refusal>,
        done: Done<Published>,
    },
    Put {
        result: Result<Option<u64>, Refusal>,
        done: Done<Option<u64>>,
    },
}

/// What a failed transaction means.
pub(super) enum Failure {
    /// Nobody knows what the disk has: the process ends.
    Fatal,
    /// Nothing was stored; refused with this.
    Refuse(Refusal),
}

impl Job {
    /// Whether it has to do with the store at all.
    pub(super) fn is_stored(&self) -> bool {
        !matches!(self, Job::Pass { .. })
    }

    /// Ends it without having begun it.
    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Job::Publish { done, .. } | Job::Pass { done, .. } => done(Err(refusal)),
            Job::Put(put) => (put.done)(Err(refusal)),
        }
    }
}

/// After a failed write or sync nobody knows what the disk has: Linux may drop the pages and report success the
/// next time. A full disk and a lock that somebody else holds leave the store as it was.
pub(super) fn judge(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Refuse(storage_full()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let message = "another program is holding the store, perhaps a backup; try again";
            Failure::Refuse(Refusal::new(Code::Busy, message))
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::TooBig | ErrorCode::ConstraintViolation) | None => {
            tracing::error!(%error, "the store refused a transaction; please report this");
            Failure::Refuse(internal())
        }
        Some(_) => Failure::Fatal,
    }
}

pub(super) fn storage_full() -> Refusal {
    Refusal::new(
        Code::StorageFull,
        "the disk is full: nothing new is stored until there is space, reading goes on",
    )
}

pub(super) fn internal() -> Refusal {
    Refusal::new(Code::Internal, "the store could not take this; the server's log says more")
}

/// SQLite's integers are signed; what is larger than they are means "never".
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
