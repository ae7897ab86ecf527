//! The WebSocket connection, section by section of RFC 6455, in literal bytes.

mod ws_common;

use std::time::Duration;

use parlor_proto::ws::{CloseCode, ClosedBy, Config, Connection, Failure, Kind, Role, State};
use ws_common::*;

/// What `bytes` from a client mean to a server, in one piece and byte by byte.
fn check(bytes: &[u8], expected: &[Got]) {
    assert_eq!(Peer::server().receive(bytes), expected, "in one piece");
    assert_eq!(Peer::server().receive_slowly(bytes), expected, "byte by byte");
}

/// As [`check`], for bytes that break a rule: the server says so and tells the client.
fn check_failure(bytes: &[u8], failure: Failure, code: u16) {
    let mut server = Peer::server();
    assert_eq!(server.receive(bytes).last(), Some(&Failed(failure)));
    assert_eq!(server.transmit(), close_frame(code, failure.reason()));
    assert_eq!(server.conn.state(), State::Closed);
    assert_eq!(Peer::server().receive_slowly(bytes).last(), Some(&Failed(failure)));
}

// Section 5.7: the examples.

#[test]
fn the_examples_of_the_rfc_are_understood() {
    check(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[text("Hello")]);
    let mut client = Peer::client();
    assert_eq!(client.receive(b"\x81\x05\x48\x65\x6c\x6c\x6f"), [text("Hello")]);
    assert_eq!(client.receive(b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"), [text("Hello")]);
    assert_eq!(client.receive(b"\x89\x05\x48\x65\x6c\x6c\x6f"), [Ping(b"Hello".to_vec())]);
    let long = [b"\x82\x7e\x01\x00".as_slice(), &[7; 256]].concat();
    assert_eq!(client.receive(&long), [Binary(vec![7; 256])]);
    let longer = [b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00".as_slice(), &[7; 65536]].concat();
    assert_eq!(client.receive(&longer), [Binary(vec![7; 65536])]);
}

// Section 5.1 and 5.3: masking.

#[test]
fn a_client_must_mask_and_a_server_must_not() {
    check_failure(b"\x81\x05Hello", Failure::Unmasked, 1002);
    let mut client = Peer::client();
    assert_eq!(client.receive(b"\x81\x85\0\0\0\0Hello"), [Failed(Failure::Masked)]);
}

#[test]
fn what_a_client_sends_is_masked_and_a_server_reads_it() {
    let mut client = Peer::client();
    let mut server = Peer::server();
    let first = client.message(Kind::Text, b"Hello");
    let second = client.message(Kind::Text, b"Hello");
    assert_eq!(first[..2], *b"\x81\x85");
    assert_ne!(first[2..6], second[2..6], "every frame has its own key");
    client.conn.ping(b"?");
    let bytes = [first, second, client.transmit()].concat();
    assert_eq!(server.receive(&bytes), [text("Hello"), text("Hello"), Ping(b"?".to_vec())]);
}

#[test]
fn what_a_server_sends_is_not_masked() {
    assert_eq!(Peer::server().message(Kind::Text, b"Hello"), b"\x81\x05Hello");
    assert_eq!(Peer::server().message(Kind::Binary, b""), b"\x82\x00");
}

// Section 5.2: base framing.

#[test]
fn bad_frames_are_told_by_their_code() {
    check_failure(b"\xc1\x80\0\0\0\0", Failure::ReservedBits, 1002);
    check_failure(b"\xa1\x80\0\0\0\0", Failure::ReservedBits, 1002);
    check_failure(b"\x83\x80\0\0\0\0", Failure::ReservedOpcode, 1002);
    check_failure(b"\x8b\x80\0\0\0\0", Failure::ReservedOpcode, 1002);
    check_failure(b"\x81\xfe\x00\x05\0\0\0\0Hello", Failure::BadLength, 1002);
    check_failure(b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", Failure::BadLength, 1002);
}

#[test]
fn nothing_is_looked_at_after_a_failure() {
    let mut server = Peer::server();
    let bytes = [b"\x83\x80\0\0\0\0".as_slice(), &masked(0x81, b"more"), &masked(0x89, b"ping")].concat();
    assert_eq!(server.receive(&bytes), [Failed(Failure::ReservedOpcode)]);
    assert_eq!(server.receive(&masked(0x81, b"more")), []);
    server.transmit();
    assert_eq!(server.receive(&masked(0x89, b"ping")), []);
    assert_eq!(server.transmit(), b"");
}

#[test]
fn a_message_that_is_too_big_is_refused_by_its_header() {
    let mut server = Peer::new(Role::Server, &Config { max_message: 10, ..Config::default() });
    assert_eq!(server.receive(&masked(0x82, &[0; 10])), [Binary(vec![0; 10])]);
    assert_eq!(server.receive(b"\x82\x8b\0\0\0\0"), [Failed(Failure::MessageTooBig)]);
    assert_eq!(server.transmit(), close_frame(1009, "the message is too big"));
    check_failure(b"\x82\xff\x3f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", Failure::MessageTooBig, 1009);
}

#[test]
fn the_limit_holds_for_the_sum_of_the_fragments() {
    let mut server = Peer::new(Role::Server, &Config { max_message: 10, ..Config::default() });
    assert_eq!(server.receive(&masked(0x02, &[0; 6])), []);
    assert_eq!(server.receive(&masked(0x00, &[0; 4])), []);
    assert_eq!(server.receive(b"\x80\x81\0\0\0\0"), [Failed(Failure::MessageTooBig)]);
}

// Section 5.4: fragmentation.

#[test]
fn fragments_become_one_message() {
    let hello = [masked(0x01, b"Hel"), masked(0x00, b""), masked(0x00, b"l"), masked(0x80, b"o")].concat();
    check(&hello, &[text("Hello")]);
    check(&[masked(0x02, b""), masked(0x80, b"")].concat(), &[Binary(vec![])]);
    check(&[hello.clone(), hello].concat(), &[text("Hello"), text("Hello")]);
}

#[test]
fn control_frames_stand_between_fragments() {
    let bytes = [masked(0x01, b"Hel"), masked(0x89, b"p"), masked(0x8a, b"q"), masked(0x80, b"lo")].concat();
    check(&bytes, &[Ping(b"p".to_vec()), Pong(b"q".to_vec()), text("Hello")]);
}

#[test]
fn fragments_out_of_order_are_refused() {
    check_failure(&masked(0x80, b"x"), Failure::UnexpectedContinuation, 1002);
    check_failure(&[masked(0x01, b"x"), masked(0x81, b"y")].concat(), Failure::InterruptedMessage, 1002);
    check_failure(&[masked(0x01, b""), masked(0x02, b"")].concat(), Failure::InterruptedMessage, 1002);
    let after_whole = [masked(0x81, b"x"), masked(0x00, b"y")].concat();
    check_failure(&after_whole, Failure::UnexpectedContinuation, 1002);
}

#[test]
fn fragments_are_counted_even_when_they_are_empty() {
    let config = Config { max_fragments: 3, ..Config::default() };
    let three = [masked(0x01, b""), masked(0x00, b""), masked(0x80, b"")].concat();
    assert_eq!(Peer::new(Role::Server, &config).receive(&three), [text("")]);
    let four = [masked(0x01, b""), masked(0x00, b""), masked(0x00, b""), masked(0x00, b"")].concat();
    let mut server = Peer::new(Role::Server, &config);
    assert_eq!(server.receive(&four), [Failed(Failure::TooManyFragments)]);
    assert_eq!(server.transmit(), close_frame(1009, Failure::TooManyFragments.reason()));
}

// Section 5.5: control frames.

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut server = Peer::server();
    server.receive(&[masked(0x89, b"a"), masked(0x89, &[0xff; 125])].concat());
    assert_eq!(server.transmit(), [b"\x8a\x01a\x8a\x7d".as_slice(), &[0xff; 125]].concat());
    assert_eq!(server.transmit(), b"");
}

#[test]
fn pongs_that_nobody_fetches_do_not_pile_up() {
    let mut server = Peer::server();
    for i in 0..2000u32 {
        let payload = [i.to_be_bytes().as_slice(), &[0; 121]].concat();
        server.receive(&masked(0x89, &payload));
    }
    let pongs = server.transmit();
    assert!(pongs.len() <= 64 * 1024 + 127, "{}", pongs.len());
    assert_eq!(pongs[pongs.len() - 125..][..4], 1999u32.to_be_bytes(), "the latest ping is answered");
}

#[test]
fn bad_control_frames_are_refused() {
    check_failure(&masked(0x09, b""), Failure::FragmentedControl, 1002);
    check_failure(&masked(0x89, &[0; 126]), Failure::LongControl, 1002);
    check_failure(&masked(0x88, b"\x03"), Failure::BadClosePayload, 1002);
    check_failure(&masked(0x88, b"\x03\xed"), Failure::BadCloseCode, 1002);
    check_failure(&masked(0x88, b"\x03\xe8\xff"), Failure::BadUtf8, 1007);
}

// Section 7: closing.

#[test]
fn the_peers_close_is_answered_with_its_code() {
    fn check(payload: &[u8], code: u16, reason: &str, answer: &[u8]) {
        let mut server = Peer::server();
        let bytes = [masked(0x88, payload), masked(0x81, b"too late")].concat();
        assert_eq!(server.receive(&bytes), [Closed(code, reason.to_owned(), ClosedBy::Peer)]);
        assert_eq!(server.transmit(), answer);
        assert_eq!(server.conn.state(), State::Closed);
        assert!(!server.conn.is_over(), "the peer has not ended its side");
        assert!(!server.conn.write_message(Kind::Text, b"too late", &mut Vec::new()));
        assert_eq!(server.conn.receive_eof().map(Got::from), None);
        assert!(server.conn.is_over());
        assert_eq!(server.conn.poll_timeout(), None);
    }
    check(b"", 1005, "", b"\x88\x00");
    check(b"\x03\xe8bye", 1000, "bye", b"\x88\x02\x03\xe8");
    check(b"\x0f\xa8", 4008, "", b"\x88\x02\x0f\xa8");
}

#[test]
fn our_close_waits_for_the_peers_and_reads_on() {
    let mut server = Peer::server();
    server.conn.close(server.now, CloseCode::GOING_AWAY, "bye");
    assert_eq!(server.transmit(), b"\x88\x05\x03\xe9bye");
    assert_eq!(server.conn.state(), State::Closing);
    assert!(!server.conn.write_message(Kind::Text, b"too late", &mut Vec::new()));
    assert_eq!(
        server.receive(&[masked(0x81, b"on its way"), masked(0x89, b"ping")].concat()),
        [text("on its way"), Ping(b"ping".to_vec())]
    );
    server.conn.close(server.now, CloseCode::NORMAL, "again");
    assert_eq!(server.transmit(), b"", "nothing is sent after a Close frame");
    assert_eq!(server.receive(&masked(0x88, b"\x03\xe9")), [Closed(1001, String::new(), ClosedBy::Us)]);
    assert_eq!(server.conn.state(), State::Closed);
    assert_eq!(server.transmit(), b"");
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_left_at_the_deadline() {
    let mut server = Peer::server();
    assert_eq!(server.conn.poll_timeout(), None);
    server.conn.close(server.now, CloseCode::NORMAL, "");
    assert_eq!(server.conn.poll_timeout(), Some(server.now + Duration::from_secs(10)));
    server.pass(Duration::from_millis(9_999));
    assert!(!server.conn.is_over());
    server.pass(Duration::from_millis(1));
    assert!(server.conn.is_over());
    assert_eq!(server.conn.poll_timeout(), None);
}

#[test]
fn a_peer_that_was_failed_is_left_at_the_deadline() {
    let mut server = Peer::server();
    server.receive(b"\x83");
    assert_eq!(server.conn.state(), State::Closed);
    assert!(!server.conn.is_over(), "an end now would reset the connection before the Close frame is read");
    server.pass(Duration::from_secs(10));
    assert!(server.conn.is_over());
}

#[test]
fn a_client_leaves_the_end_to_the_server() {
    let mut client = Peer::client();
    assert_eq!(client.receive(&close_frame(1000, "")), [Closed(1000, String::new(), ClosedBy::Peer)]);
    assert_eq!(client.transmit().len(), 8);
    assert_eq!(client.conn.state(), State::Closing);
    assert_eq!(client.conn.receive_eof(), None);
    assert_eq!(client.conn.state(), State::Closed);
}

#[test]
fn an_end_without_a_close_is_1006() {
    let mut server = Peer::server();
    server.receive(&masked(0x81, b"half")[..8]);
    let lost = Closed(1006, String::new(), ClosedBy::Lost);
    assert_eq!(server.conn.receive_eof().map(Got::from), Some(lost));
    assert!(server.conn.is_over());
    assert_eq!(server.conn.receive_eof(), None);
    server.conn.fail(server.now, Failure::BadUtf8);
    server.conn.close(server.now, CloseCode::NORMAL, "");
    assert_eq!(server.transmit(), b"", "there is nobody to tell");
    assert!(server.conn.is_over());
    assert_eq!(server.conn.poll_timeout(), None);
}

// Section 8.1: UTF-8.

#[test]
fn text_is_refused_at_its_first_bad_byte() {
    /// The client sends text whose byte `bad` is the first wrong one; nothing after it is needed to see that.
    fn check(payload: &[u8], bad: usize) {
        let frame = masked(0x81, payload);
        let header = frame.len() - payload.len();
        let mut server = Peer::server();
        assert_eq!(server.receive_slowly(&frame[..header + bad]), []);
        assert_eq!(server.receive(&frame[header + bad..=header + bad]), [Failed(Failure::BadUtf8)]);
        assert_eq!(server.transmit(), close_frame(1007, "text is not UTF-8"));

        let fragments: Vec<u8> = payload[..=bad].iter().enumerate().fold(Vec::new(), |mut all, (i, byte)| {
            all.extend(masked(if i == 0 { 0x01 } else { 0x00 }, &[*byte]));
            all
        });
        assert_eq!(Peer::server().receive(&fragments), [Failed(Failure::BadUtf8)]);
    }
    check(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 12);
    check(b"\xce\xba\xed\xa0\x80edited", 3);
    check(b"abc\xffdef", 3);
    check(b"\xc0\xafxxxx", 0);
}

#[test]
fn text_that_ends_inside_a_character_is_refused() {
    check_failure(&masked(0x81, b"\xce\xba\xe1\xbd"), Failure::BadUtf8, 1007);
    check_failure(&[masked(0x01, b"\xce"), masked(0x80, b"")].concat(), Failure::BadUtf8, 1007);
    check(&[masked(0x01, b"\xce"), masked(0x80, b"\xba")].concat(), &[text("κ")]);
}

// The driver's side.

#[test]
fn answers_keep_their_place_between_control_frames() {
    let mut server = Peer::server();
    let bytes = [masked(0x89, b"a"), masked(0x81, b"hi"), masked(0x89, b"b"), b"\x83".to_vec()].concat();
    server.receive(&bytes);
    assert_eq!(server.message(Kind::Text, b"hi"), b"\x8a\x01a\x8a\x01b\x81\x02hi", "pongs do not wait");
    assert_eq!(
        server.message(Kind::Text, b"ho"),
        b"\x81\x02ho",
        "an answer still goes before the Close frame"
    );
    assert_eq!(server.transmit(), close_frame(1002, Failure::ReservedOpcode.reason()));
    let mut out = Vec::new();
    assert!(!server.conn.write_message(Kind::Text, b"too late", &mut out));
    assert_eq!(out, b"");
}

#[test]
fn events_that_nobody_polled_are_lost_but_the_stream_stays_in_step() {
    let mut server = Peer::server();
    let mut bytes = [masked(0x81, b"lost"), masked(0x89, b"p"), masked(0x81, b"kept")[..8].to_vec()].concat();
    drop(server.conn.receive(server.now, &mut bytes));
    assert_eq!(server.transmit(), b"\x8a\x01p");
    assert_eq!(server.receive(&masked(0x81, b"kept")[8..]), [text("kept")]);
}

#[test]
fn a_driver_may_stop_between_two_messages() {
    let mut server = Peer::server();
    let mut bytes = [masked(0x81, b"one"), masked(0x81, b"two")].concat();
    let unread = {
        let mut received = server.conn.receive(server.now, &mut bytes);
        assert_eq!(received.poll_event().map(Got::from), Some(text("one")));
        received.into_unread()
    };
    assert_eq!(unread, 9);
    let rest = bytes.split_off(bytes.len() - unread);
    assert_eq!(server.receive(&rest), [text("two")]);
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Connection>() <= 96);
}
