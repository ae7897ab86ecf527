//! The crowd: those who follow in every way, and those who write, while trouble is made, and until all is well again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use parlor_proto::position::Position;
use parlor_testkit::dice::Dice;
use parlor_testkit::torture::{Fault, Log, Note, Outcome};

use super::diary::{self, Diary};
use super::follow::{Follower, WAYS, Way};
use super::line;
use super::network::Network;
use super::publish::{self, Publisher, Wrote};

/// When all is well again, everybody has to have everything within this time.
const HEALING: Duration = Duration::from_secs(90);

pub(crate) struct Crowd<'a> {
    pub(crate) network: &'a Network,
    /// The rooms that outlive a process, and all of them.
    pub(crate) lasting: &'a [&'a str],
    pub(crate) rooms: &'a [&'a str],
    pub(crate) api_key: &'a str,
}

/// What the crowd has noted.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) logs: Vec<Log>,
    /// Those who had not got everything when it was too late.
    late: usize,
    recovered: usize,
    given_up: usize,
}

/// When it is over: at the end of the trouble, or when the one who makes it panics, so that nobody waits for ever.
struct Ending<'a> {
    writing: &'a AtomicBool,
    healed: &'a OnceLock<Instant>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.writing.store(false, Ordering::Relaxed);
        let patience = if thread::panicking() { Duration::ZERO } else { HEALING };
        self.healed.get_or_init(|| Instant::now() + patience);
    }
}

impl Crowd<'_> {
    /// Lives through the trouble.
    pub(crate) fn endure(&self, dice: &mut Dice, trouble: impl FnOnce(&mut Dice)) -> Noted {
        let heads: Mutex<Option<Vec<(String, Position)>>> = Mutex::default();
        let (writing, healed) = (AtomicBool::new(true), OnceLock::new());
        let is_late = || healed.get().is_some_and(|healed| Instant::now() > *healed);
        // Whoever follows by a cursor may know a room by the name that it had before.
        let done = |diary: &Diary| {
            let has = |(room, head): &(String, Position)| {
                diary.place(room).is_some_and(|at| (at.offset, at.id) == (head.offset, head.id))
            };
            let heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
            heads.as_ref().is_some_and(|heads| heads.iter().all(has)) || is_late()
        };
        let done: &(dyn Fn(&Diary) -> bool + Sync) = &done;
        let followers = AtomicUsize::new(2 * WAYS.len());
        let noted: Mutex<Noted> = Mutex::default();
        let noting = || noted.lock().unwrap_or_else(PoisonError::into_inner);

        thread::scope(|scope| {
            let ways = WAYS.into_iter().chain([Way::Any; WAYS.len()]);
            for (n, way) in ways.enumerate() {
                let (mut dice, followers, is_late, noting) = (dice.fork(), &followers, &is_late, &noting);
                scope.spawn(move || {
                    // A cursor is proven by the newest message of its rooms, and a recovered client is in rooms that last.
                    let lasting = matches!(way, Way::Events | Way::Polls | Way::SocketIo | Way::Any);
                    let rooms = if lasting { self.lasting } else { self.rooms };
                    let name = format!("{way:?}{n}");
                    let mut follower = Follower::new(name, self.network, dice.fork(), rooms, done);
                    while !follower.once(way) && !is_late() {
                        thread::sleep(Duration::from_millis(dice.roll(200)));
                    }
                    follower.diary.note(Note::Quiet);
                    let mut noted = noting();
                    noted.late += usize::from(is_late());
                    noted.recovered += follower.recovered;
                    noted.logs.push(follower.diary.log);
                    followers.fetch_sub(1, Ordering::Relaxed);
                });
            }
            let mut writers = Vec::new();
            for n in 0..6 {
                let way = publish::WAYS[n % 3];
                let (mut dice, writing, is_late, noting) = (dice.fork(), &writing, &is_late, &noting);
                let name = format!("writer{n}");
                let mut publisher = Publisher::new(name, way, self.network, dice.fork(), self.api_key);
                writers.push(scope.spawn(move || {
                    let mut given_up = 0;
                    while writing.load(Ordering::Relaxed) {
                        match publisher.publish(self.rooms[dice.index(self.rooms.len())], is_late) {
                            Wrote::Acked => {}
                            Wrote::GivenUp => given_up += 1,
                            Wrote::Late => panic!("{} never came through", publisher.log.who),
                        }
                        thread::sleep(Duration::from_millis(dice.roll(30)));
                    }
                    let mut noted = noting();
                    noted.given_up += given_up;
                    noted.logs.push(publisher.log);
                }));
            }
            {
                let _ending = Ending { writing: &writing, healed: &healed };
                trouble(dice);
                self.network.be_kind();
            }
            for writer in writers {
                writer.join().expect("it came through");
            }
            // Of a room in which there is nothing, as in a store that was emptied last of all, nobody can say where it stands.
            let mut last =
                Publisher::new("last".into(), publish::Way::Api, self.network, dice.fork(), self.api_key);
            for room in self.lasting {
                assert_eq!(last.publish(room, is_late), Wrote::Acked, "what is well again takes messages");
            }
            noting().logs.push(last.log);
            // From here on nothing new comes: where the rooms stand is where everybody has to be. What they are called
            // may still change, where a store that was set back is noticed late.
            while followers.load(Ordering::Relaxed) > 0 && !is_late() {
                if let Some(now) = self.heads() {
                    *heads.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
                }
                thread::sleep(Duration::from_millis(300));
            }
        });
        noted.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rooms stand.
    fn heads(&self) -> Option<Vec<(String, Position)>> {
        let head = |room: &&str| {
            let target = format!("/poll?room={room}&last=1&wait=0");
            let (_, answer) = line::ask(self.network.straight(0), "GET", &target, "", "")?;
            Some(((*room).to_owned(), diary::position(&answer["messages"][0])?))
        };
        self.lasting.iter().map(head).collect()
    }
}

