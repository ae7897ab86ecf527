//! Two nodes on one Redis: nodes are ended and killed, Redis is killed, stopped, emptied and set back, and whoever comes
//! back comes to either node.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parlor_engines::RedisEngine;
use parlor_engines::redis::Settings;
use parlor_testkit::dice::Dice;
use parlor_testkit::process::Process;
use parlor_testkit::redis::{Backup, Redis};
use parlor_testkit::server::{binary, serve_with};
use parlor_testkit::torture::{Log, Note, Truth, check_from, read_engine};
use serde_json::{Value, json};

use super::crowd::Crowd;
use super::diary::{Diary, position};
use super::follow::{Follower, Way};
use super::line::ask;
use super::network::Network;
use super::witness::Witness;
use super::{ALONE, duration};

const ROOMS: [&str; 3] = ["a", "b", "c"];

/// A publish while Redis is away is refused within this time.
const REFUSED: Duration = Duration::from_secs(1);
/// Everybody has everything so long after Redis is back.
const CAUGHT_UP: Duration = Duration::from_secs(5);
/// Everybody is told of what Redis has lost so long after it is there.
const TOLD: Duration = Duration::from_secs(10);

/// Everything is synced before it is answered; each store that was emptied stays in a database of its own.
const REDIS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--databases", "1024"];

/// What is done.
#[derive(Clone, Copy, Debug)]
enum Deed {
    RestartNode,
    KillRedis,
    PauseRedis,
    KillBoth,
    Empty,
    PutBack,
}

const DEEDS: [Deed; 6] =
    [Deed::RestartNode, Deed::KillRedis, Deed::PauseRedis, Deed::KillBoth, Deed::Empty, Deed::PutBack];

/// A life of the store that is over: what it held, and the life of which it began as a copy.
struct Life {
    held: Held,
    copy_of: Option<usize>,
}

enum Held {
    Read(Truth),
    /// In these files.
    Files(Backup),
}

struct Cluster<'a> {
    binary: &'a Path,
    redis: Redis,
    nodes: Vec<(Process, PathBuf)>,
    network: &'a Network,
    api_key: &'a str,
    witnesses: Vec<Witness>,
    over: Vec<Life>,
    /// That of now.
    copy_of: Option<usize>,
    /// What was published here to see it arrive.
    marks: Log,
    /// Publishes that were to be refused.
    asked: usize,
    refused: Duration,
    caught_up: Duration,
    told: Duration,
}

fn start(binary: &Path, data: &Path, redis: &Redis) -> (Process, std::net::SocketAddr) {
    serve_with(binary, data, &["--engine", &redis.url(), "--recovery", "120"])
}

