//! The Redis engine on a real server: the suite, two nodes, and what happens when Redis is away or has lost something.

use std::sync::Arc;
use std::time::Duration;

use parlor_engines::RedisEngine;
use parlor_engines::redis::{ConnectError, Settings};
use parlor_hub::engine::{Begin, Engine, Expect, Lost, Range};
use parlor_hub::policy::Ack;
use parlor_hub::publication::Draft;
use parlor_proto::codes::Code;
use parlor_proto::limits::RESUME_MAX;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Position, Since};
use parlor_testkit::engine_suite;
use parlor_testkit::engine_suite::{Bench, Event, LIVE, STORED, author, refused, wait};
use parlor_testkit::redis::{DURABLE, Redis};

engine_suite!(suite, || {
    let redis = Redis::start(DURABLE);
    Bench::new(engine(&redis), redis)
});

/// An engine on this server that looks after its rooms often, so that no test waits for it, and is patient, so that a
/// machine with other things to do spoils none.
fn engine(redis: &Redis) -> Arc<RedisEngine> {
    engine_that_looks(redis, Duration::from_millis(200))
}

/// The same with another time between two looks at what Redis has.
fn engine_that_looks(redis: &Redis, check: Duration) -> Arc<RedisEngine> {
    let mut settings = Settings::parse(&redis.url()).expect("an address");
    (settings.check, settings.patience) = (check, Duration::from_secs(20));
    Arc::new(RedisEngine::open(settings).expect("an engine"))
}

/// A node that has published in the room, and does not find out by itself what becomes of Redis.
fn late_node(redis: &Redis) -> Bench {
    let bench = Bench::new(engine_that_looks(redis, Duration::from_secs(3600)), ());
    bench.publish("room", STORED, "1");
    bench
}

/// A node with subscribers in the room that waits for Redis as long as it does by itself.
fn impatient_node(redis: &Redis) -> Bench {
    let settings = Settings::parse(&redis.url()).expect("an address");
    let bench = Bench::new(Arc::new(RedisEngine::open(settings).expect("an engine")), ());
    bench.engine.interest(&RoomName::internal("room"), true);
    bench
}

/// A node with subscribers in these rooms.
fn node(redis: &Redis, rooms: &[&str]) -> Bench {
    let bench = Bench::new(engine(redis), ());
    for room in rooms {
        bench.engine.interest(&RoomName::internal(*room), true);
    }
    // Answered after the subscriptions.
    bench.head("any", STORED);
    bench
}

/// What came through a node's door: data and offset, an offset of 0 for what is not kept.
fn heard(bench: &Bench) -> Vec<(String, u64)> {
    let offset = |place: Option<parlor_hub::publication::Place>| place.map_or(0, |place| place.offset);
    bench.delivered().iter().map(|message| (message.data.to_string(), offset(message.place))).collect()
}

#[track_caller]
fn until_heard(bench: &Bench, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(data, offset)| ((*data).to_owned(), *offset)).collect();
    bench.until("everything is delivered", || heard(bench).len() >= expected.len());
    assert_eq!(heard(bench), expected);
}

fn keyed(draft: Draft, key: &str) -> Draft {
    Draft { key: Some(key.into()), ..draft }
}

/// Publishes until Redis is back; the same key makes it safe.
fn publish_at_last(bench: &Bench, room: &str, data: &str) -> Position {
    loop {
        match bench.try_publish(keyed(bench.draft(room, STORED, data), data)) {
            Ok(published) => return published.position.expect("a place"),
            Err(refusal) => assert_eq!(refusal.code, Code::Unavailable),
        }
    }
}

