//! A board that everybody sees: what anyone sends to `/message/` reaches every observer as it was sent, the sender too.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Plain, Rooms, RouteOptions, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    let rooms = server.rooms();
    // A plain request is told nothing of a WebSocket: 404.
    let options = RouteOptions { plain: Plain::NotFound, ..RouteOptions::default() };
    server.route_with("/message/", options, move |socket| observe(socket, rooms.clone()));
    server.page("/", include_str!("message_board.html"));
    let running = server.listen(Options::parse().listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}

async fn observe(mut socket: WebSocket, rooms: Rooms) {
    socket.join("observers").expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        // The server is behind, or ends: who posted hears nothing of it, and is told to come back.
        if rooms.to("observers").send(&message).await.is_err() {
            return socket.close(1013, "try again");
        }
    }
}
