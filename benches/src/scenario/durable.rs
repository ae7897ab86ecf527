//! Durable rooms: their fan-out, and publishing with a number in flight over a few connections, each acknowledged
//! `local`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{STALL, Start, TICK, fanout};
use crate::contest::{PUBLICATION, contestant, duel, row};
use crate::contestant::{Contestant, Turn};
use crate::machine::fsync_time;
use crate::peers::{self, Bench, Peer};
use crate::report::{self, Row, Spread, Target};
use crate::wire;

/// Connections that publish. One would measure how fast a single session is read.
const PUBLISHERS: usize = 8;

/// What an acknowledgement of a stored publication holds.
const ACK: &[u8] = br#""ack":"local""#;

/// Publications in flight and their size.
const IN_FLIGHT: usize = 256;
const BYTES: usize = 256;

/// A durable room is no dearer than a live one once it is on the disk.
pub(crate) fn fan_out(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let subscribers = bench.options.subscribers;
    let durable = peers::parlor_durable();
    let mut contestants = vec![
        contestant(bench, peer, peer.fanout.as_ref(), subscribers)?,
        contestant(bench, &durable, durable.fanout.as_ref(), subscribers)?,
    ];
    let turns = duel(bench, &mut contestants, |c, length| fanout::turn(c, 8, PUBLICATION, length))?;
    // No dearer, within what the host's noise leaves of two equal programs.
    let target = Some(Target::AtMost(1.10));
    Ok(vec![Row { target, ..row("durable-fanout", &contestants, &turns, 0, "deliveries/s") }])
}

/// How many publications a second are on the disk.
pub(crate) fn publish(bench: &Bench, peer: &Peer) -> Result<Vec<Row>> {
    if peer.name != "parlor" {
        return Ok(Vec::new());
    }
    let subject = peers::parlor_durable();
    let mut contestants = [contestant(bench, &subject, subject.fanout.as_ref(), PUBLISHERS)?];
    let fsync = fsync_time(&bench.scratch)?;
    let turns = duel(bench, &mut contestants, |c, length| turn(c, IN_FLIGHT, BYTES, length))?;
    let mut columns = report::columns(&turns[0], "publications/s");
    columns.push(("us an fsync", fsync.as_micros().to_string()));
    Ok(vec![Row {
        scenario: "durable-publish",
        server: subject.name.into(),
        bound: "1,000 publications/s".into(),
        ratio: Spread::of(turns[0].iter().map(|turn| turn.rate() / 1e3)),
        // Only where an fsync takes a millisecond at most.
        target: (fsync <= Duration::from_millis(1)).then_some(Target::AtLeast(20.0)),
        columns,
        raw: report::raw_turns(&turns[0]),
    }])
}

/// One turn: units are acknowledged publications. Publishers subscribe too, so deliveries are received, and
/// must be, but are not counted.
fn turn(contestant: &mut Contestant, in_flight: usize, bytes: usize, length: Duration) -> Result<Turn> {
    let start = Start::of(contestant);
    let end = Instant::now() + length;
    let publishers = contestant.swarm.len();
    let message = contestant.swarm.client.publish(0, bytes);
    for number in 0..in_flight {
        contestant.swarm.send(number % publishers, &message);
    }
    contestant.swarm.flush();
    let (mut acknowledged, mut waiting, mut wrong) = (0, in_flight, 0);
    let mut done = Vec::new();
    let mut progress = Instant::now();
    while waiting > 0 {
        let swarm = &mut contestant.swarm;
        swarm.turn(TICK, |connection, payload| {
            if payload.starts_with(br#"{"type":"published""#) {
                wrong += u64::from(memchr::memmem::find(payload, ACK).is_none());
                done.push(connection);
                return true;
            }
            wire::number(payload).is_some()
        })?;
        swarm.check()?;
        let now = Instant::now();
        acknowledged += done.len() as u64;
        if !done.is_empty() {
            progress = now;
        } else if now - progress > STALL {
            bail!("{waiting} publications were never acknowledged");
        }
        if now < end {
            done.drain(..).for_each(|connection| swarm.send(connection, &message));
            swarm.flush();
        } else {
            waiting -= done.len();
            done.clear();
        }
    }
    if wrong > 0 {
        bail!("{wrong} acknowledgements were not `local`");
    }
    Ok(start.end(contestant, acknowledged))
}
