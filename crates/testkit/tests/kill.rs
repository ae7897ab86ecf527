//! `kill -9` at any moment: nothing that was acknowledged is lost or doubled, nothing was delivered that is not stored.
//!
//! A kill does not test the disk: the system still writes what the process had handed over. See `power.rs` for that.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use parlor_proto::position::Position;
use parlor_testkit::dice::Dice;
use parlor_testkit::ledger::Ledger;
use parlor_testkit::peer::{Heard, Peer};
use parlor_testkit::process::Process;
use parlor_testkit::server::{binary, serve};
use serde_json::{Value, json};

const PUBLISHERS: usize = 50;
const ROOMS: usize = 5;

/// How often a process is killed: a few times to show that the test works, many times for a release.
fn rounds() -> usize {
    let full = std::env::var_os("PARLOR_FULL").is_some_and(|full| full == "1");
    let rounds = std::env::var("PARLOR_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.unwrap_or(if full { 200 } else { 5 })
}

fn room(publisher: usize) -> String {
    format!("room{}", publisher % ROOMS)
}

#[test]
fn an_engine_that_is_killed_keeps_every_promise() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::printed("engine");
    let mut ledger = Ledger::default();
    // The number of the message that each publisher wants to see acknowledged before it goes on.
    let mut wanted = [0usize; PUBLISHERS];
    for round in 0..rounds() {
        let mut store = Process::spawn(Command::new(env!("CARGO_BIN_EXE_store")).arg(dir.path()));
        store.line_with("ready");
        let publish = |store: &mut Process, publisher: usize, n: usize| {
            let (room, message) = (room(publisher), format!("{publisher}-{n}"));
            store.say(&format!("publish {publisher} {room} {message} \"{message}\""));
        };
        for (publisher, n) in wanted.iter().enumerate() {
            publish(&mut store, publisher, *n);
        }
        // From before the first commit to after some thousand of them, and then some microseconds later.
        let acks = dice.roll(2_000);
        let mut killed = false;
        let mut heard = 0;
        if acks == 0 {
            store.kill();
            killed = true;
        }
        while let Some(line) = store.line() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["delivered", room, offset, id, data] => {
                    ledger.delivered(room, data, (offset.parse().unwrap(), id.to_owned()));
                }
                ["published", publisher, offset, id, _duplicate] => {
                    let publisher: usize = publisher.parse().unwrap();
                    let data = format!("\"{publisher}-{}\"", wanted[publisher]);
                    ledger.acked(&room(publisher), &data, (offset.parse().unwrap(), id.to_owned()));
                    wanted[publisher] += 1;
                    heard += 1;
                    if !killed {
                        publish(&mut store, publisher, wanted[publisher]);
                    }
                }
                _ => panic!("unexpected: {line}"),
            }
            if heard == acks && !killed {
                thread::sleep(Duration::from_micros(dice.roll(2_000)));
                store.kill();
                killed = true;
            }
        }
        store.wait();
        let stored = ledger.check(dir.path());
        println!("engine: round {round}, killed after {acks} acks, {stored} messages stored");
    }
    assert!(wanted.iter().sum::<usize>() > 0, "some messages were acknowledged");
}

/// What the threads of one round share.
struct Round {
    ledger: Mutex<Ledger>,
    acks: AtomicUsize,
}

impl Round {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(object: &Value) -> (u64, String) {
    let position: Position = object["pos"].as_str().expect("a position").parse().expect("a valid position");
    (position.offset, position.id.to_string())
}

/// Somebody who publishes one message after the other, and after a restart begins with the one that was not
/// acknowledged, under the same key. Keys belong to accounts, so it keeps its token.
#[derive(Debug, Default)]
struct Writer {
    me: usize,
    token: Option<String>,
    /// The message that is to be acknowledged next.
    n: usize,
}

impl Writer {
    /// Publishes until the server is gone.
    fn publish(&mut self, address: SocketAddr, round: &Round) -> Option<()> {
        let mut peer = self.connect(address)?;
        let room = room(self.me);
        loop {
            let message = format!("{}-{}", self.me, self.n);
            let command = json!({"type":"publish","id":self.n,"room":room,"data":message,"key":message});
            let answer = ask(&mut peer, &command)?;
            assert_eq!(answer["type"], "published", "{answer}");
            assert_eq!(answer["ack"], "local", "{answer}");
            round.ledger().acked(&room, &json!(message).to_string(), told(&answer));
            round.acks.fetch_add(1, Ordering::Relaxed);
            self.n += 1;
        }
    }

