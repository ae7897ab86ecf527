//! Those who write, each in its own way, and say again under the same key what was not answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parlor_testkit::dice::Dice;
use parlor_testkit::peer::{Heard, Peer};
use parlor_testkit::torture::{Log, Note};
use serde_json::{Value, json};

use super::diary::position;
use super::line::ask;

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

pub(crate) struct Publisher {
    pub(crate) log: Log,
    way: Way,
    /// What proves that it is the same one again: keys belong to their author.
    secret: String,
    peer: Option<Peer>,
    n: u64,
}

impl Publisher {
    /// `address`: without a network in between, for the first word.
    pub(crate) fn new(who: String, way: Way, address: SocketAddr, api_key: &str) -> Publisher {
        let secret = match way {
            Way::Api => api_key.to_owned(),
            Way::WebSocket | Way::Send => {
                let mut peer = Peer::connect(address, &format!("/ws?name={who}"));
                let welcome = peer.wait_for("welcome");
                let token = welcome["token"].as_str().expect("a new guest gets a token").to_owned();
                // Showing it makes the server keep the account.
                peer.ask(&json!({"type":"auth","id":0,"token":token}).to_string());
                token
            }
        };
        Publisher { log: Log { who, notes: Vec::new() }, way, secret, peer: None, n: 0 }
    }

    /// Writes one message, however often that takes; `false`: not before the deadline.
    pub(crate) fn publish(
        &mut self,
        address: SocketAddr,
        room: &str,
        dice: &mut Dice,
        deadline: Instant,
    ) -> bool {
        self.n += 1;
        let label = format!("{}-{}", self.log.who, self.n);
        let key = format!("{label}-{}", dice.roll(1_000_000));
        let command = json!({"type":"publish","id":self.n,"room":room,"data":label,"key":key});
        while Instant::now() < deadline {
            if let Some(answer) = self.try_publish(address, &command) {
                if answer["type"] == "published" {
                    let at = position(&answer).expect("a room with a log");
                    let data = json!(label).to_string();
                    self.log.notes.push((0, Note::Acked { room: room.to_owned(), at, data }));
                    return true;
                }
                // Stopping, or busy: later. A body of which the end did not come is told to be too long.
                let code = answer["code"].as_str().unwrap_or_default();
                assert!(matches!(code, "unavailable" | "busy" | "timeout" | "too_large"), "{answer}");
            }
            std::thread::sleep(Duration::from_millis(20 + dice.roll(100)));
        }
        false
    }

    fn try_publish(&mut self, address: SocketAddr, command: &Value) -> Option<Value> {
        let bearer = format!("Authorization: Bearer {}\r\n", self.secret);
        let target = match self.way {
            Way::WebSocket => {
                let answer = self.ask(address, command);
                if answer.is_none() {
                    self.peer = None;
                }
                return answer;
            }
            Way::Send => "/send",
            Way::Api => "/api/publish",
        };
        ask(address, "POST", target, &bearer, &command.to_string()).map(|(_, answer)| answer)
    }

    fn ask(&mut self, address: SocketAddr, command: &Value) -> Option<Value> {
        let peer = match &mut self.peer {
            Some(peer) => peer,
            None => {
                let token = format!("parlor.token.{}", self.secret);
                let peer = Peer::try_connect(address, "/ws", &["parlor.v1", &token]).ok()?;
                self.peer.insert(peer)
            }
        };
        peer.try_send(&command.to_string()).ok()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match peer.hear_within(PATIENCE) {
                Some(Heard::Object(object)) if object["id"] == command["id"] => return Some(object),
                Some(Heard::Closed(..)) | None => return None,
                Some(_) => {}
            }
        }
        None
    }
}
