//! Raw WebSocket routes of the library, and what slow or vanishing peers cost.

use std::io::{Read, Write};
use std::net::TcpStream;

use parlor::{Limits, Message, Running, Server, WebSocket};
use parlor_testkit::peer::{Heard, Peer};
use serde_json::json;

fn listen(mut server: Server) -> Running {
    server.workers(2).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn a_handler_receives_and_answers_in_order() {
    let mut server = Server::new();
    server.route("/count", |mut socket: WebSocket| async move {
        let mut count = 0;
        while let Some(Message::Text(text)) = socket.recv().await {
            count += 1;
            let reply = json!({"count": count, "text": text}).to_string();
            socket.send(reply.into()).await.unwrap();
        }
    });
    let server = listen(server);
    let mut peer = Peer::connect(server.address(), "/count?x=1");
    for n in 0..500 {
        peer.send(&n.to_string());
    }
    for n in 0..500 {
        assert_eq!(peer.hear(), Heard::Object(json!({"count": n + 1, "text": n.to_string()})));
    }
    server.stop();
}

#[test]
fn a_handler_that_returns_closes_and_one_that_panics_closes_with_a_code() {
    let mut server = Server::new();
    server.route("/bye", |socket: WebSocket| async move { socket.close(4001, "enough") });
    server.route("/drop", |_socket: WebSocket| async move {});
    server.route("/panic", |mut socket: WebSocket| async move {
        socket.recv().await;
        panic!("on purpose");
    });
    server.route("/at-once", |socket: WebSocket| {
        assert!(socket.uri().path().is_empty(), "on purpose");
        async move {}
    });
    let server = listen(server);
    assert_eq!(Peer::connect(server.address(), "/at-once").wait_for_end(), 1011);
    assert_eq!(Peer::connect(server.address(), "/bye").hear(), Heard::Closed(4001, "enough".into()));
    assert_eq!(Peer::connect(server.address(), "/drop").wait_for_end(), 1000);
    let mut peer = Peer::connect(server.address(), "/panic");
    peer.send("x");
    assert_eq!(peer.wait_for_end(), 1011);
    // The worker goes on.
    assert_eq!(Peer::connect(server.address(), "/drop").wait_for_end(), 1000);
    server.stop();
}

#[test]
fn a_handler_cannot_run_ahead_of_a_reader_that_does_not_read() {
    let (sent, received) = std::sync::mpsc::channel();
    let mut server = Server::new();
    server.route("/flood", move |mut socket: WebSocket| {
        let sent = sent.clone();
        async move {
            // 64 MB; what the system's buffers and the outbox take is far less.
            for n in 0..1024 {
                if socket.send(vec![0; 64 * 1024].into()).await.is_err() {
                    sent.send(n).unwrap();
                    return;
                }
            }
            sent.send(1024).unwrap();
        }
    });
    let server = listen(server);
    let peer = Peer::connect(server.address(), "/flood");
    // Nobody reads, so the connection is cut after five seconds without progress.
    let taken = received.recv().unwrap();
    assert!((1..600).contains(&taken), "{taken} messages of 64 KB were taken");
    drop(peer);
    server.stop();
}

#[test]
fn a_slow_reader_is_cut_and_the_others_get_everything() {
    let mut server = Server::new();
    server.chat();
    let server = listen(server);
    let mut slow = Peer::connect(server.address(), "/ws?name=slow&room=live:flood");
    slow.wait_for("joined");
    let mut quick = Peer::connect(server.address(), "/ws?name=quick&room=live:flood");
    quick.wait_for("joined");
    let data = "x".repeat(32 * 1024);
    // Until the slow one is gone: 32 KB at a time, each seen by the quick one.
    let mut cut = false;
    for n in 0..2_000 {
        quick.send(&json!({"type":"publish","id":n,"room":"live:flood","data":data}).to_string());
        quick.wait_for("message");
        if n % 16 == 0 {
            let members = quick.ask(r#"{"type":"rooms","id":"r","prefix":"live:flood"}"#);
            assert!(members["rooms"][0]["count"].as_u64() >= Some(1));
            cut = server.hub().stats.slow.load(std::sync::atomic::Ordering::Relaxed) > 0;
            if cut {
                break;
            }
        }
    }
    assert!(cut, "the slow reader was never cut");
    assert_eq!(slow.wait_for("bye")["code"], 4008);
    assert_eq!(slow.wait_for_end(), 4008);
    server.stop();
}

#[track_caller]
fn check(server: &Running, request: &str, status: &str, contains: &str) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // Until the server ends the connection: it is asked to, or refuses to go on.
    stream.read_to_string(&mut answer).unwrap();
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with(&format!("http/1.1 {status}")), "{request:?} was answered {answer:?}");
    assert!(answer.contains(contains), "{request:?} was answered {answer:?}");
}

#[test]
fn a_bad_handshake_is_answered_as_the_rfc_asks() {
    let mut server = Server::new();
    server.chat();
    let server = listen(server);
    let rest = "Host: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    check(&server, &format!("POST /ws HTTP/1.1\r\n{rest}{key}{version}\r\n"), "405", "allow: get");
    check(&server, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "426", "upgrade: websocket");
    check(
        &server,
        &format!("GET /ws HTTP/1.1\r\n{rest}{key}Sec-WebSocket-Version: 8\r\n\r\n"),
        "426",
        "sec-websocket-version: 13",
    );
    check(&server, &format!("GET /ws HTTP/1.1\r\n{rest}{version}\r\n"), "400", "sec-websocket-key");
    check(
        &server,
        &format!("GET /ws HTTP/1.1\r\n{rest}Sec-WebSocket-Key: short\r\n{version}\r\n"),
        "400",
        "16 bytes",
    );
    check(
        &server,
        &format!("GET /ws HTTP/1.1\r\n{rest}{key}{version}Origin: http://evil.example\r\n\r\n"),
        "403",
        "origin_denied",
    );
    check(&server, &format!("GET /ws HTTP/1.1\r\n{rest}X: {}\r\n\r\n", "y".repeat(30_000)), "431", "");
    check(&server, &format!("GET / HTTP/1.1\r\n{rest}X: {}\r\n\r\n", "y".repeat(17_000)), "431", "16 kb");
    check(&server, &format!("GET /{} HTTP/1.1\r\n{rest}\r\n", "y".repeat(9_000)), "414", "");
    server.stop();
}

#[test]
fn http_1_0_cannot_become_a_websocket() {
    let mut server = Server::new();
    server.chat();
    let server = listen(server);
    let request = "GET /ws HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 400 "), "{answer:?}");
    server.stop();
}

#[test]
fn more_commands_than_may_wait_are_all_answered() {
    let mut server = Server::new();
    server.chat();
    let server = listen(server);
    let mut peer = Peer::connect(server.address(), "/ws?name=ann");
    // Written at once, by a thread of its own, while nothing is read: reading stops and goes on again.
    let commands: String =
        (0..3_000).map(|n| json!({"type":"publish","id":n,"room":"r","data":n}).to_string() + "\n").collect();
    for command in commands.lines() {
        peer.send(command);
    }
    for n in 0..3_000 {
        assert_eq!(peer.wait_for("published")["id"], n);
    }
    server.stop();
}
