//! The harness: starts bound and subject, gives them turns one after the other, compares them pair by pair.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::clients::Client;
use crate::contestant::{Contestant, Turn};
use crate::histogram::Histogram;
use crate::machine::Machine;
use crate::options::{Options, USAGE};
use crate::peers::{self, Bench, Peer};
use crate::report::{self, Row, Spread, Target};
use crate::scenario::{durable, echo, fanout, idle, rate, resume, slow};
use crate::{socketio, transports};

/// The servers' core and the generator's.
pub(crate) const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";

/// Bytes of a publication and of an echo.
pub(crate) const PUBLICATION: usize = 128;
const ECHO: usize = 64;
const ECHO_CONNECTIONS: usize = 100;

/// Before the first turn of each server: caches, branch predictors, JIT compilers.
const WARM_UP: Duration = Duration::from_millis(300);

type Scenario = (&'static str, &'static str, fn(&Bench, &Peer) -> Result<Vec<Row>>);

const SCENARIOS: &[Scenario] = &[
    ("fanout-1", "fan-out, one publication in flight", |bench, peer| fan_out(bench, peer, 1)),
    ("fanout-8", "fan-out, eight in flight", |bench, peer| fan_out(bench, peer, 8)),
    ("echo", "100 connections, 64 bytes back and forth", run_echo),
    ("idle", "opening and keeping idle connections", run_idle),
    ("rate-50", "latency at 50 publications a second", |bench, peer| run_rate(bench, peer, "rate-50", 50.0)),
    ("rate-200", "latency at 200 publications a second", |bench, peer| {
        run_rate(bench, peer, "rate-200", 200.0)
    }),
    ("durable-fanout", "fan-out of a durable room beside a live one", durable::fan_out),
    ("durable-publish", "publications on the disk, 256 in flight", durable::publish),
    ("socketio-fanout-1", "Socket.IO fan-out, one in flight", |bench, peer| {
        socketio::fan_out(bench, peer, 1)
    }),
    ("socketio-fanout-8", "Socket.IO fan-out, eight in flight", |bench, peer| {
        socketio::fan_out(bench, peer, 8)
    }),
    ("socketio-poll", "Socket.IO fan-out to 200 that poll over HTTP", socketio::poll),
    ("socketio-idle", "keeping idle Socket.IO connections", socketio::keep_idle),
    ("sse-1", "fan-out over server-sent events, one in flight", |bench, peer| {
        transports::events(bench, peer, 1)
    }),
    ("sse-8", "fan-out over server-sent events, eight in flight", |bench, peer| {
        transports::events(bench, peer, 8)
    }),
    ("longpoll-1", "fan-out to 200 that long poll, one in flight", |bench, peer| {
        transports::long_poll(bench, peer, 1)
    }),
    ("longpoll-8", "fan-out to 200 that long poll, eight in flight", |bench, peer| {
        transports::long_poll(bench, peer, 8)
    }),
    ("resume", "everybody comes back at once after a kill", resume::rows),
    ("slow-readers", "latency beside subscribers that never read", slow::rows),
    ("two-workers", "fan-out, eight in flight, the server on both cores", two_workers),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    if options.help {
        print!("{USAGE}");
        return Ok(());
    }
    if options.list {
        for peer in all_peers() {
            println!("server    {}", peer.name);
        }
        for (name, what, _) in SCENARIOS {
            println!("scenario  {name:18} {what}");
        }
        return Ok(());
    }
    pin(args)?;
    let bench = place(options)?;
    let machine = Machine::read(&bench.root);
    println!(
        "{} ({} cores), Linux {}, commit {}",
        machine.cpu, machine.cores, machine.kernel, machine.commit
    );
    println!(
        "servers on core {SERVER_CORE}, generator on core {GENERATOR_CORE}; {} turns of {} s; {} subscribers, {PUBLICATION} bytes; \
         the raw limit's frame holds {}",
        bench.options.pairs, bench.options.seconds, bench.options.subscribers, bench.options.frame_bytes
    );
    let rows = contests(&bench);
    if bench.options.save && !rows.is_empty() {
        let settings = json!({
            "pairs": bench.options.pairs, "seconds": bench.options.seconds, "subscribers": bench.options.subscribers,
            "connections": bench.options.connections, "frame_bytes": bench.options.frame_bytes,
        });
        let path = report::save(&bench.root.join("benches/results"), &machine, settings, &rows)?;
        println!("\nraw results: {}", path.strip_prefix(&bench.root).unwrap_or(&path).display());
    }
    if rows.is_empty() {
        bail!("nothing was measured");
    }
    Ok(())
}

