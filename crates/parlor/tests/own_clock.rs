//! What is on the clock that a test owns, to the millisecond.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::testing::TestServer;
use parlor::{
    Ack, ConnectRefused, Data, EngineIo, Namespace, Reason, Server, Socket, SocketIoOptions, WebSocket,
};
use serde_json::json;

const MS: Duration = Duration::from_millis(1);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What handlers have noted.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// An application that notes who leaves its main namespace, and why.
fn app() -> (Server, Notes) {
    let (mut app, notes) = (Server::new(), Notes::default());
    let left = notes.clone();
    app.namespace("/").on_disconnect(move |_: Socket, Reason(reason): Reason| {
        let left = left.clone();
        async move { left.add(reason) }
    });
    (app, notes)
}

#[tokio::test]
async fn the_first_ping_comes_one_interval_after_the_handshake_and_silence_ends_it_one_timeout_later() {
    for polling in [false, true] {
        let (app, notes) = app();
        let server = TestServer::start(app).await;
        let ann = server.socket_io("/");
        let mut ann = if polling { ann.polling() } else { ann }.connect().await;
        server.clock().advance(secs(25) - MS).await;
        assert_eq!(ann.pings(), 0);
        server.clock().advance(MS).await;
        assert_eq!(ann.pings(), 1);
        ann.nothing().await;

        ann.stop_reading().await;
        server.clock().advance(secs(25 + 20) - MS).await;
        assert_eq!(notes.take(), [""; 0], "polling: {polling}");
        server.clock().advance(MS).await;
        assert_eq!(notes.take(), ["ping timeout"], "polling: {polling}");
    }
}

#[tokio::test]
async fn whoever_enters_no_namespace_is_gone_after_45_s() {
    let (app, _) = app();
    let server = TestServer::start(app).await;
    let mut idler = server.engine_io("/socket.io").connect().await;
    server.clock().advance(secs(45) - MS).await;
    assert_eq!(idler.pings(), 1);
    server.clock().advance(MS).await;
    assert_eq!(idler.closed().await, "transport close");
}

#[tokio::test]
async fn an_ack_is_waited_for_as_long_as_it_was_said() {
    let (mut app, _) = app();
    let notes = Notes::default();
    let told = notes.clone();
    app.namespace("/").on("ask me", move |socket: Socket, Data(ms): Data<u64>| {
        let told = told.clone();
        async move {
            let asked = socket.emit_with_ack("well?", &()).timeout(Duration::from_millis(ms)).await;
            told.add(format!("{:?}", asked.map(|reply| reply.read::<String>().unwrap())));
        }
    });
    let server = TestServer::start(app).await;
    let mut ann = server.socket_io("/").connect().await;
    ann.emit("ask me", &300).await;
    let question = ann.event().await;
    assert!(question == ("well?", json!([])) && question.wants_ack());
    server.clock().advance(299 * MS).await;
    ann.ack(&question, &"yes").await;
    server.clock().settle().await;
    assert_eq!(notes.take(), ["Ok(\"yes\")"]);

    ann.emit("ask me", &300).await;
    ann.event().await;
    server.clock().advance(299 * MS).await;
    assert_eq!(notes.take(), [""; 0]);
    server.clock().advance(MS).await;
    assert_eq!(notes.take(), ["Err(Timeout)"]);
}

#[tokio::test]
async fn what_a_handler_waits_for_is_on_the_clock_and_happens_in_its_order() {
    let mut app = Server::new();
    app.route("/ticks", |mut ws: WebSocket| async move {
        for tick in 1..=3 {
            tokio::time::sleep(secs(600)).await;
            ws.send(tick.to_string().into()).await.unwrap();
        }
        ws.recv().await;
    });
    let server = TestServer::start(app).await;
    let mut ann = server.web_socket("/ticks").connect().await;
    ann.nothing().await;
    // Pings of the WebSocket come meanwhile, and are answered.
    server.clock().advance(secs(1800)).await;
    for tick in ["1", "2", "3"] {
        assert_eq!(ann.text().await, tick);
    }
    ann.nothing().await;
    ann.close(1000, "").await;
    assert_eq!(server.clock().elapsed(), secs(1800));
}

