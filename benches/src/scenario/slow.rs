//! What subscribers that never read do to the others: the latency of everybody else, with and without them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::rate;
use crate::clients::Client;
use crate::contest::{PUBLICATION, contestant};
use crate::contestant::Contestant;
use crate::histogram::Histogram;
use crate::peers::{Bench, Peer};
use crate::publisher::Publisher;
use crate::report::{Row, Spread, Target};
use crate::swarm::Swarm;

/// One in this many never reads.
const ONE_IN: usize = 100;

/// Publications a second, so that even ten thousand subscribers leave three quarters of the core idle.
const RATE: f64 = 5.0;

/// A turn is longer than the five seconds after which Parlor cuts whoever takes nothing, so that the cut is in it.
const TURN: Duration = Duration::from_secs(7);

/// A room of the slow ones alone, to fill the system's buffers between them and the server beforehand: a publication
/// of the measured room then finds their sockets full.
const FILL: &str = "live:fill";
const FILL_TARGET: &str = "/ws?room=live:bench&room=live:fill";
const FILL_BYTES: usize = 60 * 1024;

/// At most as much of it: more than a socket's two buffers ever hold.
const FILL_MOST: usize = 32 * 1024 * 1024;

/// This many of it that a socket does not take wait in the server, which cuts nobody for less than 1 MB.
const REFUSED: usize = 3;

/// Within this time a publication has been written to sockets that take it.
const WRITING: Duration = Duration::from_millis(200);

/// Within this time a server that has cut somebody has also closed the socket.
const CLOSING: Duration = Duration::from_secs(3);

pub(crate) fn rows(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let slow = (bench.options.connections / ONE_IN).max(1);
    let mut others = contestant(bench, peer, peer.fanout.as_ref(), bench.options.connections - slow)?;
    let mut filler = Publisher::new(others.server.address, FILL, FILL_BYTES)?;
    let mut pairs = Vec::new();
    for pair in 0..=bench.options.pairs {
        let without = turn(&mut others, slow, None)?;
        let with = turn(&mut others, slow, Some(&mut filler))?;
        // The first is the warm-up.
        if pair > 0 {
            pairs.push([without, with]);
        }
    }
    let p99 = |h: &Histogram| h.quantile(0.99) as f64;
    let milliseconds = |of: usize, q| {
        let mut all = Histogram::default();
        pairs.iter().for_each(|pair| all.merge(&pair[of]));
        format!("{:.1}", all.quantile(q) as f64 / 1e3)
    };
    let each = |pair: &[Histogram; 2]| {
        let quantiles = |h: &Histogram| [h.quantile(0.5), h.quantile(0.99), h.largest()];
        json!({"without_us": quantiles(&pair[0]), "with_us": quantiles(&pair[1])})
    };
    Ok(vec![Row {
        scenario: "slow-readers",
        server: format!("{}, {} of {}", peer.name, slow, bench.options.connections),
        bound: "p99 without them".into(),
        ratio: Spread::of(pairs.iter().map(|[without, with]| p99(with) / p99(without))),
        target: Some(Target::AtMost(1.10)),
        columns: vec![
            ("ms p50 without", milliseconds(0, 0.5)),
            ("ms p50 with", milliseconds(1, 0.5)),
            ("ms p99 without", milliseconds(0, 0.99)),
            ("ms p99 with", milliseconds(1, 0.99)),
            ("lost", others.tracker.lost.to_string()),
            ("out of order", others.tracker.reordered.to_string()),
        ],
        raw: pairs.iter().map(each).collect(),
    }])
}

/// One turn with as many more subscribers, who read, or never do and whose sockets the filler has filled.
fn turn(others: &mut Contestant, slow: usize, filler: Option<&mut Publisher>) -> Result<Histogram> {
    let mut more = Swarm::new(others.server.address, Client::native(FILL_TARGET, FILL))?;
    more.open(slow, 64)?;
    let read = filler.is_none();
    if let Some(filler) = filler {
        fill(others, filler, slow)?;
    }
    others.swarm.settle(Duration::from_millis(400))?;
    let mut latency = Histogram::default();
    rate::turn(others, RATE, PUBLICATION, TURN, &mut latency, || {
        if read {
            more.turn(Duration::ZERO, |_, payload| crate::wire::number(payload).is_some())?;
            more.check()?;
        }
        Ok(())
    })?;
    if !read {
        // They read only now, to see that it is over.
        let cut = more.until_closed(CLOSING)?;
        if cut < slow {
            bail!("only {cut} of {slow} that never read were cut");
        }
    }
    Ok(latency)
}

/// Publishes to the slow ones until their sockets take nothing more.
fn fill(others: &mut Contestant, filler: &mut Publisher, slow: usize) -> Result<()> {
    // Between two fills nobody has answered its pings.
    filler.return_to(others.server.address)?;
    let enough = (slow * FILL_BYTES / 2) as u64;
    let mut refused = 0;
    for _ in 0..FILL_MOST / FILL_BYTES {
        let before = others.server.unread();
        filler.publish().context("filling the sockets of those who never read")?;
        let limit = Instant::now() + WRITING;
        while others.server.unread() < before + enough && Instant::now() < limit {
            others.swarm.turn(Duration::from_millis(10), |_, _| false)?;
        }
        refused += usize::from(Instant::now() >= limit);
        if refused == REFUSED {
            return Ok(());
        }
    }
    bail!("those who never read took {} MB each", FILL_MOST >> 20)
}