impl Noted {
    /// Fails with what is wrong, or if so little has happened that nothing is proven.
    #[track_caller]
    pub(crate) fn judge(&self, network: &Network, faults: &[Fault]) {
        let count = |is: fn(&Note) -> bool| {
            self.logs.iter().flat_map(|log| &log.notes).filter(|(_, note)| is(note)).count()
        };
        let messages = count(|note| matches!(note, Note::Message { .. }));
        let acked = count(|note| matches!(note, Note::Acked { .. }));
        let cuts = count(|note| matches!(note, Note::Cut { .. }));
        let mut lost: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, note) in self.logs.iter().flat_map(|log| &log.notes) {
            if let Note::Joined { outcome: Outcome::Lost(reason), .. } = note {
                *lost.entry(reason).or_default() += 1;
            }
        }
        println!(
            "(connections, cuts) {:?}: {acked} acknowledged, {} given up, {messages} told, {cuts} times away, \
             {} recovered by Socket.IO, lost {lost:?}",
            network.counts(),
            self.given_up,
            self.recovered
        );
        // A run on real machines does not come again from its seed: what led to the first of each rule is shown.
        let mut rules = BTreeSet::new();
        for fault in faults.iter().filter(|fault| rules.insert(fault.rule)) {
            let Some(log) = self.logs.iter().find(|log| log.who == fault.who) else { continue };
            println!("{fault}");
            let is_near = |number: usize, note: &Note| match note {
                Note::Message { .. } => number.abs_diff(fault.note) < 5,
                _ => number.abs_diff(fault.note) < 100,
            };
            let notes = log.notes.iter().enumerate();
            let near = notes.filter(|(number, (_, note))| is_near(*number, note));
            near.for_each(|(number, note)| println!("    {number}: {note:?}"));
        }
        let all: Vec<String> = faults.iter().take(20).map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), all.join("\n"));
        assert_eq!(self.late, 0, "somebody has not got everything in {HEALING:?}");
        let enough = acked > 100 && messages > 1_000 && cuts > 20;
        assert!(enough, "a run in which nothing happens proves nothing");
    }
}
