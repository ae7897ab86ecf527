//! Cursors over several rooms and several processes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parlor::Server;
use parlor::testing::TestServer;
use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::engine::Engine;
use parlor_hub::memory::MemoryEngine;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn start(engine: Arc<dyn Engine>) -> TestServer {
    let mut app = Server::new();
    app.chat().engine(engine);
    TestServer::start(app).await
}

async fn start_in(dir: &Path) -> TestServer {
    start(Arc::new(EmbeddedEngine::open(Settings::new(dir)).unwrap())).await
}

/// What a killed process leaves on the disk.
fn left_in(dir: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    left
}

/// Publishes; what the message is known by.
async fn publish(server: &TestServer, room: &str, data: &str) -> String {
    let command = json!({ "type": "publish", "id": 1, "room": room, "data": data });
    let answer: Value =
        serde_json::from_str(&server.post("/send?name=bob", command.to_string()).await.text()).unwrap();
    let pos = answer["pos"].as_str().or(answer[0]["pos"].as_str()).unwrap_or_else(|| panic!("{answer}"));
    pos.rsplit('.').next().unwrap().to_owned()
}

async fn poll(server: &TestServer, wanted: &str) -> Value {
    let answer = server.get(&format!("/poll?wait=0&{wanted}")).await;
    serde_json::from_str(&answer.text()).unwrap()
}

#[track_caller]
fn check(answer: &Value, data: &[&str], lost: Value) {
    let messages = answer["messages"].as_array().unwrap();
    let found: Vec<_> = messages.iter().map(|message| message["data"].as_str().unwrap()).collect();
    assert_eq!((&*found, answer.get("lost").unwrap_or(&Value::Null)), (data, &lost), "{answer}");
}

fn cursor(answer: &Value) -> &str {
    answer["cursor"].as_str().unwrap()
}

#[tokio::test]
async fn a_poll_goes_on_after_a_restart_though_it_saw_last_what_went_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let rooms = "room=a&room=memory:b";
    let server = start_in(dir.path()).await;
    publish(&server, "a", "1").await;
    publish(&server, "memory:b", "2").await;
    let first = poll(&server, rooms).await;
    publish(&server, "memory:b", "3").await;
    let second = poll(&server, &format!("{rooms}&cursor={}", cursor(&first))).await;
    check(&second, &["3"], Value::Null);
    // A stream says the same place by its own message, which is proof as long as that is there.
    let id = publish(&server, "memory:b", "4").await;
    let third = poll(&server, &format!("{rooms}&cursor={}", cursor(&second))).await;
    let mut parts: Vec<_> = cursor(&third).split('-').collect();
    parts[2] = &id;
    let of_stream = parts.join("-");
    check(&poll(&server, &format!("{rooms}&cursor={of_stream}")).await, &[], Value::Null);
    let left = left_in(dir.path());
    server.stop().await;

    let server = start_in(left.path()).await;
    publish(&server, "a", "5").await;
    for answer in [&first, &second, &third] {
        let answer = poll(&server, &format!("{rooms}&cursor={}", cursor(answer))).await;
        check(&answer, &["5"], json!({ "memory:b": "epoch_changed" }));
    }
    let answer = poll(&server, &format!("{rooms}&cursor={of_stream}")).await;
    check(&answer, &[], json!({ "a": "epoch_changed", "memory:b": "epoch_changed" }));
    server.stop().await;
}

#[tokio::test]
async fn a_place_from_after_a_backup_is_no_place_where_the_backup_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let rooms = "room=a&room=b";
    let server = start_in(dir.path()).await;
    publish(&server, "a", "1").await;
    let (backup, store) = (left_in(dir.path()), left_in(dir.path()));
    server.stop().await;
    // In none of its rooms anything happens; elsewhere the store goes on.
    let server = start_in(store.path()).await;
    publish(&server, "elsewhere", "2").await;
    publish(&server, "elsewhere", "3").await;
    let answer = poll(&server, rooms).await;
    server.stop().await;

    let settings = Settings { clock: || 2_000_000_000_000, ..Settings::new(backup.path()) };
    let server = start(Arc::new(EmbeddedEngine::open(settings).unwrap())).await;
    publish(&server, "b", "4").await;
    publish(&server, "a", "5").await;
    let answer = poll(&server, &format!("{rooms}&cursor={}", cursor(&answer))).await;
    check(&answer, &["4", "5"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_log_that_memory_has_no_room_for_any_more_is_not_taken_for_one_where_nothing_was() {
    let server = start(Arc::new(MemoryEngine::new([7; 16]).limit_logs(60_000))).await;
    publish(&server, "a", "1").await;
    let first = poll(&server, "room=a&room=b").await;
    publish(&server, "a", "2").await;
    let filling = "x".repeat(20_000);
    for room in ["b", "c", "d"] {
        publish(&server, room, &filling).await;
    }
    let answer = poll(&server, &format!("room=a&room=b&cursor={}", cursor(&first))).await;
    assert_eq!(answer["lost"]["a"], "epoch_changed", "{answer}");
    let answer = poll(&server, &format!("room=a&room=b&cursor={}", cursor(&answer))).await;
    check(&answer, &[], Value::Null);
    server.stop().await;
}
