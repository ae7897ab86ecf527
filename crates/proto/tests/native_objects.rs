//! Objects of the server: each one's literal bytes, and what a client reads in them.

use std::time::Duration;

use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::native::decode::{self, ServerMessage};
use parlor_proto::native::encode::{
    self, Direct, Entry, Joined, Member, Message, Of, Presence, Room, Welcome,
};
use parlor_proto::position::{Epoch, MessageId, Position};
use proptest::prelude::*;

const ALICE: Member<'_> = Member { user: "g3k", name: "alice" };
const BOB: Member<'_> = Member { user: "g9x", name: "bob" };
const PLACE: Position = Position { epoch: Epoch(723), offset: 42, id: MessageId(1 << 80) };
const HI: Message<'_> = Message {
    room: "lobby",
    place: Some(PLACE),
    from: Some(ALICE),
    event: "message",
    data: "\"hi\"",
    time: 1_790_000_000_000,
};

/// Runs `write`, compares the bytes, and reads them back as a client does.
fn check(write: impl FnOnce(&mut Vec<u8>), expected: &str) -> ServerMessage {
    let mut out = Vec::new();
    write(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, expected);
    ServerMessage::parse(&text).unwrap()
}

#[test]
fn welcome_names_the_guest() {
    let welcome =
        Welcome { session: "s", user: "g3k", name: "alice", token: Some("t"), server: "parlor/0.1.0" };
    let read = check(
        |out| encode::welcome(out, &welcome),
        r#"{"type":"welcome","session":"s","user":"g3k","name":"alice","token":"t","protocol":1,"server":"parlor/0.1.0","limits":{"data":65536}}"#,
    );
    assert!(matches!(read, ServerMessage::Welcome(welcome) if welcome.limits.data == 65536));
}

#[test]
fn joined_says_whether_the_gap_is_complete() {
    let joined = Joined {
        of: Of::Room("lobby"),
        head: Some(PLACE),
        recovered: Some(Ok(())),
        messages: &[Entry::Message(HI)],
        presence: Some(Presence { members: &[ALICE, BOB], count: 2, version: 6 }),
        unread: Some(3),
    };
    let read = check(
        |out| encode::joined(out, Some("1"), &joined),
        concat!(
            r#"{"type":"joined","id":1,"room":"lobby","offset":42,"pos":"k3.42.00000000010000000000000000","#,
            r#""recovered":true,"messages":[{"type":"message","room":"lobby","offset":42,"#,
            r#""pos":"k3.42.00000000010000000000000000","from":"alice","user":"g3k","event":"message","#,
            r#""data":"hi","time":1790000000000}],"#,
            r#""members":[{"user":"g3k","name":"alice"},{"user":"g9x","name":"bob"}],"count":2,"version":6,"unread":3}"#
        ),
    );
    assert_eq!(read.id(), Some("1"));
    let ServerMessage::Joined(read) = read else { panic!("{read:?}") };
    assert!(matches!(&read.messages[0], decode::Entry::Message(hi) if hi.data.get() == "\"hi\""));

    let lost =
        Joined { recovered: Some(Err("trimmed")), messages: &[], presence: None, unread: None, ..joined };
    check(
        |out| encode::joined(out, Some("\"a\""), &lost),
        r#"{"type":"joined","id":"a","room":"lobby","offset":42,"pos":"k3.42.00000000010000000000000000","recovered":false,"reason":"trimmed","messages":[]}"#,
    );
    let live = Joined {
        of: Of::With(BOB),
        head: None,
        recovered: None,
        messages: &[],
        presence: None,
        unread: None,
    };
    check(
        |out| encode::joined(out, None, &live),
        r#"{"type":"joined","with":"bob","with_user":"g9x","messages":[]}"#,
    );
}

#[test]
fn a_message_is_written_once_for_everybody() {
    let text = r#"{"type":"message","room":"lobby","offset":42,"pos":"k3.42.00000000010000000000000000","from":"alice","user":"g3k","event":"message","data":"hi","time":1790000000000}"#;
    check(|out| encode::message(out, &HI), text);
    let application = Message { place: None, from: None, data: "{\"a\": 1}", ..HI };
    check(
        |out| encode::message(out, &application),
        r#"{"type":"message","room":"lobby","event":"message","data":{"a": 1},"time":1790000000000}"#,
    );
    let direct = Direct { from: ALICE, to: BOB, place: Some(PLACE), event: "e", data: "1", time: 5 };
    let read = check(
        |out| encode::direct(out, &direct),
        r#"{"type":"direct","from":"alice","user":"g3k","to":"bob","to_user":"g9x","offset":42,"pos":"k3.42.00000000010000000000000000","event":"e","data":1,"time":5}"#,
    );
    assert!(matches!(read, ServerMessage::Direct(direct) if direct.offset == Some(42)));
}

