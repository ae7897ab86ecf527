//! Commands of the native protocol: literal texts to meaning, faults to refusals, and back to text.

use std::borrow::Cow;

use parlor_proto::limits;
use parlor_proto::native::command::{Begin, Command, Conversation, Publish, Range, Request};
use parlor_proto::position::{Epoch, MessageId, Position, Since};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// Parses `text`, checks the id, and shows the command as Rust's debug text.
fn check(text: &str, id: Option<&str>, expected: &str) {
    let request = Request::parse(text).unwrap();
    assert_eq!(request.id, id, "{text}");
    assert_eq!(format!("{:?}", request.command), expected, "{text}");
}

/// Parses `text` and checks how it is refused; the sentence must contain `part`.
fn refused(text: &str, id: Option<&str>, code: &str, part: &str) {
    let refused = Request::parse(text).expect_err(text);
    assert_eq!((refused.id, refused.refusal.code.as_str()), (id, code), "{text}: {}", refused.refusal);
    assert!(refused.refusal.message.contains(part), "{text}: {}", refused.refusal);
}

#[test]
fn every_command_has_its_literal_text() {
    check(r#"{"type":"ping"}"#, None, "Ping");
    check(r#"{"id":7,"type":"ping"}"#, Some("7"), "Ping");
    check(r#"{"type":"ping","id":"a\"b"}"#, Some(r#""a\"b""#), "Ping");
    check(r#"{"type":"ping","id":-1.5e3}"#, Some("-1.5e3"), "Ping");
    check(r#"{"type":"ping","id":null}"#, None, "Ping");
    check(r#"{"type":"join","room":"lobby"}"#, None, r#"Join { room: "lobby", begin: Last(0) }"#);
    check(r#"{"type":"join","room":"lobby","last":10}"#, None, r#"Join { room: "lobby", begin: Last(10) }"#);
    check(
        r#"{"type":"join","room":"\u006cobby","since":41}"#,
        None,
        r#"Join { room: "lobby", begin: Since(Offset(41)) }"#,
    );
    check(
        r#"{"type":"join","room":"l","since":"k3.0.0"}"#,
        None,
        r#"Join { room: "l", begin: Since(Position(Position { epoch: Epoch(723), offset: 0, id: MessageId(0) })) }"#,
    );
    check(r#"{"type":"leave","room":"lobby"}"#, None, r#"Leave { room: "lobby" }"#);
    check(
        r#"{"type":"publish","room":"l","data":{"a": [1 ,2]},"event":"e","key":"k","echo":false,"store":false}"#,
        None,
        r#"Publish(Publish { room: "l", data: RawValue({"a": [1 ,2]}), event: "e", key: Some("k"), echo: false, store: false })"#,
    );
    check(
        r#"{"type":"publish","room":"l","data":null,"event":null,"key":null}"#,
        None,
        r#"Publish(Publish { room: "l", data: RawValue(null), event: "message", key: None, echo: true, store: true })"#,
    );
    check(
        r#"{"type":"direct","to":"Bob B","data":"psst"}"#,
        None,
        r#"Direct { to: "Bob B", data: RawValue("psst"), event: "message", key: None }"#,
    );
    check(
        r#"{"type":"history","room":"l"}"#,
        None,
        r#"History { of: Room("l"), range: Newest, limit: None }"#,
    );
    check(
        r#"{"type":"history","with":"bob","before":"9","limit":5}"#,
        None,
        r#"History { of: With("bob"), range: Before(Offset(9)), limit: Some(5) }"#,
    );
    check(r#"{"type":"members","room":"l"}"#, None, r#"Members { room: "l" }"#);
    check(r#"{"type":"rooms"}"#, None, "Rooms { prefix: None, after: None, limit: None }");
    check(
        r#"{"type":"rooms","prefix":"","after":"b","limit":2}"#,
        None,
        r#"Rooms { prefix: Some(""), after: Some("b"), limit: Some(2) }"#,
    );
    check(r#"{"type":"read","with":"bob","offset":4}"#, None, r#"Read { of: With("bob"), offset: 4 }"#);
    check(r#"{"type":"call","method":"m"}"#, None, r#"Call { method: "m", data: None }"#);
    check(r#"{"type":"auth","token":"t"}"#, None, r#"Auth { token: "t" }"#);
    check(" { \"type\" : \"ping\" , \"later\" : [ {} ] } ", None, "Ping");
}

#[test]
fn the_shown_examples_are_correct() {
    for (kind, example) in Command::EXAMPLES {
        assert_eq!(Request::parse(example).unwrap().command.kind(), kind);
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_keeps_the_id() {
    for (text, id, code, part) in [
        ("", None, "bad_json", "a command is {"),
        ("hello", None, "bad_json", "a command is {"),
        (r#"{"type":"ping""#, None, "bad_json", "EOF"),
        (r#"{"id":3,"type":"ping" x"#, Some("3"), "bad_json", "column"),
        (r#"{"id":3,"type":"ping"} {}"#, Some("3"), "bad_json", "trailing"),
        ("[]", None, "bad_message", "a JSON object"),
        ("null", None, "bad_message", "a JSON object"),
        ("{}", None, "bad_message", "\"type\""),
        (r#"{"id":3}"#, Some("3"), "bad_message", "\"type\""),
        (r#"{"id":3,"type":4}"#, Some("3"), "bad_message", "\"type\" is a string"),
        (r#"{"id":{},"type":"ping"}"#, None, "bad_message", "\"id\" is a string or a number"),
        (r#"{"id":true,"type":"ping"}"#, None, "bad_message", "\"id\" is a string or a number"),
        (r#"{"id":"\ud800","type":"ping"}"#, None, "bad_message", "\"id\" is a string or a number"),
        (r#"{"id":3,"id":4,"type":"ping"}"#, Some("3"), "bad_message", "\"id\" is given twice"),
        (r#"{"id":3,"type":"ping","type":"auth"}"#, Some("3"), "bad_message", "\"type\" is given twice"),
        (r#"{"type":"leave","room":"a","r\u006fom":"b"}"#, None, "bad_message", "\"room\" is given twice"),
        (
            r#"{"id":"x","type":"shout"}"#,
            Some("\"x\""),
            "unknown_type",
            "no command \"shout\"; there are join,",
        ),
        (
            r#"{"type":"join"}"#,
            None,
            "bad_message",
            "\"room\" is missing; a correct command is {\"type\":\"join\"",
        ),
        (r#"{"type":"join","room":""}"#, None, "bad_message", "\"room\" is empty"),
        (r#"{"type":"join","room":5}"#, None, "bad_message", "\"room\" is a string"),
        (r#"{"type":"join","room":"\udc00"}"#, None, "bad_message", "\"room\" is a string"),
        (r#"{"type":"join","room":"a","since":-1}"#, None, "bad_message", "\"since\" is not a position"),
        (r#"{"type":"join","room":"a","since":"k3"}"#, None, "bad_message", "\"since\" is not a position"),
        (r#"{"type":"join","room":"a","since":1,"last":1}"#, None, "bad_message", "not both"),
        (r#"{"type":"join","room":"a","last":-1}"#, None, "bad_message", "\"last\" is a whole number"),
        (r#"{"type":"join","room":"a","last":1.5}"#, None, "bad_message", "\"last\" is a whole number"),
        (r#"{"type":"publish","room":"a"}"#, None, "bad_message", "\"data\" is missing"),
        (
            r#"{"type":"publish","room":"a","data":1,"echo":0}"#,
            None,
            "bad_message",
            "\"echo\" is true or false",
        ),
        (r#"{"type":"publish","room":"a","data":1,"key":""}"#, None, "bad_message", "\"key\" is 1 to 64"),
        (r#"{"type":"publish","room":"a","data":1,"key":"a b"}"#, None, "bad_message", "\"key\" is 1 to 64"),
        (
            r#"{"type":"publish","room":"a","data":1,"event":"\n"}"#,
            None,
            "bad_message",
            "\"event\" is 1 to 128",
        ),
        (r#"{"type":"publish","room":"a","data":"\ud83d"}"#, None, "bad_json", "surrogate"),
        (r#"{"type":"history"}"#, None, "bad_message", "give \"room\", or \"with\""),
        (r#"{"type":"history","room":"a","with":"b"}"#, None, "bad_message", "give \"room\", or \"with\""),
        (r#"{"type":"history","room":"a","before":1,"after":2}"#, None, "bad_message", "not both"),
        (r#"{"type":"read","room":"a"}"#, None, "bad_message", "\"offset\" is missing"),
        (r#"{"type":"call"}"#, None, "bad_message", "\"method\" is missing"),
    ] {
        refused(text, id, code, part);
    }
}

#[test]
fn limits_are_exact() {
    let publish = |data: &str, event: &str, key: &str| {
        format!(r#"{{"id":1,"type":"publish","room":"a","data":{data},"event":"{event}","key":"{key}"}}"#)
    };
    let string = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let event = "e".repeat(limits::EVENT);
    let key = "k".repeat(limits::KEY);
    for data in [string(limits::DATA), nested(limits::DEPTH)] {
        assert!(Request::parse(&publish(&data, &event, &key)).is_ok());
    }
    refused(&publish(&string(limits::DATA + 1), "e", "k"), Some("1"), "too_large", "data is 65537 bytes");
    refused(&publish(&nested(limits::DEPTH + 1), "e", "k"), Some("1"), "too_deep", "deeper than 32");
    refused(&publish("1", &format!("{event}e"), "k"), Some("1"), "bad_message", "\"event\"");
    refused(&publish("1", "e", &format!("{key}k")), Some("1"), "bad_message", "\"key\"");
    let long_id = format!(r#"{{"id":"{}","type":"ping"}}"#, "i".repeat(limits::COMMAND_ID));
    refused(&long_id, None, "bad_message", "\"id\"");
    let long_token = format!(r#"{{"type":"auth","token":"{}"}}"#, "t".repeat(limits::TOKEN + 1));
    refused(&long_token, None, "too_large", "the token is 8193 bytes");
}

#[test]
fn depth_that_nobody_reads_does_no_harm() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    let ignored = format!(r#"{{"later":{deep},"type":"ping"}}"#);
    assert!(Request::parse(&ignored).is_ok());
    refused(&"{\"a\":".repeat(200_000), None, "bad_json", "EOF");
}

#[test]
fn a_batch_answers_each_command() {
    let batch = Request::parse_batch(r#" [{"type":"ping","id":1}, 5, {"type":"shout","id":2}]"#).unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(batch[0].as_ref().unwrap().id, Some("1"));
    assert_eq!(batch[1].as_ref().unwrap_err().refusal.code.as_str(), "bad_message");
    assert_eq!(batch[2].as_ref().unwrap_err().id, Some("2"));
    assert_eq!(Request::parse_batch(r#"{"type":"ping"}"#).unwrap().len(), 1);
    assert_eq!(Request::parse_batch("[{").unwrap_err().refusal.code.as_str(), "bad_json");
    assert_eq!(Request::parse_batch("[]").unwrap().len(), 0);
}

fn name() -> impl Strategy<Value = Cow<'static, str>> {
    "[\\PC\"\\\\\n\u{2028}]{1,12}".prop_map(Cow::Owned)
}

fn since() -> impl Strategy<Value = Since> {
    prop_oneof![
        any::<u64>().prop_map(Since::Offset),
        any::<(u64, u64, u128)>().prop_map(|(epoch, offset, id)| {
            Since::Position(Position { epoch: Epoch(epoch), offset, id: MessageId(id) })
        }),
    ]
}

fn conversation() -> impl Strategy<Value = Conversation<'static>> {
    prop_oneof![name().prop_map(Conversation::Room), name().prop_map(Conversation::With)]
}

fn event() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just(Cow::Borrowed("message")), "[\\PC\"\\\\]{1,12}".prop_map(Cow::Owned)]
}

fn key() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    proptest::option::of("[!-~]{1,64}".prop_map(Cow::Owned))
}

fn data() -> impl Strategy<Value = &'static RawValue> {
    let text = prop_oneof![
        Just("null".to_owned()),
        Just("[1 , {\"a\":\"\\ud83d\\ude00\"}]".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    // Leaked, because a command only borrows its data; a test may.
    text.prop_map(|text| &*Box::leak(RawValue::from_string(text).unwrap()))
}

fn command() -> impl Strategy<Value = Command<'static>> {
    let begin = prop_oneof![since().prop_map(Begin::Since), any::<u32>().prop_map(Begin::Last)];
    let range =
        prop_oneof![Just(Range::Newest), since().prop_map(Range::Before), since().prop_map(Range::After)];
    prop_oneof![
        (name(), begin).prop_map(|(room, begin)| Command::Join { room, begin }),
        name().prop_map(|room| Command::Leave { room }),
        (name(), data(), event(), key(), any::<(bool, bool)>()).prop_map(
            |(room, data, event, key, (echo, store))| {
                Command::Publish(Publish { room, data, event, key, echo, store })
            }
        ),
        (name(), data(), event(), key()).prop_map(|(to, data, event, key)| Command::Direct {
            to,
            data,
            event,
            key
        }),
        (conversation(), range, any::<Option<u32>>()).prop_map(|(of, range, limit)| Command::History {
            of,
            range,
            limit
        }),
        name().prop_map(|room| Command::Members { room }),
        (proptest::option::of(name()), proptest::option::of(name()), any::<Option<u32>>())
            .prop_map(|(prefix, after, limit)| Command::Rooms { prefix, after, limit }),
        (conversation(), any::<u64>()).prop_map(|(of, offset)| Command::Read { of, offset }),
        (event(), proptest::option::of(data())).prop_map(|(method, data)| Command::Call { method, data }),
        name().prop_map(|token| Command::Auth { token }),
        Just(Command::Ping),
    ]
}

proptest! {
    #[test]
    fn what_a_client_writes_the_server_reads(
        command in command(),
        id in proptest::option::of("[0-9]|[1-9][0-9]{1,15}|\"[a-z]{0,20}\""),
    ) {
        let request = Request { id: id.as_deref(), command };
        let mut text = Vec::new();
        request.encode(&mut text);
        let text = String::from_utf8(text).unwrap();
        let read = Request::parse(&text).unwrap();
        prop_assert_eq!(format!("{:?}", read), format!("{:?}", request));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Request::parse(&text);
        let _ = Request::parse_batch(&text);
    }

    #[test]
    fn no_cut_or_changed_command_panics(
        command in command(), at in any::<prop::sample::Index>(), piece in "[\"{}\\[\\]:,\\\\a0 ]{0,3}"
    ) {
        let mut text = Vec::new();
        Request { id: Some("1"), command }.encode(&mut text);
        let mut text = String::from_utf8(text).unwrap();
        let mut at = at.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, &piece);
        if let Err(refused) = Request::parse(&text) {
            prop_assert!(!refused.refusal.message.is_empty());
        }
        let _ = Request::parse(&text[..at]);
    }
}
