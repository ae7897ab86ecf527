//! Echo: every connection sends, waits for the answer, and sends again.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use parlor_client::wire::ServerMessage;
use parlor_client::{Address, Received, Socket, SocketOptions};
use tokio::task::JoinSet;

use super::super::show::count;
use super::measure::{Busy, Latency, Report};
use super::swarm;

/// Through the native protocol: `ping` and `pong`.
pub(super) async fn pings(server: &Address, connections: usize, length: Duration) -> Result<Report> {
    let sockets = swarm::open(server, connections, None).await?;
    let setting = format!("{} send a ping and wait for the pong", count(connections as u64, "connection"));
    run(sockets, r#"{"type":"ping","id":1}"#.to_owned(), Answer::Pong, length, setting).await
}

/// Through a route that answers every text with itself.
pub(super) async fn raw(url: &Address, connections: usize, size: usize, length: Duration) -> Result<Report> {
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        sockets.push(Socket::open(url, &SocketOptions::default()).await?);
    }
    let connections = count(connections as u64, "connection");
    let setting = format!("{connections} send {size} bytes and wait for the same bytes");
    run(sockets, "x".repeat(size), Answer::Same, length, setting).await
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Pong,
    Same,
}

async fn run(
    sockets: Vec<Socket>,
    text: String,
    answer: Answer,
    length: Duration,
    setting: String,
) -> Result<Report> {
    let busy = Busy::start();
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for socket in sockets {
        clients.spawn(client(socket, text.clone(), answer, started + length));
    }
    let mut latency = Latency::new()?;
    let mut round_trips = 0;
    while let Some(client) = clients.join_next().await {
        for took in client?? {
            latency.record(took);
            round_trips += 1;
        }
    }
    let mut report = Report::new("echo", setting);
    report.figure("round trips", f64::from(round_trips) / started.elapsed().as_secs_f64(), "/s");
    report.latency(latency);
    busy.note().into_iter().for_each(|note| report.note(note));
    Ok(report)
}

async fn client(mut socket: Socket, text: String, answer: Answer, until: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let sent = Instant::now();
        socket.send_text(&text).await?;
        match answer {
            Answer::Pong => while !matches!(swarm::next(&mut socket).await?, ServerMessage::Pong(_)) {},
            Answer::Same => loop {
                match socket.recv().await {
                    Received::Text(same) if same == text => break,
                    Received::Alive => {}
                    other => bail!("this is not an echo: {other:?}"),
                }
            },
        }
        times.push(sent.elapsed());
    }
    Ok(times)
}
