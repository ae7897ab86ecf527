//! What a log drops, and what stays true when it has.

use parlor_hub::engine::{Begin, Lost, Range};
use parlor_hub::policy::Retention;
use parlor_proto::position::Since;

use super::bench::{Bench, KEEP, START};
use super::order::{keeping, text};

pub fn a_room_keeps_so_many_messages(bench: &Bench) {
    let policy = keeping(Retention { messages: Some(10), ..KEEP });
    let first = bench.publish("room", policy, "1");
    for n in 2..=500 {
        bench.publish("room", policy, &n.to_string());
    }
    let page = bench.page("room", policy, Range::After(0), 100);
    assert_eq!(text(&page.messages), "491 492 493 494 495 496 497 498 499 500");
    assert_eq!((page.first, page.head.offset, page.more), (491, 500, false));
    let page = bench.page("room", policy, Range::Before(Some(493)), 100);
    assert_eq!((text(&page.messages).as_str(), page.more), ("491 492", false));
    let resume = |begin| bench.resume("room", policy, begin).outcome.map(|page| page.messages.len());
    assert_eq!(resume(Begin::Since(Since::Position(first))), Err(Lost::Trimmed));
    assert_eq!(resume(Begin::Since(Since::Offset(489))), Err(Lost::Trimmed));
    assert_eq!(resume(Begin::Since(Since::Offset(490))), Ok(10));
    assert_eq!(resume(Begin::Last(100)), Ok(10));
}

pub fn a_room_keeps_so_many_bytes(bench: &Bench) {
    let message = format!("\"{}\"", "x".repeat(1000));
    let policy = keeping(Retention { bytes: Some(10_000), ..KEEP });
    for _ in 0..100 {
        bench.publish("room", policy, &message);
    }
    // Each message weighs 1002 bytes of text, 7 of event and something for itself.
    bench.until("no more than ten thousand bytes are held", || {
        let page = bench.page("room", policy, Range::After(0), 100);
        page.messages.len() == 9 && page.first == 92 && page.head.offset == 100
    });
}

pub fn a_room_keeps_messages_so_long_and_offsets_go_on(bench: &Bench) {
    let policy = keeping(Retention { age_ms: Some(60_000), ..KEEP });
    let seen = bench.publish("room", policy, "1");
    bench.set_now(START + 30_000);
    let second = bench.publish("room", policy, "2");
    // Another room's publication tells the time to engines that have no clock of their own.
    let tick = || {
        bench.publish("clock", keeping(KEEP), "0");
    };
    bench.set_now(START + 60_001);
    tick();
    bench.until("the first message is gone", || bench.page("room", policy, Range::After(0), 100).first == 2);
    let resume = |position| {
        let resumed = bench.resume("room", policy, Begin::Since(Since::Position(position)));
        resumed.outcome.map(|page| text(&page.messages))
    };
    // Who has seen the newest message that is gone has missed nothing.
    assert_eq!(resume(seen), Ok("2".to_owned()));
    bench.set_now(START + 90_001);
    tick();
    bench.until("all messages are gone", || bench.page("room", policy, Range::After(0), 100).first == 3);
    let head = bench.head("room", policy);
    assert_eq!(head.position(), second);
    assert_eq!(resume(seen), Err(Lost::Trimmed));
    assert_eq!(resume(second), Ok(String::new()));
    assert_eq!(bench.page("room", policy, Range::Before(None), 100).messages.len(), 0);
    let third = bench.publish("room", policy, "3");
    assert_eq!((third.epoch, third.offset), (second.epoch, 3));
    assert!(bench.head("room", policy).seq > head.seq);
    assert_eq!(resume(second), Ok("3".to_owned()));
}
