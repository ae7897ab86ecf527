//! `parlor tail`: messages of rooms as they come, across restarts of the server.

use std::io::Write;

use anyhow::{Result, bail};
use parlor_client::wire::Entry;
use parlor_client::{Event, Options};

use super::remote::Server;
use super::show::{Style, harmless, json_line};

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    /// The rooms.
    #[arg(required = true)]
    rooms: Vec<String>,
    /// Begin with so many past messages of each.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    last: u32,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

impl Tail {
    pub(super) async fn run(self) -> Result<()> {
        let (client, mut events) = Options::new(&self.server.server).connect().await?;
        let rooms = self.rooms.clone();
        let join = async {
            for room in &rooms {
                client.join(room, self.last).await?;
            }
            // The client lives as long as this waits.
            std::future::pending::<Result<(), parlor_client::Error>>().await
        };
        let print = async {
            while let Some(event) = events.next().await {
                self.print(event)?;
            }
            Ok::<(), anyhow::Error>(())
        };
        tokio::select! {
            refused = join => Ok(refused?),
            ended = print => ended,
        }
    }

    fn print(&self, event: Event) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match event {
            Event::Message(message) if self.json => {
                writeln!(out, "{}", json_line(&Entry::Message(message))?)?;
            }
            Event::Message(message) => {
                writeln!(out, "{}", Style::stdout().message(&message, self.rooms.len() > 1))?;
            }
            // A gap is never silent; stdout is for messages.
            Event::Joined(joined) if joined.recovered == Some(false) => eprintln!(
                "-- some messages of {} were missed ({}); `parlor history` has what is kept",
                harmless(&joined.room.unwrap_or_default()),
                harmless(&joined.reason.unwrap_or_default())
            ),
            Event::Waiting { wait, error } => {
                eprintln!("-- {error}; trying again in {:.1} s", wait.as_secs_f64());
            }
            Event::JoinRefused { room, refused } => bail!("{}: {refused}", harmless(&room)),
            Event::Closed(error) => return Err(error.into()),
            _ => {}
        }
        out.flush()?;
        Ok(())
    }
}
