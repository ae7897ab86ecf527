//! `Diary`: what one follower was told, and how far it is in its rooms.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Instant;

use parlor_proto::position::Position;
use parlor_testkit::torture::{Log, Note, Outcome};
use serde_json::Value;

pub(crate) struct Diary {
    pub(crate) log: Log,
    /// It has everything of a room up to here.
    pub(crate) places: BTreeMap<String, Option<Position>>,
    /// The store's life when the connection, or the request, began.
    pub(crate) life: usize,
    /// What the connection goes on from is a cursor.
    pub(crate) by_cursor: bool,
    /// Somebody reads along.
    pub(crate) reader: Option<Sender<(Instant, Note)>>,
}

impl Diary {
    pub(crate) fn new(who: String, rooms: &[&str]) -> Diary {
        let places = rooms.iter().map(|room| ((*room).to_owned(), None)).collect();
        Diary { log: Log { who, notes: Vec::new() }, places, life: 0, by_cursor: false, reader: None }
    }

    pub(crate) fn note(&mut self, note: Note) {
        if let Some(reader) = &self.reader {
            // Who has read enough reads no more.
            let _ = reader.send((Instant::now(), note.clone()));
        }
        self.log.notes.push((self.life, note));
    }

    /// The connection is over; the first word on why counts.
    pub(crate) fn over(&mut self, code: u16) {
        if !matches!(self.log.notes.last(), Some((_, Note::Cut { .. })) | None) {
            self.note(Note::Cut { code });
        }
    }

    pub(crate) fn place(&self, room: &str) -> Option<Position> {
        self.places.get(room).copied().flatten()
    }

    /// An object of any transport. `since`: what was asked for when a room was joined. `None`: it is the end.
    pub(crate) fn hear(&mut self, object: &Value, since: impl Fn(&str) -> Option<Position>) -> Option<()> {
        match object["type"].as_str() {
            Some("joined") => {
                let room = object["room"].as_str().expect("a room").to_owned();
                let since = since(&room);
                self.joined(room, object, since);
                let inside = object["messages"].as_array().cloned().unwrap_or_default();
                inside.iter().for_each(|message| self.message(message));
            }
            Some("message") => self.message(object),
            Some("bye") => {
                self.over(object["code"].as_u64().and_then(|code| code.try_into().ok()).expect("a code"));
                return None;
            }
            // A join that cannot be answered now.
            Some("error") => return None,
            _ => {}
        }
        Some(())
    }

    fn joined(&mut self, room: String, object: &Value, since: Option<Position>) {
        let head = position(object);
        let outcome = match object["recovered"].as_bool() {
            None => Outcome::Fresh,
            Some(true) => Outcome::Recovered,
            Some(false) => match object["reason"].as_str().unwrap_or_default() {
                reason if self.by_cursor => Diary::cursor_lost(reason),
                reason => Outcome::Lost(reason.to_owned()),
            },
        };
        if outcome != Outcome::Recovered {
            self.places.insert(room.clone(), head);
        }
        self.note(Note::Joined { room, since, head, outcome });
    }

    /// What the loss of a cursor says of one room: a cursor is one place in the whole store, so it may be void though this
    /// room has lost nothing, and a node may have given it out before it knew that the store was emptied. Whether such a
    /// loss is true is for the simulation, where every cursor is known.
    pub(crate) fn cursor_lost(reason: &str) -> Outcome {
        match reason {
            "epoch_changed" | "diverged" => Outcome::Fresh,
            reason => Outcome::Lost(reason.to_owned()),
        }
    }

    /// The room is followed on from where it was, and nothing more was said.
    pub(crate) fn goes_on(&mut self, room: &str, since: Option<Position>) {
        let outcome = if since.is_some() { Outcome::Recovered } else { Outcome::Fresh };
        self.note(Note::Joined { room: room.to_owned(), since, head: None, outcome });
    }

    /// The first message of a room behind a cursor. That is a place in the whole store: the log may go by another name by
    /// now, if it is the same up to there.
    pub(crate) fn goes_on_with(&mut self, object: &Value) {
        let room = object["room"].as_str().expect("a room").to_owned();
        let epoch = position(object).map(|at| at.epoch);
        let since = self.place(&room).map(|since| Position { epoch: epoch.unwrap_or(since.epoch), ..since });
        self.goes_on(&room, since);
    }

    pub(crate) fn message(&mut self, object: &Value) {
        let room = object["room"].as_str().expect("a room").to_owned();
        let at = position(object);
        self.places.insert(room.clone(), at);
        self.note(Note::Message { room, at, data: object["data"].to_string() });
    }
}

pub(crate) fn position(object: &Value) -> Option<Position> {
    object["pos"].as_str().map(|pos| pos.parse().expect("a position"))
}
