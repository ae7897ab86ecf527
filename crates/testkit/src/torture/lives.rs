//! In which life of the store a client was, when it may have been there before the life began: clients of a shared store
//! stay connected while it is emptied, or an older copy of it put back.
//!
//! Each stretch in which a client follows a room without a word about its place has to fit into one life. If it does not,
//! the client went on across the cut and was never told.

use std::collections::BTreeMap;

use super::check::{Fault, Rule, check};
use super::{Log, Note, Outcome, Truth};

/// As [`check()`], with notes whose number is that of the earliest life in which they can have been made: the one that
/// was there when the connection, or the request, began.
pub fn check_from(logs: &[Log], lives: &[Truth]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let settled: Vec<Log> = logs.iter().map(|log| settle(log, lives, &mut faults)).collect();
    faults.extend(check(&settled, lives));
    faults
}

/// A client's way through one room, and the lives into which all of it fits.
struct Stretch {
    fits: Vec<usize>,
    notes: Vec<usize>,
}

impl Stretch {
    /// The latest that fits: what does not tell lives apart belongs to that one as well.
    fn end(self, log: &mut Log) {
        if let Some(life) = self.fits.last() {
            self.notes.into_iter().for_each(|note| log.notes[note].0 = *life);
        }
    }
}

fn settle(log: &Log, lives: &[Truth], faults: &mut Vec<Fault>) -> Log {
    let mut settled = log.clone();
    let mut stretches: BTreeMap<&str, Stretch> = BTreeMap::new();
    let mut unsaid = |note: usize, what: String| {
        faults.push(Fault { rule: Rule::Unsaid, who: log.who.clone(), note, what });
    };
    for (number, (earliest, note)) in log.notes.iter().enumerate() {
        // Where the store says nothing, everything is possible.
        let that = |is: &dyn Fn(&Truth) -> bool| -> Vec<usize> {
            (*earliest..lives.len()).filter(|life| is(&lives[*life])).collect()
        };
        match note {
            Note::Acked { room, at, .. } => {
                let stored = that(&|life| life.has(room, *at) != Some(false));
                settled.notes[number].0 = stored.last().copied().unwrap_or(*earliest);
            }
            Note::Joined { room, since, head, outcome } => {
                let fits = that(&|life| {
                    let has_head = head.is_none_or(|head| life.has(room, head) != Some(false));
                    let since = since.and_then(|since| life.has(room, since));
                    has_head
                        && match outcome {
                            Outcome::Recovered => since != Some(false),
                            Outcome::Lost(reason) if reason == "diverged" => since != Some(true),
                            Outcome::Lost(_) | Outcome::Fresh => true,
                        }
                });
                let before = stretches.insert(room, Stretch { fits, notes: vec![number] });
                before.into_iter().for_each(|stretch| stretch.end(&mut settled));
            }
            Note::Message { room, at: Some(at), data } => {
                let holds = that(&|life| life.has(room, *at) != Some(false));
                let Some(stretch) = stretches.get_mut(room.as_str()) else { continue };
                let both: Vec<usize> =
                    stretch.fits.iter().copied().filter(|life| holds.contains(life)).collect();
                if both.is_empty() && !holds.is_empty() && !stretch.fits.is_empty() {
                    let lives = (&stretch.fits, &holds);
                    unsaid(
                        number,
                        format!("{data} at {at} in {room} is of another life than before: {lives:?}"),
                    );
                    let next = Stretch { fits: holds, notes: Vec::new() };
                    std::mem::replace(stretch, next).end(&mut settled);
                } else if !both.is_empty() {
                    stretch.fits = both;
                }
                stretch.notes.push(number);
            }
            Note::Left { room } => {
                stretches.remove(room.as_str()).into_iter().for_each(|stretch| stretch.end(&mut settled));
            }
            Note::Cut { .. } => {
                std::mem::take(&mut stretches).into_values().for_each(|stretch| stretch.end(&mut settled));
            }
            Note::Quiet => {
                let last = lives.len() - 1;
                settled.notes[number].0 = last;
                for (room, stretch) in &stretches {
                    if !stretch.fits.is_empty() && !stretch.fits.contains(&last) {
                        unsaid(
                            number,
                            format!("it follows {room} in a life that is over: {:?}", stretch.fits),
                        );
                    }
                }
            }
            Note::Message { at: None, .. } | Note::Passed { .. } => {}
        }
    }
    stretches.into_values().for_each(|stretch| stretch.end(&mut settled));
    settled
}

#[cfg(test)]
mod tests;
