//! Socket.IO packets: literal text from the protocol document, attachments, and what must be refused.

use bytes::Bytes;
use parlor_proto::limits::ATTACHMENTS;
use parlor_proto::socketio::{Arguments, Binary, Decoder, Packet, ParseError, Value, encode, msgpack};
use proptest::prelude::*;

fn arguments(list: &str) -> Arguments {
    Arguments::parse(list, Vec::new()).unwrap()
}

fn event(namespace: &str, id: Option<u64>, name: &str, list: &str) -> Packet {
    Packet::Event { namespace: namespace.into(), id, event: name.into(), arguments: arguments(list) }
}

#[track_caller]
fn reads(text: &str, expected: Packet) {
    assert_eq!(Decoder::default().receive_text(text), Ok(Some(expected)), "{text}");
}

#[test]
fn text_packets_are_read_as_the_document_shows_them() {
    let connect = |namespace: &str, auth: Option<&str>| Packet::Connect {
        namespace: namespace.into(),
        auth: auth.map(|auth| arguments(&format!("[{auth}]"))),
    };
    reads("0", connect("/", None));
    reads("0{\"token\":\"123\"}", connect("/", Some("{\"token\":\"123\"}")));
    reads("0/admin,", connect("/admin", None));
    reads("0/admin", connect("/admin", None));
    reads("0/admin,{\"a\":1}", connect("/admin", Some("{\"a\":1}")));
    reads("1/admin,", Packet::Disconnect { namespace: "/admin".into() });
    reads("1", Packet::Disconnect { namespace: "/".into() });
    reads("2[\"foo\"]", event("/", None, "foo", "[]"));
    reads("2/admin,[\"bar\",1]", event("/admin", None, "bar", "[1]"));
    reads("212[\"foo\"]", event("/", Some(12), "foo", "[]"));
    reads(
        "2[\"my event\", {\"b\": 1, \"a\": [1, 2]}]",
        event("/", None, "my event", "[{\"b\":1,\"a\":[1,2]}]"),
    );
    reads("2[\"\\u0066oo\"]", event("/", None, "foo", "[]"));
    let ack = Packet::Ack { namespace: "/admin".into(), id: 13, arguments: arguments("[\"bar\"]") };
    reads("3/admin,13[\"bar\"]", ack);
    // Names that mean something in other languages mean nothing here.
    reads("2[\"__proto__\",{\"__proto__\":1}]", event("/", None, "__proto__", "[{\"__proto__\":1}]"));
}

#[track_caller]
fn refused(text: &str) {
    let read = Decoder::default().receive_text(text);
    assert!(read.is_err(), "{text}: {read:?}");
}

#[test]
fn what_no_client_of_the_protocol_sends_is_refused() {
    for text in
        ["", "a", "7", "4", "4{\"message\":\"x\"}", "2", "2{}", "2[]", "2[1]", "2[null]", "2[[\"a\"]]"]
    {
        refused(text);
    }
    for text in ["0[]", "0\"a\"", "0{", "1{}", "1/a,{}", "2[\"a\"", "2[\"a\"]x", "3[]", "31", "3{}", "31{}"] {
        refused(text);
    }
    for text in
        ["299999999999999999999[\"a\"]", "29007199254740992[\"a\"]", "2/a\u{7},[\"a\"]", "2[\"connect\"]"]
    {
        refused(text);
    }
    for text in [
        "5[\"a\"]",
        "5-[\"a\"]",
        "50-[\"a\"]",
        "5x-[\"a\"]",
        "511-[\"a\"]",
        "55999999-[\"a\"]",
        "51.5-[\"a\"]",
    ] {
        refused(text);
    }
    refused(&format!("2[\"a\",{}{}]", "[".repeat(40), "]".repeat(40)));
    refused(&format!("2[\"{}\"]", "a".repeat(200)));
    refused(&format!("2/{},[\"a\"]", "a".repeat(200)));
    for reserved in ["connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        assert_eq!(
            Decoder::default().receive_text(&format!("2[\"{reserved}\"]")),
            Err(ParseError::ReservedEvent)
        );
    }
}

