//! Who gets a publication that names several rooms: everybody who is live in one of them, once.

use std::io::IoSlice;
use std::sync::Arc;

use parlor_hub::command::{Command, Publish, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Log, Policies, Policy, Retention};
use parlor_hub::publish::Publisher;
use parlor_hub::shard::Shard;
use parlor_hub::{ConnectionId, Delivery, Selector};
use parlor_proto::name::RoomName;
use proptest::prelude::*;

const NOW: u64 = 1_790_000_000_000;

/// Two workers, so that a room's subscribers may all be on the other one.
fn shards(policy: fn(&str) -> Policy) -> (Arc<Hub>, [Shard; 2]) {
    let mailboxes = vec![Arc::new(Mailbox::new(|| {})), Arc::new(Mailbox::new(|| {}))];
    let hub = Hub::start(Arc::new(MemoryEngine::new([7; 16])), mailboxes, Policies::new(policy), false);
    let shards = [0, 1].map(|worker| Shard::new(Arc::clone(&hub), worker));
    (hub, shards)
}

fn name(room: &str) -> RoomName {
    RoomName::internal(room)
}

fn publish(room: &str, rooms: &[&str], except: &[&str], store: bool) -> Publish {
    let names = |rooms: &[&str]| rooms.iter().map(|room| name(room)).collect();
    let selector = Selector { rooms: names(rooms), except: names(except), ..Selector::default() };
    Publish {
        store,
        delivery: Some(Box::new(Delivery { selector, ..Delivery::default() })),
        ..Publish::new(name(room), "\"hi\"")
    }
}

/// What waits for each of these connections after everything was carried out.
fn waiting(shards: &mut [Shard; 2], people: &[ConnectionId]) -> Vec<Vec<u8>> {
    for _ in 0..4 {
        while shards.iter_mut().any(|shard| shard.receive_mail(NOW, |_, _| {})) {}
        shards.iter_mut().for_each(Shard::continue_replays);
    }
    let mut take = |id: &ConnectionId| {
        let shard = &mut shards[usize::from(id.worker())];
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = shard.outbox(id.slot()).unwrap().slices(&mut slices);
        let bytes = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        shard.drop_queued(id.slot());
        bytes
    };
    people.iter().map(&mut take).collect()
}

#[test]
fn one_message_for_several_rooms_reaches_each_connection_once() {
    let (hub, mut shards) = shards(|_| Policy::BARE);
    let people: Vec<_> =
        (0..4).map(|n| shards[n % 2].connect(n as u128 + 1, None, WireFormat::Raw)).collect();
    for (person, rooms) in people.iter().zip([&["a"][..], &["b"], &["a", "b"], &["c"]]) {
        rooms.iter().for_each(|room| hub.enter(*person, &name(room), WireFormat::Raw, NOW));
    }
    for (room, rooms, except, expected) in [
        ("a", &["a", "b"][..], &[][..], [1, 1, 1, 0]),
        ("b", &["b", "a"], &[], [1, 1, 1, 0]),
        // Nobody is in the room in which it stands, or only people on one worker.
        ("empty", &["empty", "b"], &[], [0, 1, 1, 0]),
        ("c", &["c", "a"], &[], [1, 0, 1, 1]),
        ("a", &["a", "b", "c"], &["b"], [1, 0, 0, 1]),
        ("a", &["a", "empty"], &["c"], [1, 0, 1, 0]),
        ("empty", &["empty"], &[], [0, 0, 0, 0]),
    ] {
        let publish = publish(room, rooms, except, false);
        hub.publish(Publisher::Application(None), publish, NOW, Box::new(|done| assert!(done.is_ok())));
        let expected = expected.map(|count| b"\x81\x02hi".repeat(count));
        assert_eq!(waiting(&mut shards, &people), expected, "{room} {rooms:?} but {except:?}");
    }
}

#[test]
fn who_catches_up_where_it_stands_finds_it_there_and_not_in_the_other_room_too() {
    let (hub, mut shards) = shards(Policy::stock);
    let person = shards[0].connect(1, None, WireFormat::Native);
    let room = name("memory:a");
    shards[0].execute(person, Ticket(0), Command::Join { room, begin: None, format: None }, NOW);
    hub.enter(person, &name("live:b"), WireFormat::Raw, NOW);
    let publish = publish("memory:a", &["memory:a", "live:b"], &[], true);
    hub.publish(Publisher::Application(None), publish, NOW, Box::new(|done| assert!(done.is_ok())));
    let got = String::from_utf8_lossy(&waiting(&mut shards, &[person])[0]).into_owned();
    assert_eq!((got.matches("hi").count(), got.matches("\"data\":\"hi\"").count()), (1, 1), "{got}");
}

#[test]
fn a_connection_that_is_about_to_end_enters_no_room_again() {
    let (hub, mut shards) = shards(|_| Policy::BARE);
    let person = shards[1].connect(1, None, WireFormat::Raw);
    hub.enter(person, &name("a"), WireFormat::Raw, NOW);
    waiting(&mut shards, &[]);
    assert_eq!(hub.subscribers(&name("a")), 1);
    shards[1].leave_everything(person, NOW);
    hub.enter(person, &name("a"), WireFormat::Raw, NOW);
    waiting(&mut shards, &[]);
    assert_eq!(hub.subscribers(&name("a")), 0);
    let publish = publish("a", &["a"], &[], false);
    hub.publish(Publisher::Application(None), publish, NOW, Box::new(|done| assert!(done.is_ok())));
    assert_eq!(waiting(&mut shards, &[person]), [b""]);
}

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
const PEOPLE: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, usize),
    Exit(usize, usize),
    /// Rooms, rooms that are left out, and whoever sends and is left out.
    Publish(Vec<usize>, Vec<usize>, Option<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let rooms = |least| prop::collection::vec(0..ROOMS.len(), least..4);
    prop_oneof![
        (0..PEOPLE, 0..ROOMS.len()).prop_map(|(person, room)| Step::Enter(person, room)),
        (0..PEOPLE, 0..ROOMS.len()).prop_map(|(person, room)| Step::Exit(person, room)),
        (rooms(1), rooms(0), prop::option::of(0..PEOPLE))
            .prop_map(|(rooms, except, from)| Step::Publish(rooms, except, from)),
    ]
}

