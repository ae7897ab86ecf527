//! What outlives a connection: rooms with their positions, and requests that wait for their reply. No sockets here.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parlor_proto::native::command::{Begin, Command, Request};
use parlor_proto::native::decode::{Entry, Gap, Joined, ServerMessage};
use parlor_proto::position::{Position, Since};

use crate::driver;
use crate::error::{Error, Refused};
use crate::event::Event;

/// A request as the caller made it.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    /// The command, still without its id.
    pub(crate) command: Vec<u8>,
    /// Whether it may be sent again on the next connection: it has a key, or asks only.
    pub(crate) repeat: bool,
    /// The room that it joins or leaves.
    pub(crate) effect: Effect,
    /// How the caller is answered.
    pub(crate) caller: T,
}

/// What a request changes here once it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Join(String),
    Leave(String),
}

/// Something to hand out.
pub(crate) type Given<T> = driver::Given<Event, T, ServerMessage>;

/// State of a client from its first connection to its end. `T` is how a caller is answered.
#[derive(Debug)]
pub(crate) struct Session<T> {
    rooms: BTreeMap<String, Option<Position>>,
    /// The newest message of each direct conversation, by the other side's account.
    directs: HashMap<String, Position>,
    /// By id, that is, in the order in which they were asked.
    waiting: BTreeMap<u64, Waiting<T>>,
    next_id: u64,
    /// This account, as the last welcome named it.
    user: String,
    max_waiting: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    /// The whole JSON text.
    text: String,
    repeat: bool,
    effect: Effect,
    /// `None`: a join that this session asked for itself after a break.
    caller: Option<T>,
}

/// Conversations whose newest message is remembered. Beyond it all are forgotten, and a message that the server sends
/// again after a break may be seen twice.
const MAX_DIRECTS: usize = 10_000;

impl<T> Session<T> {
    pub(crate) fn new(max_waiting: usize) -> Self {
        Self {
            rooms: BTreeMap::new(),
            directs: HashMap::new(),
            waiting: BTreeMap::new(),
            next_id: 1,
            user: String::new(),
            max_waiting,
        }
    }