#[test]
fn attachments_come_behind_their_packet_and_take_their_places() {
    let mut decoder = Decoder::default();
    let text = "52-/chat,7[\"e\",{\"num\":1,\"_placeholder\":true},[{\"_placeholder\":true,\"num\":0}],3]";
    assert_eq!(decoder.receive_text(text), Ok(None));
    assert_eq!(decoder.receive_binary(Bytes::from_static(b"zero")), Ok(None));
    let packet = decoder.receive_binary(Bytes::from_static(b"one")).unwrap().unwrap();
    let Packet::Event { namespace, id, arguments, .. } = packet else { panic!("an event") };
    assert_eq!((&*namespace, id, arguments.len()), ("/chat", Some(7), 3));
    // Numbered in the order of the text, with the keys in the order that all clients write.
    let expected = "{\"_placeholder\":true,\"num\":0},[{\"_placeholder\":true,\"num\":1}],3";
    assert_eq!(arguments.text(), expected);
    assert_eq!(arguments.attachments(), [Bytes::from_static(b"one"), Bytes::from_static(b"zero")]);
    let (one, rest, three): (Binary, Vec<Binary>, u8) = arguments.read().unwrap();
    assert_eq!((&one.0[..], &rest[0].0[..], three), (&b"one"[..], &b"zero"[..], 3));
    assert_eq!(arguments.without_binary().text(), "\"b25l\",[\"emVybw==\"],3");
}

#[test]
fn placeholders_count_on_behind_the_attachments_of_others() {
    let bytes = Binary(Bytes::from_static(b"x"));
    let looks_like_one = "{\"_placeholder\":true,\"num\":0}";
    let arguments = Arguments::of(&(&bytes, looks_like_one, [&bytes], 3)).unwrap();
    let expected = "{\"_placeholder\":true,\"num\":9},\"{\\\"_placeholder\\\":true,\\\"num\\\":0}\",\
                    [{\"_placeholder\":true,\"num\":10}],3";
    assert_eq!(arguments.text_numbered_from(9), expected);
}

#[test]
fn placeholders_are_checked_and_order_is_kept() {
    for placeholder in [
        "{\"_placeholder\":true,\"num\":1}",
        "{\"_placeholder\":true,\"num\":-1}",
        "{\"_placeholder\":true,\"num\":\"splice\"}",
        "{\"_placeholder\":true}",
    ] {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.receive_text(&format!("51-[\"e\",{placeholder}]")), Ok(None));
        assert!(decoder.receive_binary(Bytes::new()).is_err(), "{placeholder}");
    }
    let mut decoder = Decoder::default();
    assert_eq!(decoder.receive_binary(Bytes::new()), Err(ParseError::Unexpected));
    assert_eq!(decoder.receive_text("51-[\"e\",{\"_placeholder\":true,\"num\":0}]"), Ok(None));
    assert_eq!(decoder.receive_text("2[\"e\"]"), Err(ParseError::Unexpected));
    // Without attachments a placeholder is an object like any other.
    reads(
        "2[\"e\",{\"_placeholder\":true,\"num\":0}]",
        event("/", None, "e", "[{\"_placeholder\":true,\"num\":0}]"),
    );
}

type Row<'r> = (&'r dyn Fn(&mut Vec<u8>), &'static str);

