//! The rules: a pure function from what clients noted and what the store held to what is wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use parlor_proto::limits::RESUME_MAX;
use parlor_proto::position::{Epoch, MessageId, Position};

use super::{Log, Note, Outcome, Stored, Truth};

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A message came, and one before it did not.
    Gap,
    /// A message came that the client had already, or that was before what it asked for.
    Twice,
    /// A message of another epoch, or of a room that the client does not follow.
    Stray,
    /// Two clients were told different things about one place, or one client about one message.
    Disagreement,
    /// Somebody was given what is not in the store.
    Vanished,
    /// A publisher was told that something is stored that is not.
    NotStored,
    StoredTwice,
    /// `recovered: true` for a position that is not one of this store.
    FalseRecovery,
    /// `recovered: false` for a reason that does not hold.
    FalseLoss,
    /// An id that passes a message which the client has not got.
    PassedTooFar,
    /// Everything is quiet, and a client has not got everything.
    Behind,
    /// The store lost something, and a client went on as if it had not.
    Unsaid,
}

/// A broken rule, and the note that shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub rule: Rule,
    pub who: String,
    /// The number of the note in the client's log.
    pub note: usize,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}, note {}: {}", self.rule, self.who, self.note, self.what)
    }
}

/// Everything that is wrong. `lives`: what the store held in each of its lives, at the end of it.
pub fn check(logs: &[Log], lives: &[Truth]) -> Vec<Fault> {
    let mut check = Check { lives, told: HashMap::new(), acked: HashMap::new(), faults: Vec::new() };
    for log in logs {
        check.read(log);
    }
    check.stored_once();
    check.faults
}

struct Check<'a> {
    lives: &'a [Truth],
    /// What anybody was told about a place, by life, room, epoch and offset.
    told: HashMap<(usize, &'a str, Epoch, u64), (MessageId, &'a str)>,
    /// Where a message was acknowledged.
    acked: HashMap<(usize, &'a str, &'a str), Position>,
    faults: Vec<Fault>,
}

/// A room that a client follows.
#[derive(Default)]
struct Followed {
    epoch: Option<Epoch>,
    next: Next,
    /// The number of the newest message that came without being stored.
    passed: Option<usize>,
}

/// The offset of the message that has to come next.
#[derive(Clone, Copy, Default)]
enum Next {
    /// It was not said where the room stands.
    #[default]
    Unknown,
    /// This one or an older one: the room was joined with some messages of before.
    AtMost(u64),
    Exactly(u64),
}

/// One note of one client.
#[derive(Clone, Copy)]
struct At<'a> {
    who: &'a str,
    note: usize,
    life: usize,
}

impl<'a> Check<'a> {
    fn read(&mut self, log: &'a Log) {
        let mut rooms: BTreeMap<&str, Followed> = BTreeMap::new();
        for (number, (life, note)) in log.notes.iter().enumerate() {
            let at = At { who: &log.who, note: number, life: *life };
            match note {
                Note::Acked { room, at: place, data } => self.acked(at, room, *place, data),
                Note::Joined { room, since, head, outcome } => {
                    let followed = self.joined(at, room, *since, *head, outcome);
                    rooms.insert(room, followed);
                }
                Note::Message { room, at: place, data } => match rooms.get_mut(room.as_str()) {
                    Some(followed) => match place {
                        Some(place) => self.stored_message(at, room, *place, data, followed),
                        None => self.passing_message(at, room, data, followed),
                    },
                    None => {
                        let what = format!("{data} of {room}, which it does not follow");
                        self.fault(Rule::Stray, at, what);
                    }
                },
                Note::Passed { seq } => self.passed(at, *seq, &rooms),
                Note::Left { room } => drop(rooms.remove(room.as_str())),
                Note::Cut { .. } => rooms.clear(),
                Note::Quiet => self.quiet(at, &rooms),
            }
        }
    }

    fn fault(&mut self, rule: Rule, at: At<'_>, what: String) {
        self.faults.push(Fault { rule, who: at.who.to_owned(), note: at.note, what });
    }

