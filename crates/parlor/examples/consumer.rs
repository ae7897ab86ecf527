//! A connection as an object with a method for what happens to it: any message at `/x1/` is answered 收到了.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Channel, Consumer, Message, Server};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
}

/// One for each connection; what it has to remember would stand here.
struct ChatConsumer;

impl Consumer for ChatConsumer {
    async fn connect(&mut self, cx: &mut Channel) {
        parlor::print(format!("有人来了 {}", cx.socket().address()));
    }

    async fn receive(&mut self, cx: &mut Channel, _message: Message) {
        // An error says that the client has gone; `disconnect` follows.
        let _ = cx.send("收到了").await;
    }

    async fn disconnect(&mut self, _cx: &mut Channel, code: u16) {
        parlor::print(format!("连接断开了 {code}"));
    }
}

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    server.consumer("/x1/", || ChatConsumer);
    server.page("/", include_str!("consumer.html"));
    server.run(Options::parse().listen)
}
