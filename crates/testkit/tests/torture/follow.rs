//! Those who follow rooms, each in its own way, and come back whenever their line has ended, to whichever node.

mod socketio;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use parlor_proto::position::Position;
use parlor_testkit::dice::Dice;
use parlor_testkit::peer::{Heard, Peer};
use parlor_testkit::torture::{Note, Outcome};
use serde_json::{Value, json};

use self::socketio::Back;
use super::diary::{Diary, position};
use super::line::{Line, Quiet, ask};
use super::network::Network;

/// How somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    WebSocket,
    Events,
    Lines,
    Polls,
    /// Socket.IO over a WebSocket, recovered if that is possible, and over polling.
    SocketIo,
    SocketIoPolls,
    /// Another one each time.
    Any,
}

pub(crate) const WAYS: [Way; 6] =
    [Way::WebSocket, Way::Events, Way::Lines, Way::Polls, Way::SocketIo, Way::SocketIoPolls];

/// A look at what is there takes this long when nothing is.
const LOOK: Duration = Duration::from_millis(200);
/// A line on which nothing comes for so many looks is given up: pings are further apart than that.
const LOOKS: u32 = 40;

pub(crate) struct Follower<'a> {
    pub(crate) diary: Diary,
    network: &'a Network,
    /// The node that it goes to, on a good line; `None`: any, on a bad one.
    pub(crate) straight: Option<usize>,
    dice: Dice,
    rooms: &'a [&'a str],
    /// Of streams: where the last id stood.
    id: Option<(String, BTreeMap<String, Option<Position>>)>,
    cursor: Option<String>,
    back: Option<Back>,
    /// How often Socket.IO has recovered it.
    pub(crate) recovered: usize,
    /// Whether it may go.
    done: &'a (dyn Fn(&Diary) -> bool + Sync),
}

/// What was asked of each room.
type Joins = Vec<(Value, Option<Position>)>;

