//! What waits, what goes, and what is said about it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEPT: RoomTag = RoomTag(1);
const TICKS: RoomTag = RoomTag(2);
const SPORTS: RoomTag = RoomTag(3);
const PRICE: RoomTag = RoomTag(4);

fn overflow(room: RoomTag) -> Overflow {
    match room {
        TICKS | SPORTS => Overflow::DropOldest,
        PRICE => Overflow::LatestOnly,
        _ => Overflow::Disconnect,
    }
}

fn offer(outbox: &mut Outbox, room: RoomTag, frames: impl Into<Bytes>, messages: u32) -> Result<u32, Slow> {
    let gap = |room: RoomTag, missed| Bytes::from(format!("<{} misses {missed}>", room.0));
    outbox.offer(frames.into(), messages, room, overflow(room), gap)
}

fn waiting(outbox: &Outbox) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8192];
    let filled = outbox.slices(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// Large frames as the letter that they begin with.
fn short(outbox: &Outbox) -> String {
    String::from_utf8(waiting(outbox)).unwrap().replace('.', "")
}

/// A frame of a quarter of what may wait.
fn quarter(letter: char) -> Bytes {
    let mut frame = vec![b'.'; OUTBOX_BYTES / 4];
    frame[0] = letter as u8;
    frame.into()
}

#[test]
fn bytes_leave_in_order_however_they_are_written() {
    let mut outbox = Outbox::default();
    assert!(outbox.is_empty());
    for text in ["one", "two", "three"] {
        offer(&mut outbox, KEPT, text, 1).unwrap();
    }
    assert_eq!(waiting(&outbox), b"onetwothree");
    assert_eq!(outbox.single(), None);
    outbox.advance(4);
    assert_eq!(waiting(&outbox), b"wothree");
    assert_eq!(outbox.len(), 7);
    outbox.advance(7);
    assert!(outbox.is_empty());
    assert_eq!((outbox.len(), outbox.messages), (0, 0));
    offer(&mut outbox, KEPT, "four", 1).unwrap();
    outbox.advance(1);
    assert_eq!(outbox.single(), Some(&b"our"[..]));
}

#[test]
fn a_slow_reader_is_found_by_bytes_or_by_messages() {
    let mut outbox = Outbox::default();
    offer(&mut outbox, KEPT, vec![0; OUTBOX_BYTES], 1).unwrap();
    assert_eq!(offer(&mut outbox, KEPT, "x", 1), Err(Slow));

    let mut outbox = Outbox::default();
    for _ in 0..OUTBOX_MESSAGES {
        offer(&mut outbox, KEPT, "x", 1).unwrap();
    }
    assert_eq!(offer(&mut outbox, KEPT, "x", 1), Err(Slow));
}

#[test]
fn what_is_dropped_never_cuts_a_frame() {
    for (written, left) in [(0, ""), (2, "e"), (3, ""), (4, "wo")] {
        let mut outbox = Outbox::default();
        for text in ["one", "two", "three"] {
            offer(&mut outbox, KEPT, text, 1).unwrap();
        }
        outbox.advance(written);
        outbox.drop_queued();
        assert_eq!(waiting(&outbox), left.as_bytes(), "after {written}");
        assert_eq!(outbox.len(), left.len());
    }
}

#[test]
fn one_message_larger_than_the_limit_still_passes() {
    for room in [KEPT, TICKS, PRICE] {
        assert_eq!(offer(&mut Outbox::default(), room, vec![0; OUTBOX_BYTES + 1], 1), Ok(0));
    }
}

#[track_caller]
fn check(
    pushes: &[(RoomTag, char)],
    written: usize,
    last: (RoomTag, char),
    result: Result<u32, Slow>,
    left: &str,
) {
    let mut outbox = Outbox::default();
    for &(room, letter) in pushes {
        offer(&mut outbox, room, quarter(letter), 1).unwrap();
    }
    outbox.advance(written);
    assert_eq!(offer(&mut outbox, last.0, quarter(last.1), 1), result);
    assert_eq!(short(&outbox), left);
}

#[test]
fn the_older_half_goes_and_a_gap_stands_in_its_place() {
    let ticks = [(TICKS, 'a'), (TICKS, 'b'), (TICKS, 'c'), (TICKS, 'd')];
    check(&ticks, 0, (TICKS, 'e'), Ok(2), "<2 misses 2>cde");
    // What is begun is finished first.
    check(&ticks, 1, (TICKS, 'e'), Ok(2), "<2 misses 2>de");
    // Each room has a gap of its own, and the rooms' order stays.
    let mixed = [(TICKS, 'a'), (SPORTS, 'b'), (KEPT, 'c'), (TICKS, 'd')];
    check(&mixed, 0, (TICKS, 'e'), Ok(2), "<2 misses 1><3 misses 1>cde");
    check(&mixed, 0, (KEPT, 'e'), Ok(2), "<2 misses 1><3 misses 1>cde");
    check(&mixed, 0, (PRICE, 'e'), Ok(2), "<2 misses 1><3 misses 1>cde");
}

#[test]
fn a_room_in_order_loses_nothing_because_another_one_drops() {
    let kept = [(KEPT, 'a'), (KEPT, 'b'), (KEPT, 'c'), (KEPT, 'd')];
    check(&kept, 0, (TICKS, 'e'), Ok(1), "abcd<2 misses 1>");
    check(&kept, 0, (KEPT, 'e'), Err(Slow), "abcd");
    check(&kept, 0, (PRICE, 'e'), Err(Slow), "abcd");
    let mixed = [(TICKS, 'a'), (TICKS, 'b'), (KEPT, 'c'), (KEPT, 'd')];
    check(&mixed, 0, (KEPT, 'e'), Ok(2), "<2 misses 2>cde");
}

#[test]
fn gaps_of_a_room_that_meet_become_one() {
    let mut outbox = Outbox::default();
    for letter in ['a', 'b', 'c', 'd'] {
        offer(&mut outbox, KEPT, quarter(letter), 1).unwrap();
    }
    for missed in 1..=20 {
        offer(&mut outbox, TICKS, quarter('t'), 1).unwrap();
        assert_eq!(short(&outbox), format!("abcd<2 misses {missed}>"));
    }
    offer(&mut outbox, SPORTS, quarter('s'), 3).unwrap();
    offer(&mut outbox, TICKS, quarter('t'), 1).unwrap();
    assert_eq!(short(&outbox), "abcd<2 misses 21><3 misses 3>");
    outbox.advance(OUTBOX_BYTES / 2);
    offer(&mut outbox, TICKS, quarter('u'), 1).unwrap();
    assert_eq!(short(&outbox), "cd<2 misses 21><3 misses 3>u");
    // There is no room for another quarter, because the gaps take some.
    offer(&mut outbox, TICKS, quarter('v'), 1).unwrap();
    assert_eq!(short(&outbox), "cd<2 misses 22><3 misses 3>v");
}

#[test]
fn only_the_latest_waits_behind_what_is_begun() {
    let mut outbox = Outbox::default();
    for text in ["one", "two", "three"] {
        offer(&mut outbox, PRICE, text, 1).unwrap();
    }
    assert_eq!(outbox.single(), Some(&b"three"[..]), "nothing is begun, so nothing else waits");
    outbox.advance(1);
    offer(&mut outbox, PRICE, "four", 1).unwrap();
    offer(&mut outbox, KEPT, "talk", 1).unwrap();
    assert_eq!(offer(&mut outbox, PRICE, "five", 1), Ok(1));
    assert_eq!(waiting(&outbox), b"hreetalkfive");
    assert_eq!((outbox.len(), outbox.messages), (12, 3));
}

#[test]
fn whoever_has_left_the_room_is_told_of_no_gap() {
    let mut outbox = Outbox::default();
    for letter in ['a', 'b', 'c', 'd'] {
        offer(&mut outbox, TICKS, quarter(letter), 1).unwrap();
    }
    let nothing = |_, _| Bytes::new();
    outbox.offer(quarter('e'), 1, KEPT, Overflow::Disconnect, nothing).unwrap();
    assert_eq!(short(&outbox), "cde");
    for _ in 0..3 {
        outbox.offer(quarter('f'), 1, KEPT, Overflow::Disconnect, nothing).unwrap_or_default();
    }
    assert_eq!(short(&outbox), "efff");
    assert_eq!(outbox.offer(quarter('g'), 1, TICKS, Overflow::DropOldest, nothing), Ok(1));
    assert_eq!((short(&outbox).as_str(), outbox.messages), ("efff", 4));
}

#[derive(Clone, Debug)]
enum Step {
    Offer { room: u32, messages: u32, bytes: usize },
    Write(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let small = (1..=4u32, 1..64u32, 20..2_000usize);
    let large = (1..=4u32, 1..4u32, 20..OUTBOX_BYTES / 3);
    let offered = |(room, messages, bytes)| Step::Offer { room, messages, bytes };
    let step = prop_oneof![
        6 => small.prop_map(offered),
        2 => large.prop_map(offered),
        1 => (1..OUTBOX_BYTES / 2).prop_map(Step::Write),
        1 => (1..40_000usize).prop_map(Step::Write),
    ];
    proptest::collection::vec(step, 1..200)
}

/// `room:first:messages;` and dots up to a length; a gap is `room:gap:messages;`.
fn frame(room: u32, first: u64, messages: u32, length: usize) -> Bytes {
    let mut frame = format!("{room}:{first}:{messages};").into_bytes();
    frame.resize(length.max(frame.len()), b'.');
    frame.into()
}

/// What one reader knows.
#[derive(Default)]
struct Reader {
    /// What stands at the head of a frame that has partly come.
    begun: Option<String>,
    /// By room: how many messages it has seen, was told of, or need not see any more.
    accounted: BTreeMap<u32, u64>,
}

impl Reader {
    /// Takes bytes from the outbox, and reads each frame that is whole then.
    fn take(&mut self, outbox: &mut Outbox, bytes: usize) {
        let mut slices = [IoSlice::new(&[]); 8192];
        let filled = outbox.slices(&mut slices);
        let mut left = bytes;
        for slice in &slices[..filled] {
            let begun = self.begun.take();
            let partly = left > 0 || begun.is_some();
            let head = || String::from_utf8(slice.split(|byte| *byte == b';').next().unwrap().to_vec());
            let head = begun.unwrap_or_else(|| head().unwrap());
            if left < slice.len() {
                self.begun = partly.then_some(head);
                break;
            }
            left -= slice.len();
            self.read(&head);
        }
        outbox.advance(bytes);
    }

    /// In rooms with an order every message is seen, or counted by a gap at its very place.
    fn read(&mut self, head: &str) {
        let mut parts = head.split(':');
        let room: u32 = parts.next().unwrap().parse().unwrap();
        let (first, messages) = (parts.next().unwrap(), parts.next().unwrap().parse::<u64>().unwrap());
        let accounted = self.accounted.entry(room).or_default();
        match (overflow(RoomTag(room)), first.parse::<u64>()) {
            (Overflow::DropOldest, Err(_)) => *accounted += messages,
            (Overflow::LatestOnly, Ok(first)) if first >= *accounted => *accounted = first + messages,
            (Overflow::DropOldest | Overflow::Disconnect, Ok(first)) if first == *accounted => {
                *accounted += messages;
            }
            _ => panic!("{head:?} after {accounted} messages"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_read_or_counted_in_its_place(steps in steps()) {
        let mut outbox = Outbox::default();
        let mut reader = Reader::default();
        let mut sent = BTreeMap::<u32, u64>::new();
        let gap = |room: RoomTag, missed| Bytes::from(format!("{}:gap:{missed};", room.0));
        for step in steps {
            match step {
                Step::Offer { room, messages, bytes } => {
                    let first = sent.entry(room).or_default();
                    let (frames, tag) = (frame(room, *first, messages, bytes), RoomTag(room));
                    match outbox.offer(frames, messages, tag, overflow(tag), gap) {
                        Ok(_) => *first += u64::from(messages),
                        // Its connection ends, and the next one begins where the room is.
                        Err(Slow) => {
                            prop_assert!(overflow(tag) != Overflow::DropOldest);
                            let all = outbox.len();
                            reader.take(&mut outbox, all);
                            let seen = reader.accounted.insert(room, *first).unwrap_or_default();
                            prop_assert!(seen == *first || overflow(tag) == Overflow::LatestOnly);
                        }
                    }
                    // The limits, and a line for each room that had to be told of a gap.
                    prop_assert!(outbox.len() <= OUTBOX_BYTES + 4 * 40);
                    prop_assert!(outbox.messages as usize <= OUTBOX_MESSAGES + 4);
                }
                Step::Write(bytes) => {
                    let bytes = bytes.min(outbox.len());
                    reader.take(&mut outbox, bytes);
                }
            }
            let rest = outbox.rest.iter().flat_map(|rest| rest.queue.iter().map(|chunk| &chunk.bytes));
            prop_assert_eq!(outbox.first.iter().chain(rest).map(Bytes::len).sum::<usize>(), outbox.len());
        }
        let all = outbox.len();
        reader.take(&mut outbox, all);
        prop_assert!(outbox.is_empty() && outbox.rest.is_none() && outbox.messages == 0);
        for (room, sent) in sent {
            prop_assert_eq!(reader.accounted.get(&room).copied().unwrap_or_default(), sent, "room {}", room);
        }
    }
}
