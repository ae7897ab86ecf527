//! A log that is ahead of the door: whoever has read more than was delivered gets nothing twice and misses nothing.

use std::sync::{Arc, Mutex};

use parlor_hub::command::{Command, Ticket};
use parlor_hub::encode::{Encodings, WireFormat};
use parlor_hub::engine::{Begin, Done, Door, Engine, Head, Page, Published, Range, Records, Resumed};
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Ack, Policies, Policy};
use parlor_hub::publication::{Draft, Place};
use parlor_hub::shard::Shard;
use parlor_hub::{Form, Publication};
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

    fn rooms(&self, _: &str, _: Option<&str>, _: u32, done: Done<Vec<(RoomName, Head)>>) {
        done(Ok(Vec::new()));
    }

    fn interest(&self, _room: &RoomName, _wanted: bool) {}

    fn records(&self) -> &dyn Records {
        self.records.records()
    }

    fn stop(&self) {}
}

#[test]
fn who_waits_for_the_middle_of_a_run_misses_nothing_of_its_end() {
    let engine = Arc::new(Scripted { length: Mutex::new(2), records: MemoryEngine::new([7; 16]) });
    let hub = Hub::start(
        Arc::clone(&engine) as Arc<dyn Engine>,
        vec![Arc::new(Mailbox::new(|| {}))],
        Policies::new(Policy::stock),
        false,
    );
    let mut shard = Shard::new(Arc::clone(&hub), 0);
    let receive = |shard: &mut Shard| while shard.receive_mail(NOW, |_, _| {}) {};
    let join = |shard: &mut Shard, ticket: u64| {
        let connection = shard.connect(u128::from(ticket), None, WireFormat::Native);
        let begin = Some(Begin::Last(0));
        shard.execute(connection, Ticket(ticket), Command::Join { room: room(), begin, format: None }, NOW);
        connection
    };
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
    let got = |shard: &mut Shard| {
        let chunk = shard.outbox(bob.slot()).unwrap().single().expect("one chunk").to_vec();
        shard.drop_queued(bob.slot());
        let text = String::from_utf8_lossy(&chunk).into_owned();
        text.match_indices("\"data\":").map(|(at, _)| text[at + 7..at + 8].to_owned()).collect::<String>()
    };
    assert_eq!(got(&mut shard), "3");
    hub.deliver(message(4));
    receive(&mut shard);
    assert_eq!(got(&mut shard), "4");
}