#[test]
fn two_nodes_hear_one_order_and_each_others_messages() {
    const EACH: usize = 300;
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis, &["a", "b", "live:c"]), node(&redis, &["a", "b", "live:c"])];
    std::thread::scope(|scope| {
        for (number, node) in nodes.iter().enumerate() {
            scope.spawn(move || {
                for n in 0..EACH {
                    let (room, policy) = [("a", STORED), ("b", STORED), ("live:c", LIVE)][n % 3];
                    let mut draft = node.draft(room, policy, &format!("\"{number}-{n}\""));
                    draft.store = n % 7 != 0;
                    node.post(draft);
                }
            });
        }
    });
    let all = |node: &Bench| {
        node.until("everything is delivered", || node.delivered().len() == 2 * EACH);
        let line = |message: &Arc<parlor_hub::Publication>| {
            (message.room.as_str().to_owned(), message.data.to_string(), message.place, message.time)
        };
        node.delivered().iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(all(&nodes[0]), all(&nodes[1]));
    let seqs: Vec<_> = nodes[0].delivered().iter().filter_map(|message| Some(message.place?.seq)).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "seq grows over all rooms in the order of delivery");
}

#[test]
fn a_room_is_heard_only_where_somebody_is_and_read_everywhere() {
    let redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["a"]), node(&redis, &["b"]));
    let first = here.publish("a", STORED, "1");
    here.publish("a", STORED, "2");
    here.publish("b", STORED, "3");
    until_heard(&there, &[("3", 1)]);
    let resumed = there.resume("a", STORED, Begin::Since(Since::Position(first)));
    assert_eq!(resumed.outcome.expect("the gap").messages.len(), 1);
}

#[test]
fn a_direct_message_reaches_its_reader_on_any_node() {
    let mut redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &[]), node(&redis, &[]));
    let direct = |data: &str| Draft { to: Some(author("bob")), ..here.draft("$d:ann:bob", STORED, data) };
    here.try_publish(direct("1")).expect("published");
    until_heard(&there, &[("1", 1)]);
    redis.kill();
    redis.start_again();
    while here.try_publish(keyed(direct("2"), "two")).is_err() {}
    here.try_publish(direct("3")).expect("published");
    until_heard(&there, &[("1", 1), ("2", 2), ("3", 3)]);
    until_heard(&here, &[("1", 1), ("2", 2), ("3", 3)]);
}

#[test]
fn a_redis_that_is_killed_keeps_what_was_acknowledged_and_its_keys() {
    let mut redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["room"]), node(&redis, &["room"]));
    let hasty = impatient_node(&redis);
    assert_eq!(here.engine.ack(), Ack::Local);
    let first = here.try_publish(keyed(here.draft("room", STORED, "1"), "key")).expect("published");
    redis.kill();
    assert_eq!(refused(hasty.try_publish(hasty.draft("room", STORED, "9"))), Code::Unavailable);
    redis.start_again();
    let second = publish_at_last(&here, "room", "2");
    assert_eq!((second.epoch, second.offset), (first.position.expect("a place").epoch, 2));
    let again = there.try_publish(keyed(there.draft("room", STORED, "1"), "key"));
    let again = again.or_else(|_| there.try_publish(keyed(there.draft("room", STORED, "1"), "key")));
    let again = again.expect("answered");
    assert_eq!((again.position, again.duplicate), (first.position, true));
    until_heard(&there, &[("1", 1), ("2", 2)]);
    until_heard(&here, &[("1", 1), ("2", 2)]);
}

#[test]
fn while_redis_stands_still_publishes_are_refused_and_afterwards_everybody_catches_up() {
    let redis = Redis::start(DURABLE);
    let (here, there) = (impatient_node(&redis), node(&redis, &["room"]));
    publish_at_last(&here, "room", "1");
    redis.pause();
    for _ in 0..6 {
        assert_eq!(refused(here.try_publish(here.draft("room", STORED, "9"))), Code::Unavailable);
    }
    redis.go_on();
    assert_eq!(publish_at_last(&here, "room", "2").offset, 2, "what was refused is not carried out later");
    until_heard(&there, &[("1", 1), ("2", 2)]);
    until_heard(&here, &[("1", 1), ("2", 2)]);
}

