//! `Queues`: what waits for those who ask for it over plain HTTP.

mod stream;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

pub use stream::own_pages;

/// Texts that wait in one queue, bytes of one of them, and queues: 1 GB if all of them are full of the longest.
const TEXTS: usize = 64;
const TEXT: usize = 16 * 1024;
const QUEUES: usize = 1000;

/// Queues of texts by name, such as one for each user: for axum handlers by which clients poll, or read an answer that
/// never ends. A clone is the same queues; the state of an axum router is a good place for it.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), parlor::QueueError> {
/// let queues = parlor::Queues::default();
/// queues.of("ann")?.put("hello")?;
/// assert_eq!(queues.of("ann")?.take(Duration::from_secs(30)).await, ["hello"]);
/// assert!(queues.of("bob")?.take(Duration::ZERO).await.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Queues {
    queues: Arc<Mutex<HashMap<String, Queue>>>,
}

/// One of the [`Queues`]; whoever takes from it first has it.
#[derive(Clone)]
pub struct Queue {
    put: Sender<String>,
    take: Arc<tokio::sync::Mutex<Receiver<String>>>,
}

/// Why a text has no place. As an answer of axum it is the status, and the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// 64 texts wait there already: somebody has to take from it first. 429.
    Full,
    /// The text is longer than 16 KB. 413.
    TooLong,
    /// There are 1,000 queues, and in all of them something waits, or somebody for it. 503.
    TooMany,
}

impl Queues {
    /// The queue of this name, new if there is none. Where nothing waits and nobody asks, none is remembered once there
    /// are many.
    ///
    /// # Errors
    /// [`QueueError::TooMany`].
    pub fn of(&self, name: &str) -> Result<Queue, QueueError> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(name) {
            return Ok(queue.clone());
        }
        if queues.len() >= QUEUES {
            queues.retain(|_, queue| queue.is_used());
        }
        if queues.len() >= QUEUES {
            return Err(QueueError::TooMany);
        }
        Ok(queues.entry(name.to_owned()).or_insert_with(Queue::new).clone())
    }
}

impl Queue {
    fn new() -> Queue {
        let (put, take) = channel(TEXTS);
        Queue { put, take: Arc::new(tokio::sync::Mutex::new(take)) }
    }

    fn is_used(&self) -> bool {
        self.put.capacity() < TEXTS || Arc::strong_count(&self.take) > 1
    }

    /// Puts a text behind the others.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::TooLong`].
    pub fn put(&self, text: impl Into<String>) -> Result<(), QueueError> {
        let text = text.into();
        if text.len() > TEXT {
            return Err(QueueError::TooLong);
        }
        self.put.try_send(text).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Closed(_) => QueueError::Full,
        })
    }

    /// Takes all that waits, at once; if nothing does, what comes within `hold`, or nothing. Dropped while it waits, it
    /// has taken nothing.
    pub async fn take(&self, hold: Duration) -> Vec<String> {
        let take = async {
            let mut texts = Vec::new();
            self.take.lock().await.recv_many(&mut texts, TEXTS).await;
            texts
        };
        timeout(hold, take).await.unwrap_or_default()
    }
}

impl QueueError {
    /// The status with which a request is answered.
    pub fn status(self) -> StatusCode {
        match self {
            QueueError::Full => StatusCode::TOO_MANY_REQUESTS,
            QueueError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            QueueError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueError::Full => write!(f, "{TEXTS} texts wait here already; take them first"),
            QueueError::TooLong => write!(f, "a text is at most {TEXT} bytes"),
            QueueError::TooMany => f.write_str("too many queues hold something; try again later"),
        }
    }
}

impl std::error::Error for QueueError {}

impl IntoResponse for QueueError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl fmt::Debug for Queue {
    /// Without what waits: private messages do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &(TEXTS - self.put.capacity())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_queue_gives_what_waits_at_once_and_holds_who_finds_nothing() {
        let queues = Queues::default();
        let ann = queues.of("ann").unwrap();
        for text in ["a", "", "b"] {
            queues.of("ann").unwrap().put(text).unwrap();
        }
        assert_eq!(ann.take(Duration::ZERO).await, ["a", "", "b"]);
        let start = tokio::time::Instant::now();
        assert!(ann.take(HOLD).await.is_empty());
        assert_eq!(start.elapsed(), HOLD);
        let (texts, _) = tokio::join!(ann.take(HOLD), async { ann.put("late") });
        assert_eq!((texts, start.elapsed()), (vec!["late".to_owned()], HOLD));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_has_taken_nothing() {
        let ann = Queues::default().of("ann").unwrap();
        let waits = timeout(Duration::from_secs(1), ann.take(HOLD));
        waits.await.unwrap_err();
        ann.put("for who stays").unwrap();
        assert_eq!(ann.take(HOLD).await, ["for who stays"]);
    }

    #[tokio::test]
    async fn queues_and_texts_are_bounded_and_the_idle_are_forgotten() {
        let queues = Queues::default();
        let ann = queues.of("ann").unwrap();
        (0..TEXTS).for_each(|n| ann.put(n.to_string()).unwrap());
        assert_eq!(ann.put("one too many"), Err(QueueError::Full));
        assert_eq!(ann.take(Duration::ZERO).await.len(), TEXTS);
        assert_eq!(ann.put("x".repeat(TEXT + 1)), Err(QueueError::TooLong));
        ann.put("x".repeat(TEXT)).unwrap();
        // Idle ones make way, however many.
        (0..3 * QUEUES).for_each(|n| drop(queues.of(&n.to_string()).unwrap()));
        assert_eq!(queues.of("ann").unwrap().take(Duration::ZERO).await.len(), 1);
        // Somebody asks in each of these.
        let held: Vec<_> = (0..QUEUES - 1).map(|n| queues.of(&format!("held {n}")).unwrap()).collect();
        assert_eq!(queues.of("new").unwrap_err(), QueueError::TooMany);
        drop(held);
        queues.of("new").unwrap();
    }
}