#[test]
fn the_server_writes_what_the_document_shows() {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    let none = Arguments::default();
    let bytes = Arguments::of(&("x", Binary(Bytes::from_static(b"\x01")))).unwrap();
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        (&|out| encode::connect(out, "/", "abc", None), "0{\"sid\":\"abc\"}"),
        (&|out| encode::connect(out, "/admin", "abc", Some("p")), "0/admin,{\"sid\":\"abc\",\"pid\":\"p\"}"),
        (&|out| encode::connect_error(out, "/", "no", None), "4{\"message\":\"no\"}"),
        (&|out| encode::connect_error(out, "/a", "no", Some("{\"c\":1}")), "4/a,{\"message\":\"no\",\"data\":{\"c\":1}}"),
        (&|out| encode::disconnect(out, "/a"), "1/a,"),
        (&|out| encode::event(out, "/", None, "foo", &none, None), "2[\"foo\"]"),
        (&|out| encode::event(out, "/a", Some(12), "a\"b", &arguments("[1,{}]"), None), "2/a,12[\"a\\\"b\",1,{}]"),
        (&|out| encode::event(out, "/", None, "foo", &none, Some("k3.1")), "2[\"foo\",\"k3.1\"]"),
        (&|out| encode::event(out, "/", None, "e", &bytes, None), "51-[\"e\",\"x\",{\"_placeholder\":true,\"num\":0}]"),
        (&|out| encode::ack(out, "/a", 12, &arguments("[\"b\"]")), "3/a,12[\"b\"]"),
        (&|out| encode::ack(out, "/", 1, &none), "31[]"),
        (&|out| encode::ack(out, "/", 1, &bytes), "61-1[\"x\",{\"_placeholder\":true,\"num\":0}]"),
        (&|out| encode::connect_v2(out, "/chat"), "0/chat,"),
        (&|out| encode::connect_error_v2(out, "/", "no", None), "4\"no\""),
    ];
    for (write, expected) in rows {
        assert_eq!(written(write), *expected);
    }
}

#[test]
fn a_list_is_read_whole_or_by_its_first_value() {
    let list = arguments("[1,\"a\",null]");
    assert_eq!(list.first::<u8>().unwrap(), 1);
    assert_eq!(list.read::<(u8, String, Option<u8>)>().unwrap(), (1, "a".into(), None));
    assert!(list.first::<String>().is_err());
    assert_eq!(arguments("[]").first::<Option<u8>>().unwrap(), None);
    assert!(Arguments::of(&1).is_err());
    let many: Vec<Binary> = (0..=ATTACHMENTS).map(|_| Binary::default()).collect();
    assert!(Arguments::of(&many).is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.into())),
        any::<u64>().prop_map(|number| Value::Number(number.into())),
        "\\PC{0,8}".prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Binary(Binary(bytes.into()))),
    ];
    leaf.prop_recursive(4, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(values in prop::collection::vec(any_value(), 0..4), id in any::<Option<u32>>()) {
        let Ok(arguments) = Arguments::of(&values) else { return Ok(()) };
        prop_assert_eq!(arguments.values(), values);
        let id = id.map(u64::from);
        let expected = Packet::Event { namespace: "/a".into(), id, event: "e".into(), arguments: arguments.clone() };
        let mut out = Vec::new();
        encode::event(&mut out, "/a", id, "e", &arguments, None);
        let mut decoder = Decoder::default();
        let mut packet = decoder.receive_text(std::str::from_utf8(&out).unwrap()).unwrap();
        for attachment in arguments.attachments() {
            prop_assert!(packet.is_none());
            packet = decoder.receive_binary(attachment.clone()).unwrap();
        }
        prop_assert_eq!(packet.as_ref(), Some(&expected));
        let mut out = Vec::new();
        msgpack::event(&mut out, "/a", id, "e", &arguments, None);
        prop_assert_eq!(msgpack::decode(&out), Ok(expected));
    }

    #[test]
    fn no_text_and_no_bytes_do_harm(text in "[0-9/,\\-\\[\\]{}\"a_:]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut decoder = Decoder::default();
        let _ = decoder.receive_text(&text);
        let _ = decoder.receive_binary(bytes.clone().into());
        let _ = msgpack::decode(&bytes);
    }
}