    /// Whether [`Session::ask`] would refuse.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.max_waiting
    }

    /// Takes a request; gives the text to send. When too many wait already, the caller is given back.
    pub(crate) fn ask(&mut self, asked: Asked<T>) -> Result<&str, T> {
        if self.is_full() {
            return Err(asked.caller);
        }
        let id = self.next_id;
        self.next_id += 1;
        let text = with_id(asked.command, id);
        let waiting =
            Waiting { text, repeat: asked.repeat, effect: asked.effect, caller: Some(asked.caller) };
        Ok(&self.waiting.entry(id).or_insert(waiting).text)
    }

    /// A new connection was welcomed: gives what to send on it, rooms first, so that nothing that is published again
    /// is missed.
    pub(crate) fn connected(&mut self, user: &str) -> Vec<String> {
        user.clone_into(&mut self.user);
        let mut texts = Vec::new();
        let unanswered: Vec<String> = self
            .waiting
            .values()
            .filter_map(|waiting| match &waiting.effect {
                Effect::Join(room) | Effect::Leave(room) => Some(room.clone()),
                Effect::None => None,
            })
            .collect();
        let rooms: Vec<_> = self.rooms.iter().map(|(room, place)| (room.clone(), *place)).collect();
        for (room, place) in rooms.into_iter().filter(|(room, _)| !unanswered.contains(room)) {
            texts.push(self.join_again(room, place));
        }
        texts
            .extend(self.waiting.values().filter(|waiting| waiting.caller.is_some()).map(|w| w.text.clone()));
        texts
    }

    /// The connection ended: requests that cannot be repeated are answered.
    pub(crate) fn disconnected(&mut self) -> Vec<Given<T>> {
        let over: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| !waiting.repeat).map(|(id, _)| *id).collect();
        let over = over.into_iter().filter_map(|id| self.waiting.remove(&id));
        over.filter_map(|waiting| Some(Given::Answer(waiting.caller?, Err(Error::Disconnected)))).collect()
    }

    /// All is over: everybody who waits is told.
    pub(crate) fn closed(&mut self) -> Vec<Given<T>> {
        let waiting = std::mem::take(&mut self.waiting).into_values();
        waiting.filter_map(|waiting| Some(Given::Answer(waiting.caller?, Err(Error::Closed)))).collect()
    }

    /// Forgets the requests whose callers have stopped waiting.
    pub(crate) fn give_up(&mut self, gone: impl Fn(&T) -> bool) {
        self.waiting.retain(|_, waiting| !waiting.caller.as_ref().is_some_and(&gone));
    }

    /// Takes an object from the server; what it means is added to `given`.
    pub(crate) fn receive(&mut self, message: ServerMessage, given: &mut VecDeque<Given<T>>) {
        let waiting =
            message.id().and_then(|id| id.parse().ok()).and_then(|id: u64| self.waiting.remove(&id));
        let Some(waiting) = waiting else {
            return self.pushed(message, given);
        };
        let answer = match message {
            ServerMessage::Error(error) => {
                let refused = Refused::from(error);
                if let (None, Effect::Join(room)) = (&waiting.caller, &waiting.effect) {
                    self.rooms.remove(room);
                    let room = room.clone();
                    given.push_back(Given::Event(Event::JoinRefused { room, refused: refused.clone() }));
                }
                Err(Error::Refused(refused))
            }
            ServerMessage::Joined(joined) => {
                // The caller gets the answer without the messages: those come as events, in order with the others.
                let answer = Joined { messages: Vec::new(), ..joined.clone() };
                self.joined(joined, given);
                Ok(ServerMessage::Joined(answer))
            }
            message => {
                if let Effect::Leave(room) = &waiting.effect {
                    self.rooms.remove(room);
                }
                Ok(message)
            }
        };
        if let Some(caller) = waiting.caller {
            given.push_back(Given::Answer(caller, answer));
        }
    }

    fn pushed(&mut self, message: ServerMessage, given: &mut VecDeque<Given<T>>) {
        let event = match message {
            ServerMessage::Joined(joined) => return self.joined(joined, given),
            ServerMessage::Message(message) => return self.entry(Entry::Message(message), given),
            ServerMessage::Direct(direct) => return self.entry(Entry::Direct(direct), given),
            ServerMessage::Gap(Gap { room, missed }) => {
                let after = self.rooms.get(&room).copied().flatten();
                Event::Gap { room, missed, after }
            }
            ServerMessage::Welcome(welcome) => Event::Welcome(welcome),
            ServerMessage::Presence(presence) => Event::Presence(presence),
            ServerMessage::Read(read) => Event::Read(read),
            ServerMessage::Bye(bye) => Event::Bye(bye),
            ServerMessage::Error(error) => Event::Error(error.into()),
            // Answers that nobody waits for any more, and what a newer server may say.
            _ => return,
        };
        given.push_back(Given::Event(event));
    }

    fn joined(&mut self, mut joined: Joined, given: &mut VecDeque<Given<T>>) {
        let messages = std::mem::take(&mut joined.messages);
        if let Some(room) = &joined.room {
            // The head is this client's place only if nothing is still to come: otherwise the messages move it.
            let head = joined.pos.as_deref().and_then(|pos| pos.parse().ok());
            let place = self.rooms.entry(room.clone()).or_default();
            if messages.is_empty() {
                *place = head;
            } else if joined.recovered != Some(true) {
                *place = None;
            }
        }
        given.push_back(Given::Event(Event::Joined(joined)));
        for entry in messages {
            self.entry(entry, given);
        }
    }

    /// A message, pushed or replayed: handed out if it is new here.
    fn entry(&mut self, entry: Entry, given: &mut VecDeque<Given<T>>) {
        let event = match entry {
            Entry::Message(message) => {
                let place = message.pos.as_deref().and_then(|pos| pos.parse().ok());
                if let (Some(known), Some(place)) = (self.rooms.get_mut(&message.room), place) {
                    if !is_new(*known, place) {
                        return;
                    }
                    *known = Some(place);
                }
                Event::Message(message)
            }
            Entry::Direct(direct) => {
                let other = if direct.user == self.user { &direct.to_user } else { &direct.user };
                if let Some(place) = direct.pos.as_deref().and_then(|pos| pos.parse().ok()) {
                    if !is_new(self.directs.get(other).copied(), place) {
                        return;
                    }
                    if self.directs.len() >= MAX_DIRECTS {
                        self.directs.clear();
                    }
                    self.directs.insert(other.clone(), place);
                }
                Event::Direct(direct)
            }
        };
        given.push_back(Given::Event(event));
    }

    /// Enters the join of a room that was joined before the break; gives its text.
    fn join_again(&mut self, room: String, place: Option<Position>) -> String {
        let begin = place.map_or(Begin::Last(0), |place| Begin::Since(Since::Position(place)));
        let mut command = Vec::new();
        let join = Command::Join { room: room.as_str().into(), begin };
        Request { id: None, command: join }.encode(&mut command);
        let id = self.next_id;
        self.next_id += 1;
        let text = with_id(command, id);
        let waiting = Waiting { text: text.clone(), repeat: false, effect: Effect::Join(room), caller: None };
        self.waiting.insert(id, waiting);
        text
    }
}

