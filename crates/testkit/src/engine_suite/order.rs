//! Places, times and the order of delivery and answer.

use std::collections::HashMap;
use std::sync::Arc;

use parlor_hub::engine::{Begin, Lost, Range, Resumed};
use parlor_hub::policy::{Ack, Log, Policy};
use parlor_hub::{ConnectionId, Delivery, Selector};
use parlor_proto::codes::Code;
use parlor_proto::name::RoomName;
use parlor_proto::position::Position;

use super::bench::{Bench, Event, LIVE, MEMORY, START, STORED, author, refused, wait};

pub fn offsets_count_up_and_delivery_comes_before_the_answer(bench: &Bench) {
    for n in 0..300 {
        bench.post(bench.draft("room", STORED, &n.to_string()));
    }
    let mut next = 1;
    let mut seq = 0;
    let mut waiting: Option<Position> = None;
    for event in bench.events(600) {
        match event {
            Event::Delivered(publication) => {
                let place = publication.place.expect("a place");
                assert_eq!(place.offset, next);
                assert!(place.seq > seq, "seq {} after {seq}", place.seq);
                seq = place.seq;
                assert_eq!(*publication.data, *(next - 1).to_string());
                assert_eq!(waiting, None, "delivered before the one before it was answered");
                waiting = publication.position();
                next += 1;
            }
            Event::Answered(answer) => {
                let published = answer.expect("published");
                assert_eq!(published.position, waiting.take(), "answered before it was delivered");
                assert_eq!(published.ack, bench.engine.ack());
                assert!(!published.duplicate);
            }
            Event::EpochChanged(..) => panic!("nothing was lost"),
        }
    }
    let head = bench.head("room", STORED);
    assert_eq!((head.offset, head.seq), (300, seq));
}

pub fn publishers_at_once_are_put_into_one_order(bench: &Bench) {
    const PUBLISHERS: usize = 8;
    const EACH: usize = 200;
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || {
                for n in 0..EACH {
                    let room = ["a", "b", "c"][(publisher + n) % 3];
                    let policy = if n % 5 == 4 { MEMORY } else { STORED };
                    let room = if n % 5 == 4 { format!("memory:{room}") } else { room.to_owned() };
                    let mut draft = bench.draft(&room, policy, &format!("[{publisher},{n}]"));
                    draft.store = n % 7 != 6;
                    bench.post(draft);
                }
            });
        }
    });
    let events = bench.events(2 * PUBLISHERS * EACH);
    assert!(events.iter().all(|event| !matches!(event, Event::Answered(Err(_)))));
    let mut seq = 0;
    let mut offsets: HashMap<RoomName, u64> = HashMap::new();
    let mut times: HashMap<RoomName, u64> = HashMap::new();
    let mut own: HashMap<(String, RoomName), usize> = HashMap::new();
    for publication in bench.delivered() {
        let time = times.entry(publication.room.clone()).or_default();
        assert!(publication.time >= *time);
        *time = publication.time;
        if let Some(place) = publication.place {
            let offset = offsets.entry(publication.room.clone()).or_default();
            assert_eq!(place.offset, *offset + 1, "{}", publication.room.as_str());
            *offset = place.offset;
            assert!(place.seq > seq, "seq grows over all rooms in the order of delivery");
            seq = place.seq;
        }
        // What one publisher says in a room keeps its order, stored or not.
        let (publisher, n) = publication.data[1..publication.data.len() - 1].split_once(',').expect("two");
        let n: usize = n.parse().expect("a number");
        if let Some(before) = own.insert((publisher.to_owned(), publication.room.clone()), n) {
            assert!(n > before);
        }
    }
}