#[test]
fn every_reply_carries_its_id() {
    let presence = Presence { members: &[BOB], count: 1, version: 7 };
    let room = Room { room: "lobby", count: 2, offset: Some(42), unread: Some(0) };
    let live = Room { room: "live:a", count: 2, offset: None, unread: None };
    let lobby = Of::Room("lobby");
    let id = Some("9");
    for read in [
        check(|out| encode::left(out, id, "lobby"), r#"{"type":"left","id":9,"room":"lobby"}"#),
        check(
            |out| encode::published(out, id, lobby, Some(PLACE), "local"),
            r#"{"type":"published","id":9,"room":"lobby","offset":42,"pos":"k3.42.00000000010000000000000000","ack":"local"}"#,
        ),
        check(
            |out| encode::published(out, id, Of::With(BOB), None, "none"),
            r#"{"type":"published","id":9,"to":"bob","to_user":"g9x","ack":"none"}"#,
        ),
        check(
            |out| encode::members(out, id, "lobby", &presence),
            r#"{"type":"members","id":9,"room":"lobby","members":[{"user":"g9x","name":"bob"}],"count":1,"version":7}"#,
        ),
        check(
            |out| encode::history(out, id, lobby, &[], false),
            r#"{"type":"history","id":9,"room":"lobby","messages":[],"more":false}"#,
        ),
        check(
            |out| encode::rooms(out, id, &[room, live], true),
            r#"{"type":"rooms","id":9,"rooms":[{"room":"lobby","count":2,"offset":42,"unread":0},{"room":"live:a","count":2}],"more":true}"#,
        ),
        check(
            |out| encode::read(out, id, lobby, "g3k", 41),
            r#"{"type":"read","id":9,"room":"lobby","user":"g3k","offset":41}"#,
        ),
        check(|out| encode::result(out, id, "[1]"), r#"{"type":"result","id":9,"data":[1]}"#),
        check(|out| encode::pong(out, id), r#"{"type":"pong","id":9}"#),
        check(|out| encode::ok(out, id), r#"{"type":"ok","id":9}"#),
        check(
            |out| encode::error(out, id, &Refusal::forbidden("alice", "publish in ops")),
            r#"{"type":"error","id":9,"code":"forbidden","message":"alice may not publish in ops"}"#,
        ),
    ] {
        assert_eq!(read.id(), id, "{read:?}");
    }
}

#[test]
fn pushes_have_no_id() {
    check(|out| encode::gap(out, "ticks", 12), r#"{"type":"gap","room":"ticks","missed":12}"#);
    check(
        |out| encode::presence(out, "lobby", 7, &[BOB], &[], 2),
        r#"{"type":"presence","room":"lobby","version":7,"joined":[{"user":"g9x","name":"bob"}],"left":[],"count":2}"#,
    );
    let read = check(
        |out| encode::bye(out, CloseCode::SLOW, Some(Duration::from_millis(1500))),
        r#"{"type":"bye","code":4008,"reason":"slow","reconnect":true,"retry_after":1.5}"#,
    );
    assert!(matches!(read, ServerMessage::Bye(bye) if bye.retry_after == Some(1.5)));
    check(
        |out| encode::bye(out, CloseCode::KICKED, None),
        r#"{"type":"bye","code":4503,"reason":"kicked","reconnect":false}"#,
    );
}

#[test]
fn a_refusal_without_a_command_has_no_id() {
    let refusal = Refusal::rate_limited("messages", Duration::from_secs(2));
    let read = check(
        |out| encode::error(out, None, &refusal),
        r#"{"type":"error","code":"rate_limited","message":"too many messages; wait 2.0 s","retry_after":2}"#,
    );
    let ServerMessage::Error(error) = read else { panic!("{read:?}") };
    assert_eq!(error.known(), Some(Code::RateLimited));

    let refusal = Refusal::name_taken("ann", vec!["ann2".into()]);
    let read = check(
        |out| encode::error(out, None, &refusal),
        r#"{"type":"error","code":"name_taken","message":"ann is taken; ann2 is free","suggestions":["ann2"]}"#,
    );
    assert!(matches!(read, ServerMessage::Error(error) if error.suggestions == ["ann2"]));
}

#[test]
fn a_newer_server_is_understood_as_far_as_it_goes() {
    let read = ServerMessage::parse(r#"{"type":"left","room":"a","later":{"x":[]}}"#).unwrap();
    assert!(matches!(read, ServerMessage::Left(left) if left.room == "a"));
    let read = ServerMessage::parse(r#"{"type":"wave"}"#).unwrap();
    assert!(matches!(read, ServerMessage::Unknown(kind) if kind == "wave"));
    for text in
        ["", "[]", "{}", r#"{"type":1}"#, r#"{"type":"left"}"#, r#"{"type":"history","messages":[{}]}"#]
    {
        assert!(ServerMessage::parse(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_survives_the_wire(room: String, name: String, event: String, data: String, time: u64) {
        let data = serde_json::to_string(&data).unwrap();
        let from = Member { user: &name, name: &name };
        let message =
            Message { room: &room, place: Some(PLACE), from: Some(from), event: &event, data: &data, time };
        let mut out = Vec::new();
        encode::message(&mut out, &message);
        let ServerMessage::Message(read) = ServerMessage::parse(std::str::from_utf8(&out).unwrap()).unwrap() else {
            panic!("not a message");
        };
        prop_assert_eq!((read.room, read.from, read.event, read.time), (room, Some(name), event, time));
        prop_assert_eq!(read.data.get(), data);
        prop_assert_eq!(read.pos, Some(PLACE.to_string()));
    }

    #[test]
    fn no_text_from_a_server_panics(text in any::<String>()) {
        let _ = ServerMessage::parse(&text);
    }
}
