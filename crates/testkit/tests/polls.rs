//! Polls on connections that are kept: they are answered beside hyper, and nobody can tell.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use parlor::{Limits, Origins, Running, Server};
use parlor_proto::limits::POLLS_HELD;
use parlor_testkit::listener::{Answer, request};
use serde_json::{Value, json};

fn server() -> Running {
    let mut server = Server::new();
    let origins = Origins { allowed: vec!["https://app.example".into()], ..Origins::default() };
    server.chat().workers(2).limits(Limits::Off).origins(origins);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A connection on which one request follows the other.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(address: SocketAddr) -> Line {
        let stream = TcpStream::connect(address).unwrap();
        // Never waited for when all is well.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Line(BufReader::new(stream))
    }

    fn write(&self, text: &str) {
        self.0.get_ref().write_all(text.as_bytes()).unwrap();
    }

    /// The next answer: its head, and its body.
    fn answer(&mut self) -> (Vec<String>, Value) {
        let Answer { head, body, .. } = Answer::read(&mut self.0, true);
        (head.trim_end().lines().map(str::to_owned).collect(), body)
    }

    fn is_at_its_end(&mut self) -> bool {
        self.0.fill_buf().unwrap().is_empty()
    }
}

fn publish(server: &Running, room: &str, data: u32) {
    let command = json!({"type": "publish", "room": room, "data": data}).to_string();
    assert_eq!(request(server.address(), "POST", "/send", &[], &command).status, 200);
}

fn data(body: &Value) -> Vec<&Value> {
    body["messages"].as_array().unwrap().iter().map(|message| &message["data"]).collect()
}

#[test]
fn a_poll_is_answered_alike_whether_its_connection_is_kept_or_not() {
    let server = server();
    publish(&server, "a", 1);
    // What differs from answer to answer, and the one line that says what was asked.
    let alike = |(head, body): (Vec<String>, Value)| {
        let varies = |line: &&String| !line.starts_with("date: ") && *line != "connection: close";
        let mut kept: Vec<String> = head.iter().filter(varies).cloned().collect();
        kept[1..].sort();
        (kept, head.iter().filter(|line| line.starts_with("date: ")).count(), body)
    };
    let check = |target: &str, headers: &str, expected: &str| {
        let ask = |more: &str| {
            let mut line = Line::open(server.address());
            line.write(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}{more}\r\n"));
            alike(line.answer())
        };
        let kept = ask("");
        assert_eq!(kept, ask("Connection: close\r\n"), "{target}, {headers}");
        assert_eq!(kept, ask("Connection: Keep-Alive\r\nContent-Length: 0\r\n"), "{target}, {headers}");
        assert_eq!((&*kept.0[0], kept.1), (expected, 1), "{target}, {headers}");
    };
    check("/poll?room=a&last=1&wait=0", "", "HTTP/1.1 200 OK");
    check("/poll?room=a&since=0", "Origin: https://app.example\r\n", "HTTP/1.1 200 OK");
    check("/poll?room=a&since=0", "Origin: https://evil.example\r\n", "HTTP/1.1 403 Forbidden");
    check("/poll?room=a&cursor=x", "", "HTTP/1.1 400 Bad Request");
    check("/poll?room=%24a", "Origin: https://app.example\r\n", "HTTP/1.1 400 Bad Request");
    check(&format!("/poll?room={}", "a".repeat(9_000)), "", "HTTP/1.1 414 URI Too Long");
    server.stop();
}

#[test]
fn polls_that_come_together_are_answered_in_their_order_and_another_request_may_follow() {
    let server = server();
    let mut line = Line::open(server.address());
    let poll =
        |more: &str| format!("GET /poll?room=live:x&name=ann&wait=9{more} HTTP/1.1\r\nHost: a\r\n\r\n");
    line.write(&poll(""));
    let cursor = line.answer().1["cursor"].as_str().unwrap().to_owned();
    let next = poll(&format!("&cursor={cursor}"));
    // The first waits while the second is there already, in two pieces.
    let (begin, end) = next.split_at(20);
    line.write(&next);
    line.write(begin);
    publish(&server, "live:x", 1);
    let (head, body) = line.answer();
    assert_eq!(head[0], "HTTP/1.1 200 OK");
    assert_eq!(data(&body), [1]);
    line.write(end);
    // It shows no more than the first that anything has arrived.
    assert_eq!(data(&line.answer().1), [1]);
    let command = r#"{"type":"publish","room":"live:x","data":2}"#;
    let length = command.len();
    line.write(&format!("POST /send HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{command}"));
    assert_eq!(line.answer().1["type"], "published");
    line.write(&poll(&format!("&cursor={}", body["cursor"].as_str().unwrap())));
    assert_eq!(data(&line.answer().1), [2]);
    line.write("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(line.answer().0[0], "HTTP/1.1 404 Not Found");
    server.stop();
}

#[test]
fn when_the_server_stops_a_poll_that_waits_is_answered_and_its_connection_ends() {
    let server = server();
    let mut idle = Line::open(server.address());
    idle.write("GET /poll?room=live:x&name=ann HTTP/1.1\r\nHost: a\r\n\r\n");
    let cursor = idle.answer().1["cursor"].as_str().unwrap().to_owned();
    let (told, answers) = channel();
    // One more than may wait: when the first of them is answered, the others are held.
    for _ in 0..=POLLS_HELD {
        let mut line = Line::open(server.address());
        line.write(&format!("GET /poll?room=live:x&cursor={cursor} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let told = told.clone();
        thread::spawn(move || {
            let (head, _) = line.answer();
            told.send(head).unwrap();
            assert!(line.is_at_its_end());
        });
    }
    drop(told);
    let is_last = |head: &Vec<String>| head.iter().any(|line| line == "connection: close");
    assert!(!is_last(&answers.recv().unwrap()));
    server.stop();
    let last: Vec<Vec<String>> = answers.iter().collect();
    assert_eq!(last.len(), POLLS_HELD);
    assert!(last.iter().all(|head| head[0] == "HTTP/1.1 200 OK" && is_last(head)), "{last:?}");
    assert!(idle.is_at_its_end());
}
