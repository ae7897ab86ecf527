//! One question, one answer: the first text `<name>` is answered `hello <name>`, and the connection ends with 1000.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Message, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8765")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    server.route("/", hello);
    server.run(Options::parse().listen)
}

async fn hello(mut socket: WebSocket) {
    match socket.recv().await {
        Some(Message::Text(name)) => {
            // Whoever left before the answer has no need of it. Returning says goodbye with 1000.
            let _ = socket.send(format!("hello {name}").into()).await;
        }
        Some(Message::Binary(_)) => socket.close(1003, "a name is text"),
        None => {}
    }
}
