//! The client's side of Socket.IO against the server's: what one writes the other reads.

use bytes::Bytes;
use parlor_proto::socketio::client::{Entry, Opened, ServerDecoder, ServerPacket, enter, split_offset};
use parlor_proto::socketio::{Arguments, Binary, Decoder, Packet, Value, encode};
use proptest::prelude::*;

/// Hands a packet in, its attachments behind it.
fn read(text: Vec<u8>, attachments: &[Bytes]) -> ServerPacket {
    let mut decoder = ServerDecoder::default();
    let mut packet = decoder.receive_text(&String::from_utf8(text).unwrap()).unwrap();
    for bytes in attachments {
        assert_eq!(packet, None);
        packet = decoder.receive_binary(bytes.clone()).unwrap();
    }
    packet.unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<Option<bool>>().prop_map(|value| value.map_or(Value::Null, Value::Bool)),
        any::<i64>().prop_map(|value| Value::Number(value.into())),
        ".{0,20}".prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Binary(Binary(bytes.into()))),
        prop::collection::vec(".{0,5}".prop_map(Value::String), 0..3).prop_map(Value::Array),
    ]
}

fn any_namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9]{1,9}"]
}

proptest! {
    #[test]
    fn what_a_server_says_is_read_as_it_was_meant(
        namespace in any_namespace(),
        values in prop::collection::vec(any_value(), 0..5),
        id in any::<Option<u32>>(),
        offset in ".{0,20}",
    ) {
        let (id, arguments) = (id.map(u64::from), Arguments::of(&values).unwrap());
        let attachments = arguments.attachments();

        let mut out = Vec::new();
        encode::event(&mut out, &namespace, id, "news", &arguments, Some(&offset));
        let ServerPacket::Event { namespace: of, id: read_id, event, arguments: all } = read(out, attachments)
        else {
            panic!("no event")
        };
        prop_assert_eq!((of, read_id, &*event), (namespace.clone(), id, "news"));
        prop_assert_eq!(split_offset(all), (arguments.clone(), Some(offset.clone())));

        let mut out = Vec::new();
        encode::ack(&mut out, &namespace, 7, &arguments);
        let ack = ServerPacket::Ack { namespace: namespace.clone(), id: 7, arguments: arguments.clone() };
        prop_assert_eq!(read(out, attachments), ack);

        let mut out = Vec::new();
        encode::connect(&mut out, &namespace, "sid", Some(&offset));
        let entered =
            ServerPacket::Connect { namespace: namespace.clone(), sid: "sid".into(), pid: Some(offset.clone()) };
        prop_assert_eq!(read(out, &[]), entered);

        let mut out = Vec::new();
        encode::connect_error(&mut out, &namespace, &offset, Some("[1]"));
        let refused =
            ServerPacket::ConnectError { namespace, message: offset, data: Some("[1]".into()) };
        prop_assert_eq!(read(out, &[]), refused);
    }

    #[test]
    fn what_a_client_shows_is_read_by_the_server(
        namespace in any_namespace(),
        pid in any::<Option<String>>(),
        offset in any::<Option<String>>(),
        auth in prop::option::of(prop::collection::btree_map("[a-n]{1,5}", ".{0,9}", 0..3)),
    ) {
        let text = auth.as_ref().map(|auth| serde_json::to_string(auth).unwrap());
        let entry = Entry { auth: text.as_deref(), pid: pid.as_deref(), offset: offset.as_deref() };
        let mut out = Vec::new();
        enter(&mut out, &namespace, entry);
        let packet = Decoder::default().receive_text(&String::from_utf8(out).unwrap());
        let Ok(Some(Packet::Connect { namespace: of, auth: shown })) = packet else {
            panic!("{packet:?}")
        };
        prop_assert_eq!(of, namespace);
        let mut expected = auth.clone();
        if let Some(pid) = pid {
            let fields = expected.get_or_insert_default();
            fields.insert("pid".into(), pid);
            fields.extend(offset.map(|offset| ("offset".to_owned(), offset)));
        }
        let shown = shown.map(|text| serde_json::from_str(&text).unwrap());
        prop_assert_eq!(shown, expected);
    }

    #[test]
    fn no_text_and_no_bytes_do_harm(
        text in "[0-9/,\\-\\[\\]{}\"a_:]{0,40}",
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut decoder = ServerDecoder::default();
        let _ = decoder.receive_text(&text);
        let _ = decoder.receive_binary(Bytes::from(bytes));
        let _ = Opened::parse(&text);
    }
}