#[tokio::test]
async fn whoever_is_here_when_the_server_stops_is_told_so() {
    let (mut app, notes) = app();
    app.route("/", |mut ws: WebSocket| async move { while ws.recv().await.is_some() {} });
    let server = TestServer::start(app).await;
    let mut raw = server.web_socket("/").connect().await;
    let mut ann = server.socket_io("/").connect().await;
    let mut bob = server.socket_io("/").polling().connect().await;
    server.stop().await;
    assert_eq!(raw.closed().await.code, 1001);
    assert_eq!(ann.disconnected().await, "transport close");
    assert_eq!(bob.disconnected().await, "transport close");
    assert_eq!(notes.take(), ["server shutting down"; 2]);
}

#[tokio::test]
async fn a_refusal_and_its_data_reach_the_client() {
    let mut app = Server::new();
    app.namespace("/").on_connect(async |socket: Socket| match socket.auth::<serde_json::Value>() {
        Some(auth) if auth["name"] == "ann" => Ok(()),
        _ => Err(ConnectRefused::new("who are you?").data(&json!({"code": 7}))),
    });
    app.namespace("/").on("whoami", async |socket: Socket, ack: Ack| ack.send(socket.id()));
    let server = TestServer::start(app).await;
    let refused = server.socket_io("/").try_connect().await.unwrap_err();
    assert_eq!((refused.message.as_str(), refused.data), ("who are you?", Some(json!({"code": 7}))));
    let mut ann = server.socket_io("/").auth(json!({"name": "ann"})).connect().await;
    let sid = ann.sid().to_owned();
    assert_eq!(ann.ask("whoami", &()).await, json!([sid]));
}

/// An application whose main namespace recovers for two minutes, and acks `news` once everybody has been told.
fn recovering() -> Server {
    let mut app = Server::new();
    app.namespace("/").recover(secs(120)).on(
        "news",
        async |socket: Socket, Data(text): Data<String>, ack: Ack| {
            socket.namespace().emit("news", &text).await.unwrap();
            ack.send(&());
        },
    );
    app
}

#[tokio::test]
async fn a_connection_is_recovered_until_its_window_is_over_and_not_after() {
    for (away, recovered) in [(secs(120) - MS, true), (secs(120), false)] {
        let server = TestServer::start(recovering()).await;
        let mut bob = server.socket_io("/").connect().await;
        let ann = server.socket_io("/").connect().await;
        let lost = ann.lose().await;
        server.clock().advance(away - MS).await;
        bob.ask("news", &"something").await;
        server.clock().advance(MS).await;
        let mut ann = server.socket_io("/").recover(lost).connect().await;
        assert_eq!(ann.recovered(), recovered, "{away:?}");
        if recovered {
            assert_eq!(ann.event().await, ("news", json!(["something"])));
        }
        ann.nothing().await;
    }
}

#[tokio::test]
async fn a_connection_is_recovered_after_a_day_in_which_nothing_was_said() {
    let mut app = recovering();
    let engine_io = EngineIo { ping_interval: secs(600), ..EngineIo::default() };
    app.socket_io("/socket.io", SocketIoOptions { engine_io, ..SocketIoOptions::default() });
    let server = TestServer::start(app).await;
    let mut bob = server.socket_io("/").connect().await;
    let mut ann = server.socket_io("/").connect().await;
    let day = secs(24 * 3600);
    server.clock().advance(day).await;
    assert_eq!(ann.pings(), day.as_secs() / 600);
    for round in 0..10 {
        let lost = ann.lose().await;
        bob.ask("news", &round.to_string()).await;
        ann = server.socket_io("/").recover(lost).connect().await;
        assert!(ann.recovered());
        assert_eq!(ann.event().await, ("news", json!([round.to_string()])));
    }
}

#[tokio::test]
async fn a_broadcast_that_asks_gets_every_answer_until_its_deadline_and_counts_who_does_not_answer() {
    let (mut app, notes) = (Server::new(), Notes::default());
    let told = notes.clone();
    app.namespace("/").on_connect(async |socket: Socket| drop(socket.join("panel"))).on(
        "poll",
        move |all: Namespace| {
            let told = told.clone();
            async move {
                let asked = all.to("panel").timeout(secs(5)).emit_with_ack("vote", "tea?");
                let answers = asked.await.unwrap();
                told.add(format!("{} {}", answers.read::<String>().join(" "), answers.missing));
            }
        },
    );
    let server = TestServer::start(app).await;
    let mut mute = server.socket_io("/").polling().connect().await;
    let mut panel = [server.socket_io("/").connect().await, server.socket_io("/").polling().connect().await];
    mute.emit("poll", &()).await;
    for (member, vote) in panel.iter_mut().zip(["yes", "no"]) {
        let asked = member.event().await;
        assert_eq!(asked, ("vote", json!(["tea?"])));
        member.ack(&asked, &vote).await;
    }
    server.clock().advance(secs(5) - MS).await;
    assert_eq!(notes.take(), [""; 0]);
    server.clock().advance(MS).await;
    assert_eq!(notes.take(), ["yes no 1"]);
}

