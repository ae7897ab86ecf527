//! `parlor bench`: measures a running Parlor with one core's worth of clients.

mod echo;
mod fanout;
mod idle;
mod measure;
mod publish;
mod swarm;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use parlor_client::Address;

use measure::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// What to measure; everything if it is not given.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// The server; start it with --no-limits.
    #[arg(long, env = "PARLOR_SERVER", value_name = "URL", default_value = "http://127.0.0.1:9527")]
    server: String,
    /// How long each scenario runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,
    /// Connections that send (echo).
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    connections: usize,
    /// Connections that receive (fanout, rate).
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    subscribers: usize,
    /// Messages on their way at once (fanout: 8, publish: 256).
    #[arg(long, value_name = "NUMBER")]
    in_flight: Option<usize>,
    /// Messages a second (rate).
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    rate: u32,
    /// Bytes of each message's text (publish: 256).
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
    /// The room; by default one of its own, live:bench-… (publish: recent:bench-…).
    #[arg(long)]
    room: Option<String>,
    /// Connections that do nothing (idle).
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    idle: usize,
    /// The server's process, if it runs here: its memory is measured beside (idle).
    #[arg(long)]
    pid: Option<u32>,
    /// Echo through this WebSocket route instead, as in ws://127.0.0.1:9527/echo (echo).
    #[arg(long, value_name = "URL")]
    echo_url: Option<String>,
    /// One JSON object per scenario.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Every connection sends, waits for the answer, and sends again.
    Echo,
    /// One room, as fast as the server acknowledges.
    Fanout,
    /// One room, at a fixed rate: how late messages are.
    Rate,
    /// Stored messages: how many are acknowledged.
    Publish,
    /// Connections that do nothing: how fast they open, what they cost.
    Idle,
}

impl Bench {
    pub(super) async fn run(self) -> Result<()> {
        let server = Address::parse(&self.server)?.with_target("/ws");
        let length =
            Duration::try_from_secs_f64(self.seconds).context("--seconds takes a number, as in 2.5")?;
        let scenarios = if self.scenarios.is_empty() { Scenario::value_variants() } else { &self.scenarios };
        let mut out = std::io::stdout().lock();
        for scenario in scenarios {
            let report = self.measure(*scenario, &server, length).await?;
            if self.json {
                writeln!(out, "{}", report.json())?;
            } else {
                report.write(&mut out)?;
            }
            out.flush()?;
        }
        Ok(())
    }

    async fn measure(&self, scenario: Scenario, server: &Address, length: Duration) -> Result<Report> {
        // Boxed, because the states of all scenarios together would make one large future.
        match scenario {
            Scenario::Echo => Box::pin(self.echo(server, length)).await,
            Scenario::Fanout => {
                let pace = fanout::Pace::InFlight(self.in_flight.unwrap_or(8).max(1));
                Box::pin(self.fanout(server, length, pace)).await
            }
            Scenario::Rate => {
                Box::pin(self.fanout(server, length, fanout::Pace::PerSecond(self.rate.max(1)))).await
            }
            Scenario::Publish => Box::pin(self.stored(server, length)).await,
            Scenario::Idle => Box::pin(self.idle(server)).await,
        }
    }

    async fn echo(&self, server: &Address, length: Duration) -> Result<Report> {
        let size = self.size.unwrap_or(128);
        match &self.echo_url {
            Some(url) => echo::raw(&Address::parse(url)?, self.connections, size, length).await,
            None => echo::pings(server, self.connections, length).await,
        }
    }

    async fn fanout(&self, server: &Address, length: Duration, pace: fanout::Pace) -> Result<Report> {
        let room = self.room.clone().unwrap_or_else(|| swarm::fresh_room("live:bench"));
        fanout::run(server, &room, self.subscribers, self.size.unwrap_or(128), length, pace).await
    }

    async fn stored(&self, server: &Address, length: Duration) -> Result<Report> {
        // A room that trims itself: a measurement leaves little behind.
        let room = self.room.clone().unwrap_or_else(|| swarm::fresh_room("recent:bench"));
        publish::run(server, &room, self.in_flight.unwrap_or(256).max(1), self.size.unwrap_or(256), length)
            .await
    }

    async fn idle(&self, server: &Address) -> Result<Report> {
        idle::run(server, self.idle, self.pid).await
    }
}
