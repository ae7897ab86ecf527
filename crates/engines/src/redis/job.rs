//! `Job`: what callers want of Redis; `Inbox`: where it waits, bounded, together with the rooms that are wanted.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parlor_hub::engine::{Done, Published};
use parlor_hub::policy::Retention;
use parlor_hub::publication::{Author, Draft};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use tokio::sync::Notify;

use super::scripts::Script;
use super::wire::Value;

/// What callers want.
pub(super) enum Job {
    Publish {
        draft: Draft,
        keep: Retention,
        now: u64,
        done: Done<Published>,
    },
    /// Spread and not kept.
    Pass {
        draft: Draft,
        now: u64,
        done: Done<Published>,
    },
    Ask(Ask),
    /// Something for the other nodes, or one of them.
    Tell {
        node: Option<u64>,
        bytes: Vec<u8>,
    },
}

/// A question, or a record to be written: one command and what is done with the answer.
pub(super) struct Ask {
    pub(super) verb: Verb,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Vec<u8>>,
    /// Asking twice does no harm.
    pub(super) repeatable: bool,
    /// The number up to which everything has to be delivered before the answer is given.
    pub(super) behind: Option<fn(&Value) -> Option<u64>>,
    pub(super) answer: Box<dyn FnOnce(Result<Value, Refusal>) + Send>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Script(Script),
    Plain(&'static str),
}

impl Job {
    /// Ends it without an answer of Redis.
    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Job::Publish { done, .. } | Job::Pass { done, .. } => done(Err(refusal)),
            Job::Ask(ask) => (ask.answer)(Err(refusal)),
            // It was promised to nobody.
            Job::Tell { .. } => {}
        }
    }

    fn weight(&self) -> usize {
        512 + match self {
            Job::Publish { draft, .. } | Job::Pass { draft, .. } => draft.data.len() + draft.event.len(),
            Job::Ask(ask) => ask.args.iter().map(Vec::len).sum(),
            Job::Tell { bytes, .. } => bytes.len(),
        }
    }
}

/// Nobody knows whether what was sent was carried out.
pub(super) fn unavailable() -> Refusal {
    let message = "the store does not answer at the moment; try again with the same key, which makes it safe";
    Refusal::new(Code::Unavailable, message).retry_after(Duration::from_secs(1))
}

pub(super) fn stopping() -> Refusal {
    Refusal::new(Code::Unavailable, "the server is stopping; try again on the next one")
}

/// A job and the time until which somebody waits for it.
pub(super) type Waiting = (Job, Instant);

/// Where callers leave what they want.
pub(super) struct Inbox {
    state: Mutex<State>,
    pub(super) filled: Notify,
    most: usize,
    most_weight: usize,
    patience: Duration,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Waiting>,
    weight: usize,
    /// Which rooms are wanted from now on, or no longer; the newest wish of each.
    interest: HashMap<RoomName, Wish>,
    /// Who is where; the newest for each room and account.
    presence: HashMap<(RoomName, Arc<str>), Presence>,
    closed: bool,
}

/// What the hub wants of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Wanted,
    /// No longer, and then again: the hub has forgotten who was there.
    WantedAgain,
    Unwanted,
}

/// An account is in a room on this node, or no longer.
pub(super) struct Presence {
    pub(super) room: RoomName,
    pub(super) who: Author,
    pub(super) here: bool,
}

/// What the engine's thread takes at once.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) jobs: Vec<Waiting>,
    pub(super) interest: HashMap<RoomName, Wish>,
    pub(super) presence: Vec<Presence>,
}

impl Inbox {
    pub(super) fn new(most: usize, most_weight: usize, patience: Duration) -> Inbox {
        Inbox { state: Mutex::default(), filled: Notify::new(), most, most_weight, patience }
    }

    /// Takes a job, or refuses it.
    pub(super) fn push(&self, job: Job) {
        let weight = job.weight();
        let mut state = self.state();
        let refusal = if state.closed {
            stopping()
        } else if state.jobs.len() >= self.most || state.weight + weight > self.most_weight {
            let message = "too much waits for the store; try again";
            Refusal::new(Code::Busy, message).retry_after(Duration::from_secs(1))
        } else {
            state.weight += weight;
            state.jobs.push_back((job, Instant::now() + self.patience));
            drop(state);
            return self.filled.notify_one();
        };
        drop(state);
        job.refuse(refusal);
    }

    /// Gives back what was taken and not carried out; it waits no longer than before.
    pub(super) fn put_back(&self, jobs: impl DoubleEndedIterator<Item = Waiting>) {
        let mut state = self.state();
        for (job, deadline) in jobs.rev() {
            state.weight += job.weight();
            state.jobs.push_front((job, deadline));
        }
    }

