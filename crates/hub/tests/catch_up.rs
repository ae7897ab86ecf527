//! A log that is ahead of the door: whoever has read more than was delivered gets nothing twice and misses nothing.

use std::sync::{Arc, Mutex};

use parlor_hub::command::{Command, Ticket};
use parlor_hub::encode::{Encodings, WireFormat};
use parlor_hub::engine::{
    Begin, Done, Door, Engine, Frontier, Head, Page, Published, Range, Records, Resumed,
};
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Ack, Policies, Policy};
use parlor_hub::publication::{Draft, Place};
use parlor_hub::shard::Shard;
use parlor_hub::{ConnectionId, Form, Publication};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};

const NOW: u64 = 1_790_000_000_000;

fn room() -> RoomName {
    RoomName::internal("room")
}

fn message(offset: u64) -> Arc<Publication> {
    Arc::new(Publication {
        room: room(),
        place: Some(Place { epoch: Epoch(7), offset, seq: offset }),
        id: MessageId(u128::from(offset)),
        event: "message".into(),
        data: offset.to_string().into(),
        form: Form::Value,
        author: None,
        to: None,
        time: NOW,
        except: None,
        delivery: None,
        encodings: Encodings::default(),
    })
}

/// A store whose log is as long as the test says; what is delivered is up to the test as well.
struct Scripted {
    length: Mutex<u64>,
    records: MemoryEngine,
}

impl Scripted {
    fn page(&self, after: u64) -> Page {
        let length = *self.length.lock().unwrap();
        let head = Head { epoch: Epoch(7), offset: length, id: MessageId(length.into()), seq: length };
        Page { head, messages: (after + 1..=length).map(message).collect(), more: false, first: 1 }
    }
}

impl Engine for Scripted {
    fn start(&self, _door: Arc<dyn Door>) {}

    fn ack(&self) -> Ack {
        Ack::Local
    }

    fn publish(&self, _draft: Draft, _now: u64, _done: Done<Published>) {
        unreachable!("the test delivers")
    }

    fn head(&self, _room: &RoomName, _policy: Policy, done: Done<Head>) {
        done(Ok(self.page(0).head));
    }

    fn history(&self, _room: &RoomName, _policy: Policy, range: Range, _limit: u32, done: Done<Page>) {
        let Range::After(after) = range else { unreachable!("a replay reads forwards") };
        done(Ok(self.page(after)));
    }

    fn resume(&self, _room: &RoomName, _policy: Policy, _begin: Begin, done: Done<Resumed>) {
        let length = *self.length.lock().unwrap();
        let page = self.page(length);
        done(Ok(Resumed { head: page.head, outcome: Ok(page) }));
    }

    fn life(&self) -> u64 {
        7
    }

    fn frontier(&self, done: Done<Frontier>) {
        self.records.frontier(done);
    }

    fn rooms(&self, _: &str, _: Option<&str>, _: u32, done: Done<Vec<(RoomName, Head)>>) {
        done(Ok(Vec::new()));
    }

    fn interest(&self, _room: &RoomName, _wanted: bool) {}

    fn records(&self) -> &dyn Records {
        self.records.records()
    }

    fn stop(&self) {}
}

/// Two messages are in the log, and nothing was delivered yet.
fn start() -> (Arc<Scripted>, Arc<Hub>, Shard) {
    let engine = Arc::new(Scripted { length: Mutex::new(2), records: MemoryEngine::new([7; 16]) });
    let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
    let hub =
        Hub::start(Arc::clone(&engine) as Arc<dyn Engine>, mailboxes, Policies::new(Policy::stock), false);
    let shard = Shard::new(Arc::clone(&hub), 0);
    (engine, hub, shard)
}

/// Joins behind everything that is in the log.
fn join(shard: &mut Shard, ticket: u64) -> ConnectionId {
    let connection = shard.connect(u128::from(ticket), None, WireFormat::Native);
    let begin = Some(Begin::Last(0));
    shard.execute(connection, Ticket(ticket), Command::Join { room: room(), begin, format: None }, NOW);
    connection
}

/// The data that wait for a connection, a letter each; then they do no longer.
fn got(shard: &mut Shard, connection: ConnectionId) -> String {
    let chunk = shard.outbox(connection.slot()).unwrap().single().expect("one chunk").to_vec();
    shard.drop_queued(connection.slot());
    let text = String::from_utf8_lossy(&chunk).into_owned();
    text.match_indices("\"data\":").map(|(at, _)| text[at + 7..at + 8].to_owned()).collect()
}

#[test]
fn who_waits_for_the_middle_of_a_run_misses_nothing_of_its_end() {
    let (engine, hub, mut shard) = start();
    let receive = |shard: &mut Shard| while shard.receive_mail(NOW, |_, _| {}) {};
    // Ann is in the room and has got the first message, so that the door's place is known.
    join(&mut shard, 1);
    receive(&mut shard);
    hub.deliver(message(1));
    receive(&mut shard);
    // Bob reads up to the second, which the door has not delivered yet. It comes together with a third.
    let bob = join(&mut shard, 2);
    receive(&mut shard);
    *engine.length.lock().unwrap() = 3;
    hub.deliver(message(2));
    hub.deliver(message(3));
    receive(&mut shard);
    shard.continue_replays();
    receive(&mut shard);
    assert_eq!(got(&mut shard, bob), "3");
    hub.deliver(message(4));
    receive(&mut shard);
    assert_eq!(got(&mut shard, bob), "4");
}

#[test]
fn who_has_read_ahead_of_the_door_gets_nothing_twice_behind_what_is_not_stored() {
    let (_, hub, mut shard) = start();
    // Two are in the log and were not delivered yet: the head that is joined at is ahead of the door.
    let connection = join(&mut shard, 1);
    while shard.receive_mail(NOW, |_, _| {}) {}
    let passing = |data: &str| {
        let stored = Arc::into_inner(message(1)).expect("nobody else has it");
        hub.deliver(Arc::new(Publication { place: None, data: data.into(), ..stored }));
    };
    passing("7");
    hub.deliver(message(1));
    passing("8");
    hub.deliver(message(2));
    hub.deliver(message(3));
    shard.receive_mail(NOW, |_, _| {});
    assert_eq!(got(&mut shard, connection), "783");
}
