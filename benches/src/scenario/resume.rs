//! Everybody comes back at once: the server is killed and started again, all clients reconnect in one moment and say
//! where they were, and publishing goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use memchr::memmem;
use serde_json::json;

use super::TICK;
use crate::clients::{Client, Visa};
use crate::contest::{PUBLICATION, SERVER_CORE};
use crate::contestant::Tracker;
use crate::histogram::Histogram;
use crate::peers::{self, Bench, Peer};
use crate::publisher::{Counts, Publisher, Ran};
use crate::report::{Row, Spread, Target};
use crate::server::Server;
use crate::swarm::Swarm;
use crate::wire;

/// Kills.
const ROUNDS: usize = 3;

/// Publications a second. Everybody gets each, so with ten thousand clients this is a quarter of the core.
const RATE: f64 = 5.0;

/// How long the latency before the kill is taken.
const BEFORE: Duration = Duration::from_secs(8);

/// What everybody misses beside what was on its way: published after the restart and before anybody is back.
const MISSED: usize = 20;

/// Long enough for announcements of who joined, and for what is under way.
const QUIET: Duration = Duration::from_secs(1);

/// By then it has failed.
const LIMIT: Duration = Duration::from_secs(60);

struct Round {
    listening: Duration,
    joined: Duration,
    caught_up: Duration,
    before: Histogram,
    during: Histogram,
    cpu: Duration,
}

pub(crate) fn rows(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let data = peers::fresh_data(bench)?;
    let server = start(bench, &data, "127.0.0.1:0")?;
    let mut publisher = Publisher::new(server.address, peers::DURABLE, PUBLICATION)?;
    let mut scene = Scene::open(bench, server, data, &publisher)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (again, round) = scene.round(bench, publisher)?;
        publisher = again;
        rounds.push(round);
    }
    let tracker = &scene.tracker;
    let seconds = |of: fn(&Round) -> Duration| Spread::of(rounds.iter().map(|round| of(round).as_secs_f64()));
    let time = |of| format!("{:.2}", seconds(of).median);
    let quantile = |of: fn(&Round) -> &Histogram, q| {
        let all = rounds.iter().fold(Histogram::default(), |mut all, round| {
            all.merge(of(round));
            all
        });
        format!("{:.1}", all.quantile(q) as f64 / 1e3)
    };
    let raw = json!(rounds.iter().map(Round::json).collect::<Vec<_>>());
    let row = |scenario, bound: &str, ratio, target, columns| Row {
        scenario,
        server: format!("parlor, {} clients", scene.visas.len()),
        bound: bound.into(),
        ratio,
        target: Some(Target::AtMost(target)),
        columns,
        raw: raw.clone(),
    };
    let columns = vec![
        ("s to listen", time(|round| round.listening)),
        ("s to join", time(|round| round.joined)),
        ("s of CPU", time(|round| round.cpu)),
        ("lost", tracker.lost.to_string()),
        ("out of order", tracker.reordered.to_string()),
    ];
    let mut rows =
        vec![row("resume", "s till all caught up", seconds(|round| round.caught_up), 5.0, columns)];
    for (name, q) in [("resume-p50", 0.5), ("resume-p99", 0.99)] {
        let ratios = rounds.iter().map(|r| r.during.quantile(q) as f64 / r.before.quantile(q) as f64);
        let columns =
            vec![("ms before", quantile(|r| &r.before, q)), ("ms meanwhile", quantile(|r| &r.during, q))];
        rows.push(row(name, "publishing before", Spread::of(ratios), 2.0, columns));
    }
    Ok(rows)
}

impl Round {
    fn json(&self) -> serde_json::Value {
        let latency = |h: &Histogram| json!([h.quantile(0.5), h.quantile(0.99), h.largest()]);
        json!({"listening": self.listening.as_secs_f64(), "joined": self.joined.as_secs_f64(),
               "caught_up": self.caught_up.as_secs_f64(), "cpu": self.cpu.as_secs_f64(),
               "before_us": latency(&self.before), "during_us": latency(&self.during)})
    }
}

/// A server with everybody on it.
struct Scene {
    data: PathBuf,
    server: Server,
    swarm: Swarm,
    counts: Arc<Counts>,
    tracker: Tracker,
    /// With what each comes back.
    visas: Vec<Visa>,
    /// How many have joined since the server started.
    joined: usize,
    /// How many have shown their token.
    proven: usize,
}

