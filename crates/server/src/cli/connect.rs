//! `parlor connect`: a chat in a terminal or a pipe, and a plain WebSocket client for servers of other kinds.

mod chat;
mod input;
mod line;
mod plain;

use std::time::Duration;

use anyhow::Result;
use parlor_client::{Opened, Options};

use input::Input;

#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// The server; any WebSocket server will do.
    #[arg(default_value = "ws://127.0.0.1:9527/ws", env = "PARLOR_SERVER")]
    url: String,
    /// The name that others see (Parlor only).
    #[arg(long)]
    name: Option<String>,
    /// A room to join; may be repeated. What is typed goes to the first (Parlor only).
    #[arg(long = "room", value_name = "ROOM", default_value = "lobby")]
    rooms: Vec<String>,
    /// Begin with so many past messages of each room (Parlor only).
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    last: u32,
    /// A header of the opening request, as in 'Cookie: a=b'; may be repeated.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// After the last line of a pipe, listen on for so many seconds (servers of other kinds only).
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    linger: f64,
}

/// Nobody waits longer for the end of a connection that is not needed any more.
const GOODBYE: Duration = Duration::from_secs(2);

impl Connect {
    pub(super) async fn run(self) -> Result<()> {
        let mut options = Options::new(&self.url);
        if let Some(name) = &self.name {
            options = options.name(name);
        }
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| anyhow::anyhow!("\"{header}\" is no header; one is 'Cookie: a=b'"))?;
            options = options.header(name.trim(), value.trim());
        }
        let linger = Duration::try_from_secs_f64(self.linger)
            .map_err(|_| anyhow::anyhow!("--linger takes seconds, as in 0.5"))?;
        match options.connect_any().await? {
            Opened::Parlor(client, mut events) => {
                let mut chat = chat::Chat::new(client, self.rooms.clone());
                chat.run(&mut events, Input::stdin(), self.last).await?;
                drop(chat);
                // The server hears a goodbye, so that others see at once that one is gone.
                let goodbye = async { while events.next().await.is_some() {} };
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
                Ok(())
            }
            Opened::Plain(socket) => plain::run(socket, Input::stdin(), linger).await,
        }
    }
}
