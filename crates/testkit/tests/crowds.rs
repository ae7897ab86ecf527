//! Clients in bulk that do not read, do not speak or never come back: what they cost, that they end, and that nobody else
//! notices. Sizes are for every run; `PARLOR_FULL=1` has those of the goals.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlor_hub::ConnectionId;
use parlor_proto::limits::HEAD_TIMEOUT;
use parlor_testkit::peer::Peer;
use parlor_testkit::process::Process;

/// Bytes that one client may cost of the server's memory.
const PER_CLIENT: u64 = 8 * 1024;

/// The same while it owes the head of another request: hyper keeps its buffers between requests.
const PER_KEPT: u64 = 16 * 1024;

/// Of `crowd serve`.
const WORKERS: usize = 2;

fn full() -> bool {
    std::env::var_os("PARLOR_FULL").is_some_and(|full| full == "1")
}

/// One crowd at a time: each wants the whole machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let process = Process::spawn(Command::new(env!("CARGO_BIN_EXE_crowd")).arg("serve"));
        let line = process.line_with("listening on");
        Server { address: line.trim_start_matches("listening on http://").parse().unwrap(), process }
    }

    fn crowd(&self, kind: &str, count: usize, messages: u64) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crowd"));
        let (count, messages) = (count.to_string(), messages.to_string());
        let crowd = Process::spawn(command.args([kind, &self.address.to_string(), &count, &messages]));
        crowd.line_with("ready");
        crowd
    }

    fn figure(&mut self, what: &str) -> u64 {
        self.process.say(what);
        let name = what.split(' ').next().unwrap();
        self.process.line_with(name)[name.len() + 1..].parse().unwrap()
    }

    /// Publishes so many messages.
    fn publish(&mut self, what: &str) {
        self.process.say(what);
        self.process.line_with("said");
    }

    /// In bytes.
    fn memory(&mut self) -> u64 {
        self.figure("memory") * 1024
    }
}

#[test]
fn those_who_never_read_cost_the_others_nothing_and_resume() {
    let _alone = alone();
    let subscribers = if full() { 10_000 } else { 1_000 };
    let deaf = subscribers / 100;
    let messages = 200;
    let mut server = Server::start();
    let readers = server.crowd("readers", subscribers - deaf, messages);
    let mut never_reading = server.crowd("deaf", deaf, messages);
    let mut fast = one_for_each_worker(server.address, "/ws?room=live:flood");

    server.publish("talk 10");
    let before = server.memory();
    let mut most = before;
    let mut rounds = 0;
    // 384 KB a round, which the fast ones read before the next: no worker is behind. The others are cut somewhere on the
    // way. As soon as all are, they read, because a goodbye is kept for two seconds.
    while server.figure("slow") < deaf as u64 {
        assert!(rounds < 1_000, "somebody who never reads is not cut");
        server.publish("flood 8");
        for fast in fast.values_mut() {
            (0..8).for_each(|_| drop(fast.wait_for("message")));
        }
        most = most.max(server.memory());
        rounds += 1;
    }
    never_reading.say("read");
    assert_eq!(never_reading.line_with("cut"), format!("cut {deaf}"));
    server.publish("talk 190");
    never_reading.say("come back");
    assert_eq!(never_reading.line_with("resumed"), format!("resumed {deaf}"));
    readers.line_with("heard");
    assert_eq!(server.figure("slow"), deaf as u64, "nobody else was cut");

    let held = most - before;
    println!("{deaf} of {subscribers} never read {rounds} x 384 KB: {} KB more than before", held / 1024);
    // What waits for them is shared.
    assert!(held < 12 * 1024 * 1024, "{held} bytes");
}

fn one_for_each_worker(address: SocketAddr, target: &str) -> HashMap<u16, Peer> {
    let mut peers = HashMap::new();
    // The kernel deals them out; that it never meets one of two in so many tries is as likely as 64 heads in a row.
    for _ in 0..64 {
        let mut peer = Peer::connect(address, target);
        let session = peer.wait_for("welcome")["session"].as_str().and_then(ConnectionId::parse);
        peer.wait_for("joined");
        peers.insert(session.expect("a session").worker(), peer);
        if peers.len() == WORKERS {
            return peers;
        }
    }
    panic!("a worker has no connection");
}

/// How much one client of a kind costs while it owes a request, and that all are gone in time, give or take a busy
/// machine.
fn check(kind: &str, limit: u64) {
    let _alone = alone();
    let mut server = Server::start();
    let count = if full() { 5_000 } else { 1_000 };
    // What the first ones make the server set up for good is not theirs.
    drop(server.crowd(kind, 100, 0));
    let before = server.memory();
    let crowd = server.crowd(kind, count, 0);
    let each = server.memory().saturating_sub(before) / count as u64;
    let gone = crowd.line_with("gone");
    println!("{kind}: {each} bytes for each of {count}, {gone} s");
    assert!(each <= limit, "{each} bytes for each");
    let (all, seconds) = gone["gone ".len()..].split_once(' ').unwrap();
    assert_eq!(all, count.to_string());
    let in_time = 3 * HEAD_TIMEOUT.as_secs();
    assert!(seconds.parse::<u64>().unwrap() < in_time, "held for {seconds} s");
}

#[test]
fn half_open_connections_are_cheap_and_end() {
    check("silent", PER_CLIENT);
}

#[test]
fn requests_that_never_end_are_cheap_and_end() {
    check("begun", PER_CLIENT);
}

#[test]
fn dripping_bytes_keeps_no_connection_open() {
    check("dripping", PER_CLIENT);
}

#[test]
fn connections_that_are_kept_end_too() {
    check("kept", PER_KEPT);
}

#[test]
fn sessions_that_are_never_polled_are_cheap_and_end() {
    let _alone = alone();
    let mut server = Server::start();
    let count = if full() { 5_000 } else { 1_000 };
    drop(server.crowd("sessions", 100, 0));
    let before = server.memory();
    let mut sessions = server.crowd("sessions", count, 0);
    let each = server.memory().saturating_sub(before) / count as u64;
    println!("sessions: {each} bytes for each of {count}");
    assert!(each <= PER_CLIENT, "{each} bytes for each");

    let before = server.memory();
    let _pollers = server.crowd("pollers", count, 0);
    let each = server.memory().saturating_sub(before) / count as u64;
    println!("pollers: {each} bytes for each of {count}");
    assert!(each <= PER_CLIENT, "{each} bytes for each");
    assert_eq!(server.figure("members live:polled"), count as u64);

    // Both end by the clock, after 45 s and 60 s: waited for where there is time.
    if full() {
        while server.figure("members live:polled") > 0 {
            std::thread::yield_now();
        }
        sessions.say("ask");
        assert_eq!(sessions.line_with("gone"), format!("gone {count}"));
    }
}
