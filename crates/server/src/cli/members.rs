//! `parlor members`: who is in a room.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::remote::Remote;
use super::show::{Table, count, harmless};

#[derive(Debug, clap::Args)]
pub(super) struct Members {
    /// The room.
    room: String,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Members {
    pub(super) async fn run(self) -> Result<()> {
        let members = self.remote.api()?.members(&self.room).await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            for member in &members.members {
                writeln!(out, "{}", json!({"user": member.user, "name": member.name}))?;
            }
            return Ok(());
        }
        let listed = members.members.len() as u64;
        if listed > 0 {
            let mut table = Table::new(["NAME", "ACCOUNT"]);
            for member in &members.members {
                table.row([harmless(&member.name), harmless(&member.user)]);
            }
            table.write(&mut out)?;
            writeln!(out)?;
        }
        match (members.count, listed) {
            (0, _) => writeln!(out, "Nobody is in {}.", harmless(&self.room))?,
            (all, listed) if all > listed => writeln!(
                out,
                "{} in {}, of whom {listed} are listed.",
                count(all, "user"),
                harmless(&self.room)
            )?,
            (all, _) => writeln!(out, "{} in {}.", count(all, "user"), harmless(&self.room))?,
        }
        Ok(())
    }
}
