//! `Follower`: a client that follows rooms, is cut, and comes back with its positions. It writes down what it hears.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parlor_hub::Hub;
use parlor_hub::engine::Begin;
use parlor_proto::name::RoomName;
use parlor_proto::native::decode::{Entry, Joined, Message, ServerMessage};
use parlor_proto::position::{Cursor, Position, Since};

use super::Counts;
use super::poller::is_possible;
use super::server::{Speech, Wire, join};
use crate::dice::Dice;
use crate::torture::{Fault, Log, Note, Outcome, Rule};

pub(super) struct Follower {
    pub(super) log: Log,
    pub(super) speech: Speech,
    rooms: Vec<Room>,
    pub(super) wire: Option<usize>,
    /// The life of the store in which it is connected.
    pub(super) life: usize,
    ears: Ears,
    asked: BTreeMap<u64, (usize, Option<Position>)>,
    /// What a stream has behind its last id, and the life of the store in which that was said.
    id: Option<Id>,
    /// It came back with that.
    by_id: bool,
    pub(super) faults: Vec<Fault>,
    next_id: u64,
    pub(super) counts: Counts,
}

struct Room {
    name: RoomName,
    logged: bool,
    /// It has everything up to here.
    place: Option<Position>,
    state: State,
}

struct Id {
    cursor: Cursor,
    places: Vec<Option<Position>>,
    life: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Out,
    Asked,
    In,
    Leaving,
}

