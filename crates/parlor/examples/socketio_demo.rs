//! Every feature of Socket.IO in one application, for any stock client: rooms, acks both ways, binary, namespaces,
//! refusals, sessions, recovery, and a second parser.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use axum::response::Html;
use axum::routing::get;
use clap::Parser as _;
use parlor::{
    Ack, Auth, Binary, Broadcast, ConnectRefused, Data, EngineIo, Namespace, Origins, Parser, Reason, Rest,
    Server, Socket, SocketIoOptions, State, Value,
};
use serde_json::json;

#[derive(clap::Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3100")]
    listen: SocketAddr,
    /// Without connection state recovery, which adds an argument to every event.
    #[arg(long)]
    no_recovery: bool,
    /// Keep a store in this directory, so that clients are recovered after a restart too.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Serve clients of Socket.IO 2 too.
    #[arg(long)]
    eio3: bool,
}

#[derive(serde::Serialize)]
struct Welcome<'a> {
    sid: &'a str,
    ns: &'a str,
    recovered: bool,
}

#[derive(serde::Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    from: &'a str,
    payload: &'a Value,
}

#[derive(serde::Serialize)]
struct WhoAmI<'a> {
    sid: &'a str,
    ns: &'a str,
    transport: &'a str,
    rooms: Vec<String>,
    auth: Value,
    query: HashMap<String, String>,
    xtest: Option<&'a str>,
}

/// Why each socket was last disconnected.
type Reasons = Mutex<HashMap<String, &'static str>>;

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let two_seconds = Duration::from_secs(2);
    let engine_io = EngineIo {
        ping_interval: two_seconds,
        ping_timeout: two_seconds,
        allow_v3: options.eio3,
        ..EngineIo::default()
    };
    let connect_timeout = Duration::from_secs(5);
    let socket_io = SocketIoOptions { engine_io, connect_timeout, ..SocketIoOptions::default() };
    let mut server = Server::new();
    if let Some(data) = options.data {
        server.embedded(data)?;
    }
    server
        .limits(parlor::Limits::Off)
        .origins(Origins { any: true, ..Origins::default() })
        .state(Reasons::default())
        .socket_io("/socket.io/", socket_io)
        .socket_io("/msgpack/", SocketIoOptions { parser: Parser::Msgpack, ..socket_io })
        .router(
            axum::Router::new()
                .route("/healthz", get(|| async { "ok" }))
                .route("/blank", get(|| async { Html("") })),
        );
    let namespaces = [
        server.namespace("/").authorize(async |socket: Socket| {
            match socket.handshake().query("reject").as_deref() {
                Some("1") => Err(ConnectRefused::new("rejected").data(&json!({ "code": "E_REJECT" }))),
                _ => Ok(()),
            }
        }),
        server.namespace("/admin").authorize(async |Auth(auth): Auth<Value>| {
            match auth.get("token").and_then(Value::as_str) {
                Some("secret") => Ok(()),
                _ => Err(ConnectRefused::new("not authorized").data(&json!({ "code": 401 }))),
            }
        }),
        server.namespace("/chat"),
        server.namespaces_where(is_dynamic),
    ];
    let window = (!options.no_recovery).then_some(Duration::from_secs(60));
    for namespace in namespaces {
        serve(namespace.recover(window));
    }
    server.run(options.listen)
}

