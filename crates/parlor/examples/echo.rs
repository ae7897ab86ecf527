//! Sends back what it gets, at `/ws` and `/echo`: messages up to 16 MiB, compressed if the client offers it. Every
//! conformance tool can be pointed at it. The page at `/` shows a WebSocket's life in a browser.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{RouteOptions, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9527")]
    listen: SocketAddr,
    /// Threads; one per core if it is not given.
    #[arg(long)]
    workers: Option<usize>,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let mut server = Server::new();
    if let Some(workers) = options.workers {
        server.workers(workers);
    }
    // Conformance suites send large messages in fragments of 64 bytes.
    let route = RouteOptions {
        max_message: 16 * 1024 * 1024,
        max_fragments: 1 << 18,
        compression: true,
        ..RouteOptions::default()
    };
    server.limits(parlor::Limits::Off);
    for path in ["/ws", "/echo"] {
        server.route_with(path, route, echo);
    }
    server.page("/", include_str!("echo.html"));
    server.run(options.listen)
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