impl Follower {
    pub(super) fn new(who: String, speech: Speech, rooms: &[&str]) -> Follower {
        let room = |name: &&str| Room {
            name: RoomName::internal(*name),
            logged: !name.starts_with("live:"),
            place: None,
            state: State::Out,
        };
        Follower {
            log: Log { who, notes: Vec::new() },
            speech,
            rooms: rooms.iter().map(room).collect(),
            wire: None,
            life: 0,
            ears: Ears::new(speech),
            asked: BTreeMap::new(),
            id: None,
            by_id: false,
            faults: Vec::new(),
            next_id: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.log.notes.push((self.life, note));
    }

    /// It has a new connection.
    pub(super) fn connected(&mut self, wire: usize, life: usize) {
        (self.wire, self.life, self.by_id) = (Some(wire), life, false);
        self.ears = Ears::new(self.speech);
    }

    /// Goes on where the last id stood, if it has one: all of its rooms at once.
    pub(super) fn go_on_by_id(&mut self, wire: &mut Wire, hub: &Arc<Hub>) -> bool {
        let Some(id) = &self.id else { return false };
        let mut rooms = BTreeMap::new();
        for (index, (room, place)) in self.rooms.iter_mut().zip(&id.places).enumerate() {
            // What came behind the id comes again.
            (room.place, room.state) = (*place, State::Asked);
            self.next_id += 1;
            self.asked.insert(self.next_id, (index, None));
            rooms.insert(room.name.clone(), self.next_id.to_string());
        }
        self.by_id = true;
        self.counts.by_id += 1;
        wire.begin_behind(hub, rooms, id.cursor);
        true
    }

    /// Its connection is over.
    pub(super) fn over(&mut self, code: u16) {
        self.note(Note::Cut { code });
        self.wire = None;
        self.asked.clear();
        self.rooms.iter_mut().for_each(|room| room.state = State::Out);
    }

    /// Asks for the rooms that it is not in. What it has not seen yet it may begin with some messages.
    pub(super) fn join_rooms(&mut self, wire: &mut Wire, dice: &mut Dice) -> bool {
        let out: Vec<usize> =
            (0..self.rooms.len()).filter(|&index| self.rooms[index].state == State::Out).collect();
        for &index in &out {
            let begin = dice.once_in(3).then(|| Begin::Last(dice.roll(30) as u32));
            self.join(index, begin, wire);
        }
        !out.is_empty()
    }

    fn join(&mut self, index: usize, begin: Option<Begin>, wire: &mut Wire) {
        let room = &mut self.rooms[index];
        let since = room.place.filter(|_| room.logged);
        let begin = since.map(|place| Begin::Since(Since::Position(place))).or(begin);
        room.state = State::Asked;
        self.next_id += 1;
        self.asked.insert(self.next_id, (index, since));
        wire.uplink.push_back((self.next_id.to_string(), join(&room.name, begin, self.speech, room.logged)));
    }

    /// Leaves a room, or joins one in which it is already. A stream cannot.
    pub(super) fn move_about(&mut self, wire: &mut Wire, dice: &mut Dice) {
        let index = dice.index(self.rooms.len());
        if self.rooms[index].state != State::In || self.speech == Speech::Events {
            return;
        }
        if dice.once_in(2) {
            return self.join(index, None, wire);
        }
        self.rooms[index].state = State::Leaving;
        self.next_id += 1;
        let room = self.rooms[index].name.clone();
        let command = parlor_hub::Command::Leave { room };
        wire.uplink.push_back((self.next_id.to_string(), command));
    }

    pub(super) fn is_settled(&self) -> bool {
        self.wire.is_some() && self.rooms.iter().all(|room| room.state == State::In)
    }

    /// Reads so many bytes.
    pub(super) fn read(&mut self, wire: &mut Wire, count: usize) {
        let count = count.min(wire.pipe.len());
        let bytes: Vec<u8> = wire.pipe.drain(..count).collect();
        for heard in self.ears.hear(&bytes) {
            match heard {
                Heard::Object(text) => self.hear(&text),
                Heard::Id(cursor) => {
                    self.note(Note::Passed { seq: cursor.seq });
                    // A ring's first epoch is made when something is published there.
                    let is_place =
                        |room: &Room, place: &Position| place.offset > 0 || !room.name.starts_with("memory:");
                    let place = |room: &Room| room.place.filter(|place| is_place(room, place));
                    let places = self.rooms.iter().map(place).collect();
                    self.id = Some(Id { cursor, places, life: self.life });
                }
            }
        }
    }

    fn hear(&mut self, text: &str) {
        match ServerMessage::parse(text).unwrap_or_else(|error| panic!("{error}: {text}")) {
            ServerMessage::Joined(joined) => self.joined(joined),
            ServerMessage::Message(message) => self.message(message),
            ServerMessage::Left(left) => {
                self.note(Note::Left { room: left.room.clone() });
                if let Some(room) = self.room(&left.room).filter(|room| room.state == State::Leaving) {
                    room.state = State::Out;
                }
            }
            ServerMessage::Error(error) => {
                let id = error.id.and_then(|id| id.get().parse().ok());
                if let Some((index, _)) = id.and_then(|id: u64| self.asked.remove(&id)) {
                    // Whoever was in the room and could not begin anew is in it no more.
                    self.rooms[index].state = State::Out;
                    let room = self.rooms[index].name.to_string();
                    self.note(Note::Left { room });
                }
            }
            ServerMessage::Bye(bye) => match bye.code {
                4008 => self.counts.slow += 1,
                4010 => self.counts.torn += 1,
                _ => {}
            },
            _ => {}
        }
    }

    fn room(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| &*room.name == name)
    }

    fn joined(&mut self, joined: Joined) {
        let id = joined.id.and_then(|id| id.get().parse().ok());
        let Some((index, mut since)) = id.and_then(|id: u64| self.asked.remove(&id)) else { return };
        let head = joined.pos.map(|pos| pos.parse().expect("a position"));
        let outcome = match (joined.recovered, joined.reason) {
            (None, _) => Outcome::Fresh,
            // A ring in which nothing was when the id was given has no place.
            (Some(true), _) if self.by_id && self.rooms[index].place.is_none() => Outcome::Fresh,
            (Some(true), _) => Outcome::Recovered,
            (Some(false), reason) if self.by_id => {
                self.look_at(index, &reason.unwrap_or_default());
                Outcome::Fresh
            }
            (Some(false), reason) => Outcome::Lost(reason.unwrap_or_default()),
        };
        if self.by_id && outcome == Outcome::Recovered {
            since = self.rooms[index].place;
        }
        self.counts.joined += 1;
        match outcome {
            Outcome::Fresh => {}
            Outcome::Recovered => self.counts.recovered += 1,
            Outcome::Lost(_) => self.counts.lost += 1,
        }
        let room = &mut self.rooms[index];
        if outcome != Outcome::Recovered {
            room.place = head;
        }
        // It may have asked for something else since.
        if room.state == State::Asked {
            room.state = State::In;
        }
        let name = room.name.to_string();
        self.note(Note::Joined { room: name, since, head, outcome });
        for message in joined.messages {
            match message {
                Entry::Message(message) => self.message(message),
                Entry::Direct(_) => unreachable!("a room holds none"),
            }
        }
    }

