//! Group chat in two styles. The page at `/` sends raw texts to `/ws/<nickname>`, and all other nicknames hear them; the
//! page at `/ws` sends objects to `/<username>`, and everybody but the sender hears them.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Message, Plain, Refusal, RouteOptions, Server, WebSocket};
use serde::Deserialize;
use serde_json::json;

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9527")]
    listen: SocketAddr,
}

const PAGE: &str = include_str!("group_chat.html");
const USE_A_WEBSOCKET: &str =
    concat!(include_str!("group_chat.html"), "<p class=\"bad\" role=\"alert\">请使用Websocket链接</p>\n");

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    let plain = RouteOptions { plain: Plain::Page(USE_A_WEBSOCKET), ..RouteOptions::default() };
    server.page("/", PAGE).route_with("/ws/{name}", plain, |socket| chat(socket, "nickname"));
    server.page("/ws", PAGE).route("/{name}", |socket| chat(socket, "username"));
    server.run(Options::parse().listen)
}

/// What a client of the second style sends; whoever it says it is, its name is the one in the URL.
#[derive(Deserialize)]
struct Said {
    msg: String,
}

/// `style`: what clients of this kind call their name, and the room that they are in.
async fn chat(mut socket: WebSocket, style: &str) {
    let name = socket.param("name").unwrap_or_default().to_owned();
    for room in [style, &format!("{style} {name}")] {
        socket.join(room).expect("two rooms are not too many");
    }
    while let Some(message) = socket.recv().await {
        // What was wrong is told to the sender, who stays; one that has gone is noticed above.
        if let Err(refusal) = tell(&socket, style, &name, message).await {
            let _ = socket.send(refusal.into()).await;
        }
    }
}

async fn tell(socket: &WebSocket, style: &str, name: &str, message: Message) -> Result<(), Refusal> {
    match style {
        "nickname" => {
            let said = json!({"sender": name, "msg": message.text()?});
            socket.to(style).except(&format!("{style} {name}")).send(&said).await
        }
        _ => socket.to(style).send(&json!({"username": name, "msg": message.read::<Said>()?.msg})).await,
    }
}
