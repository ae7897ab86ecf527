//! `parlor publish`: messages from the application into a room.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};
use parlor_client::api;
use serde_json::value::{RawValue, to_raw_value};

use super::remote::Remote;
use super::show;

#[derive(Debug, clap::Args)]
pub(super) struct Publish {
    /// The room.
    room: String,
    /// The text. Without it and without --data, every line of stdin becomes a message.
    text: Option<String>,
    /// JSON instead of text, as in '{"price":3}'.
    #[arg(long, value_name = "JSON", conflicts_with = "text")]
    data: Option<String>,
    /// What kind of message it is; clients see it as `event`.
    #[arg(long)]
    event: Option<String>,
    /// A key of your own: the same key is stored once, however often this is run within ten minutes.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Publish {
    pub(super) async fn run(self) -> Result<()> {
        let api = self.remote.api()?;
        let one = match (&self.text, &self.data) {
            (Some(text), _) => Some(to_raw_value(text)?),
            (None, Some(json)) => Some(
                RawValue::from_string(json.clone())
                    .with_context(|| format!("--data is not JSON: {json}; for text, leave --data out"))?,
            ),
            (None, None) => None,
        };
        if let Some(data) = one {
            return self.publish(&api, &data, self.key.as_deref()).await;
        }
        if self.key.is_some() {
            bail!("--key names one message; with lines from stdin there may be several");
        }
        if std::io::stdin().is_terminal() {
            bail!("what shall be published? Try: parlor publish {} 'hello'", show::quoted(&self.room));
        }
        for line in std::io::stdin().lines() {
            self.publish(&api, &to_raw_value(&line?)?, None).await?;
        }
        Ok(())
    }

    async fn publish(&self, api: &api::Api, data: &RawValue, key: Option<&str>) -> Result<()> {
        let publish = api::Publish { room: &self.room, data, event: self.event.as_deref(), key };
        let published = api.publish(&publish).await?;
        let ack = match published.ack.as_str() {
            "none" => "handed to whoever is there; this room keeps nothing",
            "memory" => "kept in memory",
            "local" => "on disk",
            "replicated" => "on several machines",
            other => other,
        };
        let place = published.offset.map(|offset| format!(" as number {offset}")).unwrap_or_default();
        writeln!(std::io::stdout(), "published in {}{place}: {ack}", self.room)?;
        Ok(())
    }
}
