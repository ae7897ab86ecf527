//! The chat in a terminal or a pipe, with Parlor and with WebSocket servers of other kinds.

use std::net::SocketAddr;

use parlor_testkit::peer::Peer;
use parlor_testkit::process::Process;

use crate::server::{Server, parlor, refused, text};

fn connect(server: &Server, args: &[&str]) -> Process {
    let process = Process::spawn(server.command(&["connect"]).args(args));
    // The greeting of the lobby shows that it has joined.
    process.line_with("");
    process
}

#[test]
fn two_people_talk_in_a_room_and_one_to_one() {
    let server = Server::start();
    let (mut ann, mut bob) = (connect(&server, &["--name", "ann"]), connect(&server, &["--name", "bob"]));
    bob.say("hello from bob");
    assert!(ann.line_containing("hello from bob").contains("bob  hello from bob"));
    ann.say("/msg bob psst");
    assert!(bob.line_containing("psst").contains("ann → bob  psst"));
    // To nobody: it is said, and one stays.
    ann.say("/msg nobody psst");
    ann.error_containing("not sent: no_such_user");
    ann.say("still here");
    bob.line_containing("ann  still here");
    assert!(ann.wait().success() && bob.wait().success());
}

#[test]
fn a_pipe_sends_every_line_whatever_the_limits_for_people() {
    let data = tempfile::tempdir().unwrap();
    // Limits are on: 20 messages a second and 40 at once.
    let mut command = parlor();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let limited = Process::spawn(&mut command);
    let address = limited.line_with("listening on http://")["listening on http://".len()..].to_owned();
    let address: SocketAddr = address.parse().unwrap();
    let mut pipe = Process::spawn(parlor().args([
        "connect",
        &format!("ws://{address}/ws"),
        "--name",
        "log",
        "--room",
        "ops",
    ]));
    for number in 1..=60 {
        pipe.say(&format!("line {number}"));
    }
    assert!(pipe.wait().success(), "{}", pipe.errors());
    let mut reader = Peer::connect(address, "/ws?name=ann");
    let joined = reader.ask(r#"{"type":"join","id":1,"room":"ops","last":100}"#);
    let heard: Vec<&str> =
        joined["messages"].as_array().unwrap().iter().map(|m| m["data"].as_str().unwrap()).collect();
    assert_eq!(heard, (1..=60).map(|n| format!("line {n}")).collect::<Vec<_>>());
}

#[test]
fn a_chat_goes_on_when_the_server_is_killed() {
    let mut server = Server::start();
    let (mut ann, bob) = (connect(&server, &["--name", "ann"]), connect(&server, &["--name", "bob"]));
    server.process.kill();
    server.process.wait();
    ann.error_containing("trying again in");
    ann.say("while it was away");
    server.start_again();
    bob.line_containing("ann  while it was away");
    drop(ann);
    let history = server.run(&["history", "lobby"]);
    assert_eq!(history.matches("while it was away").count(), 1, "{history}");
}

#[test]
fn a_name_that_is_taken_comes_with_one_that_is_free() {
    let server = Server::start();
    let _ann = connect(&server, &["--name", "ann"]);
    let (code, stderr) =
        refused(server.command(&["connect", "--name", "ann"]).stdin(std::process::Stdio::null()));
    assert_eq!(code, 1);
    assert!(stderr.contains("name_taken") && stderr.contains("Try --name ann"), "{stderr}");
}

#[test]
fn any_other_websocket_server_gets_lines_and_answers_lines() {
    let mut server = parlor::Server::new();
    server.route("/echo", |mut socket: parlor::WebSocket| async move {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    });
    let running = server.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("ws://{}/echo", running.address());
    let mut echo = Process::spawn(parlor().args(["connect", &url]));
    echo.say("one");
    echo.say("/not a command here");
    assert_eq!(echo.line().as_deref(), Some("one"));
    assert_eq!(echo.line().as_deref(), Some("/not a command here"));
    assert!(echo.wait().success());

    // Answers that come after the end of a pipe are printed too.
    let pipe = format!("printf 'a\\nb\\n' | {} connect {url}", env!("CARGO_BIN_EXE_parlor"));
    let output = std::process::Command::new("sh").args(["-c", &pipe]).output().unwrap();
    assert_eq!(text(&output.stdout), "a\nb\n");
    running.stop();
}

#[test]
fn a_page_that_is_no_websocket_is_told_so() {
    let server = Server::start();
    let url = format!("ws://{}/nothing-here", server.address);
    let (code, stderr) = refused(parlor().args(["connect", &url]).stdin(std::process::Stdio::null()));
    assert_eq!(code, 1);
    assert!(stderr.contains("404"), "{stderr}");
}
