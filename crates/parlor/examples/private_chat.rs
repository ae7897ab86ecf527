//! One-to-one chat in two styles: the page at `/` on `/ws/<nickname>`, the page at `/ws` on `/<username>`. Only the
//! addressee hears a message, on all connections of that name.

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

const PAGE: &str = include_str!("private_chat.html");
const USE_A_WEBSOCKET: &str =
    concat!(include_str!("private_chat.html"), "<p class=\"bad\" role=\"alert\">请使用Websocket链接</p>\n");

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    let plain = RouteOptions { plain: Plain::Page(USE_A_WEBSOCKET), ..RouteOptions::default() };
    server.page("/", PAGE).route_with("/ws/{name}", plain, |socket| chat(socket, "sender"));
    server.page("/ws", PAGE).route("/{name}", |socket| chat(socket, "from_user"));
    server.run(Options::parse().listen)
}

/// `style`: under what key the addressee finds the sender's name.
async fn chat(mut socket: WebSocket, style: &str) {
    let name = socket.param("name").unwrap_or_default().to_owned();
    socket.join(&format!("{style} {name}")).expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        // What was wrong is told to the sender, who stays; one that has gone is noticed above.
        if let Err(refusal) = tell(&socket, style, &name, message).await {
            let _ = socket.send(refusal.into()).await;
        }
    }
}

#[derive(Deserialize)]
struct Said {
    to_user: String,
    msg: String,
}

/// Tells the addressee that it comes from `name`, which is the one in the URL.
async fn tell(socket: &WebSocket, style: &str, name: &str, message: Message) -> Result<(), Refusal> {
    let Said { to_user, msg } = message.read()?;
    let addressee = format!("{style} {to_user}");
    if socket.count(&addressee) == 0 {
        return Err(Refusal::no_such_user(&to_user));
    }
    socket.to(&addressee).and_itself().send(&json!({style: name, "msg": msg})).await
}
