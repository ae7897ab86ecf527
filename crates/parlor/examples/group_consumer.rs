//! A group of consumers: a text at `/x1/` reaches every member as it was sent, the sender too. `--style` shows it twice:
//! by a consumer with a handler for the group's event `xxx.ooo`, and by a loop that leaves the handler out.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Channel, Consumer, GroupEvent, Message, Server, WebSocket};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// An object with a method for what happens, or a loop over the messages; clients see no difference.
    #[arg(long, default_value = "consumer", value_parser = ["consumer", "route"])]
    style: String,
}

const GROUP: &str = "22922192";

/// Whoever disconnects is discarded from its groups by itself.
struct ChatConsumer;

impl Consumer for ChatConsumer {
    async fn connect(&mut self, cx: &mut Channel) {
        cx.group_add(GROUP).expect("one group is not too many");
    }

    async fn receive(&mut self, cx: &mut Channel, message: Message) {
        match message.text() {
            Ok(text) => cx.group_send(GROUP, "xxx.ooo", text).expect("text is JSON"),
            Err(_) => drop(cx.send("请发送文本").await),
        }
    }

    async fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) {
        if let ("xxx.ooo", Ok(text)) = (event.kind(), event.data::<String>()) {
            let _ = cx.send(text).await;
        }
    }
}

/// The same: who is in a room gets what is sent there without a handler in between.
async fn chat(mut socket: WebSocket) {
    socket.join(GROUP).expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        let gone = match message.text() {
            Ok(text) => socket.to(GROUP).and_itself().send(text).await.is_err(),
            Err(_) => socket.send("请发送文本".into()).await.is_err(),
        };
        if gone {
            return socket.close(1013, "try again");
        }
    }
}

fn main() -> std::io::Result<()> {
    let Options { listen, style } = Options::parse();
    let mut server = Server::new();
    match &*style {
        "consumer" => server.consumer("/x1/", || ChatConsumer),
        _ => server.route("/x1/", chat),
    };
    server.page("/", include_str!("consumer.html"));
    server.run(listen)
}
