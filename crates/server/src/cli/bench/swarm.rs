//! Many connections to one Parlor, opened side by side.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use parlor_client::wire::ServerMessage;
use parlor_client::{Address, Error, Received, Socket, SocketOptions};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::measure::Progress;

/// Opening handshakes on their way at once.
pub(super) const HANDSHAKES: usize = 64;

/// Opens `count` connections and waits until each is welcomed; with a room, until it has joined.
pub(super) async fn open(server: &Address, count: usize, room: Option<&str>) -> Result<Vec<Socket>> {
    let gate = Arc::new(Semaphore::new(HANDSHAKES));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (gate, server, room) = (Arc::clone(&gate), server.clone(), room.map(str::to_owned));
        opening.spawn(async move {
            let _permit = gate.acquire().await;
            open_one(&server, room.as_deref()).await
        });
    }
    let progress = Progress::new("opening connections");
    let mut sockets = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        let number = sockets.len() + 1;
        sockets.push(opened?.with_context(|| format!("connection {number} of {count}"))?);
        progress.at(sockets.len() as u64, count as u64);
    }
    progress.clear();
    Ok(sockets)
}

async fn open_one(server: &Address, room: Option<&str>) -> Result<Socket, Error> {
    let mut socket = Socket::open(server, &SocketOptions::default()).await?;
    loop {
        match next(&mut socket).await? {
            ServerMessage::Welcome(_) => break,
            _ => continue,
        }
    }
    if let Some(room) = room {
        socket.send_text(&serde_json::json!({"type": "join", "room": room}).to_string()).await?;
        while !matches!(next(&mut socket).await?, ServerMessage::Joined(_)) {}
    }
    Ok(socket)
}

/// The next object; refusals and the end are errors.
pub(super) async fn next(socket: &mut Socket) -> Result<ServerMessage, Error> {
    loop {
        match socket.recv().await {
            Received::Text(text) => {
                return match ServerMessage::parse(&text) {
                    Ok(ServerMessage::Error(error)) => Err(Error::Refused(error.into())),
                    Ok(message) => Ok(message),
                    Err(error) => {
                        Err(Error::BadAnswer(format!("the server does not speak as Parlor does: {error}")))
                    }
                };
            }
            Received::Closed { code, reason } => {
                return Err(Error::Ended { code, reason, retry_after: None });
            }
            Received::Binary(_) | Received::Alive => {}
        }
    }
}

/// A room that nobody else is in.
pub(super) fn fresh_room(prefix: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{prefix}-{:x}", now.as_millis())
}
