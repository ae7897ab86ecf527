//! `Poller`: a client that asks again and again with the cursor that it was given last, sometimes twice with the same one,
//! and sometimes with the place of each room, as one that was on another transport does.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parlor::simulated::{Place, Read, frontier, read};
use parlor_hub::Hub;
use parlor_hub::engine::Begin;
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Position, Since};

use super::store::Store;
use super::{Counts, label};
use crate::dice::Dice;
use crate::torture::{Fault, Log, Note, Outcome, Rule};

pub(super) struct Poller {
    pub(super) log: Log,
    /// What those heard that asked with a cursor that was used already.
    pub(super) twin: Log,
    pub(super) faults: Vec<Fault>,
    pub(super) counts: Counts,
    known: Known,
    /// What it knew some time ago.
    earlier: Known,
    asked: Vec<Asked>,
    /// Nothing has happened since it asked, and the answer had nothing.
    pub(super) rested: bool,
    disturbed: bool,
}

/// What it has.
#[derive(Clone)]
struct Known {
    /// Up to where, as far as it can tell.
    places: BTreeMap<RoomName, Option<Position>>,
    /// And the life of the store in which that was said.
    cursor: Option<(Place, usize)>,
}

/// A poll that is not answered yet.
struct Asked {
    reading: Reading,
    /// What it had when it asked.
    known: Known,
    by_places: bool,
    is_twin: bool,
}

type Reading = Pin<Box<dyn Future<Output = Result<Read, Refusal>> + Send>>;

impl Poller {
    pub(super) fn new(who: String, rooms: &[&str]) -> Poller {
        let log = |who| Log { who, notes: Vec::new() };
        let places = rooms.iter().map(|room| (RoomName::internal(*room), None)).collect();
        let known = Known { places, cursor: None };
        Poller {
            twin: log(format!("{who}, twice")),
            log: log(who),
            faults: Vec::new(),
            counts: Counts::default(),
            earlier: known.clone(),
            known,
            asked: Vec::new(),
            rested: false,
            disturbed: false,
        }
    }

    /// Asks, or looks for the answers.
    pub(super) fn step(&mut self, hub: &Arc<Hub>, store: &Store, life: usize, dice: &mut Dice) {
        if self.asked.is_empty() {
            self.disturbed = false;
            let count = if dice.once_in(4) { 2 } else { 1 };
            let last = dice.roll(40) as u32;
            let by_places = self.earlier.cursor.is_some() && dice.once_in(6);
            let mut known = self.known.clone();
            if by_places {
                // It came further in one room than in another.
                known.cursor.clone_from(&self.earlier.cursor);
                let places = known.places.iter_mut().filter(|_| dice.once_in(2));
                places.for_each(|(room, place)| *place = self.earlier.places[room]);
            } else if dice.once_in(8) {
                self.earlier.clone_from(&known);
            }
            self.asked.extend((0..count).map(|number| {
                let begin = |place: &Option<Position>| match place {
                    Some(place) if by_places => Begin::Since(Since::Position(*place)),
                    _ => Begin::Last(last),
                };
                let places = known.places.iter();
                let rooms = places.map(|(room, place)| (room.clone(), Some(begin(place)))).collect();
                let cursor = known.cursor.as_ref().filter(|_| !by_places).map(|(place, _)| place.clone());
                let hub = Arc::clone(hub);
                let reading = Box::pin(async move {
                    let frontier = frontier(&hub).await?;
                    read(hub, rooms, cursor, frontier).await
                });
                Asked { reading, known: known.clone(), by_places, is_twin: number > 0 }
            }));
        }
        let mut task = Context::from_waker(Waker::noop());
        let mut index = 0;
        while let Some(asked) = self.asked.get_mut(index) {
            let Poll::Ready(answer) = asked.reading.as_mut().poll(&mut task) else {
                index += 1;
                continue;
            };
            let asked = self.asked.remove(index);
            // An answer that does not arrive is asked for again.
            if let Ok(read) = answer
                && !(store.has_faults() && dice.once_in(10))
            {
                self.hear(asked, read, store, life);
            }
        }
    }

    /// Something happens that it may have to be told.
    pub(super) fn disturb(&mut self) {
        (self.rested, self.disturbed) = (false, true);
    }

    /// The server is gone, and with it what was on its way.
    pub(super) fn over(&mut self) {
        self.asked.clear();
    }

    fn hear(&mut self, asked: Asked, read: Read, store: &Store, life: usize) {
        let Asked { mut known, by_places, is_twin, .. } = asked;
        self.counts.polled += 1;
        let log = if is_twin { &mut self.twin } else { &mut self.log };
        let mut note = |note| log.notes.push((life, note));
        self.rested = !self.disturbed && read.messages.is_empty() && read.lost.is_empty();
        let rooms: Vec<RoomName> = known.places.keys().cloned().collect();
        for (room, place) in &mut known.places {
            let lost = read.lost.iter().find(|(lost, _)| lost == room).map(|(_, reason)| *reason);
            let (since, outcome) = match (lost, &known.cursor, *place) {
                (None, Some(_), Some(since)) => (Some(since), Outcome::Recovered),
                (None, Some((asked, _)), None) if !by_places => {
                    *place = store.place_at(room, asked.cursor.seq);
                    (None, Outcome::Fresh)
                }
                _ => {
                    *place = store.place_at(room, read.place.cursor.seq);
                    (None, Outcome::Fresh)
                }
            };
            self.counts.recovered += usize::from(outcome == Outcome::Recovered);
            let head = place.filter(|_| outcome == Outcome::Fresh);
            note(Note::Joined { room: room.to_string(), since, head, outcome });
            if let (Some(reason), Some((_, given))) = (lost, &known.cursor) {
                self.counts.lost += 1;
                if !is_possible(reason.as_str(), room, &rooms, false, *given < life) {
                    let what = format!("{reason:?} of {room:?} behind {:?}", known.cursor);
                    self.faults.push(Fault { rule: Rule::FalseLoss, who: "a poller".into(), note: 0, what });
                }
            }
        }
        for message in &read.messages {
            self.counts.messages += 1;
            let at = message.position();
            known.places.insert(message.room.clone(), at);
            note(Note::Message { room: message.room.to_string(), at, data: label(&message.data) });
        }
        note(Note::Passed { seq: read.place.cursor.seq });
        known.cursor = Some((read.place, life));
        if !is_twin {
            self.known = known;
        }
    }
}

/// Whether a room may be lost for this reason to somebody with a cursor for these rooms; `by_id`: to a stream, whose ids may
/// be proven by a ring alone.
pub(super) fn is_possible(
    reason: &str,
    room: &str,
    rooms: &[RoomName],
    by_id: bool,
    is_restored: bool,
) -> bool {
    let forgets = |room: &str| room.starts_with("memory:");
    let any_forgets = rooms.iter().any(|room| forgets(room));
    match reason {
        "epoch_changed" => forgets(room) || any_forgets && (by_id || is_restored),
        "diverged" => is_restored,
        // What proves the cursor may be gone from another room.
        "trimmed" => any_forgets || rooms.iter().any(|room| room.starts_with("recent:")),
        "too_many" => true,
        "no_log" => room.starts_with("live:"),
        _ => false,
    }
}
