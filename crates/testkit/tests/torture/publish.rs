//! Those who write, each in its own way, and say again under the same key what was not answered.

use std::time::{Duration, Instant};

use parlor_testkit::dice::Dice;
use parlor_testkit::peer::{Heard, Peer};
use parlor_testkit::torture::{Log, Note};
use serde_json::{Value, json};

use super::diary::position;
use super::line::ask;
use super::network::Network;

/// How somebody writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    WebSocket,
    Send,
    Api,
}

pub(crate) const WAYS: [Way; 3] = [Way::WebSocket, Way::Send, Way::Api];

/// A message is asked for again after so long.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Publisher<'a> {
    pub(crate) log: Log,
    way: Way,
    network: &'a Network,
    dice: Dice,
    /// What proves that it is the same one again: keys belong to their author.
    secret: Option<String>,
    /// The store's life in which it got that, and how often it got one.
    since: usize,
    names: usize,
    peer: Option<Peer>,
    n: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Acked,
    /// The store has forgotten who had written it: nobody can say it again as the same one.
    GivenUp,
    /// Nobody answered before it was too late.
    Late,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(
        who: String,
        way: Way,
        network: &'a Network,
        dice: Dice,
        api_key: &str,
    ) -> Publisher<'a> {
        let secret = matches!(way, Way::Api).then(|| api_key.to_owned());
        let log = Log { who, notes: Vec::new() };
        Publisher { log, way, network, dice, secret, since: 0, names: 0, peer: None, n: 0 }
    }

    /// Becomes somebody, on a good line, if the server can do that now.
    fn enter(&mut self) -> Option<()> {
        if self.secret.is_some() {
            return Some(());
        }
        self.since = self.network.life();
        self.names += 1;
        let target = format!("/ws?name={}.{}", self.log.who, self.names);
        let mut peer = Peer::try_connect(self.network.straight(0), &target, &[]).ok()?;
        let mut token = None;
        while token.is_none() {
            token = object(&mut peer)?["token"].as_str().map(str::to_owned);
        }
        // Showing it makes the server keep the account.
        peer.try_send(&json!({"type":"auth","id":0,"token":token}).to_string()).ok()?;
        while object(&mut peer)?["type"] != "ok" {}
        self.secret = token;
        Some(())
    }

    /// Writes one message, however often that takes.
    pub(crate) fn publish(&mut self, room: &str, is_late: impl Fn() -> bool) -> Wrote {
        self.n += 1;
        let label = format!("{}-{}", self.log.who, self.n);
        let key = format!("{label}-{}", self.dice.roll(1_000_000));
        let command = json!({"type":"publish","id":self.n,"room":room,"data":label,"key":key});
        while !is_late() {
            // What is asked from here on is answered by the store of this life or a later one.
            let life = self.network.life();
            if let Some(answer) = self.enter().and_then(|()| self.try_publish(&command)) {
                if answer["type"] == "published" {
                    let at = position(&answer).expect("a room with a log");
                    let data = json!(label).to_string();
                    self.log.notes.push((life, Note::Acked { room: room.to_owned(), at, data }));
                    return Wrote::Acked;
                }
                match answer["code"].as_str().unwrap_or_default() {
                    // Stopping, or busy: later. A body of which the end did not come is told to be too long.
                    "unavailable" | "busy" | "timeout" | "too_large" => {}
                    "unauthenticated" if self.network.life() > self.since => {
                        (self.secret, self.peer) = (None, None);
                        return Wrote::GivenUp;
                    }
                    _ => panic!("{}: {answer}", self.log.who),
                }
            }
            std::thread::sleep(Duration::from_millis(20 + self.dice.roll(100)));
        }
        Wrote::Late
    }

    fn try_publish(&mut self, command: &Value) -> Option<Value> {
        let bearer = format!("Authorization: Bearer {}\r\n", self.secret.as_ref()?);
        let target = match self.way {
            Way::WebSocket => {
                let answer = self.ask(command);
                if answer.is_none() {
                    self.peer = None;
                }
                return answer;
            }
            Way::Send => "/send",
            Way::Api => "/api/publish",
        };
        let address = self.network.somewhere(&mut self.dice);
        ask(address, "POST", target, &bearer, &command.to_string()).map(|(_, answer)| answer)
    }

    fn ask(&mut self, command: &Value) -> Option<Value> {
        let peer = match &mut self.peer {
            Some(peer) => peer,
            None => {
                let token = format!("parlor.token.{}", self.secret.as_ref()?);
                let address = self.network.somewhere(&mut self.dice);
                let peer = Peer::try_connect(address, "/ws", &["parlor.v1", &token]).ok()?;
                self.peer.insert(peer)
            }
        };
        peer.try_send(&command.to_string()).ok()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match peer.hear_within(PATIENCE) {
                // Whoever is refused at the door is told so first.
                Some(Heard::Object(object))
                    if object["id"] == command["id"] || object["code"] == "unauthenticated" =>
                {
                    return Some(object);
                }
                Some(Heard::Closed(..)) | None => return None,
                Some(_) => {}
            }
        }
        None
    }
}

/// The next object, if one comes.
fn object(peer: &mut Peer) -> Option<Value> {
    loop {
        match peer.hear_within(PATIENCE)? {
            Heard::Object(object) if object["type"] == "error" => return None,
            Heard::Object(object) => return Some(object),
            Heard::Closed(..) => return None,
            _ => {}
        }
    }
}
