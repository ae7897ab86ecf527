//! Cursors over several rooms and several processes.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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

/// Sends commands of somebody new in one body, when time has gone by: nobody may publish more than so much at once.
async fn publish_all(server: &TestServer, room: &str, data: impl Iterator<Item = u64>) -> Vec<String> {
    server.clock().advance(Duration::from_secs(60)).await;
    let publish = |data| json!({ "type": "publish", "id": 1, "room": room, "data": data });
    let commands = Value::from_iter(data.map(publish));
    let replies: Vec<Value> = server.post("/send?name=bob", commands.to_string()).await.json();
    replies
        .iter()
        .map(|reply| reply["pos"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned())
        .collect()
}

/// What polls give of two rooms from a place in three on, until there is no more.
async fn poll_all(server: &TestServer, [a, b, c]: [&String; 3]) -> [Vec<u64>; 2] {
    let mut given = [Vec::new(), Vec::new()];
    let mut wanted = format!("room=a&since={a}&room=b&since={b}&room=memory:c&since={c}");
    loop {
        let answer = poll(server, &wanted).await;
        assert_eq!(answer["recovered"], true, "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        if messages.is_empty() {
            return given;
        }
        for message in messages {
            let room = ["b", "memory:c"].iter().position(|room| message["room"] == *room);
            given[room.unwrap_or_else(|| panic!("{message}"))].push(message["data"].as_u64().unwrap());
        }
        wanted = format!("room=a&room=b&room=memory:c&cursor={}", cursor(&answer));
    }
}

#[tokio::test]
async fn whoever_was_further_in_one_room_than_in_another_gets_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_in(dir.path()).await;
    let [mut a, mut b, mut c] = [const { Vec::new() }; 3];
    for from in (0..120).step_by(40) {
        b.extend(publish_all(&server, "b", from..from + 40).await);
        c.extend(publish_all(&server, "memory:c", from..from + 40).await);
        a.extend(publish_all(&server, "a", 0..1).await);
    }
    let behind = |b: u64, c: u64| [(b..120).collect::<Vec<_>>(), (c..120).collect()];
    // It has all of `a`; what it has not of the others is older, and more than fits into one answer.
    assert_eq!(poll_all(&server, [&a[2], &b[0], &c[20]]).await, behind(1, 21));
    assert_eq!(poll_all(&server, [&a[2], &b[110], &c[119]]).await, behind(111, 120));
    assert_eq!(poll_all(&server, [&a[2], &b[119], &c[119]]).await, behind(120, 120));
    server.stop().await;
}