#[tokio::test]
async fn an_axum_handler_waits_on_the_same_clock() {
    let mut app = Server::new();
    let rooms = app.rooms();
    let slow = async move || {
        tokio::time::sleep(secs(20)).await;
        let _ = rooms.to("lobby").send("slow").await;
        "done"
    };
    app.router(axum::Router::new().route("/slow", axum::routing::post(slow)));
    app.route("/lobby", |mut ws: WebSocket| async move {
        ws.join("lobby").unwrap();
        ws.recv().await;
    });
    let server = TestServer::start(app).await;
    let mut ann = server.web_socket("/lobby").connect().await;
    let (answer, ()) = tokio::join!(server.post("/slow", ""), async {
        server.clock().advance(secs(20) - MS).await;
        ann.nothing().await;
        server.clock().advance(MS).await;
        assert_eq!(ann.text().await, "slow");
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    assert_eq!(server.get("/nowhere").await.status, 404);
    assert_eq!(server.web_socket("/nowhere").try_connect().await.unwrap_err(), 404);
}

#[tokio::test]
async fn the_name_of_a_guest_who_has_shown_its_token_is_held_for_a_day() {
    let mut app = Server::new();
    app.chat();
    let server = TestServer::start(app).await;
    let mut ann = server.chat("name=ann").await;
    let token = ann.wait_for("welcome").await["token"].clone();
    assert_eq!(ann.ask(json!({"type": "auth", "token": token})).await["type"], "ok");
    ann.lose().await;
    let day = secs(24 * 3600);
    server.clock().advance(day - secs(1)).await;
    let mut thief = server.chat("name=ann").await;
    assert_eq!(thief.wait_for("error").await["code"], "name_taken");
    server.clock().advance(secs(1)).await;
    let mut heir = server.chat("name=ann").await;
    assert_eq!(heir.wait_for("welcome").await["name"], "ann");
}

#[tokio::test]
async fn a_raw_connection_that_answers_no_ping_is_closed_with_4012() {
    let mut app = Server::new();
    app.route("/", |mut ws: WebSocket| async move { while ws.recv().await.is_some() {} });
    let server = TestServer::start(app).await;
    // The ping goes out after 21 to 25 s, and is to be answered within 10; both in whole seconds.
    for (silent, closed) in [(secs(31) - MS, false), (secs(36), true)] {
        let mut ann = server.web_socket("/").connect().await;
        ann.stop_reading().await;
        server.clock().advance(silent).await;
        ann.go_on_reading().await;
        if closed {
            assert_eq!(ann.closed().await.code, 4012);
        } else {
            server.clock().advance(secs(60)).await;
            ann.nothing().await;
        }
    }
}

#[tokio::test]
async fn a_websocket_has_ten_seconds_to_take_a_session_over() {
    let (app, _) = app();
    let server = TestServer::start(app).await;
    let mut session = server.engine_io("/socket.io").polling().connect().await;
    // As clients do before they go over.
    session.stop_reading().await;
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={}", session.sid());
    let mut probe = server.web_socket(&path).connect().await;
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    server.clock().advance(secs(10) - MS).await;
    probe.nothing().await;
    server.clock().advance(MS).await;
    probe.closed().await;
    // The session goes on where it was.
    session.send("0").await;
    let polled = server.get(&format!("/socket.io/?EIO=4&transport=polling&sid={}", session.sid())).await;
    assert!(polled.text().contains("40{\"sid\":"), "{}", polled.text());
}

#[tokio::test]
async fn whoever_publishes_too_fast_may_go_on_when_time_has_gone_by() {
    let mut app = Server::new();
    app.chat();
    let server = TestServer::start(app).await;
    let mut ann = server.chat("name=ann&room=lobby").await;
    let publish = json!({"type": "publish", "room": "live:x", "data": "hi"});
    let mut published = 0;
    let refused = loop {
        let answer = ann.ask(publish.clone()).await;
        if answer["type"] == "error" {
            break answer;
        }
        published += 1;
        assert!(published < 10_000, "nothing is refused");
    };
    assert_eq!(refused["code"], "rate_limited");
    assert_eq!(ann.ask(publish.clone()).await["code"], "rate_limited");
    server.clock().advance(secs(1)).await;
    assert_eq!(ann.ask(publish).await["type"], "published");
}
