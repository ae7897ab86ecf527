//! All that the tutorial shows of Socket.IO: events, callbacks, refusals, rooms, namespaces, sessions. Every stock client
//! speaks to it, one that has only polling too.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use parlor::{
    Ack, Auth, ConnectRefused, Namespace, NamespaceHandler, Reason, Rest, Server, Socket, Value, print,
};
use serde_json::json;

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Seconds in which a client whose line broke gets its session and rooms again, for clients that can ask for them.
    /// Every event has one more argument then.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    recover: Option<u64>,
}

#[derive(serde::Deserialize)]
struct Login {
    username: Option<String>,
}

/// Whom `my custom event` is for.
#[derive(serde::Deserialize)]
struct One {
    room: String,
}

/// The class-based namespace: whatever it does not know, it ignores.
struct Test;

impl NamespaceHandler for Test {
    async fn on_event(&self, socket: Socket, event: &str, data: Rest, ack: Ack) {
        if event == "my_event" {
            drop(socket.namespace().emit("my_response", &data));
            ack.send(&());
        }
    }
}

/// Who may enter `/`. The name is kept in the session, and nothing else of the request.
async fn connect(socket: Socket, Auth(login): Auth<Login>) -> Result<(), ConnectRefused> {
    match login.username.as_deref() {
        Some("refused") => return Err("authentication failed".into()),
        Some(username) => socket.set("username", &username),
        None => {}
    }
    print(format!("connect {} from {}", socket.id(), socket.handshake().address()));
    Ok(())
}

fn my_event() -> serde_json::Value {
    json!({ "data": "foobar" })
}

fn main() -> std::io::Result<()> {
    let Options { listen, recover } = Options::parse();
    // The tutorial's `secret!` signs cookies. Here are none: a client is known by its connection, and whoever comes back
    // by 128 bits that the server draws for it, so there is no secret to write down.
    let mut server = Server::new();
    server
        .namespace("/")
        .recover(recover.map(Duration::from_secs))
        .on_connect(connect)
        // To everybody.
        .on("my_event", async |socket: Socket, all: Namespace, ack: Ack| {
            print(format!("my_event from {}", socket.id()));
            drop(all.emit("my event", &my_event()));
            ack.send(&());
        })
        // To one: the client whose id is sent as `room`, otherwise the sender. The ack says whether there is such a one.
        .on("my custom event", async |socket: Socket, all: Namespace, data: Rest, ack: Ack| {
            let one = data.read::<One>().map_or(Some(socket), |one| all.socket(&one.room));
            ack.send(&one.map(|one| drop(one.emit("my event", &my_event()))).is_some());
        })
        // To everybody, with a callback: what they answered, and how many did not within a second.
        .on("message", async |socket: Socket, all: Namespace, ack: Ack| {
            print(format!("message from {:?}", socket.get::<String>("username")));
            let asked =
                all.broadcast().timeout(Duration::from_secs(1)).emit_with_ack("my event", &my_event());
            let answers = asked.await.unwrap_or_default();
            ack.send(&(answers.read::<Value>(), answers.missing));
        })
        .on("begin_chat", async |socket: Socket, ack: Ack| ack.send(&socket.join("chat_users").is_ok()))
        .on("exit_chat", async |socket: Socket, ack: Ack| {
            socket.leave("chat_users");
            ack.send(&true);
        })
        .on("my_message", async |socket: Socket, data: Rest, ack: Ack| {
            drop(socket.to("chat_users").emit("my reply", &data));
            ack.send(&());
        })
        .on("whoami", async |socket: Socket, ack: Ack| ack.send(&socket.get::<String>("username")))
        .on_disconnect(async |socket: Socket, Reason(why): Reason| {
            print(format!("disconnect {}: {why}", socket.id()));
        });
    server.namespace("/chat").on("my custom event", async |socket: Socket, data: Rest, ack: Ack| {
        drop(socket.emit("my custom event", &data));
        ack.send(&data);
    });
    server.namespace("/test").class(Test);
    server.run(listen)
}
