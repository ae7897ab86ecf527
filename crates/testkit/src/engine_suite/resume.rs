//! A gap is given whole or not at all.

use parlor_hub::engine::{Begin, Lost, Range};
use parlor_proto::position::{Epoch, MessageId, Position, Since};

use super::bench::{Bench, MEMORY, STORED};
use super::order::text;

fn since(position: Position) -> Begin {
    Begin::Since(Since::Position(position))
}

pub fn a_gap_is_given_whole_in_pages(bench: &Bench) {
    for policy in [STORED, MEMORY] {
        let room = if policy == MEMORY { "memory:a" } else { "a" };
        let seen = bench.publish(room, policy, "0");
        for n in 1..=250 {
            bench.publish(room, policy, &n.to_string());
        }
        // Repeated, because what was read once can be read again.
        for _ in 0..2 {
            let resumed = bench.resume(room, policy, since(seen));
            let page = resumed.outcome.expect("a page");
            assert_eq!((resumed.head.offset, page.messages.len(), page.more), (251, 100, true));
            let mut got = page.messages;
            while got.len() < 250 {
                let last = got.last().unwrap().place.unwrap().offset;
                let page = bench.page(room, policy, Range::After(last), 100);
                assert_eq!(page.more, got.len() + page.messages.len() < 250);
                got.extend(page.messages);
            }
            let expected: Vec<_> = (1..=250).map(|n| n.to_string()).collect();
            assert_eq!(text(&got), expected.join(" "));
        }
        let head = bench.head(room, policy);
        let resumed = bench.resume(room, policy, since(head.position()));
        assert_eq!(resumed.head, head);
        let page = resumed.outcome.expect("an empty page");
        assert_eq!((page.messages.len(), page.more), (0, false));
    }
}

pub fn a_position_that_cannot_be_continued_says_why(bench: &Bench) {
    for policy in [STORED, MEMORY] {
        let room = if policy == MEMORY { "memory:a" } else { "a" };
        let positions: Vec<_> = (1..=1002).map(|n| bench.publish(room, policy, &n.to_string())).collect();
        let at = |offset: usize| positions[offset - 1];
        let strange = MessageId(7);
        for (begin, expected) in [
            (since(at(1002)), Ok(0)),
            (since(at(2)), Ok(100)),
            (since(at(1)), Err(Lost::TooMany)),
            (since(Position { epoch: Epoch(at(1000).epoch.0 ^ 1), ..at(1000) }), Err(Lost::EpochChanged)),
            (since(Position { id: strange, ..at(1000) }), Err(Lost::Diverged)),
            (since(Position { id: strange, ..at(1002) }), Err(Lost::Diverged)),
            (since(Position { offset: 1003, ..at(1002) }), Err(Lost::Diverged)),
            (since(Position { offset: u64::MAX, ..at(1002) }), Err(Lost::Diverged)),
            (Begin::Since(Since::Offset(1000)), Ok(2)),
            (Begin::Since(Since::Offset(1)), Err(Lost::TooMany)),
            (Begin::Since(Since::Offset(1003)), Err(Lost::Diverged)),
            (Begin::Since(Since::Offset(u64::MAX)), Err(Lost::Diverged)),
        ] {
            let resumed = bench.resume(room, policy, begin);
            assert_eq!(resumed.head.position(), at(1002));
            assert_eq!(resumed.outcome.map(|page| page.messages.len()), expected, "{begin:?}");
        }
    }
}

pub fn the_first_message_keeps_the_epoch_that_the_empty_room_had(bench: &Bench) {
    for policy in [STORED, MEMORY] {
        let room = if policy == MEMORY { "memory:a" } else { "a" };
        let empty = bench.head(room, policy);
        assert_eq!((empty.offset, empty.id, empty.seq), (0, MessageId::NIL, 0));
        assert_eq!(bench.resume(room, policy, Begin::Last(10)).head, empty);
        let first = bench.publish(room, policy, "1");
        assert_eq!((first.epoch, first.offset), (empty.epoch, 1));
        let page = bench.resume(room, policy, since(empty.position())).outcome.expect("the gap");
        assert_eq!(text(&page.messages), "1");
        assert_ne!(bench.head(&format!("{room}2"), policy).epoch, empty.epoch);
    }
}

pub fn the_last_messages_are_given_without_a_position(bench: &Bench) {
    for n in 1..=5 {
        bench.publish("room", STORED, &n.to_string());
    }
    for (last, expected) in [(0, ""), (1, "5"), (3, "3 4 5"), (5, "1 2 3 4 5"), (u32::MAX, "1 2 3 4 5")] {
        let page = bench.resume("room", STORED, Begin::Last(last)).outcome.expect("a page");
        assert_eq!((text(&page.messages).as_str(), page.more), (expected, false), "{last}");
    }
}
