//! A client that says one place for all its rooms: what it gets has growing places, while it joins a room too.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::command::{Command, Publish, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::Begin;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_hub::publish::Publisher;
use parlor_hub::shard::Event;
use parlor_hub::{Author, ConnectionId, Delivery, Hub, Reply, Selector, Shard};
use parlor_proto::codes::CloseCode;
use parlor_proto::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};
use parlor_proto::name::RoomName;

const NOW: u64 = 1_790_000_000_000;

fn name(room: &str) -> RoomName {
    RoomName::internal(room)
}

fn author(name: &str) -> Author {
    Author { user: name.into(), name: name.into() }
}

/// A worker with one connection, ann's, which is live in the room `a`.
struct World {
    hub: Arc<Hub>,
    shard: Shard,
    ann: ConnectionId,
    cut: Option<CloseCode>,
}

impl World {
    fn new() -> World {
        let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
        let engine = Arc::new(MemoryEngine::new([7; 16]));
        let hub = Hub::start(engine, mailboxes, Policies::new(Policy::stock), false);
        let mut shard = Shard::new(Arc::clone(&hub), 0);
        let ann = shard.connect(1, Some(author("ann")), WireFormat::SocketIoNativeOffset);
        let mut world = World { hub, shard, ann, cut: None };
        world.join("a", None);
        assert_eq!(world.hears(), "a");
        world
    }

    /// The log is read at once; the answer, and that she is live, are in the mailbox.
    fn join(&mut self, room: &str, begin: Option<Begin>) {
        let command = Command::Join { room: name(room), begin, format: None };
        self.shard.execute(self.ann, Ticket(1), command, NOW);
    }

    fn leave(&mut self, room: &str) {
        self.shard.execute(self.ann, Ticket(2), Command::Leave { room: name(room) }, NOW);
    }

    fn publish(&self, room: &str, data: &str) {
        self.publish_with(room, data, |_| {});
    }

    fn publish_with(&self, room: &str, data: &str, change: impl FnOnce(&mut Publish)) {
        let mut publish = Publish::new(name(room), data);
        change(&mut publish);
        self.hub.publish(Publisher::Backend, publish, NOW, Box::new(|result| assert!(result.is_ok())));
    }

    fn direct(&self, data: &str) {
        let (ann, bob) = (author("ann"), author("bob"));
        self.publish_with(&Hub::direct_room(&ann, &bob), data, |publish| {
            (publish.author, publish.to) = (Some(bob), Some(ann));
        });
    }

    fn receive(&mut self) {
        let cut = &mut self.cut;
        let mut handle = |shard: &mut Shard, event| match event {
            Event::Reply { connection, result: Ok(Reply::Joined(joined)), .. } => {
                let answer = format!("[\"{}\"", joined.room.as_str());
                shard.send(connection.slot(), Bytes::from(answer));
            }
            Event::Reply { result, .. } => drop(result.unwrap()),
            Event::Cut { code, .. } => *cut = Some(code),
            Event::Settled { .. } => unreachable!("this is for streams"),
        };
        while self.shard.receive_mail(NOW, &mut handle) {}
    }

