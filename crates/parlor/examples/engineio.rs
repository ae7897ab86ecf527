//! Sends back what it gets, over Engine.IO: text and binary, polling, WebSocket and the way from one to the other.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use parlor::{EngineIo, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Milliseconds between pings.
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    /// Milliseconds in which a ping is answered.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    /// Bytes of one payload.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// Serve clients of Engine.IO 3 too.
    #[arg(long)]
    eio3: bool,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let settings = EngineIo {
        ping_interval: Duration::from_millis(options.ping_interval),
        ping_timeout: Duration::from_millis(options.ping_timeout),
        max_payload: options.max_payload,
        allow_v3: options.eio3,
        ..EngineIo::default()
    };
    let mut server = Server::new();
    // Conformance tools open many connections at once.
    server.limits(parlor::Limits::Off).engine_io("/engine.io/", settings, echo);
    server.run(options.listen)
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
