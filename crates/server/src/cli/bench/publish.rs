//! Stored messages: how many are acknowledged, and how long an ack takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parlor_client::Address;
use parlor_client::wire::ServerMessage;

use super::measure::{Busy, Latency, Report};
use super::swarm;

pub(super) async fn run(
    server: &Address,
    room: &str,
    window: usize,
    size: usize,
    length: Duration,
) -> Result<Report> {
    let Some(mut socket) = swarm::open(server, 1, None).await?.pop() else { bail!("no publisher") };
    let command =
        format!(r#"{{"type":"publish","id":1,"room":"{room}","data":"{}","echo":false}}"#, "x".repeat(size));
    let busy = Busy::start();
    let started = Instant::now();
    let mut latency = Latency::new()?;
    // Acks of one connection come in the order of its publishes.
    let mut sent = VecDeque::with_capacity(window);
    let mut acked = 0u64;
    let mut meaning = String::new();
    loop {
        let running = started.elapsed() < length;
        while running && sent.len() < window {
            sent.push_back(Instant::now());
            socket.queue_text(&command);
        }
        if sent.is_empty() {
            break;
        }
        if let ServerMessage::Published(published) = swarm::next(&mut socket).await? {
            meaning = published.ack;
            acked += 1;
            if let Some(sent) = sent.pop_front() {
                latency.record(sent.elapsed());
            }
        }
    }
    let mut report = Report::new("publish", format!("{size} bytes into {room}, {window} in flight"));
    report.figure("acknowledged", acked as f64 / started.elapsed().as_secs_f64(), "/s");
    report.latency(latency);
    report.note(match meaning.as_str() {
        "local" => "Each ack means: on disk.",
        "memory" => "Each ack means: in memory only.",
        "replicated" => "Each ack means: on several machines.",
        _ => "The room keeps nothing.",
    });
    busy.note().into_iter().for_each(|note| report.note(note));
    Ok(report)
}