#[test]
fn two_nodes_keep_every_promise_while_everything_goes_wrong() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (binary, dir) = (binary(), tempfile::tempdir().unwrap());
    let mut dice = Dice::printed("torture of two nodes");
    let redis = Redis::start(&REDIS);
    let data = [dir.path().join("1"), dir.path().join("2")];
    let first = start(&binary, &data[0], &redis);
    fs::create_dir(&data[1]).unwrap();
    fs::copy(data[0].join("api.key"), data[1].join("api.key")).unwrap();
    let second = start(&binary, &data[1], &redis);
    let api_key = fs::read_to_string(data[0].join("api.key")).unwrap().trim().to_owned();
    let network = Network::new(&[first.1, second.1], &mut dice);
    let crowd = Crowd { network: &network, lasting: &ROOMS, rooms: &ROOMS, api_key: &api_key };

    let is_over = AtomicBool::new(false);
    let done = |_: &Diary| is_over.load(Ordering::Relaxed);
    let done: &(dyn Fn(&Diary) -> bool + Sync) = &done;
    let mut cluster = Cluster {
        binary: &binary,
        redis,
        nodes: [first.0, second.0].into_iter().zip(data).collect(),
        network: &network,
        api_key: &api_key,
        witnesses: Vec::new(),
        over: Vec::new(),
        copy_of: None,
        marks: Log { who: "marks".to_owned(), notes: Vec::new() },
        asked: 0,
        refused: Duration::ZERO,
        caught_up: Duration::ZERO,
        told: Duration::ZERO,
    };
    let mut deeds = Vec::new();

    let noted = thread::scope(|scope| {
        let mut witnesses = Vec::new();
        for node in 0..2 {
            for way in [Way::WebSocket, Way::Events] {
                let name = format!("witness of {node} by {way:?}");
                let mut follower = Follower::new(name, &network, dice.fork(), &ROOMS, done);
                cluster.witnesses.push(Witness::of(&mut follower, node, ROOMS.len()));
                witnesses.push(scope.spawn(move || {
                    while !follower.once(way) && !done(&follower.diary) {
                        thread::sleep(Duration::from_millis(20));
                    }
                    follower.diary.log
                }));
            }
        }
        let _ending = Ending(&is_over);
        let mut noted = crowd.endure(&mut dice, |dice| {
            // Everybody has come and somebody has written.
            cluster.witnesses.iter_mut().for_each(Witness::wait_until_in);
            cluster.see_marks(Instant::now());
            let end = Instant::now() + duration();
            // Once each, and then as it comes.
            let mut first = DEEDS.to_vec();
            while !first.is_empty() || Instant::now() < end {
                thread::sleep(Duration::from_millis(200 + dice.roll(1_000)));
                let deed = match first.len() {
                    0 => *dice.pick(&DEEDS),
                    left => first.swap_remove(dice.index(left)),
                };
                deeds.push(deed);
                cluster.carry_out(deed, dice);
            }
        });
        is_over.store(true, Ordering::Relaxed);
        noted.logs.extend(witnesses.into_iter().map(|witness| witness.join().expect("it only listens")));
        noted
    });

    println!(
        "{deeds:?}: refused after {:?} at most, caught up after {:?}, told after {:?}",
        cluster.refused, cluster.caught_up, cluster.told
    );
    let (lives, marks) = cluster.end();
    let mut noted = noted;
    noted.logs.push(marks);
    noted.judge(&network, &check_from(&noted.logs, &lives));
}

