//! Idempotency: the same key is the same message.

use parlor_hub::publication::Draft;
use parlor_proto::codes::Code;
use parlor_proto::native::key;

use super::bench::{Bench, Event, MEMORY, START, STORED, author, refused};

fn keyed(draft: Draft, key: &str) -> Draft {
    Draft { key: Some(key.into()), ..draft }
}

pub fn a_repeat_gives_the_first_position_and_is_not_spread(bench: &Bench) {
    for policy in [STORED, MEMORY] {
        let room = if policy == MEMORY { "memory:a" } else { "a" };
        let before = bench.delivered().len();
        let first = bench.try_publish(keyed(bench.draft(room, policy, "1"), "key")).expect("published");
        assert!(!first.duplicate);
        bench.publish(room, policy, "2");
        let again = bench.try_publish(keyed(bench.draft(room, policy, "1"), "key")).expect("answered");
        assert_eq!((again.position, again.ack, again.duplicate), (first.position, first.ack, true));
        assert_eq!(bench.publish(room, policy, "3").offset, 3);
        assert_eq!(bench.delivered().len() - before, 3);
    }
}

pub fn repeats_at_once_are_one_message(bench: &Bench) {
    // Handed in before the first can be committed: they meet in one batch or the next.
    for round in 0..50 {
        for _ in 0..10 {
            bench.post(keyed(bench.draft("room", STORED, &round.to_string()), &format!("key {round}")));
        }
    }
    let events = bench.events(50 + 500);
    let mut positions = Vec::new();
    let mut answers = 0;
    for event in events {
        if let Event::Answered(answer) = event {
            let published = answer.expect("answered");
            assert_eq!(published.duplicate, answers % 10 != 0, "answer {answers}");
            positions.push(published.position.expect("a place"));
            answers += 1;
        }
    }
    for (round, answers) in positions.chunks(10).enumerate() {
        assert_eq!(answers[0].offset, round as u64 + 1);
        assert!(answers.iter().all(|position| *position == answers[0]), "{answers:?}");
    }
    assert_eq!(bench.delivered().len(), 50);
}

pub fn a_key_belongs_to_its_author_and_room(bench: &Bench) {
    let mut offsets = Vec::new();
    for (room, user) in
        [("a", Some("ann")), ("a", Some("bob")), ("a", None), ("b", Some("ann")), ("ba", Some("nn"))]
    {
        let mut draft = keyed(bench.draft(room, STORED, "1"), "key");
        draft.author = user.map(author);
        let published = bench.try_publish(draft).expect("published");
        assert!(!published.duplicate, "{room} {user:?}");
        offsets.push(published.position.expect("a place").offset);
    }
    assert_eq!(offsets, [1, 2, 3, 1, 1]);
}

pub fn a_key_for_another_message_is_refused(bench: &Bench) {
    bench.try_publish(keyed(bench.draft("room", STORED, "1"), "key")).expect("published");
    assert_eq!(refused(bench.try_publish(keyed(bench.draft("room", STORED, "2"), "key"))), Code::KeyReused);
    let mut event = keyed(bench.draft("room", STORED, "1"), "key");
    event.event = "other".into();
    assert_eq!(refused(bench.try_publish(event)), Code::KeyReused);
    assert_eq!(bench.head("room", STORED).offset, 1);

    // Two different messages with one key that meet before either is committed: one of them wins.
    bench.post(keyed(bench.draft("room", STORED, "3"), "other key"));
    bench.post(keyed(bench.draft("room", STORED, "4"), "other key"));
    let answers: Vec<_> = bench
        .events(4)
        .into_iter()
        .filter_map(|event| match event {
            Event::Answered(answer) => Some(answer.map(|published| published.position.unwrap().offset)),
            _ => None,
        })
        .map(|answer| answer.map_err(|refusal| refusal.code))
        .collect();
    assert!(answers.contains(&Ok(2)) && answers.contains(&Err(Code::KeyReused)), "{answers:?}");
}

pub fn a_key_is_known_for_ten_minutes_and_then_refused_by_its_own_time(bench: &Bench) {
    const WINDOW: u64 = 10 * 60 * 1000;
    let own = key::make(START, 1);
    let publish = |key: &str| bench.try_publish(keyed(bench.draft("room", STORED, "1"), key));
    assert!(!publish(&own).expect("published").duplicate);
    assert!(!publish("plain").expect("published").duplicate);
    bench.set_now(START + WINDOW);
    assert!(publish(&own).expect("answered").duplicate);
    assert!(publish("plain").expect("answered").duplicate);
    bench.set_now(START + WINDOW + 60_000);
    assert_eq!(refused(publish(&own)), Code::KeyExpired);
    assert_eq!(refused(publish(&key::make(START, 2))), Code::KeyExpired);
    assert!(!publish("plain").expect("published").duplicate);
    assert!(!publish(&key::make(START + WINDOW, 3)).expect("published").duplicate);
    assert_eq!(bench.head("room", STORED).offset, 4);
}