    /// The log of a room's epoch; `None` if nothing is known of the room.
    fn log(&self, life: usize, room: &str, epoch: Epoch) -> Option<&'a [Stored]> {
        let epochs = self.lives[life].logs.get(room)?;
        Some(epochs.get(&epoch).map_or(&[], Vec::as_slice))
    }

    /// Notes what a place is said to hold, and compares it with what was said before and with the store.
    fn hold(&mut self, at: At<'a>, room: &'a str, place: Position, data: &'a str, otherwise: Rule) {
        let told = self.told.entry((at.life, room, place.epoch, place.offset)).or_insert((place.id, data));
        if *told != (place.id, data) {
            let other = told.1;
            self.fault(
                Rule::Disagreement,
                at,
                format!("{data} at {place} in {room}, where {other} was seen"),
            );
        }
        if let Some(log) = self.log(at.life, room, place.epoch) {
            let there = place.offset.checked_sub(1).and_then(|index| log.get(index as usize));
            if there.is_none_or(|stored| stored.at != place || stored.data != data) {
                let there = there.map_or("nothing", |stored| &stored.data);
                self.fault(otherwise, at, format!("{data} at {place} in {room}, where {there} is stored"));
            }
        }
    }

    fn acked(&mut self, at: At<'a>, room: &'a str, place: Position, data: &'a str) {
        self.hold(at, room, place, data, Rule::NotStored);
        let before = *self.acked.entry((at.life, room, data)).or_insert(place);
        // A room that forgets with its process may have taken it once more in its next epoch.
        if before != place && (before.epoch == place.epoch || !forgets(room)) {
            self.fault(Rule::Disagreement, at, format!("{data} in {room} is at {place} and at {before}"));
        }
    }

    fn joined(
        &mut self,
        at: At<'a>,
        room: &str,
        since: Option<Position>,
        head: Option<Position>,
        outcome: &Outcome,
    ) -> Followed {
        if let Some(head) = head
            && self.lives[at.life].has(room, head) == Some(false)
        {
            self.fault(Rule::Vanished, at, format!("{room} is said to stand at {head}"));
        }
        let mut followed = Followed { epoch: head.map(|head| head.epoch), ..Followed::default() };
        match (outcome, since) {
            (Outcome::Recovered, Some(since)) => {
                let is_there = self.lives[at.life].has(room, since).unwrap_or(true);
                let same_epoch = head.is_none_or(|head| head.epoch == since.epoch);
                if !is_there || !same_epoch {
                    self.fault(Rule::FalseRecovery, at, format!("of {room} since {since}, head {head:?}"));
                }
                followed.epoch = Some(since.epoch);
                followed.next = Next::Exactly(since.offset + 1);
            }
            (Outcome::Recovered, None) => {
                self.fault(Rule::FalseRecovery, at, format!("of {room}, which was not asked for"));
            }
            (Outcome::Fresh, _) => {
                followed.next = head.map_or(Next::Unknown, |head| Next::AtMost(head.offset + 1));
            }
            (Outcome::Lost(reason), since) => {
                if !self.is_lost(at.life, room, since, head, reason) {
                    let what = format!("{reason} of {room} since {since:?}, head {head:?}");
                    self.fault(Rule::FalseLoss, at, what);
                }
                followed.next = head.map_or(Next::Unknown, |head| Next::Exactly(head.offset + 1));
            }
        }
        followed
    }

    /// Whether the reason why nothing is given is true, as far as that can be known.
    fn is_lost(
        &self,
        life: usize,
        room: &str,
        since: Option<Position>,
        head: Option<Position>,
        reason: &str,
    ) -> bool {
        let Some(since) = since else { return false };
        match reason {
            "epoch_changed" => head.is_none_or(|head| head.epoch != since.epoch),
            "diverged" => self.lives[life].has(room, since) != Some(true),
            "trimmed" => trims(room),
            "too_many" => head.is_none_or(|head| head.offset > since.offset + RESUME_MAX as u64),
            "no_log" => is_unlogged(room),
            _ => false,
        }
    }

    fn stored_message(
        &mut self,
        at: At<'a>,
        room: &'a str,
        place: Position,
        data: &'a str,
        followed: &mut Followed,
    ) {
        self.hold(at, room, place, data, Rule::Vanished);
        if followed.epoch.is_some_and(|epoch| epoch != place.epoch) {
            self.fault(Rule::Stray, at, format!("{data} at {place} in {room} is of another epoch"));
        }
        let late = match followed.next {
            Next::Exactly(next) if place.offset < next => Some((Rule::Twice, next)),
            Next::Exactly(next) | Next::AtMost(next) if place.offset > next => Some((Rule::Gap, next)),
            _ => None,
        };
        if let Some((rule, next)) = late {
            self.fault(rule, at, format!("{data} at {place} in {room}, {next} should come"));
        }
        followed.epoch = Some(place.epoch);
        followed.next = Next::Exactly(place.offset + 1);
    }

    /// What is not stored comes in one order too; where nothing is stored none is left out.
    fn passing_message(&mut self, at: At<'a>, room: &str, data: &str, followed: &mut Followed) {
        let Some(passed) = self.lives[at.life].passed.get(room) else { return };
        let from = followed.passed.map_or(0, |number| number + 1);
        match passed[from..].iter().position(|other| other == data) {
            None => self.fault(Rule::Twice, at, format!("{data} in {room} again or out of order")),
            Some(0) => followed.passed = Some(from),
            Some(skipped) => {
                if is_unlogged(room) && followed.passed.is_some() {
                    self.fault(Rule::Gap, at, format!("{data} in {room} after {skipped} that did not come"));
                }
                followed.passed = Some(from + skipped);
            }
        }
    }

    fn passed(&mut self, at: At<'_>, seq: u64, rooms: &BTreeMap<&str, Followed>) {
        for (room, followed) in rooms {
            let (Some(epoch), Next::Exactly(next) | Next::AtMost(next)) = (followed.epoch, followed.next)
            else {
                continue;
            };
            let owed = self.log(at.life, room, epoch).and_then(|log| log.get(next as usize - 1));
            if let Some(owed) = owed.filter(|owed| owed.seq <= seq) {
                self.fault(
                    Rule::PassedTooFar,
                    at,
                    format!("{} in {room} at {} is not there", owed.data, owed.at),
                );
            }
        }
    }

    fn quiet(&mut self, at: At<'_>, rooms: &BTreeMap<&str, Followed>) {
        for (room, followed) in rooms {
            let (Some(epoch), Next::Exactly(next) | Next::AtMost(next)) = (followed.epoch, followed.next)
            else {
                continue;
            };
            if let Some(missing) = self.log(at.life, room, epoch).and_then(|log| log.get(next as usize - 1)) {
                let (data, place) = (&missing.data, missing.at);
                self.fault(Rule::Behind, at, format!("{data} in {room} at {place} never came"));
            }
        }
    }

    fn stored_once(&mut self) {
        let at = At { who: "the store", note: 0, life: 0 };
        for truth in self.lives {
            for (room, epochs) in &truth.logs {
                let mut seen = BTreeMap::new();
                for (epoch, log) in epochs {
                    if forgets(room) {
                        seen.clear();
                    }
                    for (index, stored) in log.iter().enumerate() {
                        // One log may have gone by several names.
                        let place = (stored.at.offset, stored.at.id);
                        if *seen.entry(&stored.data).or_insert(place) != place {
                            self.fault(Rule::StoredTwice, at, format!("{} in {room}", stored.data));
                        }
                        if stored.at.offset != index as u64 + 1 || stored.at.epoch != *epoch {
                            self.fault(Rule::Gap, at, format!("{room} has {} as number {index}", stored.at));
                        }
                    }
                }
            }
        }
    }
}

/// Whether a room of this name keeps its messages in memory only: the stock policies, as `hub::policy` has them.
fn forgets(room: &str) -> bool {
    room.starts_with("memory:")
}

fn trims(room: &str) -> bool {
    room.starts_with("recent:") || forgets(room)
}

fn is_unlogged(room: &str) -> bool {
    room.starts_with("live:")
}

#[cfg(test)]
mod tests;