    /// What she gets, in order: the rooms that she hears to be in, and the data of messages; behind `@` the place of those
    /// that have one.
    fn hears(&mut self) -> String {
        for _ in 0..3 {
            self.receive();
            self.shard.continue_replays();
        }
        let slot = self.ann.slot();
        let mut slices = vec![IoSlice::new(&[]); 500];
        let filled = self.shard.outbox(slot).unwrap().slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        self.shard.drop_queued(slot);
        let text = String::from_utf8_lossy(&bytes);
        let until = |text: &str, end: char| text.split(end).next().unwrap().to_owned();
        let packets = text.split("[\"").skip(1).map(|packet| {
            let Some((_, data)) = packet.split_once("\"data\":") else { return until(packet, '"') };
            let place = packet.split_once("},\"").map(|(_, place)| format!("@{}", until(place, '/')));
            until(data, ',') + &place.unwrap_or_default()
        });
        packets.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_is_published_while_a_room_is_joined_comes_in_the_order_of_the_store() {
    let mut world = World::new();
    world.join("b", None);
    // Read behind the answer to the join, which has the log as it was before.
    world.publish("b", "1");
    world.publish("a", "2");
    world.direct("3");
    world.publish("b", "4");
    world.publish("a", "5");
    assert_eq!(world.hears(), "b 1@1 2@2 3@3 4@4 5@5");
    world.publish("b", "6");
    world.publish("a", "7");
    assert_eq!(world.hears(), "6@6 7@7");
}

#[test]
fn rooms_that_are_joined_together_wait_for_each_other() {
    let mut world = World::new();
    for room in ["b", "c"] {
        world.join(room, None);
    }
    world.publish("c", "1");
    world.publish("a", "2");
    world.publish("b", "3");
    assert_eq!(world.hears(), "b c 1@1 2@2 3@3");
}

#[test]
fn what_is_kept_nowhere_comes_between_what_is() {
    let mut world = World::new();
    world.join("b", None);
    world.publish("b", "1");
    world.publish_with("a", "2", |publish| publish.store = false);
    world.publish("a", "3");
    let rooms = vec![name("a"), name("b")];
    let delivery = Delivery { selector: Selector { rooms, ..Selector::default() }, ..Delivery::default() };
    world.publish_with("a", "4", |publish| {
        (publish.store, publish.delivery) = (false, Some(Box::new(delivery)));
    });
    assert_eq!(world.hears(), "b 2 1@1 3@2 4");
}

#[test]
fn a_join_that_is_taken_back_gives_back_what_it_held_up() {
    let mut world = World::new();
    world.join("b", None);
    world.publish("b", "1");
    world.publish("a", "2");
    world.receive();
    world.leave("b");
    assert_eq!(world.hears(), "b 2@2");
    world.publish("b", "3");
    world.publish("a", "4");
    assert_eq!(world.hears(), "4@4");
}

#[test]
fn what_was_held_of_a_room_is_not_given_after_a_leave() {
    let mut world = World::new();
    world.join("b", None);
    world.publish("b", "1");
    world.publish("a", "2");
    world.receive();
    world.leave("a");
    assert_eq!(world.hears(), "b 1@1");
}

#[test]
fn the_other_rooms_do_not_wait_for_a_long_history() {
    let mut world = World::new();
    for data in 1..=150 {
        world.publish("b", &data.to_string());
    }
    assert_eq!(world.hears(), "");
    world.join("b", Some(Begin::Last(150)));
    world.publish("a", "0");
    world.receive();
    world.publish("a", "00");
    world.receive();
    let rest: Vec<_> = (101..=150).map(|data| data.to_string()).collect();
    // What has no place does not say that she has everything before it.
    assert_eq!(world.hears(), format!("b 0@151 00@152"));
    assert_eq!(world.hears(), rest.join(" "));
    world.publish("b", "1");
    assert_eq!(world.hears(), "1@153");
}

#[test]
fn for_whom_too_much_is_held_is_slow() {
    let mut world = World::new();
    world.join("b", None);
    for _ in 0..=OUTBOX_MESSAGES {
        world.publish("a", "1");
    }
    assert_eq!(world.hears(), "b");
    assert_eq!(world.cut, Some(CloseCode::SLOW));
}

#[test]
fn what_was_held_of_a_room_that_is_left_counts_no_more() {
    let mut world = World::new();
    world.join("c", None);
    assert_eq!(world.hears(), "c");
    world.join("b", None);
    world.publish("b", "1");
    let text = format!("{:?}", "x".repeat(OUTBOX_BYTES / 16));
    (0..10).for_each(|_| world.publish("a", &text));
    world.receive();
    world.leave("a");
    (0..10).for_each(|_| world.publish("c", &text));
    world.receive();
    assert_eq!(world.cut, None);
}
