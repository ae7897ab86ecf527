//! Socket.IO beside the raw limit and beside Parlor's own protocol: fan-out, long polling, idle connections.

use anyhow::Result;

use crate::clients::Client;
use crate::contest::{PUBLICATION, contestant, duel, fitting_limit, is_parlor, row};
use crate::peers::{self, Bench, Peer};
use crate::report::{Row, Target};
use crate::scenario::{fanout, idle};
use crate::transports::{POLLERS, per_cpu_second};

/// The event that the application relays to its room.
const PUBLISH: &str = "publish";

/// Beside the limit that fits, and beside Parlor's own fan-out of the same payload: Socket.IO may cost its bytes.
pub(crate) fn fan_out(bench: &Bench, peer: &Peer, in_flight: usize) -> Result<Vec<Row>> {
    if !peer.socket_io {
        return Ok(Vec::new());
    }
    let name = if in_flight == 1 { "socketio-fanout-1" } else { "socketio-fanout-8" };
    let subscribers = bench.options.subscribers;
    let (limit, parlor) = (fitting_limit(in_flight), peers::parlor());
    let mut contestants = [
        contestant(bench, &limit, limit.fanout.as_ref(), subscribers)?,
        contestant(bench, &parlor, parlor.fanout.as_ref(), subscribers)?,
        contestant(bench, peer, Some(&Client::socket_io(PUBLISH)), subscribers)?,
    ];
    let turns = duel(bench, &mut contestants, |c, length| fanout::turn(c, in_flight, PUBLICATION, length))?;
    let beside = |bound| row(name, &contestants, &turns, bound, "deliveries/s");
    Ok(vec![beside(0), Row { target: is_parlor(peer).then_some(Target::AtMost(1.10)), ..beside(1) }])
}

/// Everyone polls but the publisher, who has a WebSocket. With one in flight every delivery is a poll of its own;
/// with eight, what waits for a poll may leave in one answer.
pub(crate) fn poll(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if !peer.socket_io {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    for (name, in_flight) in [("socketio-poll-1", 1), ("socketio-poll-8", 8)] {
        let limit = fitting_limit(in_flight);
        let mut contestants = [
            contestant(bench, &limit, limit.polls.as_ref(), POLLERS + 1)?,
            contestant(bench, peer, peer.polls.as_ref(), POLLERS + 1)?,
        ];
        let turns =
            duel(bench, &mut contestants, |c, length| fanout::turn(c, in_flight, PUBLICATION, length))?;
        let mut row = row(name, &contestants, &turns, 0, "deliveries/s");
        row.columns.push(per_cpu_second(&turns[1]));
        rows.push(row);
    }
    Ok(rows)
}

pub(crate) fn keep_idle(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if !peer.socket_io {
        return Ok(Vec::new());
    }
    let client = Client::socket_io(PUBLISH);
    let rows = idle::rows(bench, peer, &client, ["socketio-idle", "socketio-connects"])?;
    Ok(rows.into())
}
