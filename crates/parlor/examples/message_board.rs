//! A board that everybody sees: what anyone sends to `/message/` reaches every observer as it was sent, the sender too.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Plain, RouteOptions, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    // A plain request is told nothing of a WebSocket: 404.
    let options = RouteOptions { plain: Plain::NotFound, ..RouteOptions::default() };
    server.route_with("/message/", options, observe);
    server.page("/", include_str!("message_board.html"));
    server.run(Options::parse().listen)
}

async fn observe(mut socket: WebSocket) {
    socket.join("observers").expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        // The server is behind, or ends: who posted hears nothing of it, and is told to come back.
        if socket.to("observers").and_itself().send(&message).await.is_err() {
            return socket.close(1013, "try again");
        }
    }
}