fn contests(bench: &Bench) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for peer in all_peers().iter().filter(|peer| bench.options.wants_server(peer.name)) {
        if let Err(error) = peer.install(bench) {
            println!("{:18} {:24} skipped: {error:#}", "", peer.name);
            continue;
        }
        for (name, _, run) in SCENARIOS.iter().filter(|(name, ..)| bench.options.wants_scenario(name)) {
            match run(bench, peer) {
                Ok(new) => {
                    new.iter().for_each(|row| println!("{}", row.line()));
                    rows.extend(new);
                }
                Err(error) => println!("{name:18} {:24} failed: {error:#}", peer.name),
            }
        }
    }
    rows
}

fn all_peers() -> Vec<Peer> {
    let mut all = vec![peers::parlor(), peers::parlor_echo(), peers::parlor_socketio(), peers::raw_limit()];
    all.extend(peers::others());
    all
}

/// Starts this program again on the generator's core, with as many files as one process may have.
fn pin(args: &[String]) -> Result<()> {
    const DONE: &str = "PARLOR_BENCH_PINNED";
    if std::env::var_os(DONE).is_some() {
        return Ok(());
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("two cores are needed: one for the server, one for the generator");
    }
    let script = format!("ulimit -n $(ulimit -Hn); exec taskset -c {GENERATOR_CORE} \"$0\" \"$@\"");
    let mut again = Command::new("sh");
    again.args(["-c", &script]).arg(std::env::current_exe()?).arg("duel").args(args).env(DONE, "1");
    Err(again.exec()).context("cannot start again under taskset")
}

fn place(options: Options) -> Result<Bench> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().context("no checkout")?.to_path_buf();
    let built = std::env::current_exe()?.parent().context("no folder")?.to_path_buf();
    let scratch = built.parent().context("no target folder")?.join("bench");
    std::fs::create_dir_all(&scratch)?;
    Ok(Bench { options, root, built, scratch })
}

/// Turns by turns: every contestant once, then again. What is idle still answers pings.
pub(crate) fn duel(
    bench: &Bench,
    contestants: &mut [Contestant],
    mut turn: impl FnMut(&mut Contestant, Duration) -> Result<Turn>,
) -> Result<Vec<Vec<Turn>>> {
    let length = Duration::from_secs_f64(bench.options.seconds);
    let mut turns = vec![Vec::new(); contestants.len()];
    for pair in 0..=bench.options.pairs {
        for index in 0..contestants.len() {
            let warm_up = pair == 0;
            let contestant = &mut contestants[index];
            let done = turn(contestant, if warm_up { WARM_UP } else { length })
                .with_context(|| format!("a turn of {}", contestant.name))?;
            if !warm_up {
                turns[index].push(done);
            }
            contestants.iter_mut().try_for_each(|c| c.swarm.turn(Duration::ZERO, |_, _| false).map(drop))?;
        }
    }
    Ok(turns)
}

pub(crate) fn contestant(
    bench: &Bench,
    peer: &Peer,
    client: Option<&Client>,
    connections: usize,
) -> Result<Contestant> {
    let client = client.with_context(|| format!("{} does not do this", peer.name))?.clone();
    Contestant::new(peer.name, peer.start(bench, SERVER_CORE)?, client, connections)
}

/// A row for the last contestant, beside the one at `bound`.
pub(crate) fn row(
    scenario: &'static str,
    contestants: &[Contestant],
    turns: &[Vec<Turn>],
    bound: usize,
    unit: &'static str,
) -> Row {
    between(scenario, contestants, turns, [contestants.len() - 1, bound], unit)
}

/// A row for one contestant beside another.
pub(crate) fn between(
    scenario: &'static str,
    contestants: &[Contestant],
    turns: &[Vec<Turn>],
    [subject, bound]: [usize; 2],
    unit: &'static str,
) -> Row {
    let pairs = turns[subject].iter().zip(&turns[bound]);
    Row {
        scenario,
        server: contestants[subject].name.clone(),
        bound: contestants[bound].name.clone(),
        ratio: Spread::of(pairs.map(|(mine, bound)| mine.micros_each() / bound.micros_each())),
        target: None,
        columns: report::columns(&turns[subject], unit),
        raw: json!({"subject": report::raw_turns(&turns[subject]), "bound": report::raw_turns(&turns[bound])}),
    }
}

/// The limit that joins writes only where there is something to join.
pub(crate) fn fitting_limit(in_flight: usize) -> Peer {
    if in_flight == 1 { peers::raw_limit() } else { peers::batching_limit() }
}

pub(crate) fn is_parlor(peer: &Peer) -> bool {
    peer.name.starts_with("parlor")
}