proptest! {
    /// Against the definition: in one of the rooms, in none of those left out, and not the sender; once.
    #[test]
    fn whoever_comes_and_goes_the_selected_and_nobody_else_get_it(steps in prop::collection::vec(step(), 1..60)) {
        let (hub, mut shards) = shards(|_| Policy::BARE);
        let people: Vec<_> =
            (0..PEOPLE).map(|n| shards[n % 2].connect(n as u128 + 1, None, WireFormat::Raw)).collect();
        let mut inside = [[false; ROOMS.len()]; PEOPLE];
        for step in steps {
            match step {
                Step::Enter(person, room) => {
                    hub.enter(people[person], &name(ROOMS[room]), WireFormat::Raw, NOW);
                    inside[person][room] = true;
                }
                Step::Exit(person, room) => {
                    hub.exit(people[person], &name(ROOMS[room]));
                    inside[person][room] = false;
                }
                Step::Publish(rooms, except, from) => {
                    let names = |rooms: &[usize]| rooms.iter().map(|&room| ROOMS[room]).collect::<Vec<_>>();
                    let publish = publish(ROOMS[rooms[0]], &names(&rooms), &names(&except), false);
                    let publisher = Publisher::Application(from.map(|person| people[person]));
                    hub.publish(publisher, publish, NOW, Box::new(|done| assert!(done.is_ok())));
                    let expected: Vec<Vec<u8>> = (0..PEOPLE)
                        .map(|person| {
                            let is_in = |rooms: &[usize]| rooms.iter().any(|&room| inside[person][room]);
                            let gets = is_in(&rooms) && !is_in(&except) && from != Some(person);
                            b"\x81\x02hi".repeat(usize::from(gets))
                        })
                        .collect();
                    prop_assert_eq!(waiting(&mut shards, &people), expected);
                }
            }
            for (room, room_name) in ROOMS.iter().enumerate() {
                waiting(&mut shards, &[]);
                let count = inside.iter().filter(|rooms| rooms[room]).count();
                prop_assert_eq!(hub.subscribers(&name(room_name)) as usize, count);
            }
        }
    }
}

#[test]
fn what_was_given_is_told_from_what_only_passed() {
    let logged = |_: &str| Policy { log: Log::Memory(Retention::KEEP), ..Policy::BARE };
    let (hub, mut shards) = shards(logged);
    let everybody = parlor_hub::socketio::everybody("/");
    let [ann, bob] = [0, 1].map(|n| shards[0].connect(n + 1, None, WireFormat::Raw));
    for (person, room) in [(ann, "a"), (bob, "b")] {
        hub.enter(person, &name(room), WireFormat::Raw, NOW);
        let (room, begin, format) = (everybody.clone(), None, None);
        shards[0].execute(person, Ticket(1), Command::Join { room, begin, format }, NOW);
    }
    waiting(&mut shards, &[ann, bob]);
    assert_eq!(shards[0].heard(ann, &everybody), None, "nothing was delivered yet");
    let mut publish = |rooms: &[&str]| {
        let mut publish = publish(&everybody, rooms, &[], true);
        publish.delivery = publish.delivery.filter(|_| !rooms.is_empty());
        let done = Box::new(|result: Result<_, _>| assert!(result.is_ok()));
        hub.publish(Publisher::Application(None), publish, NOW, done);
        waiting(&mut shards, &[ann, bob]);
        [ann, bob].map(|person| {
            let heard = shards[0].heard(person, &everybody).unwrap();
            (heard.passed.offset, heard.given)
        })
    };
    assert_eq!(publish(&["a"]), [(1, 1), (1, 0)]);
    assert_eq!(publish(&["a"]), [(2, 2), (2, 0)]);
    assert_eq!(publish(&["b"]), [(3, 2), (3, 3)]);
    assert_eq!(publish(&[]), [(4, 4), (4, 4)]);
    for _ in 0..600 {
        publish(&["b"]);
    }
    assert_eq!(publish(&["a"])[0], (605, 605));
    for _ in 0..600 {
        publish(&["b"]);
    }
    assert_eq!(publish(&[])[0], (1206, 1206));
    let quiet = shards[0].heard(ann, &everybody).unwrap().quiet;
    assert_eq!(
        quiet.map(|quiet| quiet.map(|quiet| (quiet.after, quiet.until.offset))),
        [Some((4, 604)), Some((605, 1205))],
    );
    assert_eq!(shards[0].heard(bob, &everybody).unwrap().quiet, [None; 2], "it was never quiet for bob");
    // It is known after it has left everything, too: that is when it is wanted.
    shards[0].leave_everything(ann, NOW);
    shards[0].leave_everything(ann, NOW);
    assert_eq!(shards[0].heard(ann, &everybody).map(|heard| heard.given), Some(1206));
}
