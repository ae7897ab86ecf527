//! The chat over SSE, lines, polls and POST: one meaning of position on all of them, and what bad input costs.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::thread;

use parlor::{Limits, Running, Server};
use parlor_testkit::listener::{Answer, Listener, request};
use parlor_testkit::peer::Peer;
use serde_json::{Value, json};

fn server() -> Running {
    let mut server = Server::new();
    server.chat().workers(2).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[track_caller]
fn get(server: &Running, target: &str) -> Answer {
    request(server.address(), "GET", target, &[], "")
}

#[track_caller]
fn send(server: &Running, target: &str, body: &Value) -> Answer {
    request(server.address(), "POST", target, &[], &body.to_string())
}

#[track_caller]
fn publish(server: &Running, room: &str, data: impl Into<Value>) -> Value {
    let data: Value = data.into();
    let answer = send(server, "/send", &json!({"type":"publish","room":room,"data":data}));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The data of a poll's messages, and its cursor.
#[track_caller]
fn fetched(answer: &Answer) -> (Vec<Value>, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = answer.body["messages"].as_array().unwrap().iter().map(|message| message["data"].clone());
    (data.collect(), answer.body["cursor"].as_str().unwrap().to_owned())
}

#[test]
fn an_event_stream_is_the_objects_of_the_socket_with_a_cursor_as_id() {
    let server = server();
    let origin = format!("Origin: http://{}", server.address());
    let mut ann = Listener::open(server.address(), "/sse?room=talk&name=ann", &[&origin]);
    assert!(
        ann.head
            .starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n")
    );
    assert!(ann.head.contains(&format!("\r\naccess-control-allow-origin: http://{}\r\n", server.address())));
    assert_eq!(ann.wait_for("welcome")["name"], "ann");
    assert_eq!(ann.wait_for("joined")["offset"], 0);
    let begin = ann.wait_for_id();
    let published = publish(&server, "talk", "hi");
    let heard = ann.wait_for("message");
    assert_eq!((&heard["data"], &heard["pos"]), (&json!("hi"), &published["pos"]));
    let id = ann.id.clone().unwrap();
    assert_ne!(id, begin);
    // An object that is not one line is given whole.
    let pretty = "{\n \"type\": \"publish\",\n \"room\": \"talk\",\n \"data\": {\n\"a\":\n1} }";
    assert_eq!(request(server.address(), "POST", "/send", &[], pretty).status, 200);
    assert_eq!(ann.wait_for("message")["data"], json!({"a":1}));
    server.stop();
    let rest = ann.rest();
    assert!(rest.contains("data: {\"type\":\"bye\",\"code\":1001,"), "{rest}");
}

#[test]
fn who_comes_back_gets_what_was_missed_in_all_rooms_in_one_order() {
    let server = server();
    let mut ann = Listener::open(server.address(), "/sse?room=a&room=b", &[]);
    ann.wait_for("joined");
    ann.wait_for("joined");
    let before = ann.wait_for_id();
    drop(ann);
    for n in 0..250 {
        publish(&server, if n % 3 == 0 { "a" } else { "b" }, n);
    }
    let header = format!("Last-Event-ID: {before}");
    let cursor = format!("&cursor={before}");
    let check = |target: &str, headers: &[&str]| {
        let mut back = Listener::open(server.address(), target, headers);
        for n in 0..250 {
            assert_eq!(back.wait_for("message")["data"], n, "{target}");
        }
        for _ in 0..2 {
            assert_eq!(back.wait_for("joined")["recovered"], true, "{target}");
        }
        back
    };
    // It can be repeated with the same result.
    check("/sse?room=a&room=b", &[&header]);
    check(&format!("/sse?room=a&room=b{cursor}"), &[]);
    check(&format!("/stream?room=b&room=a{cursor}"), &[]);
    let mut back = check("/sse?room=a&room=b&room=a", &[&header]);
    publish(&server, "a", "live");
    assert_eq!(back.wait_for("message")["data"], "live");
    // A browser repeats its URL; the header says what it has seen since.
    let header = format!("Last-Event-ID: {}", back.id.unwrap());
    let mut last = Listener::open(server.address(), &format!("/sse?room=a&room=b{cursor}"), &[&header]);
    while let Some(heard) = last.hear() {
        assert_ne!(heard["type"], "message");
        if heard["type"] == "joined" {
            assert_eq!(heard["recovered"], true);
            break;
        }
    }
    server.stop();
}

#[test]
fn a_stream_has_no_place_to_come_back_to_before_it_was_told_what_is_lost() {
    let server = server();
    publish(&server, "a", "first");
    let cursor = fetched(&get(&server, "/poll?room=a&room=b")).1;
    let fill = |count: usize| {
        let commands: Vec<_> =
            (0..count).map(|n| json!({"type": "publish", "room": "b", "data": n})).collect();
        for commands in commands.chunks(100) {
            assert_eq!(send(&server, "/send?name=bob", &json!(commands)).status, 200);
        }
    };
    fill(600);
    publish(&server, "a", "second");
    fill(600);
    let header = format!("Last-Event-ID: {cursor}");
    let mut back = Listener::open(server.address(), "/sse?room=a&room=b", &[&header]);
    assert_eq!(back.wait_for("message")["data"], "second");
    // Behind that the room b would be whole again.
    assert_eq!(back.id, None);
    loop {
        let joined = back.wait_for("joined");
        if joined["room"] == "b" {
            assert_eq!(joined["reason"], "too_many");
            break;
        }
    }
    server.stop();
}

#[test]
fn a_cursor_of_another_store_or_time_is_said_and_nothing_of_the_gap_is_given() {
    let (server, other) = (server(), server());
    let cursor_of = |server: &Running| {
        publish(server, "talk", "first");
        fetched(&get(server, "/poll?room=talk")).1
    };
    let (own, foreign) = (cursor_of(&server), cursor_of(&other));
    publish(&server, "talk", "second");
    let (place, id) = own.rsplit_once('-').unwrap();
    let (life, seq) = place.split_once('-').unwrap();
    let rows = [
        (foreign.clone(), "epoch_changed"),
        (format!("{life}-{seq}-01M7YZX9H3HT56S1WA6AEE9WYJ"), "diverged"),
        (format!("{life}-999999999-{id}"), "diverged"),
        (format!("{life}-{seq}-0"), "diverged"),
    ];
    for (cursor, reason) in rows {
        let target = format!("room=talk&room=empty&room=live:x&cursor={cursor}");
        let answer = get(&server, &format!("/poll?{target}&wait=0"));
        let (data, fresh) = fetched(&answer);
        assert_eq!((data.len(), &answer.body["recovered"]), (0, &json!(false)), "{cursor}");
        let lost = json!({"talk":reason,"empty":reason,"live:x":"no_log"});
        assert_eq!(answer.body["lost"], lost, "{cursor}");
        // From there on it goes on.
        let answer = get(&server, &format!("/poll?room=talk&cursor={fresh}&wait=0"));
        assert_eq!(answer.body["recovered"], true, "{answer:?}");
        for path in ["sse", "stream"] {
            let mut back = Listener::open(server.address(), &format!("/{path}?{target}"), &[]);
            for _ in 0..3 {
                let joined = back.wait_for("joined");
                let reason = if joined["room"] == "live:x" { "no_log" } else { reason };
                assert_eq!((&joined["recovered"], &joined["reason"]), (&json!(false), &json!(reason)));
                assert_eq!(joined["messages"], json!([]));
            }
        }
    }
    for bad in ["x", "k3.1.0", "k3-1-0~x~0"] {
        for path in ["poll", "sse", "stream"] {
            let answer = get(&server, &format!("/{path}?room=talk&cursor={bad}"));
            assert_eq!((answer.status, &answer.body["code"]), (400, &json!("bad_message")), "{path} {bad}");
        }
    }
    server.stop();
    other.stop();
}

#[test]
fn two_polls_with_one_cursor_get_the_same_on_any_worker() {
    let server = server();
    for n in 0..130 {
        publish(&server, if n % 2 == 0 { "a" } else { "b" }, n);
    }
    let rooms = "room=a&room=b";
    let (last, cursor) = fetched(&get(&server, &format!("/poll?{rooms}&last=2")));
    assert_eq!(last, [126, 127, 128, 129]);
    for n in 130..300 {
        publish(&server, if n % 2 == 0 { "a" } else { "b" }, n);
    }
    let mut first = None;
    for _ in 0..4 {
        let page = fetched(&get(&server, &format!("/poll?{rooms}&cursor={cursor}")));
        assert_eq!(page.0, (130..230).collect::<Vec<_>>());
        assert_eq!(*first.get_or_insert(page.1.clone()), page.1);
    }
    let (page, cursor) = fetched(&get(&server, &format!("/poll?{rooms}&cursor={}", first.unwrap())));
    assert_eq!(page, (230..300).collect::<Vec<_>>());
    assert_eq!(fetched(&get(&server, &format!("/poll?{rooms}&cursor={cursor}&wait=0"))).0.len(), 0);
    server.stop();
}

#[test]
fn a_poll_is_held_until_something_comes() {
    let server = server();
    let address = server.address();
    let (_, cursor) = fetched(&get(&server, "/poll?room=a&room=b"));
    let held: Vec<_> = (0..2)
        .map(|_| {
            let target = format!("/poll?room=a&room=b&cursor={cursor}");
            thread::spawn(move || fetched(&request(address, "GET", &target, &[], "")))
        })
        .collect();
    publish(&server, "b", "news");
    for held in held {
        assert_eq!(held.join().unwrap().0, ["news"]);
    }
    // A reader is nobody: it is no member, and it comes and goes untold.
    let members = send(&server, "/send", &json!({"type":"members","room":"b"}));
    assert_eq!(members.body["count"], 0);
    server.stop();
}

#[test]
fn a_poller_that_asks_is_greeted_and_told_what_a_socket_is_told() {
    let server = server();
    let first = get(&server, "/poll?welcome=1");
    let (welcome, session) = (&first.body["messages"][0], first.body["session"].as_str().unwrap());
    assert_eq!((&welcome["type"], &welcome["session"]), (&json!("welcome"), &json!(session)));
    assert!(welcome["token"].is_string(), "{welcome}");
    let header = format!("Parlor-Session: {session}");
    let join = json!({"type":"join","room":"lobby","id":1}).to_string();
    let joined = request(server.address(), "POST", "/send", &[&header], &join);
    assert_eq!((&joined.body["type"], &joined.body["id"]), (&json!("joined"), &json!(1)));
    publish(&server, "lobby", "hi");
    let (mut kinds, mut cursor) = (Vec::new(), first.body["cursor"].as_str().unwrap().to_owned());
    while !(kinds.contains(&json!("message")) && kinds.contains(&json!("presence"))) {
        let next = get(&server, &format!("/poll?cursor={cursor}"));
        kinds.extend(next.body["messages"].as_array().unwrap().iter().map(|said| said["type"].clone()));
        assert!(!kinds.contains(&json!("welcome")), "it is said once");
        cursor = fetched(&next).1;
    }
    server.stop();
}

#[test]
fn what_has_no_log_waits_for_a_poller_until_it_shows_that_it_arrived() {
    let server = server();
    let first = get(&server, "/poll?name=bob&room=live:x&room=talk");
    let (_, begin) = fetched(&first);
    let poll = |cursor: &str| fetched(&get(&server, &format!("/poll?room=live:x&room=talk&cursor={cursor}")));
    publish(&server, "live:x", 1);
    let (data, mut next) = poll(&begin);
    assert_eq!(data, [1], "{next}");
    // The answer was lost on its way: the same again, and nothing that came later is lost with it.
    publish(&server, "live:x", 2);
    assert_eq!(poll(&begin).0, [1]);
    send(&server, "/send?name=carl", &json!({"type":"direct","to":"bob","data":3}));
    publish(&server, "talk", 4);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let (data, cursor) = poll(&next);
        heard.extend(data.iter().filter_map(Value::as_u64));
        next = cursor;
    }
    heard.sort_unstable();
    assert_eq!(heard, [2, 3, 4]);
    let idle = get(&server, &format!("/poll?room=live:x&room=talk&cursor={next}&wait=0"));
    assert_eq!((fetched(&idle).0.len(), &idle.body["recovered"]), (0, &json!(true)));
    // It is a member, and its connection can be spoken for.
    let session = format!("Parlor-Session: {}", first.body["session"].as_str().unwrap());
    let command = json!([{"type":"join","room":"live:y"},{"type":"members","room":"talk"}]).to_string();
    let answer = request(server.address(), "POST", "/send", &[&session], &command);
    assert_eq!(answer.body[1]["members"][0]["name"], "bob");
    publish(&server, "live:y", 5);
    assert_eq!(poll(&next).0, [5]);
    // Without its session what has no log may have been missed.
    let (cursor, _) = next.split_once('~').unwrap();
    let answer = get(&server, &format!("/poll?room=live:x&room=talk&cursor={cursor}&wait=0"));
    assert_eq!(
        (&answer.body["recovered"], &answer.body["lost"]),
        (&json!(false), &json!({"live:x":"no_log"}))
    );
    server.stop();
}

#[test]
fn a_request_is_answered_as_a_socket_is_and_may_be_the_second_half_of_a_stream() {
    let server = server();
    let mut ann = Listener::open(server.address(), "/sse?name=ann", &[]);
    let session = ann.wait_for("welcome")["session"].as_str().unwrap().to_owned();
    let session = format!("Parlor-Session: {session}");
    let ask = |headers: &[&str], body: &str| request(server.address(), "POST", "/send", headers, body);
    let joined = ask(&[&session], r#"{"type":"join","id":"j","room":"talk"}"#);
    assert_eq!((&joined.body["type"], &joined.body["id"]), (&json!("joined"), &json!("j")));
    let replies =
        ask(&[&session], r#"[{"type":"publish","id":1,"room":"talk","data":"hi"},{"type":"ping","id":2}]"#);
    let types: Vec<_> = replies.body.as_array().unwrap().iter().map(|reply| reply["type"].clone()).collect();
    assert_eq!(types, ["published", "pong"]);
    assert_eq!(ann.wait_for("message")["from"], "ann");
    // The room is not in the URL, so a browser's place does not move by its messages.
    assert_eq!(ann.id, None);
    let rows = [
        (r#"{"type":"join","room":"talk"}"#, 409, "not_joined"),
        (r#"{"type":"publish","room":"$x","data":1}"#, 400, "bad_name"),
        (r#"{"type":"direct","to":"nobody","data":1}"#, 404, "no_such_user"),
        (r#"{"type":"what"}"#, 400, "unknown_type"),
        ("{", 400, "bad_json"),
        ("[{]", 400, "bad_json"),
        (r#"{"type":"history","room":"live:x"}"#, 409, "no_log"),
        (r#"{"type":"publish","room":"live:x","data":1,"key":"k"}"#, 409, "no_log"),
    ];
    for (body, status, code) in rows {
        let answer = ask(&[], body);
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{body}");
    }
    assert_eq!(ask(&[], "[]").body, json!([]));
    let many = format!("[{}]", vec![r#"{"type":"ping"}"#; 101].join(","));
    assert_eq!(ask(&[], &many).status, 413);
    assert_eq!(ask(&[], &"x".repeat(1024 * 1024 + 1)).status, 413);
    assert_eq!(ask(&["Parlor-Session: x"], r#"{"type":"ping"}"#).status, 401);
    // One key is one message, whatever carries it.
    let keyed = r#"{"type":"publish","room":"talk","data":"once","key":"k1"}"#;
    assert_eq!(ask(&[&session], keyed).body["offset"], ask(&[&session], keyed).body["offset"]);
    let taken = request(server.address(), "POST", "/send?name=ANN", &[], r#"{"type":"ping"}"#);
    assert_eq!((taken.status, &taken.body["code"]), (409, &json!("name_taken")));
    server.stop();
}

#[test]
fn pages_and_methods_are_refused_with_codes() {
    let server = server();
    for (path, allowed) in [("/sse", "GET"), ("/stream", "GET"), ("/poll", "GET"), ("/send", "POST")] {
        let evil = request(server.address(), allowed, path, &["Origin: http://evil.example"], "");
        assert_eq!((evil.status, &evil.body["code"]), (403, &json!("origin_denied")), "{path}");
        assert!(!evil.head.contains("access-control"), "{path}");
        for method in ["HEAD", "PUT", if allowed == "GET" { "POST" } else { "GET" }] {
            let answer = request(server.address(), method, path, &[], "");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.head.contains(&format!("\r\nallow: {allowed}\r\n")), "{}", answer.head);
        }
    }
    let page = format!("Origin: http://{}", server.address());
    let wants = "Access-Control-Request-Headers: parlor-session";
    for path in ["/sse", "/stream", "/poll", "/send"] {
        let preflight = request(server.address(), "OPTIONS", path, &[&page, wants], "");
        assert_eq!(preflight.status, 204, "{path}");
        assert!(
            preflight.head.contains("access-control-allow-headers: parlor-session\r\n"),
            "{}",
            preflight.head
        );
    }
    server.stop();
}

#[test]
fn a_client_that_changes_its_transport_keeps_its_position() {
    let server = server();
    let mut ann = Peer::connect(server.address(), "/ws?room=talk");
    ann.wait_for("joined");
    publish(&server, "talk", 1);
    let pos = ann.wait_for("message")["pos"].as_str().unwrap().to_owned();
    drop(ann);
    publish(&server, "talk", 2);
    let mut events = Listener::open(server.address(), &format!("/sse?room=talk&since={pos}"), &[]);
    let joined = events.wait_for("joined");
    assert_eq!((&joined["recovered"], &joined["messages"][0]["data"]), (&json!(true), &json!(2)));
    let id = events.wait_for_id();
    drop(events);
    publish(&server, "talk", 3);
    let (data, cursor) = fetched(&get(&server, &format!("/poll?room=talk&cursor={id}")));
    assert_eq!(data, [3]);
    publish(&server, "talk", 4);
    let mut lines = Listener::open(server.address(), &format!("/stream?room=talk&cursor={cursor}"), &[]);
    let heard = lines.wait_for("message");
    assert_eq!(heard["data"], 4);
    drop(lines);
    publish(&server, "talk", 5);
    let pos = heard["pos"].as_str().unwrap();
    let (data, _) = fetched(&get(&server, &format!("/poll?room=talk&since={pos}")));
    assert_eq!(data, [5]);
    let mut back = Peer::connect(server.address(), &format!("/ws?room=talk&since={pos}"));
    let joined = back.wait_for("joined");
    assert_eq!((&joined["recovered"], &joined["messages"][0]["data"]), (&json!(true), &json!(5)));
    server.stop();
}

#[test]
fn a_stream_goes_on_where_a_poll_was_further_in_one_room_than_in_another() {
    let server = server();
    let begin = publish(&server, "b", 0)["pos"].as_str().unwrap().to_owned();
    for n in 1..110 {
        publish(&server, "b", n);
    }
    let end = publish(&server, "a", "old")["pos"].as_str().unwrap().to_owned();
    let first = get(&server, &format!("/poll?room=a&since={end}&room=b&since={begin}"));
    let (data, cursor) = fetched(&first);
    assert_eq!(data, (1..=100).collect::<Vec<_>>());
    let header = format!("Last-Event-ID: {cursor}");
    let mut events = Listener::open(server.address(), "/sse?room=a&room=b", &[&header]);
    for n in 101..110 {
        assert_eq!(events.wait_for("message")["data"], n);
        assert_eq!(
            events.id, None,
            "an id would stand for a place in `a` as well, before what was had of it"
        );
    }
    for _ in 0..2 {
        let joined = events.wait_for("joined");
        assert_eq!(
            (&joined["recovered"], joined["messages"].as_array().map_or(0, Vec::len)),
            (&json!(true), 0)
        );
    }
    let id = events.wait_for_id();
    publish(&server, "a", "new");
    assert_eq!(fetched(&get(&server, &format!("/poll?room=a&room=b&cursor={id}"))).0, ["new"]);
    server.stop();
}

#[test]
fn a_stream_that_nobody_reads_is_cut_and_the_others_get_everything() {
    let server = server();
    let mut idle = Listener::open(server.address(), "/sse?room=talk", &[]);
    let mut ann = Listener::open(server.address(), "/sse?room=talk", &[]);
    idle.wait_for("joined");
    ann.wait_for("joined");
    let text = "x".repeat(60_000);
    for n in 1..=300 {
        publish(&server, "talk", text.clone());
        assert_eq!(ann.wait_for("message")["offset"], n);
    }
    let rest = idle.rest();
    assert!(rest.ends_with("\n\n") && rest.contains("\"code\":4008"), "{}", &rest[rest.len() - 200..]);
    assert!(rest.matches("\"type\":\"message\"").count() < 300);
    server.stop();
}

#[test]
fn a_stream_that_is_cut_anywhere_goes_on_where_it_was() {
    let server = server();
    let rooms = ["a", "b", "c"];
    let target = "/sse?room=a&room=b&room=c";
    thread::scope(|scope| {
        // Publishing goes on all the while, but never a thousand messages ahead.
        let permits = rooms.map(|room| {
            let (permits, permitted) = channel();
            let server = &server;
            scope.spawn(move || {
                let mut peer = Peer::connect(server.address(), "/ws");
                while let Ok(n) = permitted.recv() {
                    peer.ask(&json!({"type":"publish","id":n,"room":room,"data":n}).to_string());
                }
            });
            permits
        });
        let mut next: HashMap<String, u64> = HashMap::new();
        let mut id: Option<String> = None;
        for cut in 1..60_u64 {
            let header = id.as_ref().map(|id| format!("Last-Event-ID: {id}"));
            let headers: Vec<&str> = header.iter().map(String::as_str).collect();
            let mut back = Listener::open(server.address(), target, &headers);
            for permits in &permits {
                (0..20).for_each(|n| permits.send(n).expect("it publishes"));
            }
            if id.is_none() {
                next.clear();
            }
            for _ in 0..cut * 7 % 100 {
                let heard = back.hear().expect("the server goes on");
                if heard["type"] == "joined" {
                    assert_eq!(
                        heard["recovered"],
                        if id.is_some() { json!(true) } else { Value::Null },
                        "{heard}"
                    );
                    let room = heard["room"].as_str().unwrap().to_owned();
                    next.entry(room).or_insert_with(|| heard["offset"].as_u64().unwrap() + 1);
                }
                let inside = heard["messages"].as_array().into_iter().flatten();
                for message in inside.chain((heard["type"] == "message").then_some(&heard)) {
                    let next = next.get_mut(message["room"].as_str().unwrap()).expect("it was joined before");
                    let offset = message["offset"].as_u64().unwrap();
                    // Nothing is ever missing; what came between two ids may come again.
                    assert!(offset <= *next, "{message} after {next}");
                    *next = (*next).max(offset + 1);
                }
            }
            id = back.id.take().or(id);
        }
    });
    server.stop();
}