#[test]
fn what_is_missed_while_a_connection_is_cut_comes_before_anything_later() {
    let redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["room"]), node(&redis, &["room"]));
    let mut expected = Vec::new();
    for round in 0..20 {
        redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        for n in 0..20 {
            let data = (round * 20 + n).to_string();
            let offset = publish_at_last(&here, "room", &data).offset;
            expected.push((data, offset));
        }
    }
    assert!(expected.iter().map(|(_, offset)| *offset).eq(1..=400));
    for node in [&here, &there] {
        node.until("everything is delivered", || node.delivered().len() >= 400);
        assert_eq!(heard(node), expected);
    }
}

/// Keeps a node from Redis until it is let in again.
fn shut_out(redis: &Redis, user: &str) {
    assert_eq!(redis.ask(&["ACL", "SETUSER", user, "off"]), "+OK\r\n");
    assert_eq!(redis.ask(&["CLIENT", "KILL", "USER", user]), ":1\r\n");
}

#[test]
fn what_is_missed_in_several_rooms_is_delivered_in_the_order_of_the_store() {
    const ROOMS: [&str; 5] = ["a", "b", "c", "d", "e"];
    let redis = Redis::start(DURABLE);
    redis.ask(&["ACL", "SETUSER", "there", "on", ">x", "allkeys", "allchannels", "allcommands"]);
    let here = node(&redis, &[]);
    let mut settings = Settings::parse(&redis.url().replace("://", "://there:x@")).unwrap();
    settings.patience = Duration::from_secs(20);
    let there = Bench::new(Arc::new(RedisEngine::open(settings).unwrap()), ());
    for room in ROOMS {
        there.engine.interest(&RoomName::internal(room), true);
    }
    there.head("any", STORED);
    let mut expected = Vec::new();
    let mut publish = |n: usize| {
        // Some rooms have more than a page, one nearly nothing.
        let room = ROOMS[if n.is_multiple_of(97) { 4 } else { (n * n / 3) % 4 }];
        here.publish(room, STORED, &n.to_string());
        expected.push(n.to_string());
    };
    (0..20).for_each(&mut publish);
    there.until("the first are delivered", || there.delivered().len() == 20);
    shut_out(&redis, "there");
    (20..800).for_each(&mut publish);
    assert_eq!(redis.ask(&["ACL", "SETUSER", "there", "on"]), "+OK\r\n");
    // While it catches up there is ever more.
    (800..1200).for_each(&mut publish);
    there.until("everything is delivered", || there.delivered().len() >= expected.len());
    let delivered = there.delivered();
    assert!(delivered.iter().map(|message| &*message.data).eq(expected.iter().map(String::as_str)));
    assert!(delivered.iter().filter_map(|message| Some(message.place?.seq)).is_sorted_by(|a, b| a < b));
    let frontier = wait(|done| there.engine.frontier(done)).expect("an answer");
    assert_eq!(Some(frontier.last), delivered.last().and_then(|message| Some(message.place?.seq)));
}

#[test]
fn what_is_read_is_told_when_everything_before_it_is_delivered() {
    let redis = Redis::start(DURABLE);
    redis.ask(&["ACL", "SETUSER", "there", "on", ">x", "allkeys", "allchannels", "allcommands"]);
    let here = node(&redis, &[]);
    let mut settings = Settings::parse(&redis.url().replace("://", "://there:x@")).unwrap();
    settings.patience = Duration::from_secs(20);
    let there = Bench::new(Arc::new(RedisEngine::open(settings).unwrap()), ());
    there.engine.interest(&RoomName::internal("a"), true);
    there.head("any", STORED);
    here.publish("a", STORED, "0");
    for round in 1..=10 {
        there.until("it is delivered", || {
            heard(&there).last().is_some_and(|last| last.1 == 300 * (round - 1) + 1)
        });
        shut_out(&redis, "there");
        for n in 0..300 {
            here.publish("a", STORED, &n.to_string());
        }
        // Nobody listens to this one there, so it is read with nothing of its own in the way.
        here.publish("b", STORED, "1");
        let newest = here.head("b", STORED).seq;
        redis.ask(&["ACL", "SETUSER", "there", "on"]);
        let told = match round % 4 {
            0 => wait(|done| there.engine.frontier(done)).expect("an answer").last,
            1 => there.head("b", STORED).seq,
            2 => there.page("b", STORED, Range::Before(None), 1).head.seq,
            _ => there.resume("b", STORED, Begin::Last(1)).head.seq,
        };
        let delivered = there.delivered().last().and_then(|message| message.place).expect("a place");
        assert_eq!((told, delivered.offset), (newest, 300 * round + 1));
    }
}

