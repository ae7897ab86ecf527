//! Going live in several rooms at once, behind everything that was delivered in all of them.

use std::io::IoSlice;
use std::sync::Arc;

use parlor_hub::command::Publish;
use parlor_hub::encode::WireFormat;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_hub::publish::Publisher;
use parlor_hub::{ConnectionId, Form, Hub, Shard};
use parlor_proto::limits::ROOMS_PER_CONNECTION;
use parlor_proto::name::RoomName;

const NOW: u64 = 1_790_000_000_000;

fn name(room: &str) -> RoomName {
    RoomName::internal(room)
}

/// A worker with one connection.
fn worker() -> (Arc<Hub>, Shard, ConnectionId) {
    let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
    let hub =
        Hub::start(Arc::new(MemoryEngine::new([7; 16])), mailboxes, Policies::new(Policy::stock), false);
    let mut shard = Shard::new(Arc::clone(&hub), 0);
    let connection = shard.connect(1, None, WireFormat::Raw);
    (hub, shard, connection)
}

fn publish(hub: &Hub, room: &str, data: &str) {
    let publish = Publish {
        room: name(room),
        event: None,
        data: data.into(),
        form: Form::Value,
        author: None,
        to: None,
        key: None,
        echo: true,
        store: true,
        delivery: None,
    };
    hub.publish(Publisher::Backend, publish, NOW, Box::new(|result| assert!(result.is_ok())));
}

/// What waits for the connection: the data, each behind the two bytes of its frame.
fn waiting(shard: &mut Shard, connection: ConnectionId) -> String {
    while shard.receive_mail(NOW, |_, _| {}) {}
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = shard.outbox(connection.slot()).unwrap().slices(&mut slices);
    let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
    shard.drop_queued(connection.slot());
    bytes.chunks(3).map(|frame| char::from(frame[2])).collect()
}

#[test]
fn a_connection_goes_live_in_all_of_its_rooms_behind_what_it_has_or_in_none() {
    let (hub, mut shard, ann) = worker();
    publish(&hub, "a", "1");
    for room in ["a", "b"] {
        assert!(shard.wait_in(ann, &name(room), NOW));
    }
    publish(&hub, "a", "2");
    publish(&hub, "b", "3");
    assert_eq!(waiting(&mut shard, ann), "", "it waits");
    let rooms = |a, b| [(name("a"), a), (name("b"), b)];
    for behind in [rooms(1, 1), rooms(2, 0), rooms(0, 0)] {
        assert!(!shard.go_live_in(ann, &behind), "{behind:?}");
    }
    publish(&hub, "a", "4");
    assert_eq!(waiting(&mut shard, ann), "");
    // This one waits in the mailbox while it goes live, and another comes after.
    publish(&hub, "a", "5");
    assert!(shard.go_live_in(ann, &rooms(4, 1)));
    publish(&hub, "b", "6");
    publish(&hub, "a", "7");
    assert_eq!(waiting(&mut shard, ann), "67");
}

#[test]
fn who_has_read_ahead_of_the_delivery_gets_nothing_twice() {
    let (hub, mut shard, ann) = worker();
    assert!(shard.wait_in(ann, &name("a"), NOW));
    // Read from a store that had it before it was delivered.
    assert!(shard.go_live_in(ann, &[(name("a"), 1)]));
    publish(&hub, "a", "1");
    publish(&hub, "a", "2");
    assert_eq!(waiting(&mut shard, ann), "2");
}

#[test]
fn a_connection_waits_in_no_more_rooms_than_it_may_be_in() {
    let (_hub, mut shard, ann) = worker();
    for n in 0..ROOMS_PER_CONNECTION {
        assert!(shard.wait_in(ann, &name(&n.to_string()), NOW));
    }
    assert!(!shard.wait_in(ann, &name("one more"), NOW));
}
