//! The stock chat over real sockets, in memory: what people see, and what bad input costs.

use parlor::{Limits, Running, Server};
use parlor_testkit::peer::{Heard, Peer};
use serde_json::{Value, json};

fn server() -> Running {
    start(Limits::Off)
}

fn start(limits: Limits) -> Running {
    let mut server = Server::new();
    server.chat().workers(2).limits(limits);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A guest in the lobby, past the greeting.
fn guest(server: &Running, name: &str) -> Peer {
    let mut peer = Peer::connect(server.address(), &format!("/ws?name={name}&room=lobby"));
    assert_eq!(peer.wait_for("welcome")["name"], name);
    peer.wait_for("joined");
    peer
}

#[test]
fn two_people_talk_in_a_room_and_the_sender_is_who_the_connection_is() {
    let server = server();
    let (mut ann, mut bob) = (guest(&server, "ann"), guest(&server, "bob"));
    let published =
        ann.ask(r#"{"type":"publish","id":"k","room":"lobby","data":{"b":1,  "a":"<b>"},"from":"eve"}"#);
    assert_eq!(
        (&published["type"], &published["offset"], &published["ack"]),
        (&json!("published"), &json!(1), &json!("memory"))
    );
    let heard = bob.wait_for("message");
    assert_eq!((&heard["from"], &heard["data"]), (&json!("ann"), &json!({"b":1,"a":"<b>"})));
    assert_eq!(heard["pos"], published["pos"]);
    server.stop();
}

#[test]
fn a_direct_message_reaches_both_sides_and_an_unknown_name_only_its_sender() {
    let server = server();
    let (mut ann, mut bob) = (guest(&server, "ann"), guest(&server, "bob"));
    let mut ann_too = Peer::connect_with(server.address(), "/ws?name=zed", &["parlor.v1"]);
    ann_too.wait_for("welcome");
    assert_eq!(ann.ask(r#"{"type":"direct","id":1,"to":"BOB","data":"psst"}"#)["to"], "bob");
    assert_eq!(bob.wait_for("direct")["from"], "ann");
    let refused = ann.ask(r#"{"type":"direct","id":2,"to":"nobody","data":"psst"}"#);
    assert_eq!(refused["code"], "no_such_user");
    assert_eq!(ann.ask(r#"{"type":"ping","id":3}"#)["type"], "pong");
    // Nobody else can name the conversation.
    let refused = ann_too.ask(r#"{"type":"join","id":4,"room":"$d:a:b"}"#);
    assert_eq!(refused["code"], "bad_name");
    let history = bob.ask(r#"{"type":"history","id":5,"with":"ann"}"#);
    assert_eq!(history["messages"][0]["data"], "psst");
    server.stop();
}

#[test]
fn mail_waits_for_whoever_was_away_and_never_for_the_next_holder_of_the_name() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let mut bob = Peer::connect(server.address(), "/ws?name=bob");
    let token = bob.wait_for("welcome")["token"].as_str().unwrap().to_owned();
    assert_eq!(bob.ask(&json!({"type":"auth","id":1,"token":token}).to_string())["type"], "ok");
    drop(bob);
    ann.ask(r#"{"type":"direct","id":2,"to":"bob","data":"while you were out"}"#);
    let protocol = format!("parlor.token.{token}");
    let mut bob = Peer::connect_with(server.address(), "/ws", &["parlor.v1", &protocol]);
    assert_eq!(bob.wait_for("welcome")["name"], "bob");
    let joined = bob.wait_for("joined");
    assert_eq!((&joined["with"], &joined["unread"]), (&json!("ann"), &json!(1)));
    assert_eq!(joined["messages"][0]["data"], "while you were out");
    assert_eq!(bob.ask(r#"{"type":"read","id":3,"with":"ann","offset":1}"#)["offset"], 1);

    // `cat` never shows a token, so the name is free when it goes, and a new account takes it.
    let mut cat = guest(&server, "cat");
    ann.ask(r#"{"type":"direct","id":4,"to":"cat","data":"for the first cat"}"#);
    cat.wait_for("direct");
    drop(cat);
    let mut second = loop {
        let mut peer = Peer::connect(server.address(), "/ws?name=cat");
        if let Heard::Object(first) = peer.hear()
            && first["type"] == "welcome"
        {
            break peer;
        }
    };
    let history = second.ask(r#"{"type":"history","id":5,"with":"ann"}"#);
    assert_eq!(history["messages"], json!([]));
    server.stop();
}

#[test]
fn a_taken_name_is_refused_with_others_to_choose() {
    let server = server();
    let _ann = guest(&server, "ann");
    let mut second = Peer::connect(server.address(), "/ws?name=ANN");
    let Heard::Object(error) = second.hear() else { panic!("an error comes first") };
    assert_eq!((&error["code"], &error["suggestions"][0]), (&json!("name_taken"), &json!("ANN2")));
    assert_eq!(second.wait_for_end(), 4506);
    server.stop();
}

#[test]
fn who_comes_back_gets_exactly_what_was_missed() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let mut positions = Vec::new();
    for n in 0..250 {
        let published = ann.ask(&json!({"type":"publish","id":n,"room":"talk","data":n}).to_string());
        positions.push(published["pos"].as_str().unwrap().to_owned());
    }
    let mut bob = guest(&server, "bob");
    let joined = bob.ask(&json!({"type":"join","id":1,"room":"talk","since":positions[19]}).to_string());
    assert_eq!(joined["recovered"], true);
    let mut seen: Vec<Value> =
        joined["messages"].as_array().unwrap().iter().map(|m| m["data"].clone()).collect();
    assert_eq!(seen.len(), 100);
    while seen.len() < 230 {
        seen.push(bob.wait_for("message")["data"].clone());
    }
    assert_eq!(seen, (20..250).map(Value::from).collect::<Vec<_>>());
    // A position that was never given, and one of another life.
    let refused = bob.ask(r#"{"type":"join","id":2,"room":"talk","since":"1.5.01HZZZZZZZZZZZZZZZZZZZZZZZ"}"#);
    assert_eq!((&refused["recovered"], &refused["reason"]), (&json!(false), &json!("epoch_changed")));
    assert_eq!(refused["messages"], json!([]));
    ann.ask(r#"{"type":"publish","id":3,"room":"talk","data":"live again"}"#);
    assert_eq!(bob.wait_for("message")["data"], "live again");
    server.stop();
}

#[test]
fn the_same_key_is_one_message_and_live_rooms_have_none() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let first = ann.ask(r#"{"type":"publish","id":1,"room":"lobby","data":"once","key":"a"}"#);
    let again = ann.ask(r#"{"type":"publish","id":2,"room":"lobby","data":"once","key":"a"}"#);
    assert_eq!(first["pos"], again["pos"]);
    assert_eq!(
        ann.ask(r#"{"type":"publish","id":3,"room":"lobby","data":"other","key":"a"}"#)["code"],
        "key_reused"
    );
    assert_eq!(ann.ask(r#"{"type":"publish","id":4,"room":"live:x","data":1,"key":"a"}"#)["code"], "no_log");
    assert_eq!(ann.ask(r#"{"type":"join","id":5,"room":"live:x","since":4}"#)["code"], "no_log");
    let joined = ann.ask(r#"{"type":"join","id":6,"room":"live:x"}"#);
    assert_eq!((&joined["type"], &joined["pos"]), (&json!("joined"), &Value::Null));
    server.stop();
}

#[test]
fn the_sender_can_be_left_out_and_ephemeral_messages_are_not_stored() {
    let server = server();
    let (mut ann, mut bob) = (guest(&server, "ann"), guest(&server, "bob"));
    ann.ask(r#"{"type":"publish","id":1,"room":"lobby","data":"typing","event":"typing","store":false,"echo":false}"#);
    ann.ask(r#"{"type":"publish","id":2,"room":"lobby","data":"real"}"#);
    let typing = bob.wait_for("message");
    assert_eq!((&typing["event"], &typing["offset"]), (&json!("typing"), &Value::Null));
    assert_eq!(bob.wait_for("message")["offset"], 1);
    let history = ann.ask(r#"{"type":"history","id":3,"room":"lobby"}"#);
    assert_eq!(history["messages"].as_array().unwrap().len(), 1);
    server.stop();
}

#[test]
fn bad_input_is_answered_and_ten_in_a_row_end_the_connection() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let rows = [
        ("nonsense", "bad_json"),
        (r#"{"type":"fly"}"#, "unknown_type"),
        (r#"{"type":"publish","room":"lobby"}"#, "bad_message"),
        (r#"{"type":"publish","room":"a b","data":1}"#, "bad_name"),
        (r#"{"type":"leave","room":"nowhere"}"#, "not_joined"),
        (r#"{"type":"call","method":"add","data":1}"#, "unavailable"),
        (r#"{"type":"auth","token":"x.y"}"#, "unauthenticated"),
    ];
    for (text, code) in rows {
        ann.send(text);
        assert_eq!(ann.wait_for("error")["code"], code, "{text}");
    }
    ann.send_binary(b"\x00");
    assert_eq!(ann.wait_for("error")["code"], "unsupported_data");
    assert_eq!(ann.ask(r#"{"type":"ping","id":1}"#)["type"], "pong");
    for _ in 0..10 {
        ann.send("nonsense");
    }
    assert_eq!(ann.wait_for("bye")["code"], 4501);
    assert_eq!(ann.wait_for_end(), 4501);
    server.stop();
}

#[test]
fn what_is_too_long_or_not_text_is_told_before_the_end() {
    let server = server();
    let mut ann = guest(&server, "ann");
    // A header that announces 2 MB, masked; nothing more is needed.
    ann.send_raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4]);
    assert_eq!(ann.wait_for("error")["code"], "too_large");
    assert_eq!(ann.wait_for_end(), 1009);

    let mut bob = guest(&server, "bob");
    bob.send_raw(&[0x81, 0x81, 0, 0, 0, 0, 0xff]);
    assert_eq!(bob.wait_for("error")["type"], "error");
    assert_eq!(bob.wait_for_end(), 1007);
    server.stop();
}

#[test]
fn rates_are_limited_and_the_connection_stays() {
    let server = start(Limits::On);
    let mut ann = guest(&server, "ann");
    let mut refused = 0;
    for n in 0..60 {
        let reply = ann.ask(&json!({"type":"publish","id":n,"room":"lobby","data":n}).to_string());
        if reply["code"] == "rate_limited" {
            assert!(reply["retry_after"].as_f64().unwrap() > 0.0);
            refused += 1;
        }
    }
    assert!((1..=20).contains(&refused), "{refused} of 60 were refused");
    server.stop();
}

#[test]
fn everybody_is_told_when_the_server_stops() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let stopping = std::thread::spawn(move || server.stop());
    let bye = ann.wait_for("bye");
    assert_eq!((&bye["code"], &bye["reconnect"]), (&json!(1001), &json!(true)));
    assert_eq!(ann.wait_for_end(), 1001);
    stopping.join().unwrap();
}

#[test]
fn presence_counts_people_and_not_tabs() {
    let server = server();
    let mut ann = guest(&server, "ann");
    let mut bob = Peer::connect(server.address(), "/ws?name=bob");
    let token = bob.wait_for("welcome")["token"].as_str().unwrap().to_owned();
    bob.ask(r#"{"type":"join","id":1,"room":"lobby"}"#);
    let joined = loop {
        let presence = ann.wait_for("presence");
        if presence["joined"][0]["name"] == "bob" {
            break presence;
        }
    };
    assert_eq!(joined["count"], 2);
    let protocol = format!("parlor.token.{token}");
    let mut second_tab = Peer::connect_with(server.address(), "/ws?room=lobby", &[&protocol]);
    assert_eq!(second_tab.wait_for("welcome")["name"], "bob");
    second_tab.wait_for("joined");
    let members = ann.ask(r#"{"type":"members","id":2,"room":"lobby"}"#);
    assert_eq!((&members["count"], members["members"].as_array().unwrap().len()), (&json!(2), 2));
    server.stop();
}
