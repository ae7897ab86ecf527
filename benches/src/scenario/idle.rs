//! Idle connections: how fast they open, what opening costs, what the server keeps in memory for each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::clients::Client;
use crate::contest::{SERVER_CORE, is_parlor};
use crate::peers::{self, Bench, Peer};
use crate::report::{Row, Spread, Target};
use crate::server::Server;
use crate::swarm::Swarm;

/// Rounds of opening; each needs fresh servers.
const ROUNDS: usize = 3;

/// Handshakes in flight while opening, as from clients that come back after a restart.
const IN_FLIGHT: usize = 64;

/// Long enough for presence announcements, timers that start late and allocators that give back.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Idle {
    resident_each: f64,
    cpu_micros_each: f64,
    opened_per_second: f64,
}

/// Two rows: what an idle connection holds, and how fast such connections open beside the limit's.
pub(crate) fn rows(
    bench: &Bench,
    peer: &Peer,
    client: &Client,
    names: [&'static str; 2],
) -> Result<[Row; 2]> {
    let connections =
        if peer.slow_to_connect { 3_000.min(bench.options.connections) } else { bench.options.connections };
    let limit = peers::raw_limit();
    let (mut cpu, mut speed) = (Vec::new(), Vec::new());
    let (mut rounds, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bound = limit.idle.clone().context("the raw limit keeps idle connections")?;
        let bound = open(&limit.start(bench, SERVER_CORE)?, bound, connections)?;
        let subject = open(&peer.start(bench, SERVER_CORE)?, client.clone(), connections)?;
        cpu.push(subject.cpu_micros_each / bound.cpu_micros_each);
        speed.push(subject.opened_per_second / bound.opened_per_second);
        raw.push(json!({
            "resident": subject.resident_each, "cpu_us": subject.cpu_micros_each, "per_second": subject.opened_per_second,
            "bound_cpu_us": bound.cpu_micros_each, "bound_per_second": bound.opened_per_second,
        }));
        rounds.push(subject);
    }
    let spread = |of: fn(&Idle) -> f64| Spread::of(rounds.iter().map(of));
    let resident = spread(|round| round.resident_each);
    let columns = vec![
        ("connects/s", format!("{:.0}", spread(|round| round.opened_per_second).median)),
        ("us a connect", format!("{:.1}", spread(|round| round.cpu_micros_each).median)),
        ("x its CPU", format!("{:.2}", Spread::of(cpu).median)),
        ("bytes each", format!("{:.0}", resident.median)),
    ];
    let row = |scenario, bound: &str, ratio, target, columns| Row {
        scenario,
        server: peer.name.into(),
        bound: bound.into(),
        ratio,
        target,
        columns,
        raw: json!(raw),
    };
    let target = is_parlor(peer).then_some(Target::AtMost(2048.0));
    Ok([
        row(names[0], "bytes a connection", resident, target, Vec::new()),
        row(names[1], limit.name, Spread::of(speed), None, columns),
    ])
}

/// Opens `count` connections on a fresh server.
fn open(server: &Server, client: Client, count: usize) -> Result<Idle> {
    // The first connection pays for what is made once.
    let mut first = Swarm::new(server.address, client.clone())?;
    first.open(1, 1)?;
    first.settle(Duration::from_millis(300))?;
    let (memory, cpu) = (server.resident(), server.cpu());
    let mut swarm = Swarm::new(server.address, client)?;
    let took = swarm.open(count, IN_FLIGHT)?;
    let spent = server.cpu().since(cpu);
    swarm.settle(QUIET)?;
    let each = count as f64;
    Ok(Idle {
        resident_each: server.resident().saturating_sub(memory) as f64 / each,
        cpu_micros_each: spent.total as f64 / 1e3 / each,
        opened_per_second: each / took.as_secs_f64(),
    })
}