impl Scene {
    fn open(bench: &Bench, server: Server, data: PathBuf, publisher: &Publisher) -> Result<Self> {
        let connections = bench.options.connections;
        let mut scene = Scene {
            swarm: Swarm::new(server.address, client(Vec::new()))?,
            data,
            server,
            counts: publisher.counts(),
            tracker: Tracker::new(connections, true),
            visas: vec![Visa::default(); connections],
            joined: 0,
            proven: 0,
        };
        scene.swarm.connect_all(connections)?;
        scene.until_caught_up()?;
        for (number, visa) in scene.visas.iter().enumerate() {
            scene.swarm.send(number, &visa.proof());
        }
        scene.swarm.flush();
        let limit = Instant::now() + LIMIT;
        while scene.proven < connections {
            scene.turn()?;
            scene.swarm.check()?;
            if Instant::now() > limit {
                bail!("only {} of {connections} accounts were kept", scene.proven);
            }
        }
        Ok(scene)
    }

    fn round(&mut self, bench: &Bench, publisher: Publisher) -> Result<(Publisher, Round)> {
        // What is said about joining must not colour the latency before.
        self.listen_for(QUIET)?;
        let publishing = publisher.run(RATE);
        self.listen_for(BEFORE)?;
        self.server.stop();
        let Ran { mut publisher, latency: before, .. } = publishing.stop()?;
        // What had left before the kill still arrives.
        let limit = Instant::now() + QUIET;
        while self.swarm.open_connections() > 0 && Instant::now() < limit {
            self.turn()?;
        }
        let address = self.server.address;
        self.swarm = Swarm::new(address, client(self.visas.clone()))?;
        self.joined = 0;
        let started = Instant::now();
        self.server = start(bench, &self.data, &address.to_string())?;
        let listening = started.elapsed();
        publisher.return_to(address)?;
        (0..MISSED).try_for_each(|_| publisher.publish())?;

        let (back, cpu) = (Instant::now(), self.server.cpu());
        let publishing = publisher.run(RATE);
        self.swarm.connect_all(self.visas.len())?;
        let joined = self.until_caught_up()? - back;
        let caught_up = back.elapsed();
        let cpu = Duration::from_nanos(self.server.cpu().since(cpu).total);
        let Ran { publisher, latency: during, broken } = publishing.stop()?;
        if broken {
            bail!("the server left its publisher");
        }
        // What was on its way when the time was taken.
        self.listen_for(QUIET)?;
        if self.tracker.in_flight() > 0 {
            bail!("{} publications have not reached everybody", self.tracker.in_flight());
        }
        Ok((publisher, Round { listening, joined, caught_up, before, during, cpu }))
    }

    /// Waits until everybody has joined, and then until everybody has what was acknowledged by then; returns when
    /// the last one had joined.
    fn until_caught_up(&mut self) -> Result<Instant> {
        let limit = Instant::now() + LIMIT;
        let mut all: Option<(Instant, u64)> = None;
        loop {
            self.turn()?;
            self.swarm.check()?;
            if all.is_none() && self.joined == self.visas.len() {
                all = Some((Instant::now(), self.counts.acknowledged.load(SeqCst)));
            }
            if let Some((joined, head)) = all
                && self.tracker.has_reached_all(head)
            {
                return Ok(joined);
            }
            if Instant::now() > limit {
                bail!("only {} of {} came back", self.joined, self.visas.len());
            }
        }
    }

    fn listen_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
            self.swarm.check()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        let Scene { swarm, tracker, visas, counts, joined, proven, .. } = self;
        let mut refused = None;
        swarm.turn(TICK, |connection, object| {
            if object.starts_with(br#"{"type":"welcome""#) {
                visas[connection].note_token(object);
                return true;
            }
            if object.starts_with(br#"{"type":"ok""#) {
                *proven += 1;
                return true;
            }
            let is_join = object.starts_with(br#"{"type":"joined""#);
            if is_join {
                *joined += 1;
                if memmem::find(object, br#""recovered":false"#).is_some()
                    && !visas[connection].pos.is_empty()
                {
                    refused.get_or_insert_with(|| String::from_utf8_lossy(object).into_owned());
                }
            }
            let mut publications = 0;
            for number in wire::publications(object).filter_map(wire::number) {
                // Noted by the publisher before it said it, so that what has come is known.
                while tracker.next() < counts.sent.load(SeqCst) {
                    tracker.publish();
                }
                tracker.receive(connection, number);
                publications += 1;
            }
            if publications > 0 || is_join {
                visas[connection].note_pos(object);
            }
            publications > 0 && !is_join
        })?;
        tracker.complete();
        refused.map_or(Ok(()), |object| bail!("not recovered: {object}"))
    }
}

/// Guests with names and tokens, as the browser's client has them.
fn client(visas: Vec<Visa>) -> Client {
    Client::native("/ws?name=c{n}&room=bench", peers::DURABLE).returning(visas)
}

fn start(bench: &Bench, data: &Path, listen: &str) -> Result<Server> {
    let log = bench.scratch.join("parlor-resume.log");
    Server::start(&peers::parlor_command(bench, data, listen), SERVER_CORE, None, &log)
}
