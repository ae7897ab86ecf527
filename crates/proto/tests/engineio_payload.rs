//! Payloads of long polling: literal bytes, and everything that goes in comes out.

use parlor_proto::engineio::payload::{Answer, BadPayload, Record, Records};
use parlor_proto::engineio::{Kind, Packet, Revision};
use parlor_proto::limits::POLL_PACKETS_OUT;
use parlor_proto::ws::{self, frame};
use proptest::prelude::*;

fn text(kind: Kind, data: &str) -> Record<'_> {
    Record::Text(Packet { kind, data })
}

#[track_caller]
fn reads(body: &[u8], revision: Revision, binary: bool, expected: &[Result<Record<'_>, BadPayload>]) {
    let records: Vec<_> = Records::new(body, revision, binary).collect();
    assert_eq!(records, expected, "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn a_body_is_split_at_its_separators() {
    let read = |body: &str, expected: &[_]| reads(body.as_bytes(), Revision::V4, false, expected);
    read("4hello", &[Ok(text(Kind::Message, "hello"))]);
    let both =
        [Ok(text(Kind::Message, "a€")), Ok(Record::Binary(vec![1, 2, 3, 4])), Ok(text(Kind::Ping, ""))];
    read("4a€\u{1e}bAQIDBA==\u{1e}2", &both);
    read("bAQIDBA", &[Ok(Record::Binary(vec![1, 2, 3, 4]))]);
    read("b", &[Ok(Record::Binary(vec![]))]);
    // The first bad packet ends it.
    read("", &[Err(BadPayload)]);
    read("abc", &[Err(BadPayload)]);
    read("4a\u{1e}\u{1e}4b", &[Ok(text(Kind::Message, "a")), Err(BadPayload)]);
    read("4a\u{1e}", &[Ok(text(Kind::Message, "a")), Err(BadPayload)]);
    read("b*", &[Err(BadPayload)]);
    reads(b"4\xff", Revision::V4, false, &[Err(BadPayload)]);
}

#[test]
fn old_bodies_carry_the_length_of_each_packet() {
    let counted = |body: &str, expected: &[_]| reads(body.as_bytes(), Revision::V3, false, expected);
    counted("6:4hello2:4€", &[Ok(text(Kind::Message, "hello")), Ok(text(Kind::Message, "€"))]);
    counted("3:4😀1:2", &[Ok(text(Kind::Message, "😀")), Ok(text(Kind::Ping, ""))]);
    counted("10:b4AQIDBA==", &[Ok(Record::Binary(vec![1, 2, 3, 4]))]);
    for bad in ["", "4hello", "7:4hello", "2:4😀", ":4", "-1:4", "9999999999:4", "0:"] {
        counted(bad, &[Err(BadPayload)]);
    }
    let bytes = |body: &[u8], expected: &[_]| reads(body, Revision::V3, true, expected);
    bytes(
        b"\x00\x06\xff4hello\x01\x04\xff\x04abc",
        &[Ok(text(Kind::Message, "hello")), Ok(Record::Binary(b"abc".to_vec()))],
    );
    for bad in [&b""[..], b"\x00", b"\x00\x06\xff4", b"\x01\x02\xff\x03a", b"\x02\x01\xff4", b"\x00\x0a\xff4"]
    {
        bytes(bad, &[Err(BadPayload)]);
    }
}

fn frames(messages: &[(ws::Kind, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|(kind, payload)| frame::write_message(&mut out, *kind, payload));
    out
}

#[test]
fn frames_that_wait_become_the_packets_of_an_answer() {
    let waiting =
        frames(&[(ws::Kind::Text, b"4a"), (ws::Kind::Binary, b"\x01\x02\x03\x04"), (ws::Kind::Text, b"2")]);
    let mut answer = Answer::new(Revision::V4, false, 1000);
    assert_eq!(answer.push_frames(&waiting), waiting.len());
    assert_eq!(answer.finish(), (b"4a\x1ebAQIDBA==\x1e2".to_vec(), "text/plain; charset=UTF-8"));

    let waiting = frames(&[(ws::Kind::Text, "4€".as_bytes()), (ws::Kind::Binary, b"\x04\x01")]);
    for (b64, expected, kind) in [
        (true, "2:4€6:b4AQ==".as_bytes().to_vec(), "text/plain; charset=UTF-8"),
        (false, b"\x00\x04\xff4\xe2\x82\xac\x01\x02\xff\x04\x01".to_vec(), "application/octet-stream"),
    ] {
        let mut answer = Answer::new(Revision::V3, b64, 1000);
        assert_eq!(answer.push_frames(&waiting), waiting.len());
        assert_eq!(answer.finish(), (expected, kind));
    }
}

#[test]
fn an_answer_is_bounded_in_packets_and_bytes() {
    let waiting = frames(&[(ws::Kind::Text, &b"4a"[..]); 20]);
    let mut answer = Answer::new(Revision::V4, false, 1000);
    let taken = answer.push_frames(&waiting);
    assert_eq!(taken, POLL_PACKETS_OUT * 4);
    assert!(answer.is_full());
    let mut answer = Answer::new(Revision::V4, false, 5);
    // The first always goes, however long.
    let long = frames(&[(ws::Kind::Text, b"4abcdefgh"), (ws::Kind::Text, b"4b")]);
    assert_eq!(answer.push_frames(&long), 11);
    // Half a frame stays where it is.
    let mut answer = Answer::new(Revision::V4, false, 1000);
    assert_eq!(answer.push_frames(&long[..long.len() - 1]), 11);
}

fn any_frame() -> impl Strategy<Value = (bool, String, Vec<u8>)> {
    (any::<bool>(), "[^\u{1e}]{0,20}", prop::collection::vec(any::<u8>(), 0..20))
}

proptest! {
    #[test]
    fn what_an_answer_holds_is_what_was_waiting(all in prop::collection::vec(any_frame(), 1..40)) {
        let mut waiting = Vec::new();
        for (is_text, data, bytes) in &all {
            match is_text {
                true => frame::write_message(&mut waiting, ws::Kind::Text, format!("4{data}").as_bytes()),
                false => frame::write_message(&mut waiting, ws::Kind::Binary, bytes),
            }
        }
        let mut rest = &waiting[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            let mut answer = Answer::new(Revision::V4, false, 200);
            let taken = answer.push_frames(rest);
            prop_assert!(taken > 0);
            rest = &rest[taken..];
            let (body, _) = answer.finish();
            for record in Records::new(&body, Revision::V4, false) {
                read.push(match record.unwrap() {
                    Record::Text(packet) => (true, packet.data.to_owned(), Vec::new()),
                    Record::Binary(data) => (false, String::new(), data),
                });
            }
        }
        let sent: Vec<_> = all.into_iter().map(|(is_text, text, bytes)| match is_text {
            true => (true, text, Vec::new()),
            false => (false, String::new(), bytes),
        }).collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn no_body_does_harm(body in prop::collection::vec(any::<u8>(), 0..200), binary in any::<bool>()) {
        for revision in [Revision::V3, Revision::V4] {
            let records: Vec<_> = Records::new(&body, revision, binary).collect();
            // An error is the last thing that is said.
            prop_assert!(records.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
