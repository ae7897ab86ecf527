//! What a subscriber who does not read in time gets, by the policy of its rooms and in each wire format.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_hub::command::{Command, Publish, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Overflow, Overflows, Policies, Policy};
use parlor_hub::publish::Publisher;
use parlor_hub::shard::{Event, Shard};
use parlor_hub::{ConnectionId, Delivery, Selector, socketio};
use parlor_proto::codes::CloseCode;
use parlor_proto::name::RoomName;

const NOW: u64 = 1_790_000_000_000;

/// Of a size that sixteen of them do not fit into an outbox.
const LARGE: usize = 64 * 1024;

fn shard() -> Shard {
    let mut overflows = Overflows::default();
    overflows.set("live:ticks".parse().unwrap(), Overflow::DropOldest);
    overflows.set("live:price".parse().unwrap(), Overflow::LatestOnly);
    let policies = Policies::new(move |room| Policy { overflow: overflows.of(room), ..Policy::stock(room) });
    let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
    Shard::new(Hub::start(Arc::new(MemoryEngine::new([7; 16])), mailboxes, policies, false), 0)
}

/// Empties the mailbox and gives the connections that were cut.
fn receive(shard: &mut Shard) -> Vec<(ConnectionId, CloseCode)> {
    let mut cut = Vec::new();
    while shard.receive_mail(NOW, |_, event| {
        if let Event::Cut { connection, code } = event {
            cut.push((connection, code));
        }
    }) {}
    shard.take_dirty(&mut Vec::new());
    cut
}

/// A connection in these rooms, for which nothing waits.
fn subscriber(shard: &mut Shard, format: WireFormat, rooms: &[&str]) -> ConnectionId {
    let connection = shard.connect(1, None, format);
    for room in rooms {
        let join = Command::Join { room: RoomName::internal(*room), begin: None, format: None };
        shard.execute(connection, Ticket(1), join, NOW);
        receive(shard);
    }
    shard.drop_queued(connection.slot());
    connection
}

fn publish(shard: &Shard, room: &str, data: &str, selector: Option<Selector>) {
    let publish = Publish {
        delivery: selector.map(|selector| Box::new(Delivery { selector, ..Delivery::default() })),
        ..Publish::new(RoomName::internal(room), format!("\"{data}\""))
    };
    shard.hub().publish(Publisher::Application(None), publish, NOW, Box::new(|done| assert!(done.is_ok())));
}