/// The epochs that a node was told.
fn changes(bench: &Bench) -> Vec<(String, u64)> {
    let events = bench.events(0).into_iter();
    let change = |event| match event {
        Event::EpochChanged(room, epoch) => Some((room.as_str().to_owned(), epoch.0)),
        _ => None,
    };
    events.filter_map(change).collect()
}

#[test]
fn a_store_that_is_emptied_is_told_to_everybody_and_begins_anew() {
    let redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["room", "empty"]), node(&redis, &["room"]));
    let before = here.publish("room", STORED, "1");
    until_heard(&there, &[("1", 1)]);
    redis.ask(&["FLUSHALL"]);
    for node in [&here, &there] {
        node.until("the epoch changes", || !changes(node).is_empty());
    }
    let after = here.publish("room", STORED, "2");
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, before.epoch);
    until_heard(&there, &[("1", 1), ("2", 1)]);
    // An empty room has nothing to lose, and nobody is told twice.
    for node in [&here, &there] {
        assert_eq!(changes(node), [("room".to_owned(), after.epoch.0)]);
    }
    let resumed = there.resume("room", STORED, Begin::Since(Since::Position(before)));
    assert_eq!(resumed.outcome.map(|page| page.messages.len()), Err(Lost::EpochChanged));
}

#[test]
fn a_key_is_the_same_key_on_a_node_that_does_not_know_yet_that_redis_was_emptied() {
    let redis = Redis::start(DURABLE);
    let late = late_node(&redis);
    redis.ask(&["FLUSHALL"]);
    let first = publish_at_last(&late, "room", "2");
    let other = node(&redis, &[]);
    let again = other.try_publish(keyed(other.draft("room", STORED, "2"), "2")).expect("answered");
    assert_eq!((again.position, again.duplicate), (Some(first), true));
}

#[test]
fn what_is_read_of_an_emptied_redis_is_not_taken_for_the_store_of_before() {
    let redis = Redis::start(DURABLE);
    let late = late_node(&redis);
    let before = late.engine.life();
    redis.ask(&["FLUSHALL"]);
    let head = || wait(|done| late.engine.head(&RoomName::internal("room"), STORED, done));
    let read = loop {
        match head() {
            Ok(head) => break head,
            Err(refusal) => assert_eq!(refusal.code, Code::Unavailable),
        }
    };
    assert_eq!(read.offset, 0);
    // A cursor of before is of another life.
    assert_ne!(late.engine.life(), before);
}

#[test]
fn no_place_is_given_out_twice_though_a_backup_is_put_back_while_no_node_is_there() {
    let mut redis = Redis::start(DURABLE);
    let newest = |node: &Bench| wait(|done| node.engine.frontier(done)).expect("answered").last;
    let first = node(&redis, &[]);
    publish_at_last(&first, "room", "1");
    let backup = redis.back_up();
    publish_at_last(&first, "room", "2");
    let before = newest(&first);
    first.engine.stop();
    redis.restore(&backup);
    // A cursor from behind the second message would pass by this one, if it had a place that was given out already.
    let second = node(&redis, &[]);
    publish_at_last(&second, "other", "3");
    assert!(newest(&second) > before);
}

