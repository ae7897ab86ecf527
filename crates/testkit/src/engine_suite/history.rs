//! Reading a log page by page, and the list of rooms.

use parlor_hub::engine::Range;
use parlor_proto::limits::PAGE_BYTES;

use super::bench::{Bench, LIVE, MEMORY, STORED, wait};
use super::order::text;

pub fn pages_go_both_ways_without_gap_or_overlap(bench: &Bench) {
    let empty = bench.page("room", STORED, Range::Before(None), 10);
    assert_eq!((empty.messages.len(), empty.more, empty.first, empty.head.offset), (0, false, 1, 0));
    for n in 1..=250 {
        bench.publish("room", STORED, &n.to_string());
    }
    bench.publish("other", STORED, "0");

    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = bench.page("room", STORED, Range::After(after), 1000);
        assert_eq!((page.first, page.head.offset), (1, 250));
        assert!(page.messages.len() <= 100);
        seen.extend(page.messages.iter().map(|message| message.place.unwrap().offset));
        after = *seen.last().unwrap();
        assert_eq!(page.more, after < 250);
        if !page.more {
            break;
        }
    }
    assert!(seen.iter().copied().eq(1..=250));

    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = bench.page("room", STORED, Range::Before(before), 70);
        let offsets: Vec<_> = page.messages.iter().map(|message| message.place.unwrap().offset).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]), "oldest first: {offsets:?}");
        seen.splice(0..0, offsets);
        before = Some(seen[0]);
        assert_eq!(page.more, seen[0] > 1);
        if !page.more {
            break;
        }
    }
    assert!(seen.iter().copied().eq(1..=250));

    for (range, expected, more) in [
        (Range::After(248), "249 250", false),
        (Range::After(250), "", false),
        (Range::After(9_999), "", false),
        (Range::After(u64::MAX), "", false),
        (Range::After(0), "1 2 3", true),
        (Range::Before(Some(3)), "1 2", false),
        (Range::Before(Some(1)), "", false),
        (Range::Before(Some(0)), "", false),
        (Range::Before(Some(5)), "2 3 4", true),
        (Range::Before(Some(9_999)), "248 249 250", true),
        (Range::Before(Some(u64::MAX)), "248 249 250", true),
    ] {
        let page = bench.page("room", STORED, range, 3);
        assert_eq!((text(&page.messages).as_str(), page.more), (expected, more), "{range:?}");
    }
}

pub fn a_page_is_bounded_by_bytes_but_never_empty(bench: &Bench) {
    let large = format!("\"{}\"", "x".repeat(PAGE_BYTES / 3));
    for _ in 0..4 {
        bench.publish("room", STORED, &large);
    }
    for (range, offsets, more) in [
        (Range::After(0), vec![1, 2], true),
        (Range::After(2), vec![3, 4], false),
        (Range::Before(None), vec![3, 4], true),
        (Range::Before(Some(2)), vec![1], false),
    ] {
        let page = bench.page("room", STORED, range, 100);
        let got: Vec<_> = page.messages.iter().map(|message| message.place.unwrap().offset).collect();
        assert_eq!((got, page.more), (offsets, more), "{range:?}");
    }
    let huge = format!("\"{}\"", "x".repeat(PAGE_BYTES + 1));
    for _ in 0..2 {
        bench.publish("huge", STORED, &huge);
    }
    for range in [Range::After(0), Range::Before(None)] {
        let page = bench.page("huge", STORED, range, 100);
        assert_eq!((page.messages.len(), page.more), (1, true), "{range:?}");
    }
}

pub fn rooms_are_listed_in_the_order_of_their_names(bench: &Bench) {
    for room in ["b", "a:2", "a:1", "é", "a", "$d:x:y"] {
        bench.publish(room, STORED, "1");
    }
    bench.publish("a:2", STORED, "2");
    bench.publish("memory:m", MEMORY, "1");
    bench.try_publish(bench.draft("live:l", LIVE, "1")).expect("published");
    bench.head("only asked for", STORED);

    for (prefix, after, limit, expected) in [
        ("", None, 100, "a a:1 a:2 b memory:m é"),
        ("", None, 2, "a a:1"),
        ("", Some("a:1"), 2, "a:2 b"),
        ("", Some("a:11"), 1, "a:2"),
        ("a:", None, 100, "a:1 a:2"),
        ("a:", Some("a:1"), 100, "a:2"),
        ("a:", Some("A"), 100, "a:1 a:2"),
        ("a:", Some("b"), 100, ""),
        ("memory:", None, 100, "memory:m"),
        ("x", None, 100, ""),
    ] {
        let rooms = wait(|done| bench.engine.rooms(prefix, after, limit, done)).expect("a list");
        let names: Vec<_> = rooms.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{prefix:?} after {after:?}");
        for (name, head) in &rooms {
            assert_eq!(head.offset, if name.as_str() == "a:2" { 2 } else { 1 }, "{}", name.as_str());
        }
    }
}
