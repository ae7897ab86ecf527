//! When memory runs short: newcomers are refused, then the slowest is cut, and whoever reads notices nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parlor::{Memory, Running, Server};
use parlor_testkit::peer::{Heard, Peer};

const LIMIT: u64 = 1000;

/// No step takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose use of memory the test decides.
fn server(used: &Arc<AtomicU64>) -> Running {
    let used = Arc::clone(used);
    let mut server = Server::new();
    server.chat().workers(1).limits(parlor::Limits::Off);
    server.memory(Some(Memory::new(LIMIT, move || Some(used.load(Ordering::Relaxed)))));
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Asks for a WebSocket until the answer has this status; the server looks at its memory once a second.
fn until_answered(address: SocketAddr, status: &str) -> String {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "nobody was answered with {status}");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; "HTTP/1.1 101".len()];
        stream.read_exact(&mut answer).unwrap();
        if answer.ends_with(status.as_bytes()) {
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut answer).unwrap();
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
}

#[test]
fn newcomers_are_refused_first_and_then_the_slowest_is_cut() {
    let used = Arc::new(AtomicU64::new(0));
    let server = server(&used);
    let mut ann = Peer::connect(server.address(), "/ws?name=ann");
    ann.wait_for("welcome");
    let mut deaf = Peer::connect(server.address(), "/ws?name=deaf");
    deaf.wait_for("welcome");

    used.store(LIMIT * 8 / 10, Ordering::Relaxed);
    let answer = until_answered(server.address(), "503");
    assert!(answer.contains("retry-after: 5") && answer.contains(r#""code":"busy""#), "{answer}");
    // Who is here goes on.
    assert_eq!(ann.ask(r#"{"type":"ping","id":1}"#)["type"], "pong");

    // Answers that nobody reads are not the fault of a slow reader: asking stops, and the outbox stays full.
    let data = "x".repeat(50_000);
    for id in 0..5 {
        ann.ask(&format!(r#"{{"type":"publish","id":{id},"room":"talk","data":"{data}"}}"#));
    }
    for _ in 0..60 {
        deaf.send(r#"{"type":"history","room":"talk"}"#);
    }
    assert_eq!(server.hub().stats.slow.load(Ordering::Relaxed), 0);
    used.store(LIMIT * 9 / 10, Ordering::Relaxed);
    let start = Instant::now();
    while server.hub().stats.slow.load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < PATIENCE, "nobody was cut");
        assert_eq!(ann.ask(r#"{"type":"ping","id":1}"#)["type"], "pong");
    }
    let bye = loop {
        match deaf.hear() {
            Heard::Object(object) if object["type"] == "bye" => break object,
            Heard::Object(_) | Heard::Text(_) | Heard::Binary(_) => {}
            Heard::Closed(code, reason) => panic!("closed with {code} {reason} before a goodbye"),
        }
    };
    assert_eq!((&bye["code"], &bye["reconnect"]), (&4008.into(), &true.into()));
    assert_eq!(ann.ask(r#"{"type":"ping","id":1}"#)["type"], "pong");

    used.store(0, Ordering::Relaxed);
    until_answered(server.address(), "101");
    server.stop();
}
