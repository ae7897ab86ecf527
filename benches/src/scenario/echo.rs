//! Echo, closed loop: every connection has one message in flight and sends the next when it is back.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{STALL, Start, TICK};
use crate::contestant::{Contestant, Turn};
use crate::wire;

pub(crate) fn turn(contestant: &mut Contestant, bytes: usize, length: Duration) -> Result<Turn> {
    let start = Start::of(contestant);
    let end = Instant::now() + length;
    let message = contestant.swarm.client.publish(0, bytes);
    let connections = contestant.swarm.len();
    (0..connections).for_each(|connection| contestant.swarm.send(connection, &message));
    contestant.swarm.flush();
    let (mut echoes, mut in_flight) = (0, connections);
    let mut back = Vec::with_capacity(connections);
    let mut progress = Instant::now();
    while in_flight > 0 {
        let swarm = &mut contestant.swarm;
        swarm.turn(TICK, |connection, payload| {
            let ours = wire::number(payload).is_some();
            if ours {
                back.push(connection);
            }
            ours
        })?;
        swarm.check()?;
        let now = Instant::now();
        echoes += back.len() as u64;
        if !back.is_empty() {
            progress = now;
        } else if now - progress > STALL {
            contestant.tracker.lost += in_flight as u64;
            break;
        }
        if now < end {
            back.drain(..).for_each(|connection| swarm.send(connection, &message));
            swarm.flush();
        } else {
            in_flight -= back.len();
            back.clear();
        }
    }
    Ok(start.end(contestant, echoes))
}
