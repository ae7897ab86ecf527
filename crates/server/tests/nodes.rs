//! Two processes of `parlor` on one Redis are one server: rooms, direct messages, names and resume.

use std::net::SocketAddr;
use std::process::Command;

use parlor_testkit::listener::{Listener, request};
use parlor_testkit::peer::Peer;
use parlor_testkit::process::Process;
use parlor_testkit::redis::{DURABLE, Redis};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running node.
struct Node {
    process: Process,
    address: SocketAddr,
    _data: TempDir,
}

fn node(redis: &Redis) -> Node {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    command.env_clear().current_dir(&data).env("PARLOR_ENGINE", redis.url());
    command.args(["--no-limits", "--workers", "2", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let process = Process::spawn(&mut command);
    let line = process.line_with("listening on http://");
    let address = line["listening on http://".len()..].parse().unwrap();
    let data_line = process.line_containing("Data ");
    assert!(data_line.contains(&redis.url()), "{data_line}");
    assert!(data_line.contains("a message is acknowledged when Redis has it on disk"), "{data_line}");
    Node { process, address, _data: data }
}

/// Joins with a command, so that the answer is the one that is waited for.
fn join(peer: &mut Peer, room: &str, since: &Value) -> Value {
    peer.ask(&json!({"type": "join", "id": 1, "room": room, "since": since}).to_string())
}

fn publish(peer: &mut Peer, room: &str, data: &str) -> Value {
    let published = peer
        .ask(&json!({"type": "publish", "id": data, "room": room, "data": data, "key": data}).to_string());
    assert_eq!(
        (&published["type"], &published["ack"]),
        (&"published".into(), &"local".into()),
        "{published}"
    );
    published
}

/// The next so many messages: what they say, and their offsets.
fn messages(peer: &mut Peer, count: usize) -> Vec<(String, u64)> {
    let next = |_| {
        let message = peer.wait_for("message");
        (message["data"].as_str().unwrap().to_owned(), message["offset"].as_u64().unwrap())
    };
    (0..count).map(next).collect()
}

#[test]
fn people_on_two_nodes_share_a_room_and_its_order() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=talk");
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob&room=talk");
    ann.wait_for("joined");
    bob.wait_for("joined");
    for n in 0..50 {
        let (ann_says, bob_says) = (format!("a{n}"), format!("b{n}"));
        for (peer, data) in [(&mut ann, &ann_says), (&mut bob, &bob_says)] {
            peer.send(&json!({"type": "publish", "room": "talk", "data": data}).to_string());
        }
    }
    let heard = messages(&mut ann, 100);
    assert_eq!(messages(&mut bob, 100), heard);
    assert!(heard.iter().map(|(_, offset)| *offset).eq(1..=100));
}

#[test]
fn a_position_of_one_node_is_continued_on_the_other() {
    let redis = Redis::start(DURABLE);
    let mut nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann");
    join(&mut ann, "talk", &Value::Null);
    let first = publish(&mut ann, "talk", "1");
    nodes[0].process.kill();
    nodes[0].process.wait();
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob");
    publish(&mut bob, "talk", "2");
    // The same key on another node is the same message.
    let mut again = Peer::connect(nodes[1].address, "/ws?name=carl");
    let joined = join(&mut again, "talk", &first["pos"]);
    assert_eq!(joined["recovered"], true, "{joined}");
    let gap: Vec<&str> =
        joined["messages"].as_array().unwrap().iter().map(|m| m["data"].as_str().unwrap()).collect();
    assert_eq!(gap, ["2"]);
    publish(&mut bob, "talk", "3");
    assert_eq!(messages(&mut again, 1), [("3".to_owned(), 3)]);
}

#[test]
fn direct_messages_and_names_hold_on_both_nodes() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob");
    let token = bob.wait_for("welcome")["token"].as_str().unwrap().to_owned();
    // Who shows its token is an account, which every node knows.
    let shown = bob.ask(&json!({"type": "auth", "id": 1, "token": token}).to_string());
    assert_eq!(shown["type"], "ok", "{shown}");
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann");
    let sent = ann.ask(r#"{"type":"direct","id":1,"to":"bob","data":"psst"}"#);
    assert_eq!(sent["type"], "published", "{sent}");
    let direct = bob.wait_for("direct");
    assert_eq!((&direct["from"], &direct["data"]), (&"ann".into(), &"psst".into()));
    let mut other = Peer::connect(nodes[0].address, "/ws?name=bob");
    let refusal = other.wait_for("error");
    assert_eq!(refusal["code"], "name_taken", "{refusal}");
}

/// Who is in the room by the answer of a node, in the order of their names.
fn members(peer: &mut Peer, room: &str) -> Vec<String> {
    let members = peer.ask(&json!({"type": "members", "id": 1, "room": room}).to_string());
    let name = |member: &Value| member["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = members["members"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(members["count"], names.len());
    names.sort();
    names
}

/// The next push that tells of one coming or going.
fn presence(peer: &mut Peer, change: &str) -> Vec<String> {
    loop {
        let push = peer.wait_for("presence");
        let changed = push[change].as_array().unwrap();
        if !changed.is_empty() {
            return changed.iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect();
        }
    }
}

#[test]
fn who_is_on_a_node_that_is_killed_leaves_once_and_who_is_on_the_other_stays() {
    let redis = Redis::start(DURABLE);
    let mut nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=talk");
    ann.wait_for("joined");
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob&room=talk");
    while presence(&mut ann, "joined") != ["bob"] {}
    let mut carl = Peer::connect(nodes[1].address, "/ws?name=carl&room=talk");
    while presence(&mut ann, "joined") != ["carl"] {}
    for peer in [&mut ann, &mut bob, &mut carl] {
        assert_eq!(members(peer, "talk"), ["ann", "bob", "carl"]);
    }
    // Who goes of themselves is gone after the grace, on both nodes.
    drop(carl);
    assert_eq!(presence(&mut ann, "left"), ["carl"]);
    while members(&mut bob, "talk") != ["ann", "bob"] {}

    nodes[1].process.kill();
    nodes[1].process.wait();
    assert_eq!(presence(&mut ann, "left"), ["bob"]);
    assert_eq!(members(&mut ann, "talk"), ["ann"]);
    // A new node is told who is there, and nobody else.
    let fresh = node(&redis);
    let mut dora = Peer::connect(fresh.address, "/ws?name=dora&room=talk");
    while members(&mut dora, "talk") != ["ann", "dora"] {}
    assert_eq!(presence(&mut ann, "joined"), ["dora"]);
}

#[test]
fn nobody_seems_to_leave_when_redis_comes_back_empty() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=live:talk");
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob&room=live:talk");
    ann.wait_for("joined");
    bob.wait_for("joined");
    let count =
        |peer: &mut Peer| peer.ask(r#"{"type":"members","id":1,"room":"live:talk"}"#)["count"].clone();
    while count(&mut ann) != 2 {}
    redis.ask(&["FLUSHALL"]);
    // Each node says again who is there.
    while redis.ask(&["HLEN", "{parlor}:p:live:talk"]) != ":2\r\n" {
        assert_eq!(count(&mut ann), 2);
    }
    assert_eq!((count(&mut ann), count(&mut bob)), (2.into(), 2.into()));
}

#[test]
fn while_redis_is_away_nobody_is_cut_and_afterwards_nothing_is_missing() {
    let mut redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=talk");
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob&room=talk");
    ann.wait_for("joined");
    bob.wait_for("joined");
    publish(&mut ann, "talk", "1");
    redis.kill();
    let refused = ann.ask(r#"{"type":"publish","id":1,"room":"talk","data":"2","key":"2"}"#);
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert!(refused["retry_after"].as_u64().is_some(), "{refused}");
    redis.start_again();
    loop {
        let answer = ann.ask(r#"{"type":"publish","id":1,"room":"talk","data":"2","key":"2"}"#);
        if answer["type"] == "published" {
            break;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
    }
    let mut carl = Peer::connect(nodes[1].address, "/ws?name=carl");
    publish(&mut carl, "talk", "3");
    let expected: Vec<_> = (1..=3).map(|n: u64| (n.to_string(), n)).collect();
    assert_eq!(messages(&mut bob, 3), expected);
}

#[test]
fn a_cursor_is_continued_on_the_other_node_over_every_transport() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Listener::open(nodes[0].address, "/sse?room=a&room=b", &[]);
    ann.wait_for("joined");
    ann.wait_for("joined");
    let begin = ann.wait_for_id();
    let mut bob = Peer::connect(nodes[1].address, "/ws?name=bob");
    for n in 0..250 {
        publish(&mut bob, if n % 3 == 0 { "a" } else { "b" }, &n.to_string());
    }
    (0..250).for_each(|n| assert_eq!(ann.wait_for("message")["data"], n.to_string()));
    let header = format!("Last-Event-ID: {begin}");
    for node in &nodes {
        for target in ["/sse?room=a&room=b", "/stream?room=b&room=a"] {
            let mut back = Listener::open(node.address, &format!("{target}&cursor={begin}"), &[]);
            (0..250).for_each(|n| assert_eq!(back.wait_for("message")["data"], n.to_string(), "{target}"));
            (0..2).for_each(|_| assert_eq!(back.wait_for("joined")["recovered"], true, "{target}"));
        }
        let (mut cursor, mut polled) = (begin.clone(), Vec::new());
        while polled.len() < 250 {
            let target = format!("/poll?room=a&room=b&wait=0&cursor={cursor}");
            let answer = request(node.address, "GET", &target, &[], "");
            assert_eq!(answer.body["recovered"], true, "{answer:?}");
            polled.extend(answer.body["messages"].as_array().unwrap().iter().map(|m| m["data"].clone()));
            answer.body["cursor"].as_str().unwrap().clone_into(&mut cursor);
        }
        assert!(polled.iter().enumerate().all(|(n, data)| data.as_str() == Some(&*n.to_string())));
    }
    // What comes while it is there comes from the other node too.
    let mut back = Listener::open(nodes[1].address, "/sse?room=a&room=b", &[&header]);
    (0..250).for_each(|_| drop(back.wait_for("message")));
    let mut carl = Peer::connect(nodes[0].address, "/ws?name=carl");
    publish(&mut carl, "b", "live");
    assert_eq!(back.wait_for("message")["data"], "live");
}

#[test]
fn while_redis_stands_still_nobody_is_cut_on_any_transport() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=talk");
    ann.wait_for("joined");
    let mut bob = Listener::open(nodes[1].address, "/sse?room=talk&name=bob", &[]);
    let mut carl = Peer::connect(nodes[0].address, "/ws?name=carl&room=talk");
    bob.wait_for("joined");
    carl.wait_for("joined");
    publish(&mut ann, "talk", "1");
    redis.pause();
    // Long enough for the connections to Redis to be given up.
    for _ in 0..8 {
        let refused = ann.ask(r#"{"type":"publish","id":1,"room":"talk","data":"2","key":"2"}"#);
        assert_eq!(refused["code"], "unavailable", "{refused}");
    }
    redis.go_on();
    while ann.ask(r#"{"type":"publish","id":1,"room":"talk","data":"2","key":"2"}"#)["type"] != "published" {}
    publish(&mut ann, "talk", "3");
    assert!(messages(&mut carl, 3).iter().map(|(_, offset)| *offset).eq(1..=3));
    (1..=3).for_each(|n| assert_eq!(bob.wait_for("message")["offset"], n));
}

#[test]
fn a_redis_that_is_emptied_is_told_to_the_clients_of_every_node_and_transport() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis), node(&redis)];
    let mut ann = Peer::connect(nodes[0].address, "/ws?name=ann&room=talk");
    let joined = ann.wait_for("joined");
    let mut bob = Listener::open(nodes[1].address, "/sse?room=talk&name=bob", &[]);
    bob.wait_for("joined");
    let published = publish(&mut ann, "talk", "1");
    bob.wait_for("message");
    let cursor = bob.id.clone().unwrap();
    redis.ask(&["FLUSHALL"]);
    assert_eq!(ann.wait_for_end(), 4010);
    assert_eq!(bob.wait_for("bye")["code"], 4010);
    // Whoever comes back is told on whichever node.
    for node in &nodes {
        let mut back = Peer::connect(node.address, "/ws");
        for since in [&joined["pos"], &published["pos"]] {
            let joined = join(&mut back, "talk", since);
            let told = (&joined["recovered"], &joined["reason"]);
            assert_eq!(told, (&false.into(), &"epoch_changed".into()), "{joined}");
        }
        let target = format!("/sse?room=talk&cursor={cursor}");
        let mut back = Listener::open(node.address, &target, &[]);
        assert_eq!(back.wait_for("joined")["recovered"], false);
    }
}
