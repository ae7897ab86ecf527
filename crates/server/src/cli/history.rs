//! `parlor history`: a room's past messages, oldest first.

use std::io::Write;

use anyhow::Result;
use parlor_client::wire::{Entry, History as Page};
use parlor_proto::limits::PAGE_MESSAGES;

use super::remote::Remote;
use super::show::{Style, json_line};

#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// The room.
    room: String,
    /// How many messages: the newest ones, or those next to --before or --after.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    last: u32,
    /// Only messages before this one: a number or a pos.
    #[arg(long, value_name = "PLACE", conflicts_with = "after")]
    before: Option<String>,
    /// Only messages after this one: a number or a pos.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl History {
    pub(super) async fn run(self) -> Result<()> {
        let (messages, more) = self.read().await?;
        let mut out = std::io::stdout().lock();
        let style = Style::stdout();
        for entry in &messages {
            if self.json {
                writeln!(out, "{}", json_line(entry)?)?;
            } else {
                writeln!(out, "{}", style.entry(entry))?;
            }
        }
        let (first, last) = (messages.first().and_then(place), messages.last().and_then(place));
        match (more, first, last, self.after.is_some()) {
            _ if self.json => {}
            (_, None, None, _) => writeln!(out, "There is no message here.")?,
            (true, Some(first), _, false) => writeln!(out, "\nFor what was before: --before {first}")?,
            (true, _, Some(last), true) => writeln!(out, "\nFor what comes then: --after {last}")?,
            _ => {}
        }
        Ok(())
    }

    /// Pages until there are as many as were asked for.
    async fn read(&self) -> Result<(Vec<Entry>, bool)> {
        let api = self.remote.api()?;
        let (mut before, mut after) = (self.before.clone(), self.after.clone());
        let mut messages: Vec<Entry> = Vec::new();
        loop {
            let left = self.last as usize - messages.len();
            let limit = left.min(PAGE_MESSAGES) as u32;
            if limit == 0 {
                return Ok((messages, true));
            }
            let page: Page =
                api.history(&self.room, before.as_deref(), after.as_deref(), Some(limit)).await?;
            let got = page.messages.len();
            if after.is_some() {
                messages.extend(page.messages);
                after = messages.last().and_then(place).map(|offset| offset.to_string());
            } else {
                messages.splice(0..0, page.messages);
                before = messages.first().and_then(place).map(|offset| offset.to_string());
            }
            if !page.more || got == 0 {
                return Ok((messages, false));
            }
        }
    }
}

fn place(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Message(message) => message.offset,
        Entry::Direct(direct) => direct.offset,
    }
}
