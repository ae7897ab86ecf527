//! `ServerConnection`: one machine from the first byte of a request to the last of a connection.

use std::time::{Duration, Instant};

use parlor_proto::limits::{HEAD_TIMEOUT, PONG_TIMEOUT};
use parlor_proto::ws::handshake::{FOREIGN, page};
use parlor_proto::ws::{Arrived, ClosedBy, Config, Kind, ServerConnection};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// With a mask of zeros.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";
const BYE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// A driver that accepts every request and echoes every text.
struct Driver {
    conn: ServerConnection,
    now: Instant,
    written: Vec<u8>,
    events: Vec<Arrived>,
}

impl Driver {
    fn new() -> Driver {
        let now = Instant::now();
        let conn = ServerConnection::new(now, &Config::default());
        Driver { conn, now, written: Vec::new(), events: Vec::new() }
    }

    fn hand_in(&mut self, bytes: &[u8]) {
        self.conn.receive(self.now, &mut bytes.to_vec());
        if let Some(request) = self.conn.poll_request() {
            assert_eq!((request.target(), request.is_from_elsewhere()), ("/a", false));
            self.conn.accept(self.now, &request);
        }
        self.turn();
    }

    fn turn(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            if let Some((kind, payload)) = event.message() {
                self.conn.send(kind, payload);
            }
            self.events.push(event);
        }
        let mut out = b"from before".to_vec();
        self.conn.poll_transmit(&mut out);
        self.written.append(&mut out);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.conn.handle_timeout(self.now);
        self.turn();
    }
}

#[test]
fn a_connection_goes_from_its_request_to_its_end_in_any_pieces() {
    let all = [REQUEST, HELLO, b"\x89\x80\0\0\0\0", BYE, HELLO].concat();
    for size in [1, 7, 100, all.len()] {
        let mut driver = Driver::new();
        all.chunks(size).for_each(|piece| driver.hand_in(piece));
        let end = Arrived::Closed { code: 1000, reason: String::new(), by: ClosedBy::Peer };
        let events = [Arrived::Text("hello".into()), Arrived::Ping(Vec::new()), end];
        assert_eq!(driver.events, events, "pieces of {size}");
        let echo = driver.written.strip_prefix(ANSWER).unwrap();
        let mut frames = [b"\x81\x05hello".to_vec(), b"\x8a\0".to_vec()];
        // In one piece the pong waits until what came with it has been answered.
        if echo.starts_with(b"\x8a") {
            frames.swap(0, 1);
        }
        assert_eq!(echo, [&*frames.concat(), b"\x88\x02\x03\xe8"].concat(), "pieces of {size}");
        assert!(driver.conn.is_closed() && driver.conn.poll_timeout().is_some());
        driver.wait(Config::default().close_timeout);
        assert_eq!(driver.conn.poll_timeout(), None);
        assert!(!driver.conn.send(Kind::Text, b"too late"));
    }
}

#[test]
fn a_head_is_waited_for_and_no_longer() {
    let mut driver = Driver::new();
    driver.hand_in(&REQUEST[..20]);
    driver.wait(HEAD_TIMEOUT - Duration::from_millis(1));
    assert_eq!(driver.conn.poll_wait(driver.now), Some(Duration::from_millis(1)));
    let late = driver.now + Duration::from_secs(1);
    assert_eq!(driver.conn.poll_wait(late), Some(Duration::from_millis(1)), "zero is for ever");
    driver.wait(Duration::from_millis(1));
    assert_eq!((driver.conn.poll_timeout(), driver.written.len()), (None, 0));
}

#[test]
fn who_is_silent_is_asked_once_and_who_answers_stays() {
    let mut driver = Driver::new();
    driver.hand_in(REQUEST);
    for _ in 0..3 {
        driver.written.clear();
        driver.wait(PONG_TIMEOUT);
        assert_eq!(driver.written, b"\x89\0");
        driver.hand_in(b"\x8a\x80\0\0\0\0");
    }
    driver.wait(PONG_TIMEOUT);
    driver.wait(PONG_TIMEOUT - Duration::from_millis(1));
    assert!(driver.conn.poll_timeout().is_some());
    driver.wait(Duration::from_millis(1));
    assert_eq!(driver.conn.poll_timeout(), None);
}

#[test]
fn what_is_no_handshake_is_answered_and_what_follows_is_thrown_away() {
    let check = |answer: fn(&mut ServerConnection), request: &[u8], begins: &[u8]| {
        let mut driver = Driver::new();
        driver.conn.receive(driver.now, &mut request.to_vec());
        driver.conn.poll_request();
        answer(&mut driver.conn);
        driver.turn();
        assert!(driver.written.starts_with(begins), "{:?}", String::from_utf8_lossy(&driver.written));
        assert!(driver.conn.is_closed() && driver.conn.poll_timeout().is_some());
        let length = driver.written.len();
        driver.hand_in(&[b'x'; 64 * 1024]);
        assert!(driver.conn.poll_timeout().is_some(), "the client may still be reading");
        driver.hand_in(b"x");
        assert_eq!((driver.conn.poll_timeout(), driver.written.len()), (None, length));
    };
    check(|_| {}, b"nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n");
    check(|conn| conn.reject(&FOREIGN), REQUEST, b"HTTP/1.1 403 Forbidden\r\n");
    check(|conn| conn.respond(&page("<p>", 7)), REQUEST, b"HTTP/1.1 200 OK\r\n");
}

#[test]
fn what_comes_before_the_answer_waits_for_it_and_is_bounded() {
    let mut driver = Driver::new();
    driver.conn.receive(driver.now, &mut [REQUEST, HELLO].concat());
    driver.conn.receive(driver.now, &mut HELLO.to_vec());
    let request = driver.conn.poll_request().unwrap();
    driver.conn.accept(driver.now, &request);
    driver.turn();
    assert_eq!(driver.events, [Arrived::Text("hello".into()), Arrived::Text("hello".into())]);

    let mut driver = Driver::new();
    driver.conn.receive(driver.now, &mut REQUEST.to_vec());
    (0..2).for_each(|_| driver.conn.receive(driver.now, &mut [0; 40_000]));
    assert_eq!(driver.conn.poll_timeout(), None);
}
