//! Fan-out, closed loop: a number of publications in flight, each replaced once every subscriber has it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{STALL, Start, TICK};
use crate::contestant::{Contestant, Turn};
use crate::wire;

/// One turn. Publications that became due in the same pass of the loop leave in one write, as they would
/// from one busy publisher.
pub(crate) fn turn(
    contestant: &mut Contestant,
    in_flight: usize,
    bytes: usize,
    length: Duration,
) -> Result<Turn> {
    let before = contestant.tracker.deliveries;
    let start = Start::of(contestant);
    let end = Instant::now() + length;
    (0..in_flight).for_each(|_| contestant.publish(bytes));
    contestant.swarm.flush();
    let mut progress = Instant::now();
    while contestant.tracker.in_flight() > 0 {
        let Contestant { swarm, tracker, .. } = contestant;
        let events = swarm.turn(TICK, |connection, payload| {
            let number = wire::number(payload);
            if let Some(number) = number {
                tracker.receive(connection, number);
            }
            number.is_some()
        })?;
        swarm.check()?;
        let now = Instant::now();
        let done = tracker.complete();
        if now < end {
            (0..done).for_each(|_| contestant.publish(bytes));
            contestant.swarm.flush();
        }
        if events > 0 {
            progress = now;
        } else if now - progress > STALL {
            contestant.tracker.give_up();
        }
    }
    let units = contestant.tracker.deliveries - before;
    Ok(start.end(contestant, units))
}
