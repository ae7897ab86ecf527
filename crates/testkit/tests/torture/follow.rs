//! Those who follow rooms, each in its own way, and come back whenever their line has ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use parlor_proto::position::Position;
use parlor_testkit::peer::{Heard, Peer};
use parlor_testkit::torture::{Note, Outcome};
use serde_json::{Value, json};

use super::diary::Diary;
use super::line::{Line, Quiet, ask, request};

/// How somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    WebSocket,
    Events,
    Lines,
    Polls,
    /// Socket.IO over a WebSocket, and over polling.
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
    address: SocketAddr,
    rooms: &'a [&'a str],
    /// Of streams: where the last id stood.
    id: Option<(String, BTreeMap<String, Option<Position>>)>,
    cursor: Option<String>,
    /// Whether it may go.
    done: &'a dyn Fn(&Diary) -> bool,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(
        who: String,
        address: SocketAddr,
        rooms: &'a [&'a str],
        done: &'a dyn Fn(&Diary) -> bool,
    ) -> Follower<'a> {
        Follower { diary: Diary::new(who, rooms), address, rooms, id: None, cursor: None, done }
    }

    /// Follows on one connection until that is over; `true`: it has everything that there will be.
    pub(crate) fn once(&mut self, way: Way) -> bool {
        let over = match way {
            Way::WebSocket => self.web_socket(),
            Way::Events | Way::Lines => self.stream(way),
            Way::Polls => self.polls(),
            Way::SocketIo => self.socket_io(),
            Way::SocketIoPolls => self.socket_io_polls(),
            Way::Any => unreachable!("one is chosen before"),
        };
        if over.is_none() {
            self.diary.over();
        }
        over.is_some()
    }

    fn is_done(&self) -> bool {
        (self.done)(&self.diary)
    }

    /// What is asked of each room; positions are the same whatever the way.
    fn joins(&self) -> Vec<(Value, Option<Position>)> {
        let join = |room: &&str| match self.diary.place(room) {
            Some(since) => (json!({"room": room, "since": since.to_string()}), Some(since)),
            None => (json!({"room": room, "last": 5}), None),
        };
        self.rooms.iter().map(join).collect()
    }

    fn web_socket(&mut self) -> Option<()> {
        let mut peer = Peer::try_connect(self.address, "/ws", &["parlor.v1"]).ok()?;
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
                Some(Heard::Closed(..)) => return None,
                Some(Heard::Object(object)) => {
                    quiet = 0;
                    self.hear(&object, &joins);
                }
                Some(_) => {}
                None => quiet += 1,
            }
            if quiet > LOOKS {
                return None;
            }
        }
        Some(())
    }

    fn hear(&mut self, object: &Value, joins: &[(Value, Option<Position>)]) {
        self.diary
            .hear(object, |room| joins.iter().find(|join| join.0["room"] == room).and_then(|join| join.1));
    }

    /// `/sse` goes on behind its last id, `/stream` at the places of its rooms.
    fn stream(&mut self, way: Way) -> Option<()> {
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
        let (mut line, head) = Line::ask(self.address, "GET", &target, &headers, "")?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        let mut begun = !by_id;
        let mut quiet = 0;
        let mut id = None;
        while !self.is_done() {
            let text = match line.next(LOOK) {
                Ok(text) => text,
                Err(Quiet::Over) => return None,
                Err(Quiet::Yet) if quiet > LOOKS => return None,
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
            // Behind a cursor the gap comes before the word that it is whole.
            if by_id && object["type"] == "message" && !begun {
                begun = true;
                let places: Vec<_> = self.diary.places.clone().into_iter().collect();
                for (room, since) in places {
                    let outcome = if since.is_some() { Outcome::Recovered } else { Outcome::Fresh };
                    self.diary.note(Note::Joined { room, since, head: None, outcome });
                }
            }
            if by_id {
                let places = self.diary.places.clone();
                self.diary.hear(&object, |room| places.get(room).copied().flatten());
            } else {
                self.hear(&object, &joins);
            }
        }
        Some(())
    }

    /// Every answer is whole or does not count. What a room has lost is told, and it goes on behind that.
    fn polls(&mut self) -> Option<()> {
        self.diary.over();
        // A cursor stands for its places; who was elsewhere since goes on from where it is.
        self.cursor = None;
        let joins = self.joins();
        while !self.is_done() {
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
            let (status, answer) = ask(self.address, "GET", &target, "", "")?;
            if status != 200 {
                return None;
            }
            self.cursor = answer["cursor"].as_str().map(str::to_owned);
            for (join, asked) in &joins {
                let room = join["room"].as_str().expect("a room");
                let lost = answer["lost"][room].as_str();
                let since = if first { *asked } else { self.diary.place(room) };
                let outcome = match (lost, since) {
                    (Some(reason), _) => Outcome::Lost(reason.to_owned()),
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
            messages.iter().for_each(|message| self.diary.message(message));
        }
        Some(())
    }

    fn socket_io(&mut self) -> Option<()> {
        let mut peer = Peer::try_connect(self.address, "/socket.io/?EIO=4&transport=websocket", &[]).ok()?;
        peer.try_send("40").ok()?;
        let joins = self.joins();
        let mut quiet = 0;
        while !self.is_done() {
            let text = match peer.hear_within(LOOK) {
                Some(Heard::Closed(..)) => return None,
                Some(Heard::Text(text)) => text,
                Some(Heard::Object(value)) => value.to_string(),
                Some(Heard::Binary(_)) => continue,
                None if quiet > LOOKS => return None,
                None => {
                    quiet += 1;
                    continue;
                }
            };
            quiet = 0;
            for answer in self.packet(&text, &joins)? {
                peer.try_send(&answer).ok()?;
            }
        }
        Some(())
    }

    fn socket_io_polls(&mut self) -> Option<()> {
        let target = "/socket.io/?EIO=4&transport=polling";
        let (_, open) = request(self.address, "GET", target, "", "")?;
        let open: Value = serde_json::from_str(open.strip_prefix('0')?).ok()?;
        let target = format!("{target}&sid={}", open["sid"].as_str()?);
        let address = self.address;
        let post = |body: &str| {
            request(address, "POST", &target, "", body).filter(|(status, _)| *status == 200).map(drop)
        };
        post("40")?;
        let joins = self.joins();
        while !self.is_done() {
            let (status, body) = request(self.address, "GET", &target, "", "")?;
            if status != 200 {
                return None;
            }
            let mut answers = Vec::new();
            for packet in body.split('\u{1e}') {
                answers.extend(self.packet(packet, &joins)?);
            }
            if !answers.is_empty() {
                post(&answers.join("\u{1e}"))?;
            }
        }
        Some(())
    }

    /// One packet of Engine.IO, and what is said to it.
    fn packet(&mut self, packet: &str, joins: &[(Value, Option<Position>)]) -> Option<Vec<String>> {
        if packet == "2" {
            return Some(vec!["3".to_owned()]);
        }
        if packet.starts_with("40") {
            let join = |(n, (join, _)): (usize, &(Value, _))| format!("42{n}[\"join\",{join}]");
            return Some(joins.iter().enumerate().map(join).collect());
        }
        if packet.starts_with("41") || packet.starts_with("44") || packet == "1" {
            return None;
        }
        if let Some(json) = packet.find('[').filter(|_| packet.starts_with("42") || packet.starts_with("43"))
        {
            let list: Value = serde_json::from_str(&packet[json..]).ok()?;
            let object = if packet.starts_with("43") { &list[0] } else { &list[1] };
            self.hear(object, joins);
        }
        Some(Vec::new())
    }
}
