//! publish, rooms, members, history and tail on a running server.

use std::process::Stdio;

use parlor_testkit::peer::Peer;
use parlor_testkit::process::Process;
use serde_json::Value;

use crate::server::{Server, parlor, refused};

#[test]
fn what_is_published_is_in_the_history_once_for_each_key() {
    let server = Server::start();
    assert_eq!(server.run(&["publish", "ops", "it works"]), "published in ops as number 1: on disk\n");
    let sold = ["publish", "ops", "--data", r#"{"price":3}"#, "--event", "sold", "--key", "order-7"];
    let first = server.run(&sold);
    assert_eq!(server.run(&sold), first);
    let history = server.run(&["history", "ops", "--json"]);
    let messages: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["data"], "it works");
    assert_eq!((&messages[1]["event"], &messages[1]["data"]["price"]), (&"sold".into(), &3.into()));
}

#[test]
fn every_line_of_a_pipe_is_a_message() {
    let server = Server::start();
    let mut publish = Process::spawn(&mut server.command(&["publish", "ops"]));
    for number in 1..=250 {
        publish.say(&format!("line {number}"));
    }
    assert!(publish.wait().success());
    // More than one page of the HTTP interface, and a place to begin with.
    let history = server.run(&["history", "ops", "--last", "250"]);
    assert_eq!(history.lines().count(), 250);
    assert!(history.lines().last().unwrap().ends_with("(application)  line 250"), "{history}");
    let before = server.run(&["history", "ops", "--last", "2", "--before", "10"]);
    assert!(
        before.contains("line 8") && before.contains("line 9") && !before.contains("line 10"),
        "{before}"
    );
    assert!(before.contains("For what was before: --before 8"), "{before}");
    let after = server.run(&["history", "ops", "--last", "2", "--after", "10"]);
    assert!(after.contains("line 11") && after.contains("line 12") && !after.contains("line 13"), "{after}");
}

#[test]
fn rooms_and_members_are_listed() {
    let server = Server::start();
    let mut ann = Peer::connect(server.address, "/ws?name=ann&room=ops");
    ann.wait_for("joined");
    let rooms = server.run(&["rooms"]);
    assert!(rooms.starts_with("ROOM   HERE  MESSAGES\n"), "{rooms}");
    assert!(rooms.contains("ops       1         -"), "{rooms}");
    assert!(rooms.contains("lobby     0         1"), "{rooms}");
    let members = server.run(&["members", "ops"]);
    assert!(members.starts_with("NAME  ACCOUNT\nann   "), "{members}");
    assert!(members.ends_with("1 user in ops.\n"), "{members}");
    assert_eq!(server.run(&["members", "empty"]), "Nobody is in empty.\n");
    let json: Value = serde_json::from_str(&server.run(&["members", "ops", "--json"])).unwrap();
    assert_eq!(json["name"], "ann");
}

#[test]
fn a_tail_goes_on_where_it_was_when_the_server_is_killed() {
    let mut server = Server::start();
    let tail = Process::spawn(&mut server.command(&["tail", "ops", "news", "--json"]));
    // Joined, once a first message arrives.
    server.run(&["publish", "news", "0"]);
    tail.line_with("{");
    for number in 1..=3 {
        server.run(&["publish", "ops", &number.to_string()]);
    }
    server.kill_and_restart();
    for number in 4..=6 {
        server.run(&["publish", "ops", &number.to_string()]);
    }
    let heard: Vec<Value> = (0..6).map(|_| serde_json::from_str(&tail.line_with("{")).unwrap()).collect();
    let offsets: Vec<u64> = heard.iter().map(|message| message["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5, 6]);
    assert_eq!(heard[5]["data"], "6");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let server = Server::start();
    server.run(&["publish", "ops", "1"]);
    let mut tail = server.command(&["tail", "ops"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(tail.stdout.take());
    server.run(&["publish", "ops", "2"]);
    assert!(tail.wait().unwrap().success());
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let server = Server::start();
    let check = |args: &[&str], sentences: &[&str]| {
        let (code, stderr) = refused(&mut server.command(args));
        assert_eq!(code, 1, "{stderr}");
        for sentence in sentences {
            assert!(stderr.contains(sentence), "{sentence}: {stderr}");
        }
    };
    check(&["publish", "ops", "--data", "{no"], &["--data is not JSON", "for text, leave --data out"]);
    check(&["publish", "$secret", "hi"], &["bad_name"]);
    check(&["rooms", "--key-file", "nowhere"], &["cannot read the API key in nowhere", "--key-file"]);
    let wrong_key = server.data.path().join("wrong.key");
    std::fs::write(&wrong_key, "wrong").unwrap();
    let wrong_key = wrong_key.display().to_string();
    check(&["rooms", "--key-file", &wrong_key], &["unauthenticated", "api.key in its data directory"]);
    check(&["rooms", "--server", "ftp://h"], &["ws://"]);

    // Nobody listens on port 1.
    let key = server.data.path().join("api.key").display().to_string();
    let (code, stderr) =
        refused(parlor().args(["rooms", "--server", "http://127.0.0.1:1", "--key-file", &key]));
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "parlor: cannot connect to 127.0.0.1:1: Connection refused (os error 111)\n\
         Start a server with `parlor`, or say where one is with --server or an address.\n"
    );
}
