//! The two ways of Socket.IO: a WebSocket, on which a client is recovered if that is possible, and polling, which stays
//! with the node where it began.

use parlor_testkit::peer::{Heard, Peer};
use serde_json::{Value, json};

use super::{Follower, Joins, LOOK, LOOKS};
use crate::line::request;

/// With what a client may be recovered.
pub(super) struct Back {
    sid: String,
    pid: String,
    /// Rooms whose join was answered: who does not know that it is in a room cannot be recovered there.
    joined: usize,
    /// The place of the last event that had one.
    place: Option<String>,
}

impl Follower<'_> {
    pub(super) fn socket_io(&mut self) -> Option<()> {
        let target = "/socket.io/?EIO=4&transport=websocket";
        let mut peer = Peer::try_connect(self.somewhere(), target, &[]).ok()?;
        let rooms = self.rooms.len();
        let connect = match self.back.as_ref().filter(|back| back.joined == rooms) {
            Some(Back { pid, place: Some(place), .. }) => {
                format!("40{}", json!({"pid": pid, "offset": place}))
            }
            Some(Back { pid, .. }) => format!("40{}", json!({ "pid": pid })),
            None => {
                self.back = None;
                "40".to_owned()
            }
        };
        peer.try_send(&connect).ok()?;
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

    pub(super) fn socket_io_polls(&mut self) -> Option<()> {
        let address = self.somewhere();
        let target = "/socket.io/?EIO=4&transport=polling";
        let (_, open) = request(address, "GET", target, "", "")?;
        let open: Value = serde_json::from_str(open.strip_prefix('0')?).ok()?;
        let target = format!("{target}&sid={}", open["sid"].as_str()?);
        let post = |body: &str| {
            request(address, "POST", &target, "", body).filter(|(status, _)| *status == 200).map(drop)
        };
        post("40")?;
        let joins = self.joins();
        while !self.is_done() {
            let (status, body) = request(address, "GET", &target, "", "")?;
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
    fn packet(&mut self, packet: &str, joins: &Joins) -> Option<Vec<String>> {
        if packet == "2" {
            return Some(vec!["3".to_owned()]);
        }
        if let Some(connected) = packet.strip_prefix("40") {
            return self.connected(&serde_json::from_str(connected).ok()?, joins);
        }
        if packet.starts_with("41") || packet.starts_with("44") || packet == "1" {
            return None;
        }
        if let Some(json) = packet.find('[').filter(|_| packet.starts_with("42") || packet.starts_with("43"))
        {
            let list: Value = serde_json::from_str(&packet[json..]).ok()?;
            let is_answer = packet.starts_with("43");
            let object = if is_answer { &list[0] } else { &list[1] };
            self.hear(object, joins)?;
            if let Some(back) = &mut self.back {
                back.joined += usize::from(is_answer && object["type"] == "joined");
                if let (false, Some(place)) = (is_answer, list[2].as_str()) {
                    back.place = Some(place.to_owned());
                }
            }
        }
        Some(Vec::new())
    }

    fn connected(&mut self, welcome: &Value, joins: &Joins) -> Option<Vec<String>> {
        let sid = welcome["sid"].as_str()?;
        if self.back.as_ref().is_some_and(|back| back.sid == sid) {
            // It is in its rooms, and is given what it missed.
            self.recovered += 1;
            for room in self.rooms {
                self.diary.goes_on(room, self.diary.place(room));
            }
            return Some(Vec::new());
        }
        let back = |pid: &str| Back { sid: sid.to_owned(), pid: pid.to_owned(), joined: 0, place: None };
        self.back = welcome["pid"].as_str().map(back);
        let join = |(n, (join, _)): (usize, &(Value, _))| format!("42{n}[\"join\",{join}]");
        Some(joins.iter().enumerate().map(join).collect())
    }
}