    /// A cursor is lost for other reasons than a position: it speaks for all rooms.
    fn look_at(&mut self, index: usize, reason: &str) {
        self.counts.lost += 1;
        let rooms: Vec<_> = self.rooms.iter().map(|room| room.name.clone()).collect();
        let is_restored = self.id.as_ref().is_some_and(|id| id.life < self.life);
        if !is_possible(reason, &rooms[index], &rooms, true, is_restored) {
            let what = format!("{reason} of {:?} by id", rooms[index]);
            let (who, note) = (self.log.who.clone(), self.log.notes.len());
            self.faults.push(Fault { rule: Rule::FalseLoss, who, note, what });
        }
    }

    fn message(&mut self, message: Message) {
        self.counts.messages += 1;
        let at: Option<Position> = message.pos.map(|pos| pos.parse().expect("a position"));
        // Behind an id the gap comes before the word that it is whole.
        let by_id = self.by_id;
        let replayed = self.room(&message.room).filter(|room| by_id && room.state == State::Asked);
        if let Some(since) = replayed.map(|room| room.place) {
            let outcome = if since.is_some() { Outcome::Recovered } else { Outcome::Fresh };
            self.note(Note::Joined { room: message.room.clone(), since, head: None, outcome });
        }
        if let (Some(at), Some(room)) = (at, self.room(&message.room)) {
            room.place = Some(at);
        }
        let data = super::label(message.data.get());
        self.note(Note::Message { room: message.room, at, data });
    }
}

/// What makes objects of bytes.
pub(super) struct Ears {
    speech: Speech,
    bytes: VecDeque<u8>,
    data: String,
}

pub(super) enum Heard {
    Object(String),
    /// The id of what came before it.
    Id(Cursor),
}

impl Ears {
    pub(super) fn new(speech: Speech) -> Ears {
        Ears { speech, bytes: VecDeque::new(), data: String::new() }
    }

    /// What is whole by now.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.bytes.extend(bytes);
        let mut heard = Vec::new();
        let mut id = None;
        while let Some(text) = self.next() {
            match self.speech {
                Speech::Frames => heard.push(Heard::Object(text)),
                Speech::Lines if text.is_empty() => {}
                Speech::Lines => heard.push(Heard::Object(text)),
                // The block of an event is looked at as a whole, so that its id stands behind what it carries.
                Speech::Events => {
                    for line in text.lines() {
                        match line.split_once(": ") {
                            Some(("id", text)) => id = Some(text.parse().expect("a cursor")),
                            Some(("data", data)) => self.data.push_str(data),
                            _ => {}
                        }
                    }
                    if !self.data.is_empty() {
                        heard.push(Heard::Object(std::mem::take(&mut self.data)));
                    }
                    heard.extend(id.take().map(Heard::Id));
                }
            }
        }
        heard
    }

    /// The next whole frame, line or event.
    fn next(&mut self) -> Option<String> {
        let bytes = self.bytes.make_contiguous();
        let (from, to, used) = match self.speech {
            Speech::Frames => {
                let (header, length) = match *bytes {
                    [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
                    [_, 127, ref rest @ ..] => {
                        let length: [u8; 8] = rest.get(..8)?.try_into().ok()?;
                        (10, u64::from_be_bytes(length) as usize)
                    }
                    [_, length, ..] if length < 126 => (2, usize::from(length)),
                    _ => return None,
                };
                (header, header + length, header + length)
            }
            Speech::Lines => {
                let end = bytes.iter().position(|byte| *byte == b'\n')?;
                (0, end, end + 1)
            }
            Speech::Events => {
                let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
                (0, end, end + 2)
            }
        };
        let text = bytes.get(from..to)?;
        let text = String::from_utf8(text.to_vec()).expect("text");
        self.bytes.drain(..used);
        Some(text)
    }
}