#[test]
fn a_log_that_lost_its_end_gets_a_new_epoch() {
    let redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["room"]), node(&redis, &["room"]));
    let positions: Vec<_> = (1..=5).map(|n| here.publish("room", STORED, &n.to_string())).collect();
    until_heard(&there, &[("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5)]);
    // What a failover to a replica that was behind leaves: the same epoch, and fewer messages.
    redis.ask(&["XDEL", "{parlor}:s:room", "4-0", "5-0"]);
    let third = format!("{:032x}", positions[2].id.0);
    redis.ask(&["HSET", "{parlor}:m:room", "o", "3", "i", &third]);
    for node in [&here, &there] {
        node.until("the epoch changes", || !changes(node).is_empty());
    }
    let head = here.head("room", STORED);
    assert_eq!(head.offset, 3);
    assert_ne!(head.epoch, positions[0].epoch);
    for node in [&here, &there] {
        assert_eq!(changes(node), [("room".to_owned(), head.epoch.0)]);
    }
    let lost = here.resume("room", STORED, Begin::Since(Since::Position(positions[4])));
    assert_eq!(lost.outcome.map(|page| page.messages.len()), Err(Lost::EpochChanged));
}

#[test]
fn an_older_backup_that_is_restored_is_told_also_when_the_log_has_grown_past_it() {
    let mut redis = Redis::start(DURABLE);
    let (here, there) = (node(&redis, &["room", "other"]), node(&redis, &["room"]));
    publish_at_last(&here, "room", "1");
    let backup = redis.back_up();
    let lost = publish_at_last(&here, "room", "2");
    let other = publish_at_last(&here, "other", "3");
    until_heard(&there, &[("1", 1), ("2", 2)]);
    redis.restore(&backup);
    // Offset 2 again, and another message.
    let again = publish_at_last(&here, "room", "4");
    assert_ne!((again.epoch, again.offset, again.id), (lost.epoch, lost.offset, lost.id));
    for node in [&here, &there] {
        node.until("the epoch changes", || changes(node).iter().any(|(room, _)| room == "room"));
    }
    here.until("that of the other changes", || changes(&here).iter().any(|(room, _)| room == "other"));
    for (room, position) in [("room", lost), ("other", other)] {
        let resumed = there.resume(room, STORED, Begin::Since(Since::Position(position)));
        assert!(matches!(resumed.outcome, Err(Lost::EpochChanged | Lost::Diverged)), "{room}");
    }
}

#[test]
fn what_no_parlor_wrote_is_counted_and_dropped() {
    let redis = Redis::start(DURABLE);
    let engine = engine(&redis);
    let bench = Bench::new(Arc::clone(&engine) as Arc<dyn Engine>, ());
    bench.engine.interest(&RoomName::internal("room"), true);
    bench.publish("room", STORED, "1");
    let mut bytes = vec![b"\x80\x04\x95\x0cpickle".to_vec(), b"{\"method\":\"emit\"}".to_vec(), Vec::new()];
    bytes.push(vec![0xFF; 1024 * 1024]);
    // A line like ours before bytes that are not, and a message of another room.
    let line = b"p1 00000000000000ff 00000000000000ab 7 9 12 00000000000000000000000000000005\n";
    bytes.push([&line[..], &[1, 255, 255, 255, 255, b'x']].concat());
    bytes.push([&line[..], b"\x01\x01\0\0\0x\x02\x01\0\0\0e\x03\x01\0\0\x001"].concat());
    for bytes in &bytes {
        redis.publish("{parlor}:c:room", bytes);
        redis.publish("{parlor}:direct", bytes);
    }
    bench.until("all are counted", || engine.dropped() == 2 * bytes.len() as u64);
    bench.publish("room", STORED, "2");
    until_heard(&bench, &[("1", 1), ("2", 2)]);
}

#[test]
fn two_parlors_on_one_redis_do_not_hear_each_other() {
    let redis = Redis::start(DURABLE);
    let parlor = |prefix: &str| {
        let settings = Settings::parse(&format!("{}?prefix={prefix}", redis.url())).unwrap();
        let bench = Bench::new(Arc::new(RedisEngine::open(settings).unwrap()), ());
        bench.engine.interest(&RoomName::internal("room"), true);
        bench
    };
    let (one, other) = (parlor("one"), parlor("other"));
    assert_eq!(one.publish("room", STORED, "1").offset, 1);
    assert_eq!(other.publish("room", STORED, "2").offset, 1);
    until_heard(&one, &[("1", 1)]);
    until_heard(&other, &[("2", 1)]);
}

#[test]
fn a_server_that_cannot_keep_the_promise_is_refused_with_what_to_set() {
    let open = |args: &[&str], query: &str| {
        let redis = Redis::start(args);
        let settings = Settings::parse(&format!("{}{query}", redis.url())).unwrap();
        RedisEngine::open(settings).map(|engine| engine.ack()).map_err(|error| error.to_string())
    };
    assert_eq!(open(DURABLE, ""), Ok(Ack::Local));
    assert_eq!(open(DURABLE, "?ack=memory"), Ok(Ack::Memory));
    assert_eq!(open(&[], ""), Ok(Ack::Memory));
    assert_eq!(open(&["--appendonly", "yes"], ""), Ok(Ack::Memory));
    let weak = open(&["--appendonly", "yes", "--appendfsync", "everysec"], "?ack=local").unwrap_err();
    assert!(weak.contains("appendonly yes, appendfsync everysec"), "{weak}");
    assert!(weak.contains("set `appendonly yes`, `appendfsync always`"), "{weak}");
    let evicts = open(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "").unwrap_err();
    assert!(evicts.contains("`maxmemory-policy noeviction`"), "{evicts}");
    let locked = open(&["--requirepass", "geheim"], "").unwrap_err();
    assert!(locked.contains("NOAUTH") && !locked.contains("geheim"), "{locked}");
    let settings = Settings::parse("redis://:geheim@127.0.0.1:1").unwrap();
    let away = RedisEngine::open(settings).unwrap_err();
    assert!(matches!(away, ConnectError::Unreachable { .. }));
    assert!(!format!("{away} {away:?}").contains("geheim"), "{away}");
}

#[test]
fn a_user_with_the_rights_that_the_guide_names_is_enough() {
    let redis = Redis::start(DURABLE);
    let guide = include_str!("../../../docs/redis.md");
    let rule =
        guide.split_once("user parlor on").and_then(|(_, rest)| rest.split_once("```")).expect("the rule").0;
    let rule = format!("on{rule}").replace("PASSWORD", "geheim");
    let mut command = vec!["ACL", "SETUSER", "parlor"];
    command.extend(rule.split_whitespace());
    assert_eq!(redis.ask(&command), "+OK\r\n");
    let url = redis.url().replace("redis://", "redis://parlor:geheim@");
    let bench = Bench::new(Arc::new(RedisEngine::open(Settings::parse(&url).unwrap()).unwrap()), ());
    bench.engine.interest(&RoomName::internal("room"), true);
    bench.publish("room", STORED, "1");
    redis.publish("{parlor}:c:room", b"noise");
    bench.put("kind", "key", Some(b"x"), None, Expect::Absent).expect("written").expect("a version");
    assert_eq!(bench.head("room", STORED).offset, 1);
    until_heard(&bench, &[("1", 1)]);
}

#[test]
fn a_full_redis_refuses_what_is_new_and_goes_on_reading() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let bench = node(&redis, &["room"]);
    bench.publish("room", STORED, "1");
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refused(bench.try_publish(bench.draft("room", STORED, "2"))), Code::StorageFull);
    let page = bench.page("room", STORED, Range::After(0), RESUME_MAX as u32);
    assert_eq!(page.messages.len(), 1);
    bench
        .try_publish(Draft { store: false, ..bench.draft("room", STORED, "3") })
        .expect("spread all the same");
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(bench.publish("room", STORED, "4").offset, 2);
}

#[test]
fn scripts_that_are_gone_are_brought_along_again() {
    let redis = Redis::start(DURABLE);
    let bench = node(&redis, &["room"]);
    bench.publish("room", STORED, "1");
    redis.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(publish_at_last(&bench, "room", "2").offset, 2);
    until_heard(&bench, &[("1", 1), ("2", 2)]);
}