    fn connect(&mut self, address: SocketAddr) -> Option<Peer> {
        if let Some(token) = &self.token {
            let token = format!("parlor.token.{token}");
            let mut peer = Peer::try_connect(address, "/ws", &["parlor.v1", &token]).ok()?;
            return hear(&mut peer, |object| object["type"] == "welcome").map(|_| peer);
        }
        let name = format!("writer{}", self.me);
        let mut peer = Peer::try_connect(address, &format!("/ws?name={name}"), &[]).ok()?;
        let welcome = hear(&mut peer, |object| object["type"] == "welcome")?;
        // Showing the token makes the server keep the account.
        let token = welcome["token"].as_str().expect("a new guest gets a token").to_owned();
        let shown = ask(&mut peer, &json!({"type":"auth","id":"auth","token":token}))?;
        assert_ne!(shown["type"], "error", "{shown}");
        self.token = Some(token);
        Some(peer)
    }
}

/// Sends a command and waits for its reply; `None` if the server is gone.
fn ask(peer: &mut Peer, command: &Value) -> Option<Value> {
    peer.try_send(&command.to_string()).ok()?;
    hear(peer, |object| object["id"] == command["id"])
}

/// Waits for an object; `None` if the server is gone.
fn hear(peer: &mut Peer, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    loop {
        match peer.hear() {
            Heard::Object(object) if wanted(&object) => return Some(object),
            Heard::Object(_) | Heard::Text(_) | Heard::Binary(_) => {}
            // Nothing but the kill ends a connection here.
            Heard::Closed(code, reason) => {
                assert_eq!(code, 1006, "{reason}");
                return None;
            }
        }
    }
}

/// Writes down every message of a room until the server is gone.
fn subscriber(address: SocketAddr, room: &str, round: &Round) {
    let Ok(mut peer) = Peer::try_connect(address, &format!("/ws?room={room}"), &[]) else { return };
    while let Some(message) = hear(&mut peer, |object| object["type"] == "message") {
        round.ledger().delivered(room, &message["data"].to_string(), told(&message));
    }
}

#[test]
fn a_server_that_is_killed_keeps_every_promise() {
    let binary = binary();
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::printed("server");
    let mut ledger = Ledger::default();
    let mut writers: Vec<Writer> = (0..PUBLISHERS).map(|me| Writer { me, ..Writer::default() }).collect();
    for number in 0..rounds() {
        let (mut server, address) = serve(&binary, dir.path());
        let round = Round { ledger: Mutex::new(ledger), acks: AtomicUsize::new(0) };
        let until = dice.roll(1_500) as usize;
        let later = Duration::from_micros(dice.roll(3_000));
        thread::scope(|scope| {
            let round = &round;
            for room in 0..ROOMS {
                scope.spawn(move || subscriber(address, &format!("room{room}"), round));
            }
            for writer in &mut writers {
                scope.spawn(move || writer.publish(address, round));
            }
            let begin = Instant::now();
            while round.acks.load(Ordering::Relaxed) < until && begin.elapsed() < Duration::from_secs(60) {
                thread::yield_now();
            }
            thread::sleep(later);
            server.kill();
        });
        server.wait();
        let acks = round.acks.load(Ordering::Relaxed);
        ledger = round.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stored = ledger.check(dir.path());
        println!("server: round {number}, killed after {acks} acks, {stored} messages stored");
        assert!(acks >= until, "the server stopped answering after {acks} of {until}");
    }
}
