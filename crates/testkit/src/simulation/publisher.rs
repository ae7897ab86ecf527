//! `Publisher`: somebody who writes, over a connection or like a backend, and says again what was not answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use parlor_hub::Hub;
use parlor_hub::command::{Command, Publish};
use parlor_hub::engine::Published;
use parlor_hub::publish::Publisher as From;
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::native::decode::ServerMessage;
use parlor_proto::position::Position;

use super::client::{Ears, Heard};
use super::server::{Speech, Wire, author};
use crate::dice::Dice;
use crate::torture::{Log, Note};

pub(super) struct Publisher {
    pub(super) log: Log,
    pub(super) speech: Speech,
    /// It has no connection, and its answers may be lost on the way.
    pub(super) backend: bool,
    pub(super) wire: Option<usize>,
    pub(super) life: usize,
    ears: Ears,
    written: u64,
    next_id: u64,
    /// What is to be said, the oldest first.
    waiting: VecDeque<Message>,
    asked: BTreeMap<u64, Message>,
    answers: Answers,
    pub(super) acked: usize,
}

type Answers = Arc<Mutex<Vec<(u64, Result<Published, Refusal>)>>>;

#[derive(Clone)]
struct Message {
    room: RoomName,
    label: String,
    data: Arc<str>,
    /// What has no key is said once.
    key: Option<Arc<str>>,
    store: bool,
}

impl Publisher {
    pub(super) fn new(who: String, speech: Speech, backend: bool) -> Publisher {
        Publisher {
            log: Log { who, notes: Vec::new() },
            speech,
            backend,
            wire: None,
            life: 0,
            ears: Ears::new(speech),
            written: 0,
            next_id: 0,
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            answers: Answers::default(),
            acked: 0,
        }
    }

    /// Thinks of something new to say.
    pub(super) fn write(&mut self, rooms: &[&str], filling: usize, dice: &mut Dice) {
        self.written += 1;
        let room = RoomName::internal(*dice.pick(rooms));
        let label = format!("{}-{}", self.log.who, self.written);
        let data = format!("\"{label} {}\"", "x".repeat(filling)).into();
        let store = !dice.once_in(8);
        let key = (store && !room.starts_with("live:") && !dice.once_in(5)).then(|| Arc::from(&*label));
        self.waiting.push_back(Message { room, label, data, key, store });
    }

    /// Says the next of what waits.
    pub(super) fn say(&mut self, wire: Option<&mut Wire>, hub: &Hub, now: u64) -> bool {
        let Some(message) = self.waiting.pop_front() else { return false };
        self.next_id += 1;
        let id = self.next_id;
        let publish = Publish {
            author: Some(author(&self.log.who)),
            key: message.key.clone(),
            store: message.store,
            ..Publish::new(message.room.clone(), Arc::clone(&message.data))
        };
        self.asked.insert(id, message);
        match wire {
            Some(wire) => wire.uplink.push_back((id.to_string(), Command::Publish(publish))),
            None => {
                let answers = Arc::clone(&self.answers);
                let done = Box::new(move |result| {
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((id, result));
                });
                hub.publish(From::Backend, publish, now, done);
            }
        }
        true
    }

    /// Takes the answers that have come without a connection.
    pub(super) fn take_answers(&mut self, mut is_lost: impl FnMut() -> bool) -> bool {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !answers.is_empty();
        for (id, result) in answers {
            let position = match result {
                Ok(published) if !is_lost() => published.position,
                _ => {
                    self.again(id);
                    continue;
                }
            };
            self.answered(id, position);
        }
        any
    }

    pub(super) fn read(&mut self, wire: &mut Wire, count: usize) {
        let count = count.min(wire.pipe.len());
        let bytes: Vec<u8> = wire.pipe.drain(..count).collect();
        for heard in self.ears.hear(&bytes) {
            let Heard::Object(text) = heard else { continue };
            match ServerMessage::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}")) {
                ServerMessage::Published(published) => {
                    let id = published.id.and_then(|id| id.get().parse().ok()).expect("its number");
                    self.answered(id, published.pos.map(|pos| pos.parse().expect("a position")));
                }
                ServerMessage::Error(error) => {
                    self.again(error.id.and_then(|id| id.get().parse().ok()).expect("its number"));
                }
                _ => {}
            }
        }
    }

    fn answered(&mut self, id: u64, position: Option<Position>) {
        let Some(message) = self.asked.remove(&id) else { return };
        self.acked += 1;
        if let Some(at) = position {
            let note = Note::Acked { room: message.room.to_string(), at, data: message.label };
            self.log.notes.push((self.life, note));
        }
    }

    /// It was not done, or nobody knows.
    fn again(&mut self, id: u64) {
        if let Some(message) = self.asked.remove(&id).filter(|message| message.key.is_some()) {
            self.waiting.push_back(message);
        }
    }

    pub(super) fn connected(&mut self, wire: Option<usize>, life: usize) {
        (self.wire, self.life) = (wire, life);
        self.ears = Ears::new(self.speech);
    }

    /// Its connection is over, or the server: what was not answered is said again.
    pub(super) fn over(&mut self) {
        self.wire = None;
        self.answers = Answers::default();
        let ids: Vec<u64> = self.asked.keys().copied().collect();
        ids.into_iter().for_each(|id| self.again(id));
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }
}