pub fn what_was_published_comes_back_as_it_was(bench: &Bench) {
    let text = r#"{"a":[1,2.50,"ä\u0000🦀"],"a":null}"#;
    let mut full = bench.draft("room", STORED, text);
    full.event = "an event".into();
    full.to = Some(author("bob"));
    let id = full.id;
    bench.try_publish(full).expect("published");
    let mut bare = bench.draft("room", STORED, "1");
    bare.author = None;
    bench.try_publish(bare).expect("published");

    let page = bench.page("room", STORED, Range::After(0), 10);
    let delivered = bench.delivered();
    assert_eq!(page.messages.len(), 2);
    for (stored, spread) in page.messages.iter().zip(&delivered) {
        assert_eq!(stored.room, spread.room);
        assert_eq!(stored.place, spread.place);
        assert_eq!(stored.id, spread.id);
        assert_eq!(stored.event, spread.event);
        assert_eq!(stored.data, spread.data);
        assert_eq!(stored.author, spread.author);
        assert_eq!(stored.to, spread.to);
        assert_eq!(stored.time, spread.time);
    }
    let stored = &page.messages[0];
    assert_eq!((&*stored.event, &*stored.data, stored.id), ("an event", text, id));
    assert_eq!((stored.author.clone(), stored.to.clone()), (Some(author("ann")), Some(author("bob"))));
    assert_eq!(stored.time, START);
    assert_eq!((page.messages[1].author.clone(), page.messages[1].to.clone()), (None, None));
}

pub fn whom_a_message_is_for_comes_back_with_it(bench: &Bench) {
    let names = |names: &[&str]| names.iter().map(|name| RoomName::internal(*name)).collect::<Vec<_>>();
    let connection = ConnectionId::new(7, 1, 2);
    let selectors = [
        None,
        Some(Selector::default()),
        Some(Selector { rooms: names(&["a", "/chat#b"]), ..Selector::default() }),
        Some(Selector { except: names(&["böse", ""]), ..Selector::default() }),
        Some(Selector {
            connections: vec![connection],
            except_connections: vec![connection],
            ..Selector::default()
        }),
    ];
    for selector in &selectors {
        let mut draft = bench.draft("$n:/chat", STORED, "1");
        draft.delivery = selector.clone().map(|selector| Box::new(Delivery::stored(selector)));
        bench.try_publish(draft).expect("published");
    }
    let page = bench.page("$n:/chat", STORED, Range::After(0), 10);
    let kept = page.messages.iter().map(|message| Some(message.delivery.as_ref()?.selector.clone()));
    assert_eq!(kept.collect::<Vec<_>>(), selectors);
}

pub fn a_clock_that_is_set_back_does_not_turn_time_around(bench: &Bench) {
    for (now, store) in [(START, true), (START - 5_000, true), (START - 9_000, false), (START - 1, true)] {
        bench.set_now(now);
        let mut draft = bench.draft("room", STORED, "1");
        draft.store = store;
        bench.try_publish(draft).expect("published");
    }
    for publication in bench.delivered() {
        assert_eq!(publication.time, START);
    }
}

pub fn a_room_without_a_log_gives_no_place(bench: &Bench) {
    let published = bench.try_publish(bench.draft("live:a", LIVE, "1")).expect("published");
    assert_eq!((published.position, published.ack, published.duplicate), (None, Ack::None, false));
    assert_eq!(bench.delivered()[0].place, None);

    let room = RoomName::internal("live:a");
    let mut keyed = bench.draft("live:a", LIVE, "1");
    keyed.key = Some("key".into());
    assert_eq!(refused(bench.try_publish(keyed)), Code::NoLog);
    assert_eq!(refused(wait(|done| bench.engine.head(&room, LIVE, done))), Code::NoLog);
    assert_eq!(
        refused(wait(|done| bench.engine.history(&room, LIVE, Range::After(0), 1, done))),
        Code::NoLog
    );
    let resumed = bench.resume("live:a", LIVE, Begin::Last(10));
    assert_eq!(resumed.outcome.map(|page| page.messages.len()), Err(Lost::NoLog));
}

