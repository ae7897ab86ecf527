//! Sends back what it gets, over Socket.IO: what conformance tools of the protocol are pointed at.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use parlor::{Ack, Auth, EngineIo, Rest, Server, Socket, SocketIoOptions, Value};

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
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let engine_io = EngineIo {
        ping_interval: Duration::from_millis(options.ping_interval),
        ping_timeout: Duration::from_millis(options.ping_timeout),
        max_payload: options.max_payload,
        ..EngineIo::default()
    };
    let mut server = Server::new();
    // Conformance tools open many connections at once.
    server.limits(parlor::Limits::Off);
    server.socket_io("/socket.io/", SocketIoOptions { engine_io, ..SocketIoOptions::default() });
    for name in ["/", "/custom"] {
        server
            .namespace(name)
            .on_connect(async |socket: Socket, Auth(auth): Auth<Value>| drop(socket.emit("auth", &auth)))
            .on("message", async |socket: Socket, data: Rest| drop(socket.emit("message-back", &data)))
            .on("message-with-ack", async |data: Rest, ack: Ack| ack.send(&data));
    }
    server.run(options.listen)
}
