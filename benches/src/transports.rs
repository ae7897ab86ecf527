//! Server-sent events beside Parlor's own WebSockets, and long polling beside everyone who does it.

use anyhow::Result;

use crate::contest::{PUBLICATION, between, contestant, duel, fitting_limit};
use crate::contestant::{Contestant, Turn};
use crate::peers::{self, Bench, Peer};
use crate::report::{Row, Spread, Target};
use crate::scenario::fanout;

/// Subscribers that poll: a request for every delivery to each is dear enough for a measurable second.
pub(crate) const POLLERS: usize = 200;

/// The publisher of `fanout-1` and `fanout-8`; everybody else listens to events. Each server stands beside the
/// limit, whose frames are events, and beside Parlor's WebSockets in a room of the same kind.
pub(crate) fn events(bench: &Bench, peer: &Peer, in_flight: usize) -> Result<Vec<Row>> {
    if peer.events.is_none() || is_limit(peer) {
        return Ok(Vec::new());
    }
    let name = if in_flight == 1 { "sse-1" } else { "sse-8" };
    let (limit, parlor, durable) = (fitting_limit(in_flight), peers::parlor(), peers::parlor_durable());
    let mut pairs = vec![(&parlor, peer)];
    if peer.name == parlor.name {
        pairs.push((&durable, &durable));
    }
    let subscribers = bench.options.subscribers;
    let mut rows = Vec::new();
    for (sockets, peer) in pairs {
        let mut contestants = [
            contestant(bench, &limit, limit.events.as_ref(), subscribers)?,
            contestant(bench, sockets, sockets.fanout.as_ref(), subscribers)?,
            contestant(bench, peer, peer.events.as_ref(), subscribers)?,
        ];
        contestants[1].name += " (WebSocket)";
        let turns =
            duel(bench, &mut contestants, |c, length| fanout::turn(c, in_flight, PUBLICATION, length))?;
        let beside = |bound| between(name, &contestants, &turns, [2, bound], "deliveries/s");
        let target = (sockets.name == peer.name).then_some(Target::AtMost(1.10));
        rows.extend([beside(0), Row { target, ..beside(1) }]);
    }
    Ok(rows)
}

/// Parlor's two kinds of rooms, nchan and Node's `socket.io`, all in one run: a row for each beside the limit, and
/// for Parlor beside the other two.
pub(crate) fn long_poll(bench: &Bench, peer: &Peer, in_flight: usize) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let name = if in_flight == 1 { "longpoll-1" } else { "longpoll-8" };
    let limit = fitting_limit(in_flight);
    let mut contestants = vec![contestant(bench, &limit, limit.polls.as_ref(), POLLERS + 1)?];
    contestants.extend(others(bench));
    let first = contestants.len();
    for parlor in [peer, &peers::parlor_durable()] {
        contestants.push(contestant(bench, parlor, parlor.polls.as_ref(), POLLERS + 1)?);
    }
    let turns = duel(bench, &mut contestants, |c, length| fanout::turn(c, in_flight, PUBLICATION, length))?;
    let mut rows = Vec::new();
    for subject in 1..contestants.len() {
        for bound in 0..if subject < first { 1 } else { first } {
            let mut row = between(name, &contestants, &turns, [subject, bound], "deliveries/s");
            row.target = (bound > 0).then_some(Target::AtMost(0.7));
            row.columns.push(per_cpu_second(&turns[subject]));
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Those of the others that are wanted and can be had.
fn others(bench: &Bench) -> Vec<Contestant> {
    let wanted =
        |peer: &Peer| matches!(peer.name, "nchan" | "socket.io") && bench.options.wants_server(peer.name);
    let mut found = Vec::new();
    for other in peers::others().iter().filter(|peer| wanted(peer)) {
        let started =
            other.install(bench).and_then(|()| contestant(bench, other, other.polls.as_ref(), POLLERS + 1));
        match started {
            Ok(contestant) => found.push(contestant),
            Err(error) => println!("{:18} {:24} skipped: {error:#}", "", other.name),
        }
    }
    found
}

/// What the server does with a second of its core.
pub(crate) fn per_cpu_second(turns: &[Turn]) -> (&'static str, String) {
    let rate = Spread::of(turns.iter().map(|turn| 1e6 / turn.micros_each()));
    ("deliveries/CPU s", format!("{:.0}", rate.median))
}

fn is_limit(peer: &Peer) -> bool {
    peer.name == peers::raw_limit().name
}
