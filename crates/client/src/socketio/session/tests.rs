//! The Socket.IO session, frame by frame.

use super::*;
use crate::socketio::SocketIo;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tokio::sync::Semaphore;

const OPEN: &str = r#"0{"sid":"e","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;

/// A session, the program's end of it, and what was handed out.
struct Test {
    session: Session,
    client: SocketIo,
    asked: mpsc::Receiver<Asked>,
    given: Queue,
    start: Instant,
}

impl Test {
    fn new() -> Test {
        let shared = Arc::new(Shared {
            namespace: "/".into(),
            places: Arc::new(Semaphore::new(4)),
            next_id: AtomicU64::new(0),
            max_payload: AtomicUsize::new(usize::MAX),
            answer_within: Duration::from_secs(9),
        });
        let (sender, asked) = mpsc::channel(4);
        let session = Session::new(shared.clone(), Some(r#"{"t":1}"#.into()), sender.downgrade());
        let client = SocketIo { asked: sender, shared };
        Test { session, client, asked, given: Queue::new(), start: Instant::now() }
    }

    /// The same, in its namespace.
    fn open(entered: &str) -> Test {
        let mut test = Test::new();
        test.connect(entered);
        test.given.clear();
        test
    }

    fn connect(&mut self, entered: &str) {
        self.session.opening();
        self.receive(OPEN).unwrap();
        self.receive(entered).unwrap();
    }

    fn receive(&mut self, text: &str) -> Result<(), Error> {
        self.session.receive(self.start, Received::Text(text.into()), &mut self.given)
    }

    /// Hands in what the program asked for; gives what is sent.
    fn sent(&mut self) -> Vec<String> {
        while let Ok(asked) = self.asked.try_recv() {
            self.session.ask(asked);
        }
        let sent = std::iter::from_fn(|| self.session.poll_transmit(&mut self.given));
        sent.map(|frame| match frame {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => format!("{bytes:?}"),
        })
        .collect()
    }

    /// What was handed out, one line each.
    fn given(&mut self) -> Vec<String> {
        self.given.drain(..).map(shown).collect()
    }
}

fn shown(given: Given<SocketIoEvent, Caller, Arguments>) -> String {
    match given {
        Given::Answer(caller, answer) => {
            let shown = match &answer {
                Ok(arguments) => format!("answer {}", arguments.text()),
                Err(error) => format!("answer: {error}"),
            };
            let _ = caller.send(answer);
            shown
        }
        Given::Event(SocketIoEvent::Connected { sid, recovered }) => format!("{sid} {recovered}"),
        Given::Event(SocketIoEvent::Event(event)) => {
            format!("{} {} {:?}", event.name, event.arguments.text(), event.offset)
        }
        Given::Event(other) => format!("{other:?}"),
    }
}

#[test]
fn a_connection_opens_in_three_steps() {
    let mut test = Test::new();
    test.session.opening();
    assert_eq!(test.sent(), [""; 0]);
    test.receive(OPEN).unwrap();
    assert_eq!(test.sent(), [r#"40{"t":1}"#]);
    assert!(!test.session.is_open());
    test.receive(r#"40{"sid":"s"}"#).unwrap();
    assert!(test.session.is_open());
    assert_eq!(test.given(), ["s false"]);
}

#[test]
fn a_refusal_has_message_and_data() {
    let mut test = Test::new();
    test.session.opening();
    test.receive(OPEN).unwrap();
    let refused = test.receive(r#"44{"message":"no","data":{"code":7}}"#).unwrap_err();
    let Error::NamespaceRefused { message, data } = refused else { panic!("{refused}") };
    assert_eq!((&*message, data.as_deref()), ("no", Some(r#"{"code":7}"#)));
}

#[test]
fn a_refusal_of_parlor_is_one_with_a_code() {
    let mut test = Test::new();
    test.session.opening();
    test.receive(OPEN).unwrap();
    let text =
        r#"44{"message":"wait","data":{"type":"error","code":"busy","message":"wait","retry_after":2}}"#;
    let refused = test.receive(text).unwrap_err();
    assert_eq!(refused.to_string(), "busy: wait");
    assert_eq!((refused.may_retry(), refused.retry_after()), (true, Some(Duration::from_secs(2))));
}

#[test]
fn what_was_sent_in_part_is_not_sent_again() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.sent();
    let binary = parlor_proto::socketio::Binary(Bytes::from_static(b"x"));
    test.client.emit("file", &(&binary, &binary)).unwrap();
    test.client.emit("a", &()).unwrap();
    while let Ok(asked) = test.asked.try_recv() {
        test.session.ask(asked);
    }
    test.session.poll_transmit(&mut test.given).unwrap();
    test.session.poll_transmit(&mut test.given).unwrap();
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s"}"#);
    assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"42["a"]"#]);
}

#[test]
fn what_comes_out_of_turn_is_no_socketio() {
    for text in ["", "hello", "2", "40{\"sid\":\"s\"}", "0{}"] {
        let mut test = Test::new();
        test.session.opening();
        assert!(matches!(test.receive(text), Err(Error::BadAnswer(_))), "{text}");
    }
    let mut test = Test::new();
    test.session.opening();
    let binary = Received::Binary(vec![1]);
    assert!(test.session.receive(test.start, binary, &mut test.given).is_err());
    for text in ["", OPEN, "5", "9", "47", "42[]", "42[\"connect\"]", "43[]"] {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        assert!(matches!(test.receive(text), Err(Error::BadAnswer(_))), "{text}");
    }
}

#[test]
fn pings_are_answered_and_their_absence_is_noticed() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    let at = |ms| test.start + Duration::from_millis(ms);
    let (late, ping, later, too_late) = (at(499), at(450), at(949), at(950));
    assert_eq!(test.session.poll_timeout(), at(500));
    test.session.handle_timeout(late).unwrap();
    test.sent();
    for sent in [vec!["3"], vec![]] {
        test.session.receive(ping, Received::Text("2".into()), &mut test.given).unwrap();
        assert_eq!(test.sent(), sent, "one pong until the socket has drained");
    }
    test.session.drained();
    test.receive("2").unwrap();
    assert_eq!(test.sent(), ["3"]);
    test.session.receive(ping, Received::Text("2".into()), &mut test.given).unwrap();
    // Other words of the server are no ping.
    test.session.receive(later, Received::Text("42[\"a\"]".into()), &mut test.given).unwrap();
    test.session.handle_timeout(later).unwrap();
    let error = test.session.handle_timeout(too_late).unwrap_err();
    assert_eq!(Disconnect::of(&error).as_str(), "ping timeout");
}

#[test]
fn emits_wait_for_the_connection_in_order_up_to_their_limit() {
    let mut test = Test::new();
    for number in 1..=3 {
        test.client.emit("n", &[number]).unwrap();
    }
    let binary = parlor_proto::socketio::Binary(Bytes::from_static(b"x"));
    test.client.emit("file", &[binary]).unwrap();
    assert!(matches!(test.client.emit("n", &[5]), Err(Error::QueueFull)));
    assert_eq!(test.sent(), [""; 0]);
    test.connect(r#"40{"sid":"s"}"#);
    assert_eq!(
        test.sent(),
        [
            r#"40{"t":1}"#,
            r#"42["n",1]"#,
            r#"42["n",2]"#,
            r#"42["n",3]"#,
            r#"451-["file",{"_placeholder":true,"num":0}]"#,
            "b\"x\""
        ]
    );
    test.client.emit("n", &[5]).unwrap();
    assert_eq!(test.sent(), [r#"42["n",5]"#]);
}

#[test]
fn an_ack_finds_its_emit_and_a_break_ends_only_what_was_sent() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.sent();
    let _first = test.client.emit_with_ack("a", &[1]);
    let _second = test.client.emit_with_ack("a", &[2]);
    assert_eq!(test.sent(), [r#"420["a",1]"#, r#"421["a",2]"#]);
    test.receive(r#"431["ok",2]"#).unwrap();
    test.receive(r#"431["again"]"#).unwrap();
    assert_eq!(test.given(), [r#"answer "ok",2"#]);

    test.session.disconnected(&Error::Disconnected, &mut test.given);
    let _third = test.client.emit_with_ack("a", &[3]);
    assert_eq!(test.sent(), [""; 0]);
    assert_eq!(
        test.given(),
        ["Disconnected(TransportClose)", "answer: the connection ended before the answer came"]
    );
    test.connect(r#"40{"sid":"s2"}"#);
    assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"422["a",3]"#]);
    test.session.closed(&mut test.given);
    assert_eq!(test.given(), ["s2 false", "answer: the client is closed"]);
}

#[test]
fn an_emit_that_nobody_waits_for_any_more_is_not_sent() {
    let mut test = Test::new();
    let _first = test.client.emit_with_ack("a", &[1]);
    let _second = test.client.emit_with_ack("a", &[2]);
    let _kept = test.client.emit("a", &[3]);
    assert_eq!(test.sent(), [""; 0]);
    // The time of the options is not over yet.
    test.session.expire(test.start + Duration::from_secs(8));
    assert_eq!(test.client.shared.places.available_permits(), 1);
    test.session.expire(Instant::now() + Duration::from_secs(9));
    test.connect(r#"40{"sid":"s"}"#);
    assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"42["a",3]"#]);
    // Every place is free again.
    assert_eq!(test.client.shared.places.available_permits(), 4);
}

#[test]
fn an_emit_whose_future_was_dropped_is_not_sent() {
    let mut test = Test::new();
    drop(test.client.emit_with_ack("a", &[1]));
    let _kept = test.client.emit_with_ack("a", &[2]);
    test.connect(r#"40{"sid":"s"}"#);
    assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"421["a",2]"#]);
}

#[test]
fn what_a_failed_attempt_gave_is_asked_for_again() {
    let mut test = Test::open(r#"40{"sid":"s","pid":"p"}"#);
    test.receive(r#"42["a",1,"o1"]"#).unwrap();
    test.sent();
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.given.clear();
    test.session.opening();
    test.receive(OPEN).unwrap();
    test.receive(r#"42["a",2,"o2"]"#).unwrap();
    // It breaks before the CONNECT: nobody has seen 2.
    test.session.reset();
    test.sent();
    test.connect(r#"40{"sid":"s","pid":"p"}"#);
    assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o1","t":1}"#]);
    assert_eq!(test.given(), ["s true"]);
}

#[test]
fn an_answer_that_had_no_room_does_not_go_to_the_next_connection() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.sent();
    test.receive(r#"425["q"]"#).unwrap();
    let Some(Given::Event(SocketIoEvent::Event(question))) = test.given.pop_front() else {
        panic!("no event")
    };
    question.ack.unwrap().send(&[1]).unwrap();
    let answer = test.asked.try_recv().unwrap();
    test.session.ask(answer);
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s2"}"#);
    assert_eq!(test.sent(), [r#"40{"t":1}"#]);
    assert_eq!(test.client.shared.places.available_permits(), 4);
}

#[test]
fn the_program_answers_the_connection_that_asked() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.sent();
    for id in [5, 6] {
        test.receive(&format!("42{id}[\"q\"]")).unwrap();
    }
    let acks: Vec<Ack> = test
        .given
        .drain(..)
        .filter_map(|given| match given {
            Given::Event(SocketIoEvent::Event(Incoming { ack, .. })) => ack,
            _ => None,
        })
        .collect();
    let [first, second] = <[Ack; 2]>::try_from(acks).unwrap();
    first.send(&("yes", 1)).unwrap();
    assert_eq!(test.sent(), [r#"435["yes",1]"#]);
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s2"}"#);
    second.send(&()).unwrap();
    assert_eq!(test.sent(), [r#"40{"t":1}"#]);
}

#[test]
fn a_connection_is_recovered_from_its_last_offset() {
    let mut test = Test::open(r#"40{"sid":"s","pid":"p"}"#);
    test.receive(r#"42["a",1,"o1"]"#).unwrap();
    // What wants an ack has no offset.
    test.receive(r#"427["a","text"]"#).unwrap();
    test.receive(r#"42["a",2]"#).unwrap();
    assert_eq!(test.given(), [r#"a 1 Some("o1")"#, r#"a "text" None"#, "a 2 None"]);
    test.sent();
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s","pid":"p"}"#);
    assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o1","t":1}"#]);
    assert_eq!(test.given(), ["Disconnected(TransportClose)", "s true"]);
    // Node's server sends what was missed before it lets the client in.
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.given.clear();
    test.session.opening();
    test.receive(OPEN).unwrap();
    assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o1","t":1}"#]);
    test.receive(r#"42["a",3,"o3"]"#).unwrap();
    assert_eq!(test.given(), [""; 0]);
    test.receive(r#"40{"sid":"s","pid":"p"}"#).unwrap();
    assert_eq!(test.given(), ["s true", r#"a 3 Some("o3")"#]);
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s","pid":"p"}"#);
    assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o3","t":1}"#]);
    test.given.clear();
    // Another life of the server.
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s2","pid":"p2"}"#);
    test.session.disconnected(&Error::Disconnected, &mut test.given);
    test.connect(r#"40{"sid":"s3"}"#);
    assert_eq!(test.sent(), [r#"40{"pid":"p2","t":1}"#]);
    assert_eq!(test.given()[1], "s2 false");
    // Without recovery, text at the end is an argument.
    test.receive(r#"42["a","o1"]"#).unwrap();
    assert_eq!(test.given().last().unwrap(), r#"a "o1" None"#);
}

#[test]
fn the_server_may_end_it_for_good() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.receive("41/other,").unwrap();
    let error = test.receive("41").unwrap_err();
    assert_eq!(Disconnect::of(&error).as_str(), "io server disconnect");
}

#[test]
fn the_last_words_are_a_disconnect() {
    let mut test = Test::open(r#"40{"sid":"s"}"#);
    test.sent();
    test.client.emit("a", &()).unwrap();
    let emitted = test.asked.try_recv().unwrap();
    test.session.ask(emitted);
    test.session.leave();
    assert_eq!(test.sent(), [r#"42["a"]"#, "41"]);
}