/// Nobody waits for ever for what panicked.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Cluster<'_> {
    fn carry_out(&mut self, deed: Deed, dice: &mut Dice) {
        self.witnesses.iter_mut().for_each(Witness::wait_until_in);
        let node = dice.index(2);
        let begun = Instant::now();
        match deed {
            Deed::RestartNode => {
                self.end_node(node, dice);
                thread::sleep(Duration::from_millis(dice.roll(1_000)));
                self.start_node(node);
            }
            Deed::KillRedis => {
                self.redis.kill();
                self.is_refused();
                thread::sleep(Duration::from_millis(dice.roll(1_500)));
                self.redis.start_again();
                self.see_marks(Instant::now());
                self.nobody_was_cut(begun, None);
            }
            Deed::PauseRedis => {
                // Half a minute where there is time for it.
                let most = if duration() > Duration::from_secs(300) { 30_000 } else { 4_000 };
                let end = begun + Duration::from_millis(500 + dice.roll(most));
                self.redis.pause();
                loop {
                    self.is_refused();
                    if Instant::now() >= end {
                        break;
                    }
                }
                self.redis.go_on();
                self.see_marks(Instant::now());
                self.nobody_was_cut(begun, None);
            }
            Deed::KillBoth => {
                self.redis.kill();
                self.end_node(node, dice);
                self.redis.start_again();
                let back = Instant::now();
                self.start_node(node);
                self.see_marks(back);
                self.nobody_was_cut(begun, Some(node));
            }
            Deed::Empty => {
                // As a FLUSHALL, and what was there can still be read.
                let other = self.over.len() + 1;
                assert_eq!(self.redis.ask(&["SWAPDB", "0", &other.to_string()]), "+OK\r\n");
                self.network.next_life();
                let there = Instant::now();
                let read = read(&format!("{}/{other}", self.redis.url()));
                self.over.push(Life { held: Held::Read(read), copy_of: self.copy_of.take() });
                self.everybody_is_told(begun, there);
            }
            Deed::PutBack => {
                let (life, backup) = (self.network.life(), self.redis.back_up());
                self.see_marks(Instant::now());
                self.nobody_was_cut(begun, None);
                thread::sleep(Duration::from_millis(500 + dice.roll(1_500)));
                let begun = Instant::now();
                let files = self.redis.restore(&backup);
                self.network.next_life();
                let there = Instant::now();
                self.over.push(Life { held: Held::Files(files), copy_of: self.copy_of.replace(life) });
                self.everybody_is_told(begun, there);
            }
        }
    }

    fn end_node(&mut self, node: usize, dice: &mut Dice) {
        let process = &mut self.nodes[node].0;
        match dice.once_in(2) {
            true => process.kill(),
            false => process.terminate(),
        }
        process.wait();
    }

    fn start_node(&mut self, node: usize) {
        let (process, address) = start(self.binary, &self.nodes[node].1, &self.redis);
        self.nodes[node].0 = process;
        self.network.moved(node, address);
    }

    fn publish(&self, node: usize, room: &str, data: &str) -> Option<Value> {
        let bearer = format!("Authorization: Bearer {}\r\n", self.api_key);
        let command = json!({"room": room, "data": data, "key": data}).to_string();
        ask(self.network.straight(node), "POST", "/api/publish", &bearer, &command).map(|(_, answer)| answer)
    }

    /// A publish is refused as it is promised. The best of three, so that a machine with other things to do spoils
    /// nothing.
    fn is_refused(&mut self) {
        let mut best = Duration::MAX;
        for n in 0..3 {
            self.asked += 1;
            let begun = Instant::now();
            let answer =
                self.publish(n % 2, "a", &format!("away-{}", self.asked)).expect("the node is there");
            assert_eq!(answer["code"], "unavailable", "{answer}");
            assert!(answer["retry_after"].as_u64().is_some(), "{answer}");
            best = best.min(begun.elapsed());
            if best <= REFUSED {
                break;
            }
        }
        assert!(best <= REFUSED, "a publish is refused after {best:?}");
        self.refused = self.refused.max(best);
    }

    /// Publishes something in each room, and waits until all witnesses have it, and so everything before it: soon after
    /// Redis was `back`.
    fn see_marks(&mut self, back: Instant) {
        let number = self.marks.notes.len();
        for (n, room) in ROOMS.into_iter().enumerate() {
            let data = format!("mark-{}", number + n);
            let at = loop {
                let life = self.network.life();
                let answer = self.publish(n % 2, room, &data);
                if let Some(place) = answer.as_ref().and_then(position) {
                    break (life, place);
                }
                assert!(back.elapsed() < CAUGHT_UP, "{answer:?}");
            };
            let data = json!(data).to_string();
            self.marks.notes.push((at.0, Note::Acked { room: room.to_owned(), at: at.1, data }));
        }
        for witness in &mut self.witnesses {
            for n in 0..ROOMS.len() {
                let mark = json!(format!("mark-{}", number + n)).to_string();
                let at = witness.wait_for(
                    &mark,
                    back,
                    |note| matches!(note, Note::Message { data, .. } if *data == mark),
                );
                let after = at - back;
                assert!(after < CAUGHT_UP, "caught up after {after:?}");
                self.caught_up = self.caught_up.max(after);
            }
        }
    }

    fn nobody_was_cut(&mut self, begun: Instant, but: Option<usize>) {
        let there = self.witnesses.iter_mut().filter(|witness| Some(witness.node) != but);
        there.for_each(|witness| witness.was_not_cut(begun));
    }

    fn everybody_is_told(&mut self, begun: Instant, there: Instant) {
        for witness in &mut self.witnesses {
            let at = witness
                .wait_for("that it lost its place", begun, |note| matches!(note, Note::Cut { code: 4010 }));
            let after = at.saturating_duration_since(there);
            assert!(after < TOLD, "told after {after:?}");
            self.told = self.told.max(after);
        }
    }

    /// Ends the nodes; what the store held in each of its lives, and the marks.
    fn end(mut self) -> (Vec<Truth>, Log) {
        for (process, _) in &mut self.nodes {
            process.terminate();
            process.wait();
        }
        let mut lives: Vec<Truth> = Vec::new();
        let last = Life { held: Held::Read(read(&self.redis.url())), copy_of: self.copy_of };
        for Life { held, copy_of } in self.over.into_iter().chain([last]) {
            let mut truth = match held {
                Held::Read(truth) => truth,
                Held::Files(files) => {
                    let redis = Redis::start_on(&files, &REDIS);
                    read(&redis.url())
                }
            };
            if let Some(copied) = copy_of {
                truth.also_called(&lives[copied]);
            }
            lives.push(truth);
        }
        (lives, self.marks)
    }
}

fn read(url: &str) -> Truth {
    let mut settings = Settings::parse(url).expect("an address");
    settings.patience = Duration::from_secs(20);
    read_engine(&RedisEngine::open(settings).expect("an engine"))
}