fn waiting(shard: &Shard, connection: ConnectionId) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 4096];
    let filled = shard.outbox(connection.slot()).unwrap().slices(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn large(letter: char) -> String {
    letter.to_string().repeat(LARGE)
}

/// The bytes of the gap that a subscriber with this format gets, up to the message behind it.
#[track_caller]
fn check(format: WireFormat, expected: &[u8]) {
    let mut shard = shard();
    let slow = subscriber(&mut shard, format, &["live:ticks"]);
    for letter in ('a'..='z').take(16) {
        publish(&shard, "live:ticks", &large(letter), None);
        assert_eq!(receive(&mut shard), [], "{format:?}");
    }
    // Fifteen fit, of which the older half went.
    let waits = waiting(&shard, slow);
    assert!(waits.starts_with(expected), "{format:?}: {}", waits[..expected.len() + 20].escape_ascii());
    let held: String =
        ('a'..='z').take(16).filter(|letter| waits.windows(9).any(|w| w == [*letter as u8; 9])).collect();
    assert_eq!(held, "ijklmnop", "{format:?}");
    assert_eq!(shard.hub().stats.dropped.load(Ordering::Relaxed), 8);
}

#[test]
fn a_gap_is_told_in_every_format_that_has_a_word_for_it() {
    check(WireFormat::Native, b"\x81\x2d{\"type\":\"gap\",\"room\":\"live:ticks\",\"missed\":8}\x81\x7f");
    for sse in [WireFormat::Sse, WireFormat::SsePlain] {
        check(sse, b"data: {\"type\":\"gap\",\"room\":\"live:ticks\",\"missed\":8}\n\ndata: ");
    }
    for lines in [WireFormat::Lines, WireFormat::Fetched] {
        check(lines, b"{\"type\":\"gap\",\"room\":\"live:ticks\",\"missed\":8}\n{\"type\":\"message\"");
    }
    let event = b"\x81\x3742[\"gap\",{\"type\":\"gap\",\"room\":\"live:ticks\",\"missed\":8}]\x81\x7f";
    for socket_io in [
        WireFormat::SocketIoNative,
        WireFormat::SocketIoNativeOffset,
        WireFormat::SocketIo,
        WireFormat::SocketIoOffset,
        WireFormat::SocketIoV3,
    ] {
        check(socket_io, event);
    }
    // Routes that speak for themselves have no such word.
    check(WireFormat::Raw, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00iii");
}

#[test]
fn only_the_newest_of_a_room_waits_where_that_is_its_policy() {
    let mut shard = shard();
    let slow = subscriber(&mut shard, WireFormat::Lines, &["live:price", "live:talk"]);
    for data in ["1", "2", "3"] {
        publish(&shard, "live:price", data, None);
        publish(&shard, "live:talk", data, None);
        receive(&mut shard);
    }
    let text = String::from_utf8(waiting(&shard, slow)).unwrap();
    let said: Vec<&str> = text.lines().map(|line| &line[line.find("live:").unwrap()..]).collect();
    let said: Vec<(&str, &str)> =
        said.iter().map(|line| (&line[5..6], &line[line.find("data").unwrap() + 7..][..1])).collect();
    assert_eq!(said, [("t", "1"), ("t", "2"), ("p", "3"), ("t", "3")]);
    // Those that come together are one already.
    for data in ["4", "5", "6"] {
        publish(&shard, "live:price", data, None);
    }
    receive(&mut shard);
    let text = String::from_utf8(waiting(&shard, slow)).unwrap();
    assert_eq!(text.matches("live:price").count(), 1);
    assert!(text.contains("\"data\":\"6\""), "{text}");
}

#[test]
fn a_room_without_the_policy_drops_what_others_may_lose_before_it_cuts() {
    let mut shard = shard();
    let slow = subscriber(&mut shard, WireFormat::Lines, &["live:ticks", "live:talk"]);
    let fast = subscriber(&mut shard, WireFormat::Lines, &["live:ticks"]);
    for letter in ('a'..='z').take(12) {
        publish(&shard, "live:ticks", &large(letter), None);
    }
    for _ in 0..15 {
        publish(&shard, "live:talk", &large('!'), None);
        assert_eq!(receive(&mut shard), []);
    }
    let text = String::from_utf8(waiting(&shard, slow)).unwrap();
    assert_eq!(text.matches("\"room\":\"live:talk\"").count(), 15);
    assert_eq!(text.matches("\"missed\":12}").count(), 1);
    assert_eq!(waiting(&shard, fast).iter().filter(|byte| **byte == b'\n').count(), 12);
    publish(&shard, "live:talk", &large('!'), None);
    assert_eq!(receive(&mut shard), [(slow, CloseCode::SLOW)]);
}

#[test]
fn an_emit_to_one_room_of_a_namespace_is_held_to_that_rooms_policy() {
    let mut shard = shard();
    let everybody = socketio::everybody("/");
    let slow = subscriber(&mut shard, WireFormat::SocketIo, &[everybody.as_str(), "live:ticks"]);
    for _ in 0..40 {
        let selector = Selector { rooms: vec![RoomName::internal("live:ticks")], ..Selector::default() };
        publish(&shard, everybody.as_str(), &large('t'), Some(selector));
        assert_eq!(receive(&mut shard), []);
    }
    let text = String::from_utf8_lossy(&waiting(&shard, slow)).into_owned();
    assert_eq!(text.matches("[\"gap\",{\"type\":\"gap\",\"room\":\"live:ticks\",\"missed\":").count(), 1);
    for _ in 0..16 {
        publish(&shard, everybody.as_str(), &large('e'), Some(Selector::default()));
    }
    assert_eq!(receive(&mut shard), [(slow, CloseCode::SLOW)]);
}
