//! A group of consumers: a text at `/x1/` reaches every member as it was sent, the sender too. `--style` shows it twice:
//! by a consumer with a handler for the group's event `xxx.ooo`, and by a loop that leaves the handler out.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use parlor::{Channel, Consumer, GroupEvent, Message, Rooms, Server, WebSocket};
use serde_json::{Value, json};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Which of the two ways; clients see no difference.
    #[arg(long, value_enum, default_value = "consumer")]
    style: Style,
}

#[derive(Clone, Copy, ValueEnum)]
enum Style {
    /// An object with a method for what happens.
    Consumer,
    /// A loop over the connection's messages.
    Route,
}

const GROUP: &str = "22922192";
const WANTED: &str = "请发送文本";

struct ChatConsumer;

impl Consumer for ChatConsumer {
    async fn connect(&mut self, cx: &mut Channel) {
        cx.group_add(GROUP).expect("one group is not too many");
    }

    async fn receive(&mut self, cx: &mut Channel, message: Message) {
        match message {
            Message::Text(text) => {
                cx.group_send(GROUP, "xxx.ooo", &json!({"message": text})).expect("text is JSON");
            }
            Message::Binary(_) => drop(cx.send(WANTED).await),
        }
    }

    async fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) {
        if let ("xxx.ooo", Ok(data)) = (event.kind(), event.data::<Value>()) {
            let _ = cx.send(data["message"].as_str().unwrap_or_default()).await;
        }
    }

    async fn disconnect(&mut self, cx: &mut Channel, _code: u16) {
        // It has left all groups already; this is where the tutorial does it.
        cx.group_discard(GROUP);
    }
}

/// The same: who is in a room gets what is sent there without a handler in between.
async fn chat(mut socket: WebSocket, rooms: Rooms) {
    socket.join(GROUP).expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        let gone = match message {
            Message::Text(text) => rooms.to(GROUP).send(&text).await.is_err(),
            Message::Binary(_) => socket.send(WANTED.into()).await.is_err(),
        };
        if gone {
            return socket.close(1013, "try again");
        }
    }
}

fn main() -> std::io::Result<()> {
    let Options { listen, style } = Options::parse();
    let mut server = Server::new();
    let rooms = server.rooms();
    match style {
        Style::Consumer => server.consumer("/x1/", || ChatConsumer),
        Style::Route => server.route("/x1/", move |socket| chat(socket, rooms.clone())),
    };
    server.page("/", include_str!("consumer.html"));
    let running = server.listen(listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}