fn fan_out(bench: &Bench, peer: &Peer, in_flight: usize) -> Result<Vec<Row>> {
    if peer.fanout.is_none() {
        return Ok(Vec::new());
    }
    let subscribers = bench.options.subscribers;
    let mut contestants = Vec::new();
    let limit = peers::raw_limit();
    contestants.push(contestant(bench, &limit, limit.fanout.as_ref(), subscribers)?);
    if in_flight > 1 {
        let batching = peers::batching_limit();
        contestants.push(contestant(bench, &batching, batching.fanout.as_ref(), subscribers)?);
    }
    contestants.push(contestant(bench, peer, peer.fanout.as_ref(), subscribers)?);
    let turns = duel(bench, &mut contestants, |c, length| fanout::turn(c, in_flight, PUBLICATION, length))?;
    let unit = "deliveries/s";
    if in_flight == 1 {
        let target = is_parlor(peer).then_some(Target::AtMost(1.15));
        return Ok(vec![Row { target, ..row("fanout-1", &contestants, &turns, 0, unit) }]);
    }
    let target = is_parlor(peer).then_some(Target::AtMost(1.40));
    Ok(vec![
        row("fanout-8", &contestants, &turns, 0, unit),
        Row { target, ..row("fanout-8", &contestants, &turns, 1, unit) },
    ])
}

fn run_echo(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.echo.is_none() {
        return Ok(Vec::new());
    }
    let limit = peers::raw_limit();
    let mut contestants = vec![
        contestant(bench, &limit, limit.echo.as_ref(), ECHO_CONNECTIONS)?,
        contestant(bench, peer, peer.echo.as_ref(), ECHO_CONNECTIONS)?,
    ];
    let turns = duel(bench, &mut contestants, |c, length| echo::turn(c, ECHO, length))?;
    let target = is_parlor(peer).then_some(Target::AtMost(1.15));
    Ok(vec![Row { target, ..row("echo", &contestants, &turns, 0, "echoes/s") }])
}

fn run_idle(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    let Some(client) = &peer.idle else { return Ok(Vec::new()) };
    let [memory, connects] = idle::rows(bench, peer, client, ["idle-memory", "idle-connects"])?;
    let target = is_parlor(peer).then_some(Target::AtLeast(0.5));
    Ok(vec![memory, Row { target, ..connects }])
}

fn run_rate(bench: &Bench, peer: &Peer, name: &'static str, per_second: f64) -> Result<Vec<Row>> {
    let limit = peers::raw_limit();
    if peer.fanout.is_none() || bench.options.quick || peer.name == limit.name {
        return Ok(Vec::new());
    }
    let subscribers = bench.options.subscribers;
    let mut contestants = vec![
        contestant(bench, &limit, limit.fanout.as_ref(), subscribers)?,
        contestant(bench, peer, peer.fanout.as_ref(), subscribers)?,
    ];
    let mut latency = [Histogram::default(), Histogram::default()];
    let turns = duel(bench, &mut contestants, |c, length| {
        let mine = usize::from(c.name == peer.name && c.name != limit.name);
        let mut histogram = Histogram::default();
        let done = rate::turn(c, per_second, PUBLICATION, length, &mut histogram, || Ok(()))?;
        // The warm-up is not part of the latency.
        if length != WARM_UP {
            latency[mine].merge(&histogram);
        }
        Ok(done)
    })?;
    let mut row = row(name, &contestants, &turns, 0, "deliveries/s");
    let milliseconds = |h: &Histogram| {
        let quantiles = [h.quantile(0.5), h.quantile(0.99), h.largest()];
        quantiles.map(|micros| format!("{:.1}", micros as f64 / 1e3)).join(" / ")
    };
    row.columns.push(("ms p50 / p99 / max", milliseconds(&latency[1])));
    row.columns.push(("ms of the raw limit", milliseconds(&latency[0])));
    Ok(vec![row])
}

fn two_workers(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let subscribers = bench.options.subscribers;
    let limit = peers::batching_limit();
    let client = peer.fanout.clone().context("parlor does fan-out")?;
    let server = peer.start(bench, &format!("{SERVER_CORE},{GENERATOR_CORE}"))?;
    let mut contestants = [
        contestant(bench, &limit, limit.fanout.as_ref(), subscribers)?,
        Contestant::new("parlor, two workers", server, client, subscribers)?,
    ];
    let turns = duel(bench, &mut contestants, |c, length| fanout::turn(c, 8, PUBLICATION, length))?;
    Ok(vec![row("two-workers", &contestants, &turns, 0, "deliveries/s")])
}