impl<'a> Follower<'a> {
    pub(crate) fn new(
        who: String,
        network: &'a Network,
        dice: Dice,
        rooms: &'a [&'a str],
        done: &'a (dyn Fn(&Diary) -> bool + Sync),
    ) -> Follower<'a> {
        let diary = Diary::new(who, rooms);
        let (id, cursor, back) = (None, None, None);
        Follower { diary, network, straight: None, dice, rooms, id, cursor, back, recovered: 0, done }
    }

    /// Follows on one connection until that is over; `true`: it has everything that there will be.
    pub(crate) fn once(&mut self, way: Way) -> bool {
        let way = if way == Way::Any { *self.dice.pick(&WAYS) } else { way };
        if way != Way::SocketIo {
            // Who was elsewhere since is not who it was.
            self.back = None;
        }
        let over = match way {
            Way::WebSocket => self.web_socket(),
            Way::Events | Way::Lines => self.stream(way),
            Way::Polls => self.polls(),
            Way::SocketIo => self.socket_io(),
            Way::SocketIoPolls => self.socket_io_polls(),
            Way::Any => unreachable!("one is chosen above"),
        };
        if over.is_none() {
            self.diary.over(1006);
        }
        over.is_some()
    }

    fn is_done(&self) -> bool {
        (self.done)(&self.diary)
    }

    /// Where what begins now goes.
    fn somewhere(&mut self) -> SocketAddr {
        self.diary.life = self.network.life();
        self.diary.by_cursor = false;
        match self.straight {
            Some(node) => self.network.straight(node),
            None => self.network.somewhere(&mut self.dice),
        }
    }

    /// What is asked of each room; positions are the same whatever the way.
    fn joins(&self) -> Joins {
        let join = |room: &&str| match self.diary.place(room) {
            Some(since) => (json!({"room": room, "since": since.to_string()}), Some(since)),
            None => (json!({"room": room, "last": 5}), None),
        };
        self.rooms.iter().map(join).collect()
    }

    fn web_socket(&mut self) -> Option<()> {
        let mut peer = Peer::try_connect(self.somewhere(), "/ws", &["parlor.v1"]).ok()?;
        let joins = self.joins();
        for (n, (join, _)) in joins.iter().enumerate() {
            let mut command = join.clone();
            command["type"] = json!("join");
            command["id"] = json!(n);
            peer.try_send(&command.to_string()).ok()?;
        }
        let mut quiet = 0;
        while !self.is_done() {
            match peer.hear_within(LOOK) {
                Some(Heard::Closed(code, _)) => {
                    self.diary.over(code);
                    return None;
                }
                Some(Heard::Object(object)) => {
                    quiet = 0;
                    self.hear(&object, &joins)?;
                }
                Some(_) => {}
                None => quiet += 1,
            }
            if quiet > LOOKS && self.straight.is_none() {
                return None;
            }
        }
        Some(())
    }

    fn hear(&mut self, object: &Value, joins: &Joins) -> Option<()> {
        self.diary
            .hear(object, |room| joins.iter().find(|join| join.0["room"] == room).and_then(|join| join.1))
    }

    /// `/sse` goes on behind its last id, `/stream` at the places of its rooms.
    fn stream(&mut self, way: Way) -> Option<()> {
        let address = self.somewhere();
        let joins = self.joins();
        let mut target = if way == Way::Events { "/sse?" } else { "/stream?" }.to_owned();
        let mut headers = String::new();
        if let (Way::Events, Some((id, places))) = (way, &self.id) {
            headers = format!("Last-Event-ID: {id}\r\n");
            // What came behind it comes again.
            self.diary.places.clone_from(places);
        }
        for (join, since) in &joins {
            target += &format!("room={}&", join["room"].as_str().expect("a room"));
            if let (Some(since), true) = (since, headers.is_empty()) {
                target += &format!("since={since}&");
            }
        }
        let by_id = !headers.is_empty();
        self.diary.by_cursor = by_id;
        let (mut line, head) = Line::ask(address, "GET", &target, &headers, "")?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        // Behind a cursor the gap of a room comes before the word that it is whole.
        let mut begun: BTreeSet<String> = BTreeSet::new();
        let mut quiet = 0;
        let mut id = None;
        while !self.is_done() {
            let text = match line.next(LOOK) {
                Ok(text) => text,
                Err(Quiet::Over) => return None,
                Err(Quiet::Yet) if quiet > LOOKS && self.straight.is_none() => return None,
                Err(Quiet::Yet) => {
                    quiet += 1;
                    continue;
                }
            };
            quiet = 0;
            let object = match (way, text.split_once(": ")) {
                (Way::Lines, _) => &*text,
                (_, Some(("data", data))) => data,
                (_, Some(("id", cursor))) => {
                    id = Some(cursor.to_owned());
                    continue;
                }
                // The end of an event: from here on its id is the place.
                _ => {
                    if let Some(id) = id.take().filter(|_| text.is_empty()) {
                        self.id = Some((id, self.diary.places.clone()));
                    }
                    continue;
                }
            };
            let Ok(object) = serde_json::from_str::<Value>(object) else { continue };
            if !by_id {
                self.hear(&object, &joins)?;
                continue;
            }
            if let Some(room) = object["room"].as_str()
                && begun.insert(room.to_owned())
                && object["type"] == "message"
            {
                self.diary.goes_on_with(&object);
            }
            let places = self.diary.places.clone();
            self.diary.hear(&object, |room| places.get(room).copied().flatten())?;
        }
        Some(())
    }

    /// Every answer is whole or does not count, and each may come from another node. What a room has lost is told, and
    /// it goes on behind that.
    fn polls(&mut self) -> Option<()> {
        self.diary.over(1006);
        // A cursor stands for its places; who was elsewhere since goes on from where it is.
        self.cursor = None;
        let joins = self.joins();
        while !self.is_done() {
            let address = self.somewhere();
            let mut target = "/poll?wait=1&".to_owned();
            for (join, since) in &joins {
                target += &format!("room={}&", join["room"].as_str().expect("a room"));
                if let (Some(since), None) = (since, &self.cursor) {
                    target += &format!("since={since}&");
                }
            }
            let first = self.cursor.is_none();
            match &self.cursor {
                Some(cursor) => target += &format!("cursor={cursor}"),
                None => target += "last=5",
            }
            let (status, answer) = ask(address, "GET", &target, "", "")?;
            if status != 200 {
                return None;
            }
            self.cursor = answer["cursor"].as_str().map(str::to_owned);
            for (join, asked) in &joins {
                let room = join["room"].as_str().expect("a room");
                let lost = answer["lost"][room].as_str();
                let since = if first { *asked } else { self.diary.place(room) };
                let outcome = match (lost, since) {
                    // It was lost before, and nothing has come since: there is nothing to compare with.
                    (Some(_), None) => Outcome::Fresh,
                    (Some(reason), _) if first => Outcome::Lost(reason.to_owned()),
                    (Some(reason), _) => Diary::cursor_lost(reason),
                    (None, Some(_)) if first => Outcome::Recovered,
                    (None, _) if first => Outcome::Fresh,
                    _ => continue,
                };
                if lost.is_some() {
                    self.diary.places.insert(room.to_owned(), None);
                }
                self.diary.note(Note::Joined { room: room.to_owned(), since, head: None, outcome });
            }
            let messages = answer["messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() && !first && self.diary.places.values().any(Option::is_none) {
                // Where a room stands that was lost is said by its next message, and perhaps there is none.
                return None;
            }
            for message in &messages {
                let before = message["room"].as_str().and_then(|room| self.diary.place(room));
                if !first
                    && before
                        .is_some_and(|before| position(message).is_some_and(|at| at.epoch != before.epoch))
                {
                    self.diary.goes_on_with(message);
                }
                self.diary.message(message);
            }
        }
        Some(())
    }
}