/// Whether a message at `place` comes behind the last one that was handed out. Another epoch counts anew.
fn is_new(known: Option<Position>, place: Position) -> bool {
    known.is_none_or(|known| known.epoch != place.epoch || known.offset < place.offset)
}

/// The command's JSON object with an `id` as its last field.
fn with_id(command: Vec<u8>, id: u64) -> String {
    // Commands are encoded here and in `client.rs`, always as one object of text.
    let mut text = String::from_utf8(command).unwrap_or_default();
    text.pop();
    text + &format!(",\"id\":{id}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::asked;

    const PAGE: &str = r#"{"type":"joined","id":1,"room":"a","offset":3,"pos":"k3.3.0","messages":[
        {"type":"message","room":"a","offset":3,"pos":"k3.3.0","event":"message","data":"three","time":1}]}"#;

    fn message(pos: &str, data: &str) -> String {
        format!(
            r#"{{"type":"message","room":"a","offset":1,"pos":"{pos}","event":"message","data":"{data}","time":1}}"#
        )
    }

    /// Hands in what a server says and shows what is handed out, one word each.
    fn receive(session: &mut Session<u8>, text: &str) -> Vec<String> {
        let mut given = VecDeque::new();
        session.receive(ServerMessage::parse(text).unwrap(), &mut given);
        given.into_iter().map(shown).collect()
    }

    fn shown(given: Given<u8>) -> String {
        match given {
            Given::Answer(caller, Ok(_)) => format!("answer {caller}"),
            Given::Answer(caller, Err(error)) => format!("answer {caller}: {error}"),
            Given::Event(Event::Joined(joined)) => format!("joined {:?}", joined.recovered),
            Given::Event(Event::Message(message)) => message.data.get().to_owned(),
            Given::Event(Event::Direct(direct)) => direct.data.get().to_owned(),
            Given::Event(Event::Gap { room, missed, after }) => {
                format!("{missed} of {room} missing after {}", after.unwrap())
            }
            Given::Event(Event::JoinRefused { room, refused }) => format!("{room} refused: {}", refused.code),
            Given::Event(other) => format!("{other:?}"),
        }
    }

    fn joined() -> Session<u8> {
        let mut session = Session::new(10);
        let join = Command::Join { room: "a".into(), begin: Begin::Last(1) };
        assert_eq!(session.ask(asked(&join, 7)), Ok(r#"{"type":"join","room":"a","last":1,"id":1}"#));
        assert_eq!(receive(&mut session, PAGE), ["joined None", "\"three\"", "answer 7"]);
        session
    }

    #[test]
    fn a_room_is_joined_again_from_its_last_message() {
        let mut session = joined();
        assert_eq!(receive(&mut session, &message("k3.4.0", "four")), ["\"four\""]);
        assert!(session.disconnected().is_empty());
        assert_eq!(session.connected("me"), [r#"{"type":"join","room":"a","since":"k3.4.0","id":2}"#]);
        let caught_up = r#"{"type":"joined","id":2,"room":"a","offset":9,"pos":"k3.9.0","recovered":true,"messages":[
            {"type":"message","room":"a","offset":5,"pos":"k3.5.0","event":"message","data":"five","time":1}]}"#;
        assert_eq!(receive(&mut session, caught_up), ["joined Some(true)", "\"five\""]);
        // The head is at 9, but only 5 has arrived: the next break must not skip what lies between.
        session.disconnected();
        assert_eq!(session.connected("me"), [r#"{"type":"join","room":"a","since":"k3.5.0","id":3}"#]);
    }

    #[test]
    fn a_lost_gap_goes_on_from_the_head() {
        let mut session = joined();
        session.disconnected();
        session.connected("me");
        let lost = r#"{"type":"joined","id":2,"room":"a","offset":2,"pos":"zz.2.0","recovered":false,"reason":"epoch_changed","messages":[]}"#;
        assert_eq!(receive(&mut session, lost), ["joined Some(false)"]);
        assert_eq!(receive(&mut session, &message("zz.3.0", "new")), ["\"new\""]);
    }

    #[test]
    fn a_gap_is_told_with_its_place_and_a_break_behind_it_brings_it_back() {
        let mut session = joined();
        let gap = r#"{"type":"gap","room":"a","missed":5}"#;
        assert_eq!(receive(&mut session, gap), ["5 of a missing after k3.3.0"]);
        session.disconnected();
        assert_eq!(session.connected("me"), [r#"{"type":"join","room":"a","since":"k3.3.0","id":2}"#]);
    }

    #[test]
    fn a_message_is_handed_out_once() {
        let mut session = joined();
        assert_eq!(receive(&mut session, &message("k3.3.0", "three")), [""; 0]);
        assert_eq!(receive(&mut session, &message("k3.2.0", "two")), [""; 0]);
        assert_eq!(receive(&mut session, &message("k3.4.0", "four")), ["\"four\""]);
        let direct = r#"{"type":"direct","from":"b","user":"g9","to":"me","to_user":"g1","offset":1,"pos":"q.1.0","event":"message","data":"psst","time":1}"#;
        assert_eq!(receive(&mut session, direct), ["\"psst\""]);
        assert_eq!(receive(&mut session, direct), [""; 0]);
    }

    #[test]
    fn what_has_a_key_is_sent_again_and_the_rest_is_answered() {
        let data = serde_json::value::to_raw_value("x").unwrap();
        let publish = |key: Option<&'static str>| {
            let key = key.map(Into::into);
            let (room, event) = ("b".into(), "message".into());
            Command::Publish(parlor_proto::native::command::Publish {
                room,
                data: &data,
                event,
                key,
                echo: true,
                store: true,
            })
        };
        let mut session = Session::new(10);
        session.ask(asked(&publish(Some("k")), 1)).unwrap();
        session.ask(asked(&publish(None), 2)).unwrap();
        session.ask(asked(&Command::Ping, 3)).unwrap();
        session.ask(asked(&Command::Members { room: "b".into() }, 4)).unwrap();
        let over: Vec<_> = session.disconnected().into_iter().map(shown).collect();
        let gone = "the connection ended before the answer came";
        assert_eq!(over, [format!("answer 2: {gone}"), format!("answer 3: {gone}")]);
        let again = [
            r#"{"type":"publish","room":"b","key":"k","data":"x","id":1}"#,
            r#"{"type":"members","room":"b","id":4}"#,
        ];
        assert_eq!(session.connected("me"), again);
        assert_eq!(session.connected("me"), again, "until it is answered");
        assert_eq!(
            receive(&mut session, r#"{"type":"published","id":1,"room":"b","ack":"local"}"#),
            ["answer 1"]
        );
        assert_eq!(receive(&mut session, r#"{"type":"published","id":1,"room":"b","ack":"local"}"#), [""; 0]);
        let closed: Vec<_> = session.closed().into_iter().map(shown).collect();
        assert_eq!(closed, ["answer 4: the client is closed"]);
    }

    #[test]
    fn a_room_that_was_left_is_not_joined_again() {
        let mut session = joined();
        session.ask(asked(&Command::Leave { room: "a".into() }, 8)).unwrap();
        session.disconnected();
        // The leave was not answered, so it is repeated, and nothing else.
        assert_eq!(session.connected("me"), [r#"{"type":"leave","room":"a","id":2}"#]);
        assert_eq!(receive(&mut session, r#"{"type":"left","id":2,"room":"a"}"#), ["answer 8"]);
        assert_eq!(session.connected("me"), [""; 0]);
    }

    #[test]
    fn a_room_that_is_closed_to_us_meanwhile_is_told() {
        let mut session = joined();
        session.disconnected();
        session.connected("me");
        let no = r#"{"type":"error","id":2,"code":"forbidden","message":"no"}"#;
        assert_eq!(receive(&mut session, no), ["a refused: forbidden"]);
        assert_eq!(session.connected("me"), [""; 0]);
    }

    #[test]
    fn callers_that_gave_up_make_room() {
        let mut session = Session::new(1);
        session.ask(asked(&Command::Ping, 1)).unwrap();
        assert_eq!(session.ask(asked(&Command::Ping, 2)), Err(2));
        session.give_up(|caller| *caller == 1);
        assert!(session.ask(asked(&Command::Ping, 3)).is_ok());
    }
}