pub fn an_ephemeral_message_has_no_offset_and_is_not_kept(bench: &Bench) {
    for policy in [STORED, MEMORY] {
        let room = if policy == MEMORY { "memory:a" } else { "a" };
        bench.publish(room, policy, "1");
        let mut typing = bench.draft(room, policy, "2");
        typing.store = false;
        let published = bench.try_publish(typing).expect("published");
        assert_eq!((published.position, published.ack), (None, Ack::None));
        assert_eq!(bench.publish(room, policy, "3").offset, 2);
        let mut keyed = bench.draft(room, policy, "4");
        keyed.store = false;
        keyed.key = Some("key".into());
        assert_eq!(refused(bench.try_publish(keyed)), Code::NoLog);
        assert_eq!(bench.page(room, policy, Range::After(0), 10).messages.len(), 2);
    }
    let data: Vec<_> = bench.delivered().iter().map(|publication| publication.data.clone()).collect();
    assert_eq!(data.iter().map(|data| &**data).collect::<String>(), "123123");
}

pub fn rings_and_stored_rooms_share_one_count(bench: &Bench) {
    let mut last = 0;
    for n in 0..20 {
        let (room, policy) = if n % 3 == 0 { ("a", STORED) } else { ("memory:a", MEMORY) };
        bench.publish(room, policy, "1");
        let seq = bench.head(room, policy).seq;
        assert!(seq > last, "{seq} after {last}");
        last = seq;
    }
    let ring = bench.try_publish(bench.draft("memory:a", MEMORY, "1")).expect("published");
    assert_eq!(ring.ack, Ack::Memory);
}

pub fn the_frontier_is_at_what_was_delivered_and_below_what_comes(bench: &Bench) {
    let frontier = || wait(|done| bench.engine.frontier(done)).expect("an answer");
    let life = bench.engine.life();
    let begin = frontier();
    assert!(begin.rings_since <= begin.last, "{begin:?}");
    for (room, policy) in [("a", STORED), ("memory:b", MEMORY), ("a", STORED), ("memory:b", MEMORY)] {
        let before = frontier().last;
        bench.publish(room, policy, "1");
        let seq = bench.head(room, policy).seq;
        assert!(before < seq && seq <= frontier().last, "{room}: {before}, {seq}, {:?}", frontier());
    }
    assert_eq!((bench.engine.life(), frontier().rings_since), (life, begin.rings_since));
}

pub fn nothing_is_read_before_it_is_delivered(bench: &Bench) {
    let read_at = || {
        let delivered = bench.delivered_in("room");
        let head = wait(|done| {
            let answer = Box::new(move |resumed: Result<Resumed, _>| {
                done(resumed.map(|resumed| (resumed.head.offset, delivered())));
            });
            bench.engine.resume(&RoomName::internal("room"), STORED, Begin::Last(1), answer);
        });
        head.expect("an answer")
    };
    for n in 0..2_000 {
        bench.post(bench.draft("room", STORED, "1"));
        if n % 10 == 0 {
            let (head, delivered) = read_at();
            assert!(head <= delivered, "{head} is the head, and {delivered} were delivered");
        }
    }
    bench.events(4_000);
    assert_eq!(read_at(), (2_000, 2_000));
}

pub fn a_stopped_engine_refuses(bench: &Bench) {
    for _ in 0..100 {
        bench.post(bench.draft("room", STORED, "1"));
    }
    bench.engine.stop();
    for policy in [STORED, MEMORY, LIVE] {
        assert_eq!(refused(bench.try_publish(bench.draft("room", policy, "1"))), Code::Unavailable);
    }
    let (accepted, _) = bench.events(200).into_iter().fold((0, 0), |(accepted, all), event| match event {
        Event::Answered(Ok(_)) => (accepted + 1, all + 1),
        _ => (accepted, all + 1),
    });
    assert_eq!(accepted, 100, "what was accepted before is carried out");
}

/// Rooms of one engine whose policies differ; used by other areas.
pub(super) fn keeping(retention: parlor_hub::policy::Retention) -> Policy {
    Policy { log: Log::Stored(retention), ..STORED }
}

/// The data of publications, joined.
pub(super) fn text(messages: &[Arc<parlor_hub::Publication>]) -> String {
    messages.iter().map(|message| &*message.data).collect::<Vec<_>>().join(" ")
}
