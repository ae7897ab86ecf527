//! What is on the clock that a test owns, to the millisecond.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::testing::TestServer;
use parlor::{Ack, ConnectRefused, Data, Reason, Server, Socket, WebSocket};
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