    pub(super) fn interest(&self, room: &RoomName, wanted: bool) {
        let mut state = self.state();
        let wish = match (wanted, state.interest.get(room)) {
            (true, Some(Wish::Unwanted | Wish::WantedAgain)) => Wish::WantedAgain,
            (true, _) => Wish::Wanted,
            (false, _) => Wish::Unwanted,
        };
        state.interest.insert(room.clone(), wish);
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn present(&self, room: &RoomName, who: &Author, here: bool) {
        let presence = Presence { room: room.clone(), who: who.clone(), here };
        self.state().presence.insert((room.clone(), Arc::clone(&who.user)), presence);
        self.filled.notify_one();
    }

    /// Takes at most so many jobs, and every wish that was made before the last of them.
    pub(super) fn take(&self, most: usize) -> Taken {
        let mut state = self.state();
        let count = state.jobs.len().min(most);
        let jobs: Vec<Waiting> = state.jobs.drain(..count).collect();
        state.weight -= jobs.iter().map(|(job, _)| job.weight()).sum::<usize>();
        let presence = state.presence.drain().map(|(_, presence)| presence).collect();
        Taken { jobs, interest: std::mem::take(&mut state.interest), presence }
    }

    /// Takes those whose callers have waited long enough.
    pub(super) fn expired(&self, now: Instant) -> Vec<Job> {
        let mut state = self.state();
        let mut expired = Vec::new();
        while state.jobs.front().is_some_and(|(_, deadline)| *deadline <= now) {
            if let Some((job, _)) = state.jobs.pop_front() {
                state.weight -= job.weight();
                expired.push(job);
            }
        }
        expired
    }

    /// Whether it was closed and nothing is left.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.closed && state.jobs.is_empty()
    }

    /// Takes nothing new from now on; what waits is still handed out.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("jobs", &self.state().jobs.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Pushes a question of this weight and notes what is said about it.
    fn push(inbox: &Inbox, weight: usize, said: &Arc<Mutex<Vec<Code>>>) {
        let said = Arc::clone(said);
        let answer = move |result: Result<Value, Refusal>| {
            said.lock().unwrap().extend(result.err().map(|refusal| refusal.code));
        };
        let args = vec![vec![0; weight]];
        inbox.push(Job::Ask(Ask {
            verb: Verb::Plain("PING"),
            keys: Vec::new(),
            args,
            repeatable: true,
            behind: None,
            answer: Box::new(answer),
        }));
    }

    #[test]
    fn a_full_or_closed_inbox_refuses_and_what_is_in_it_is_still_handed_out() {
        let said = Arc::default();
        let inbox = Inbox::new(3, 5000, PATIENCE);
        push(&inbox, 3000, &said);
        push(&inbox, 3000, &said);
        assert_eq!(*said.lock().unwrap(), [Code::Busy]);
        let heavy = inbox.take(10);
        assert_eq!(heavy.jobs.len(), 1);
        inbox.put_back(heavy.jobs.into_iter());
        push(&inbox, 100, &said);
        inbox.close();
        push(&inbox, 0, &said);
        assert_eq!(*said.lock().unwrap(), [Code::Busy, Code::Unavailable]);
        assert_eq!(inbox.take(1).jobs.len(), 1);
        assert!(!inbox.is_done());
        assert_eq!(inbox.take(1).jobs.len(), 1);
        assert!(inbox.is_done());
    }

    #[test]
    fn who_has_waited_long_enough_is_told_and_who_has_not_is_kept() {
        let said = Arc::default();
        let inbox = Inbox::new(3, 4000, PATIENCE);
        push(&inbox, 0, &said);
        assert!(inbox.expired(Instant::now()).is_empty());
        assert_eq!(inbox.expired(Instant::now() + PATIENCE).len(), 1);
        assert!(inbox.take(9).jobs.is_empty());
    }

    #[test]
    fn the_newest_wish_for_a_room_counts() {
        let inbox = Inbox::new(3, 4000, PATIENCE);
        let room = RoomName::internal("room");
        inbox.interest(&room, true);
        inbox.interest(&room, false);
        inbox.interest(&RoomName::internal("other"), true);
        let wishes =
            HashMap::from([(room.clone(), Wish::Unwanted), (RoomName::internal("other"), Wish::Wanted)]);
        assert_eq!(inbox.take(9).interest, wishes);
        inbox.interest(&room, false);
        inbox.interest(&room, true);
        inbox.interest(&room, true);
        assert_eq!(inbox.take(9).interest, HashMap::from([(room, Wish::WantedAgain)]));
        assert!(inbox.take(9).interest.is_empty());
    }
}
