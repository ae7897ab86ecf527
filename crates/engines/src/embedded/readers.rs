//! `Readers`: the threads that wait for the disk so that callers need not.

use std::sync::Arc;
use std::time::Duration;

use parlor_hub::engine::Done;
use parlor_proto::codes::{Code, Refusal};

use super::queue::{Queue, Refused, Taken};
use super::read::Reader;
use super::settings::READS_QUEUED;

/// A question to the store and what to do with the answer; `Err`: it was not asked.
pub(super) struct ReadJob(Ask);

type Ask = Box<dyn FnOnce(Result<&Reader, Refusal>) + Send>;

impl ReadJob {
    pub(super) fn new<T: 'static>(
        done: Done<T>,
        read: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
    ) -> ReadJob {
        ReadJob(Box::new(move |reader| {
            done(reader.and_then(|reader| read(reader).map_err(unreadable)));
        }))
    }
}

pub(super) struct Readers {
    jobs: Arc<Queue<ReadJob>>,
}

impl Readers {
    pub(super) fn new() -> Readers {
        Readers { jobs: Arc::new(Queue::new(READS_QUEUED, usize::MAX)) }
    }

    pub(super) fn run(&self, job: ReadJob) {
        match self.jobs.push(job, 0) {
            Ok(()) => {}
            Err(Refused::Full(ReadJob(answer))) => {
                let message = "too much waits to be read; try again";
                answer(Err(Refusal::new(Code::Busy, message).retry_after(Duration::from_secs(1))));
            }
            Err(Refused::Closed(ReadJob(answer))) => answer(Err(super::stopping())),
        }
    }

    /// What one reading thread does until the queue is closed.
    pub(super) fn work(&self, reader: Reader) -> impl FnOnce() + Send + 'static {
        let jobs = Arc::clone(&self.jobs);
        move || {
            let mut job = Vec::with_capacity(1);
            while jobs.take(&mut job, 1, 0, Duration::MAX) != Taken::Closed {
                for ReadJob(ask) in job.drain(..) {
                    ask(Ok(&reader));
                }
            }
        }
    }

    pub(super) fn close(&self) {
        self.jobs.close();
    }
}

/// Reading goes on after a failure: the next page may lie elsewhere, and nothing was promised.
fn unreadable(error: rusqlite::Error) -> Refusal {
    // The error names no user's data: it is SQLite's own sentence.
    Refusal::new(Code::Unavailable, format!("the store cannot be read: {error}"))
}
