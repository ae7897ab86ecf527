//! Going live in several rooms at once, behind everything that was delivered in all of them.

use std::io::IoSlice;
use std::sync::Arc;

use parlor_hub::command::{Command, Publish, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_hub::publish::Publisher;
use parlor_hub::shard::Event;
use parlor_hub::{Author, ConnectionId, Hub, Publication, Reply, Shard};
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
    let publish = Publish::new(name(room), data);
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

/// Enters rooms; up to where everything is to be read comes by the mailbox.
fn follow(shard: &mut Shard, connection: ConnectionId, rooms: &[&str]) -> u64 {
    let rooms: Vec<_> = rooms.iter().map(|room| name(room)).collect();
    assert!(shard.follow(connection, Ticket(1), &rooms, NOW));
    let mut last = None;
    shard.receive_mail(NOW, |_, event| match event {
        Event::Reply { ticket: Ticket(1), result: Ok(Reply::Following(frontier)), .. } => {
            last = Some(frontier.last);
        }
        event => panic!("{event:?}"),
    });
    last.unwrap()
}

fn data(publications: Option<Vec<Arc<Publication>>>) -> Option<String> {
    publications.map(|publications| publications.iter().map(|publication| &*publication.data).collect())
}

#[test]
fn what_is_published_behind_the_frontier_is_held_back_in_all_rooms_and_then_given() {
    let (hub, mut shard, ann) = worker();
    publish(&hub, "a", "1");
    let last = follow(&mut shard, ann, &["a", "b"]);
    assert_eq!(last, 1);
    publish(&hub, "a", "2");
    publish(&hub, "b", "3");
    assert_eq!(waiting(&mut shard, ann), "", "it is held back");
    assert_eq!(data(shard.go_live_behind(ann, last)).as_deref(), Some("23"));
    publish(&hub, "b", "4");
    publish(&hub, "a", "5");
    assert_eq!(waiting(&mut shard, ann), "45");
}

#[test]
fn what_is_read_and_delivered_as_well_is_not_given_twice() {
    let (hub, mut shard, ann) = worker();
    let rooms = [name("a")];
    assert!(shard.follow(ann, Ticket(1), &rooms, NOW));
    // Both are delivered to somebody who has entered.
    publish(&hub, "a", "1");
    publish(&hub, "a", "2");
    assert_eq!(waiting(&mut shard, ann), "");
    assert_eq!(data(shard.go_live_behind(ann, 1)).as_deref(), Some("2"));
    publish(&hub, "a", "3");
    assert_eq!(waiting(&mut shard, ann), "3");
}

#[test]
fn who_cannot_go_on_begins_anew_in_no_room() {
    let (hub, mut shard, ann) = worker();
    let last = follow(&mut shard, ann, &["a"]);
    shard.begin_anew(ann, NOW);
    assert_eq!(data(shard.go_live_behind(ann, last)), None);
    publish(&hub, "a", "1");
    assert_eq!(waiting(&mut shard, ann), "");
    shard.identify(ann, Author { user: "ann".into(), name: "Ann".into() });
    let join = Command::Join { room: name("a"), begin: None, format: None };
    shard.execute(ann, Ticket(2), join, NOW);
    assert_eq!(waiting(&mut shard, ann), "");
    publish(&hub, "a", "2");
    assert_eq!(waiting(&mut shard, ann), "2");
}

#[test]
fn a_connection_follows_no_more_rooms_than_it_may_be_in() {
    let (_hub, mut shard, ann) = worker();
    let rooms: Vec<_> = (0..=ROOMS_PER_CONNECTION).map(|n| name(&n.to_string())).collect();
    assert!(shard.follow(ann, Ticket(1), &rooms[1..], NOW));
    shard.begin_anew(ann, NOW);
    assert!(!shard.follow(ann, Ticket(1), &rooms, NOW));
}
