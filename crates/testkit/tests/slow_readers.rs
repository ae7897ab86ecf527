//! One client that reads slowly, over real sockets, by the policy of its room.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use parlor::{Limits, Overflow, Overflows, Running, Server};
use parlor_testkit::peer::Peer;
use serde_json::{Value, json};

/// Of a size that what the system buffers for a client is soon full.
const LARGE: usize = 48 * 1024;

/// More than the buffers of both systems and the outbox hold together.
const MESSAGES: u64 = 300;

fn server() -> Running {
    let mut overflows = Overflows::default();
    for rooms in ["ticks:*", "live:ticks"] {
        overflows.set(rooms.parse().unwrap(), Overflow::DropOldest);
    }
    overflows.set("price:*".parse().unwrap(), Overflow::LatestOnly);
    let mut server = Server::new();
    server.chat().workers(2).limits(Limits::Off).overflows(overflows);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A stream of lines, read as slowly as the test likes.
struct Slow {
    stream: BufReader<TcpStream>,
    room: String,
    /// The last number that it was given.
    last: u64,
    heard: u64,
    missed: u64,
}

impl Slow {
    fn open(server: &Running, room: &str) -> Slow {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /stream?room={room} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let stream = BufReader::new(stream);
        let mut slow = Slow { stream, room: room.to_owned(), last: 0, heard: 0, missed: 0 };
        while slow.object()["type"] != "joined" {}
        slow
    }

    fn object(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "it is not cut");
            if let Ok(object) = serde_json::from_str(&line) {
                return object;
            }
        }
    }

    /// Reads one message, and the gap before it.
    fn read(&mut self) {
        loop {
            let object = self.object();
            match object["type"].as_str() {
                Some("message") => {
                    let number = object["data"][0].as_u64().unwrap();
                    assert!(number > self.last, "{number} after {}", self.last);
                    self.heard += 1;
                    self.last = number;
                    return;
                }
                Some("gap") => {
                    assert_eq!(object["room"], self.room);
                    self.missed += object["missed"].as_u64().unwrap();
                }
                _ => {}
            }
        }
    }
}

/// Publishes messages with numbers, all of which a second client reads at once, and the slow one a quarter.
fn publish(server: &Running, slow: &mut Slow) {
    let mut ann = Peer::connect(server.address(), &format!("/ws?room={}", slow.room));
    ann.wait_for("joined");
    let padding = "x".repeat(LARGE);
    for number in 1..=MESSAGES {
        let data = json!([number, padding]);
        ann.send(&json!({"type": "publish", "room": slow.room, "data": data}).to_string());
        assert_eq!(ann.wait_for("message")["data"][0], number, "who reads misses nothing");
        if number % 4 == 0 {
            slow.read();
        }
    }
}

#[test]
fn a_slow_reader_of_a_room_that_drops_accounts_for_every_message() {
    let server = server();
    for room in ["ticks:live", "live:ticks"] {
        let mut slow = Slow::open(&server, room);
        publish(&server, &mut slow);
        while slow.last < MESSAGES {
            slow.read();
            assert_eq!(slow.heard + slow.missed, slow.last, "a gap stands where messages are missing");
        }
        assert!(slow.missed > 0, "there was more than the buffers hold");
    }
    server.stop();
}

#[test]
fn a_slow_reader_of_a_room_of_the_latest_gets_the_latest() {
    let server = server();
    let mut slow = Slow::open(&server, "price:gold");
    publish(&server, &mut slow);
    while slow.last < MESSAGES {
        slow.read();
    }
    assert_eq!(slow.missed, 0);
    assert!(slow.heard < MESSAGES, "there was more than the buffers hold");
    server.stop();
}
