//! `parlor rooms`: which rooms there are, how many people are there and how long their logs are.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::remote::Remote;
use super::show::{Table, count, harmless};

#[derive(Debug, clap::Args)]
pub(super) struct Rooms {
    /// Only rooms whose names begin with this.
    prefix: Option<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Rooms {
    pub(super) async fn run(self) -> Result<()> {
        let api = self.remote.api()?;
        let mut rooms = Vec::new();
        loop {
            let after = rooms.last().map(|room: &parlor_client::wire::Room| room.room.clone());
            let page = api.rooms(self.prefix.as_deref(), after.as_deref()).await?;
            let more = page.more && !page.rooms.is_empty();
            rooms.extend(page.rooms);
            if !more {
                break;
            }
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            for room in &rooms {
                writeln!(out, "{}", json!({"room": room.room, "count": room.count, "offset": room.offset}))?;
            }
            return Ok(());
        }
        if rooms.is_empty() {
            writeln!(
                out,
                "There is no such room yet. The first message makes one: parlor publish lobby 'hello'"
            )?;
            return Ok(());
        }
        let mut table = Table::new(["ROOM", "HERE", "MESSAGES"]);
        for room in &rooms {
            let messages = room.offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            table.row([harmless(&room.room), room.count.to_string(), messages]);
        }
        table.write(&mut out)?;
        writeln!(out, "\n{}. To read one: parlor history ROOM", count(rooms.len() as u64, "room"))?;
        Ok(())
    }
}
