//! Everything at once against the real server: every transport on a network that delays, cuts, half-closes and throttles,
//! publishers that say again what was not answered, restarts by SIGTERM and by `kill -9`. Afterwards one checker reads
//! what everybody noted, and the store.

mod diary;
mod follow;
mod line;
mod publish;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use parlor_proto::position::Position;
use parlor_testkit::dice::Dice;
use parlor_testkit::proxy::Proxy;
use parlor_testkit::server::{binary, serve};
use parlor_testkit::torture::{Log, Note, check, read_store};

use diary::Diary;
use follow::{Follower, WAYS, Way};
use publish::Publisher;

/// Rooms whose messages last, and one that forgets with its process.
const DURABLE: [&str; 3] = ["a", "b", "c"];
const ROOMS: [&str; 4] = ["a", "b", "c", "memory:d"];

/// How long it goes on: once to see that it works, long for a release.
fn duration() -> Duration {
    let given = std::env::var("PARLOR_TORTURE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let full = std::env::var_os("PARLOR_FULL").is_some_and(|full| full == "1");
    Duration::from_secs(given.unwrap_or(if full { 900 } else { 15 }))
}

/// When all is well again, everybody has to have everything within this time.
const HEALING: Duration = Duration::from_secs(90);

#[test]
fn every_transport_keeps_every_promise_while_everything_goes_wrong() {
    let (binary, dir) = (binary(), tempfile::tempdir().unwrap());
    let mut dice = Dice::printed("torture");
    let (mut server, mut address) = serve(&binary, dir.path());
    let api_key = std::fs::read_to_string(dir.path().join("api.key")).unwrap().trim().to_owned();
    let proxy = Proxy::start(address, dice.fork());
    let bad = proxy.address();

    let writing = AtomicBool::new(true);
    let heads: OnceLock<Vec<(String, Position)>> = OnceLock::new();
    let done = |diary: &Diary| {
        let has = |(room, head): &(String, Position)| diary.place(room) == Some(*head);
        heads.get().is_some_and(|heads| heads.iter().all(has))
    };
    let done: &(dyn Fn(&Diary) -> bool + Sync) = &done;
    let logs: Mutex<Vec<Log>> = Mutex::default();
    let keep = |log: Log| logs.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    let mut publishers: Vec<Publisher> = (0..6)
        .map(|n| Publisher::new(format!("writer{n}"), publish::WAYS[n % 3], address, &api_key))
        .collect();
    let end = Instant::now() + duration();
    let (healed, late) = (end + HEALING, AtomicUsize::new(0));
    let mut restarts = [0, 0];

    thread::scope(|scope| {
        let ways = WAYS.into_iter().chain([Way::Any; WAYS.len()]);
        for (n, way) in ways.enumerate() {
            let (mut dice, keep, late) = (dice.fork(), &keep, &late);
            scope.spawn(move || {
                // A cursor is proven by the newest message of its rooms; one that went with a process proves nothing.
                let by_cursor = matches!(way, Way::Events | Way::Polls | Way::Any);
                let rooms: &[&str] = if by_cursor { &DURABLE } else { &ROOMS };
                let mut follower = Follower::new(format!("{way:?}{n}"), bad, rooms, done);
                loop {
                    let way = if way == Way::Any { *dice.pick(&WAYS) } else { way };
                    if follower.once(way) {
                        follower.diary.note(Note::Quiet);
                        break;
                    }
                    if Instant::now() > healed {
                        late.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    thread::sleep(Duration::from_millis(dice.roll(200)));
                }
                keep(follower.diary.log);
            });
        }
        let writers: Vec<_> = publishers
            .drain(..)
            .map(|mut publisher| {
                let (mut dice, keep, writing) = (dice.fork(), &keep, &writing);
                scope.spawn(move || {
                    while writing.load(Ordering::Relaxed) {
                        let room = *dice.pick(&ROOMS);
                        assert!(
                            publisher.publish(bad, room, &mut dice, healed),
                            "{} never came through",
                            publisher.log.who
                        );
                        thread::sleep(Duration::from_millis(dice.roll(30)));
                    }
                    keep(publisher.log);
                })
            })
            .collect();

        while Instant::now() < end {
            thread::sleep(Duration::from_millis(1_000 + dice.roll(5_000)));
            let kill = dice.roll(2) as usize;
            restarts[kill] += 1;
            if kill == 1 {
                server.kill();
            } else {
                server.terminate();
            }
            server.wait();
            (server, address) = serve(&binary, dir.path());
            proxy.lead_to(address);
        }
        proxy.be_kind();
        writing.store(false, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("it came through");
        }
        // From here on nothing new comes: where the rooms stand now is where everybody has to be.
        let head = |room: &&str| {
            let target = format!("/poll?room={room}&last=1&wait=0");
            let (_, answer) = line::ask(address, "GET", &target, "", "").expect("an answer");
            ((*room).to_owned(), diary::position(&answer["messages"][0]).expect("somebody wrote there"))
        };
        heads.set(DURABLE.iter().map(head).collect()).expect("once");
    });
    server.terminate();
    server.wait();

    let logs = logs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count =
        |is: fn(&Note) -> bool| logs.iter().flat_map(|log| &log.notes).filter(|(_, note)| is(note)).count();
    let messages = count(|note| matches!(note, Note::Message { .. }));
    let acked = count(|note| matches!(note, Note::Acked { .. }));
    let cuts = count(|note| matches!(note, Note::Cut { .. }));
    println!(
        "{} restarts, {} kills, (connections, cuts) {:?}: {acked} acknowledged, {messages} told, {cuts} times away",
        restarts[0],
        restarts[1],
        proxy.counts()
    );
    let faults = check(&logs, &[read_store(dir.path())]);
    let all: Vec<String> = faults.iter().take(20).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), all.join("\n"));
    assert_eq!(late.into_inner(), 0, "somebody has not got everything in {HEALING:?}");
    assert!(acked > 100 && messages > 1_000 && cuts > 20, "a run in which nothing happens proves nothing");
}
