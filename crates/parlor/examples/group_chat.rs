//! Group chat in two styles. The page at `/` sends raw texts to `/ws/<nickname>`, and all other nicknames hear them; the
//! page at `/ws` sends objects to `/<username>`, and everybody but the sender hears them.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Code, Message, Plain, Refusal, RouteOptions, Server, WebSocket};
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
    server.page("/", PAGE).route_with("/ws/{name}", plain, |socket| chat(socket, Style::Raw));
    server.page("/ws", PAGE).route("/{name}", |socket| chat(socket, Style::Object));
    let running = server.listen(Options::parse().listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}

#[derive(Clone, Copy)]
enum Style {
    Raw,
    Object,
}

/// What a client of the second style sends; whoever it says it is, its name is the one in the URL.
#[derive(Deserialize)]
struct Said {
    msg: String,
}

async fn chat(mut socket: WebSocket, style: Style) {
    let name = socket.param("name").unwrap_or_default().to_owned();
    let (everybody, namesakes) = match style {
        Style::Raw => ("nicknames", format!("nickname {name}")),
        Style::Object => ("usernames", format!("username {name}")),
    };
    for room in [everybody, &namesakes] {
        socket.join(room).expect("two rooms are not too many");
    }
    while let Some(message) = socket.recv().await {
        let told = match (style, message) {
            (Style::Raw, Message::Text(msg)) => {
                let said = json!({"sender": name, "msg": msg});
                socket.to(everybody).except(&namesakes).send(&said).await
            }
            (Style::Object, Message::Text(text)) => match serde_json::from_str::<Said>(&text) {
                Ok(Said { msg }) => socket.to(everybody).send(&json!({"username": name, "msg": msg})).await,
                Err(_) => Err(Refusal::new(Code::BadMessage, "send {\"username\": \"…\", \"msg\": \"…\"}")),
            },
            (_, Message::Binary(_)) => Err(Refusal::new(Code::UnsupportedData, "a message is text")),
        };
        // What was wrong is told to the sender, who stays; one that has gone is noticed above.
        if let Err(Refusal { code, message, .. }) = told {
            let error = json!({"error": code.as_str(), "message": message});
            let _ = socket.send(error.to_string().into()).await;
        }
    }
}
