//! Durable publishing: a number of publications in flight over a few connections, each acknowledged `local`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{STALL, Start, TICK};
use crate::contestant::{Contestant, Turn};
use crate::wire;

/// Connections that publish. One would measure how fast a single session is read.
pub(crate) const PUBLISHERS: usize = 8;

/// What an acknowledgement of a stored publication holds.
const ACK: &[u8] = br#""ack":"local""#;

/// One turn: units are acknowledged publications. Publishers subscribe too, so deliveries are received, and
/// must be, but are not counted.
pub(crate) fn turn(
    contestant: &mut Contestant,
    in_flight: usize,
    bytes: usize,
    length: Duration,
) -> Result<Turn> {
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
