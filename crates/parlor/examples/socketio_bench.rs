//! The application that the benchmarks compare: one room, and whatever is published goes to everybody in it.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Ack, Rest, Server, Socket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3200")]
    listen: SocketAddr,
    /// Threads; one per core if it is not given.
    #[arg(long)]
    workers: Option<usize>,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let mut server = Server::new();
    server.limits(parlor::Limits::Off);
    if let Some(workers) = options.workers {
        server.workers(workers);
    }
    let all = server.namespace("/");
    let everybody = all.clone();
    all.on_connect(async |socket: Socket| drop(socket.join("bench"))).on(
        "publish",
        move |data: Rest, ack: Ack| {
            drop(everybody.to("bench").emit("message", &data));
            ack.send(&());
            std::future::ready(())
        },
    );
    server.run(options.listen)
}
