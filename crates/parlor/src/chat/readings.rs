//! `Readings`: what many polls want to know of the logs at once is read, and written out, one time.
//!
//! Everybody who waits in a room is at the same place and hears the same bell. Of two hundred pollers of one room each
//! read the store for itself, and that cost ten times as much as everything else that was done for them
//! (`benches`, `longpoll-1`, "durable room").

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlor_hub::encode::entry;
use parlor_hub::engine::{Frontier, Lost};
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::native::encode;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::place::Place;
use super::read::Read;

/// Answers that are kept: rooms that are busy at one time, with a page of 256 KB at most for each.
const KEPT: usize = 16;

/// How long one is given. A store that lost something is found out by reading it, so nobody may be kept from that.
const FRESH: Duration = Duration::from_secs(1);

/// What the logs have for a poll, written out.
#[derive(Debug)]
pub(super) struct Written {
    /// Objects, each with a comma behind it.
    pub(super) messages: Vec<u8>,
    pub(super) place: Place,
    pub(super) lost: Vec<(RoomName, Lost)>,
}

impl From<Read> for Written {
    fn from(Read { messages, place, lost }: Read) -> Written {
        let mut written = Vec::new();
        for message in &messages {
            encode::entry(&mut written, &entry(message));
            written.push(b',');
        }
        Written { messages: written, place, lost }
    }
}

/// A question. Its answer goes as far as the frontier at which it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) rooms: Vec<RoomName>,
    pub(super) place: Place,
    pub(super) frontier: Frontier,
}

type Cell = Arc<OnceCell<Arc<Written>>>;

#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<VecDeque<(Instant, Question, Cell)>>);

impl Readings {
    /// The answer that somebody else has or waits for, or `read`. A refusal is for whoever asked first; the next one
    /// asks again.
    pub(super) async fn get(
        &self,
        question: Question,
        read: impl Future<Output = Result<Read, Refusal>>,
    ) -> Result<Arc<Written>, Refusal> {
        let cell = self.cell(question);
        cell.get_or_try_init(|| async { read.await.map(|read| Arc::new(read.into())) }).await.cloned()
    }

    fn cell(&self, question: Question) -> Cell {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.front().is_some_and(|(since, ..)| now - *since > FRESH || kept.len() > KEPT) {
            kept.pop_front();
        }
        if let Some((_, _, cell)) = kept.iter().rev().find(|(_, other, _)| *other == question) {
            return Arc::clone(cell);
        }
        let cell = Cell::default();
        kept.push_back((now, question, Arc::clone(&cell)));
        cell
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use parlor_proto::position::{Cursor, MessageId};

    use super::*;

    fn question(last: u64) -> Question {
        let cursor = Cursor { life: 1, seq: 1, id: MessageId::NIL };
        let rooms = vec![RoomName::internal("a")];
        Question { rooms, place: cursor.into(), frontier: Frontier { last, rings_since: 0 } }
    }

    async fn ask(readings: &Readings, last: u64, asked: &Cell<u32>) -> Result<Arc<Written>, Refusal> {
        let question = question(last);
        let place = question.place.clone();
        let read = async {
            asked.set(asked.get() + 1);
            tokio::task::yield_now().await;
            Ok(Read { messages: Vec::new(), place, lost: Vec::new() })
        };
        readings.get(question, read).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_is_read_once_for_all_who_ask_it_within_a_second() {
        let (readings, asked) = (Readings::default(), Cell::new(0));
        let (a, b) = tokio::join!(ask(&readings, 7, &asked), ask(&readings, 7, &asked));
        assert!(Arc::ptr_eq(&a.unwrap(), &b.unwrap()));
        assert_eq!(asked.get(), 1);
        ask(&readings, 8, &asked).await.unwrap();
        assert_eq!(asked.get(), 2, "more was stored since");
        tokio::time::advance(FRESH * 2).await;
        ask(&readings, 8, &asked).await.unwrap();
        assert_eq!(asked.get(), 3, "it is too old");
    }

    #[tokio::test]
    async fn a_refusal_is_not_kept_and_no_more_than_a_few_answers_are() {
        let (readings, asked) = (Readings::default(), Cell::new(0));
        let refused = Refusal::new(parlor_proto::codes::Code::Busy, "too much");
        assert!(readings.get(question(0), async { Err(refused) }).await.is_err());
        for last in 0..100 {
            ask(&readings, last, &asked).await.unwrap();
        }
        assert_eq!(asked.get(), 100);
        assert!(readings.0.lock().unwrap().len() <= KEPT + 1);
    }
}
