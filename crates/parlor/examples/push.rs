//! What the operator types reaches the clients, line by line. With `--many` everybody also hears who comes and goes,
//! and the clients' own texts are printed.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Channel, Consumer, GroupEvent, Message, Server};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one. Without it 127.0.0.1, and 8765, or 6789 with --many.
    #[arg(long, default_value = "127.0.0.1:8765", default_value_if("many", "true", "127.0.0.1:6789"))]
    listen: SocketAddr,
    /// Tell everybody who comes and goes, and print what clients say.
    #[arg(long)]
    many: bool,
}

struct Visitor {
    many: bool,
}

impl Consumer for Visitor {
    async fn connect(&mut self, cx: &mut Channel) {
        cx.group_add("hall").expect("one group is not too many");
        self.tell(cx, "somebody came");
    }

    async fn receive(&mut self, _cx: &mut Channel, message: Message) {
        if let (true, Ok(text)) = (self.many, message.text()) {
            parlor::print(format!("{text:?}"));
        }
    }

    async fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) {
        // Waits for a slow client. What it is behind is bounded; then it is let go.
        let _ = cx.send(event.data::<String>().unwrap_or_default()).await;
    }

    async fn disconnect(&mut self, cx: &mut Channel, _code: u16) {
        self.tell(cx, "somebody left");
    }
}

impl Visitor {
    /// Everybody hears it at once, and nobody is waited for.
    fn tell(&self, cx: &Channel, what: &str) {
        if self.many {
            let news = format!("{what}, {} here", cx.group_count("hall"));
            cx.group_send("hall", "news", &news).expect("text is JSON");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let Options { listen, many } = Options::parse();
    let mut server = Server::new();
    server.consumer("/", move || Visitor { many });
    let running = server.listen(listen)?;
    println!("listening on http://{}", running.address());
    let (rooms, mut typed) = (running.rooms(), parlor::typed());
    tokio::spawn(async move {
        while let Some(line) = typed.recv().await {
            // Waits for the first client, and then for the quickest of them: a file can be poured in.
            rooms.group_feed("hall", "line", &line).await.expect("text is JSON");
        }
    });
    running.stop_when_told().await;
    Ok(())
}