/// `/dyn-` and digits.
fn is_dynamic(name: &str) -> bool {
    name.strip_prefix("/dyn-").is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Tells those in the audience what `from` says, to a room or to them alone.
fn tell(audience: Broadcast, event: &str, room: Option<&str>, from: &Socket, payload: &Value) {
    drop(audience.emit(event, &Message { room, from: from.id(), payload }));
}

fn serve(namespace: Namespace) {
    namespace
        .on_connect(async |socket: Socket| {
            let (sid, ns, recovered) = (socket.id(), socket.namespace().name(), socket.recovered());
            drop(socket.emit("welcome", &Welcome { sid, ns, recovered }));
        })
        .on("echo", async |socket: Socket, data: Rest, ack: Ack| match ack.is_wanted() {
            true => ack.send(&data),
            false => drop(socket.emit("echo", &data)),
        })
        .on("add", async |Data((a, b)): Data<(f64, f64)>, ack: Ack| ack.send(&number(a + b)))
        .on("never-ack", async |_ack: Ack| {})
        .on("slow-ack", async |Data(ms): Data<u64>, ack: Ack| {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            ack.send("late");
        })
        .on("ask-me", async |socket: Socket, Data(payload): Data<Value>| {
            match socket.emit_with_ack("question", &payload).timeout(Duration::from_secs(1)).await {
                Ok(reply) => socket.emit("answer", &Value::Array(reply.0.values())),
                Err(_) => socket.emit("answer-timeout", &()),
            };
        })
        .on("bin-info", async |Data(data): Data<Value>, ack: Ack| match data {
            Value::Binary(Binary(bytes)) => {
                let (len, first, last) = (bytes.len(), bytes.first(), bytes.last());
                ack.send(&json!({ "len": len, "first": first, "last": last }));
            }
            _ => ack.send(&json!({ "error": "not binary" })),
        })
        .on("make-bin", async |Data(n): Data<u32>, ack: Ack| {
            let bytes: Vec<u8> = (0..n.min(1_000_000)).map(|i| i as u8).collect();
            ack.send(&Binary(bytes.into()));
        })
        .on("join", async |socket: Socket, Data(room): Data<String>, ack: Ack| match socket.join(&room) {
            Ok(()) => ack.send(&socket.rooms()),
            Err(refusal) => ack.send(&json!({ "error": refusal.message })),
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>, ack: Ack| {
            socket.leave(&room);
            ack.send(&socket.rooms());
        })
        .on("to-room", async |socket: Socket, Data((room, payload)): Data<(String, Value)>| {
            tell(socket.to(&room), "room-msg", Some(&room), &socket, &payload);
        })
        .on("in-room", async |socket: Socket, Data((room, payload)): Data<(String, Value)>| {
            tell(socket.to(&room).and_itself(), "room-msg", Some(&room), &socket, &payload);
        })
        .on(
            "to-except",
            async |socket: Socket, Data((room, except, payload)): Data<(String, String, Value)>| {
                let audience = socket.to(&room).except(&except).and_itself();
                tell(audience, "room-msg", Some(&room), &socket, &payload);
            },
        )
        .on("broadcast", async |socket: Socket, Data(payload): Data<Value>| {
            drop(socket.broadcast().emit("broadcast", &payload));
        })
        .on("all", async |all: Namespace, Data(payload): Data<Value>| drop(all.emit("all", &payload)))
        .on("private", async |socket: Socket, Data((sid, payload)): Data<(String, Value)>| {
            tell(socket.namespace().to(&sid), "private", None, &socket, &payload);
        })
        .on("room-ack", async |all: Namespace, Data((room, payload)): Data<(String, Value)>, ack: Ack| {
            let asked = all.to(&room).timeout(Duration::from_secs(1)).emit_with_ack("poll", &payload);
            let answers = asked.await.map(|answers| answers.read()).unwrap_or_default();
            ack.send(&Value::Array(answers));
        })
        .on("room-size", async |all: Namespace, Data(room): Data<String>, ack: Ack| {
            ack.send(&all.to(&room).sockets().len());
        })
        .on("volatile", async |socket: Socket, Data(payload): Data<Value>| {
            drop(socket.emit_volatile("volatile", &payload));
        })
        .on("session-set", async |socket: Socket, Data((key, value)): Data<(String, Value)>, ack: Ack| {
            socket.set(&key, &value);
            ack.send(&true);
        })
        .on("session-get", async |socket: Socket, Data(key): Data<String>, ack: Ack| {
            ack.send(&socket.get::<Value>(&key).unwrap_or_default());
        })
        .on("whoami", async |socket: Socket, ack: Ack| {
            let (sid, ns, transport) = (socket.id(), socket.namespace().name(), socket.transport());
            let query: HashMap<String, String> = socket.handshake().queries().collect();
            let auth: Value = socket.auth().unwrap_or(Value::Object(Vec::new()));
            let (rooms, xtest) = (socket.rooms(), socket.handshake().header("x-test"));
            ack.send(&WhoAmI { sid, ns, transport, rooms, auth, query, xtest });
        })
        .on("burst", async |socket: Socket, Data((n, size)): Data<(u32, usize)>| {
            let text = "x".repeat(size.min(1_000_000));
            (0..n.min(100_000)).for_each(|i| drop(socket.emit("burst", &(i, &text))));
        })
        .on("kick", async |socket: Socket| socket.disconnect())
        .on("kick-hard", async |socket: Socket| socket.disconnect_all())
        .on("drop", async |socket: Socket| socket.close())
        .on("reasons", async |reasons: State<Reasons>, Data(sid): Data<String>, ack: Ack| {
            let reason = reasons.lock().ok().and_then(|reasons| reasons.get(&sid).copied());
            ack.send(&reason);
        })
        .on_disconnect(async |socket: Socket, Reason(reason): Reason, reasons: State<Reasons>| {
            if let Ok(mut reasons) = reasons.lock() {
                reasons.insert(socket.id().to_owned(), reason);
            }
        });
}

/// Whole numbers without a point, as JavaScript writes them.
fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
