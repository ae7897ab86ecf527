//! Fan-out: one publisher, many subscribers of one room; every message is counted, in order, and timed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parlor_client::wire::ServerMessage;
use parlor_client::{Address, Error, Received, Socket};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::super::show::count;
use super::measure::{Busy, Latency, Report};
use super::swarm;

/// What decides when the next message is published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As fast as acks come, with so many outstanding.
    InFlight(usize),
    /// At fixed times, whatever the server does; lateness counts from the time that was meant.
    PerSecond(u32),
}

/// How long messages that are under way at the end are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all subscribers have seen.
#[derive(Debug)]
struct Seen {
    deliveries: u64,
    disorder: u64,
    latency: Latency,
    last: Instant,
}

pub(super) async fn run(
    server: &Address,
    room: &str,
    subscribers: usize,
    size: usize,
    length: Duration,
    pace: Pace,
) -> Result<Report> {
    let sockets = swarm::open(server, subscribers, Some(room)).await?;
    let mut publisher = swarm::open(server, 1, None).await?;
    let Some(publisher) = publisher.pop() else { bail!("no publisher") };
    let started = Instant::now();
    let seen = Seen { deliveries: 0, disorder: 0, latency: Latency::new()?, last: started };
    let seen = Arc::new(Mutex::new(seen));
    let mut receiving = JoinSet::new();
    for socket in sockets {
        receiving.spawn(subscriber(socket, Arc::clone(&seen), started));
    }
    let busy = Busy::start();
    let published = match pace {
        Pace::InFlight(window) => saturate(publisher, room, size, started, length, window).await?,
        Pace::PerSecond(rate) => steady(publisher, room, size, started, length, rate).await?,
    };
    let expected = published * subscribers as u64;
    let end = Instant::now() + PATIENCE;
    let deliveries = || seen.lock().unwrap_or_else(PoisonError::into_inner).deliveries;
    while deliveries() < expected && Instant::now() < end {
        tokio::select! {
            ended = receiving.join_next() => {
                if let Some(ended) = ended {
                    ended??;
                }
            }
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    receiving.abort_all();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let took = (seen.last - started).as_secs_f64();
    let (name, how) = match pace {
        Pace::InFlight(window) => ("fanout", format!("{window} in flight")),
        Pace::PerSecond(rate) => ("rate", format!("{rate} a second")),
    };
    let to = count(subscribers as u64, "subscriber");
    let mut report = Report::new(name, format!("{size} bytes to {to} of {room}, {how}"));
    report.figure("publications", published as f64 / took, "/s");
    report.figure("deliveries", seen.deliveries as f64 / took, "/s");
    report.latency(seen.latency.clone());
    if seen.deliveries < expected || seen.disorder > 0 {
        let lost = expected - seen.deliveries.min(expected);
        report.note(format!(
            "WRONG: {lost} of {expected} deliveries are missing, {} out of order.",
            seen.disorder
        ));
    } else {
        report.note("Nothing was lost, all was in order.");
    }
    busy.note().into_iter().for_each(|note| report.note(note));
    Ok(report)
}

/// The command that publishes message `number`, which carries its number and the time it was meant for.
fn command(room: &str, size: usize, number: u64, meant: Duration) -> String {
    let stamp = format!("{number} {} ", meant.as_nanos());
    let padding = "x".repeat(size.saturating_sub(stamp.len()));
    format!(r#"{{"type":"publish","id":{number},"room":"{room}","data":"{stamp}{padding}"}}"#)
}

async fn saturate(
    mut socket: Socket,
    room: &str,
    size: usize,
    started: Instant,
    length: Duration,
    window: usize,
) -> Result<u64, Error> {
    let (mut sent, mut acked) = (0, 0);
    while started.elapsed() < length {
        while sent - acked < window as u64 {
            sent += 1;
            socket.queue_text(&command(room, size, sent, started.elapsed()));
        }
        acked += u64::from(matches!(swarm::next(&mut socket).await?, ServerMessage::Published(_)));
    }
    while acked < sent {
        acked += u64::from(matches!(swarm::next(&mut socket).await?, ServerMessage::Published(_)));
    }
    Ok(sent)
}

async fn steady(
    mut socket: Socket,
    room: &str,
    size: usize,
    started: Instant,
    length: Duration,
    rate: u32,
) -> Result<u64, Error> {
    let (mut sent, mut acked) = (0u64, 0);
    let meant = |number: u64| Duration::from_secs_f64(number as f64 / f64::from(rate));
    while meant(sent) < length || acked < sent {
        let more = meant(sent) < length;
        tokio::select! {
            answer = swarm::next(&mut socket) => acked += u64::from(matches!(answer?, ServerMessage::Published(_))),
            () = sleep_until((started + meant(sent)).into()), if more => {
                sent += 1;
                socket.queue_text(&command(room, size, sent, meant(sent - 1)));
            }
        }
    }
    Ok(sent)
}

async fn subscriber(mut socket: Socket, seen: Arc<Mutex<Seen>>, started: Instant) -> Result<()> {
    let mut last = 0;
    loop {
        match socket.recv().await {
            Received::Text(text) => {
                let Some((number, meant)) = stamp(&text) else { continue };
                let now = Instant::now();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.deliveries += 1;
                seen.disorder += u64::from(number != last + 1);
                seen.latency.record((now - started).saturating_sub(meant));
                seen.last = now;
                last = number;
            }
            Received::Closed { code, reason } => bail!("a subscriber was cut off: {code} {reason}"),
            _ => {}
        }
    }
}

/// Number and time of a message, cut out of its text: parsing all of it would measure this program.
fn stamp(text: &str) -> Option<(u64, Duration)> {
    let start = memchr::memmem::find(text.as_bytes(), b"\"data\":\"")? + 8;
    let mut words = text.get(start..)?.split(' ');
    let number = words.next()?.parse().ok()?;
    Some((number, Duration::from_nanos(words.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way() {
        let sent = command("live:a", 40, 17, Duration::from_nanos(123_456));
        assert_eq!(sent.len(), r#"{"type":"publish","id":17,"room":"live:a","data":""}"#.len() + 40);
        assert_eq!(stamp(&sent), Some((17, Duration::from_nanos(123_456))));
        assert_eq!(stamp(r#"{"type":"presence","room":"a"}"#), None);
    }
}
