//! One-to-one chat in two styles: the page at `/` on `/ws/<nickname>`, the page at `/ws` on `/<username>`. Only the
//! addressee hears a message, on all connections of that name.

use std::net::SocketAddr;

use clap::Parser;
use parlor::{Code, Message, Plain, Refusal, Rooms, RouteOptions, Server, WebSocket};
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
    let rooms = server.rooms();
    let plain = RouteOptions { plain: Plain::Page(USE_A_WEBSOCKET), ..RouteOptions::default() };
    let by = |style| {
        let rooms = rooms.clone();
        move |socket| chat(socket, rooms.clone(), style)
    };
    server.page("/", PAGE).route_with("/ws/{name}", plain, by("sender"));
    server.page("/ws", PAGE).route("/{name}", by("from_user"));
    let running = server.listen(Options::parse().listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}

#[derive(Deserialize)]
struct Said {
    to_user: String,
    msg: String,
}

/// `style`: under what key the addressee finds the sender's name, which is the one in the URL.
async fn chat(mut socket: WebSocket, rooms: Rooms, style: &'static str) {
    let name = socket.param("name").unwrap_or_default().to_owned();
    let of = |name: &str| format!("{style} {name}");
    socket.join(&of(&name)).expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        let said = match &message {
            Message::Text(text) => serde_json::from_str(text)
                .map_err(|_| Refusal::new(Code::BadMessage, "send {\"to_user\": \"…\", \"msg\": \"…\"}")),
            Message::Binary(_) => Err(Refusal::new(Code::UnsupportedData, "a message is text")),
        };
        let told = match said {
            Ok(Said { to_user, .. }) if rooms.count(&of(&to_user)) == 0 => {
                Err(Refusal::no_such_user(&to_user))
            }
            Ok(Said { to_user, msg }) => {
                rooms.to(&of(&to_user)).send(&json!({style: name, "msg": msg})).await
            }
            Err(refusal) => Err(refusal),
        };
        // What was wrong is told to the sender, who stays; one that has gone is noticed above.
        if let Err(Refusal { code, message, .. }) = told {
            let error = json!({"error": code.as_str(), "message": message});
            let _ = socket.send(error.to_string().into()).await;
        }
    }
}
