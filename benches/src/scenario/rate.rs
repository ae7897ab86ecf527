//! Fan-out, open loop: publications at a fixed rate, latency from the moment that each was due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{STALL, Start};
use crate::contestant::{Contestant, Turn};
use crate::histogram::Histogram;
use crate::wire;

/// One turn at `rate` publications a second. The generator has a core of its own and looks at the clock all
/// the time, so that a due time is not rounded to the milliseconds of epoll. `beside` happens again and again
/// meanwhile.
pub(crate) fn turn(
    contestant: &mut Contestant,
    rate: f64,
    bytes: usize,
    length: Duration,
    latency: &mut Histogram,
    mut beside: impl FnMut() -> Result<()>,
) -> Result<Turn> {
    let before = contestant.tracker.deliveries;
    let start = Start::of(contestant);
    let started = Instant::now();
    let total = (rate * length.as_secs_f64()).round().max(1.0) as u32;
    let mut first = None;
    let mut due: VecDeque<Instant> = VecDeque::new();
    let mut sent = 0;
    let mut progress = started;
    while sent < total || contestant.tracker.in_flight() > 0 {
        let now = Instant::now();
        while sent < total && started + Duration::from_secs_f64(f64::from(sent) / rate) <= now {
            due.push_back(started + Duration::from_secs_f64(f64::from(sent) / rate));
            first.get_or_insert(contestant.tracker.next());
            contestant.publish(bytes);
            sent += 1;
        }
        contestant.swarm.flush();
        let Contestant { swarm, tracker, .. } = contestant;
        let wait = if sent < total { Duration::ZERO } else { Duration::from_millis(1) };
        let events = swarm.turn(wait, |connection, payload| {
            let Some(number) = wire::number(payload) else { return false };
            let number = tracker.receive(connection, number);
            let place = first.and_then(|first| usize::try_from(number.checked_sub(first)?).ok());
            if let Some(due) = place.and_then(|place| due.get(place)) {
                latency.add(due.elapsed().as_micros() as u64);
            }
            true
        })?;
        swarm.check()?;
        beside()?;
        tracker.complete();
        if events > 0 {
            progress = Instant::now();
        } else if sent == total && progress.elapsed() > STALL {
            tracker.give_up();
        }
    }
    let units = contestant.tracker.deliveries - before;
    Ok(start.end(contestant, units))
}
