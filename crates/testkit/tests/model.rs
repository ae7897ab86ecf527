//! Random operations on an engine and on a model of it that fits on a page; the embedded engine is closed and
//! opened again in between.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::engine::{Begin, Expect, Lost, Range};
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Log, Policy, Retention};
use parlor_hub::publication::Draft;
use parlor_proto::codes::Code;
use parlor_proto::position::{Epoch, MessageId, Position, Since};
use parlor_testkit::engine_suite::{Bench, KEEP, MEMORY, STORED};
use proptest::prelude::*;

const TRIMMED: Policy = Policy { log: Log::Stored(Retention { messages: Some(5), ..KEEP }), ..Policy::BARE };

/// Rooms of the test, and what they keep.
const ROOMS: [(&str, Policy); 4] =
    [("a", STORED), ("b", STORED), ("recent:a", TRIMMED), ("memory:a", MEMORY)];

#[derive(Clone, Debug)]
enum Step {
    Publish {
        room: usize,
        data: u8,
        key: Option<u8>,
        store: bool,
    },
    Page {
        room: usize,
        back: bool,
        offset: u64,
        limit: u32,
    },
    /// Behind a message that was published, by its number; `twist` makes the position a wrong one.
    Resume {
        room: usize,
        number: usize,
        twist: u8,
    },
    Put {
        key: u8,
        value: Option<u8>,
        expires: Option<u64>,
        expect: u8,
    },
    Get {
        key: u8,
    },
    Wait {
        ms: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let room = 0..ROOMS.len();
    prop_oneof![
        8 => (room.clone(), 0u8..3, proptest::option::of(0u8..4), prop::bool::weighted(0.9))
            .prop_map(|(room, data, key, store)| Step::Publish { room, data, key, store }),
        3 => (room.clone(), any::<bool>(), 0u64..20, 1u32..8)
            .prop_map(|(room, back, offset, limit)| Step::Page { room, back, offset, limit }),
        3 => (room, 0usize..20, 0u8..6).prop_map(|(room, number, twist)| Step::Resume { room, number, twist }),
        2 => (0u8..3, proptest::option::of(any::<u8>()), proptest::option::of(1u64..100), 0u8..4)
            .prop_map(|(key, value, expires, expect)| Step::Put { key, value, expires, expect }),
        1 => (0u8..3).prop_map(|key| Step::Get { key }),
        1 => (1u64..200_000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Reopen),
    ]
}

/// One room as it should be.
#[derive(Clone, Default)]
struct Room {
    epoch: Option<Epoch>,
    /// All messages ever, the first with offset 1.
    messages: Vec<(MessageId, u8)>,
    /// When the oldest offset that is held.
    first: u64,
}

struct Kept {
    value: u8,
    version: u64,
    expires: Option<u64>,
}

#[derive(Default)]
struct Model {
    rooms: [Room; 4],
    /// By room and key: data, place and when it was seen.
    keys: HashMap<(usize, u8), (u8, Position, u64)>,
    records: BTreeMap<u8, Kept>,
    last_seq: u64,
}

/// Keys are only used so long that there is no doubt about them.
const SURELY_KNOWN: u64 = 600_000;

impl Model {
    fn check(&mut self, bench: &Bench, step: &Step) {
        match *step {
            Step::Publish { room, data, key, store } => self.publish(bench, room, data, key, store),
            Step::Page { room, back, offset, limit } => self.page(bench, room, back, offset, limit),
            Step::Resume { room, number, twist } => self.resume(bench, room, number, twist),
            Step::Put { key, value, expires, expect } => self.put(bench, key, value, expires, expect),
            Step::Get { key } => {
                let now = bench.now();
                let there =
                    bench.get("kind", &key.to_string()).map(|record| (record.value[0], record.version));
                assert_eq!(there, self.record(key, now));
            }
            Step::Wait { ms } => bench.set_now(bench.now() + ms),
            Step::Reopen => {}
        }
    }

    fn publish(&mut self, bench: &Bench, room: usize, data: u8, key: Option<u8>, store: bool) {
        let (name, policy) = ROOMS[room];
        let draft = Draft {
            key: key.map(|key| format!("key {key}").into()),
            store,
            ..bench.draft(name, policy, &data.to_string())
        };
        let id = draft.id;
        let result = bench.try_publish(draft);
        if !store {
            match result {
                Ok(published) => assert_eq!((key, published.position), (None, None)),
                Err(refusal) => assert_eq!((key.is_some(), refusal.code), (true, Code::NoLog)),
            }
            return;
        }
        let now = bench.now();
        let seen = key.and_then(|key| self.keys.get(&(room, key)));
        match seen {
            Some((before, position, since)) if now - since <= SURELY_KNOWN => {
                if *before != data {
                    assert_eq!(result.expect_err("another message").code, Code::KeyReused);
                } else {
                    let published = result.expect("a repeat is answered");
                    assert_eq!((published.position, published.duplicate), (Some(*position), true));
                }
                return;
            }
            // It may be remembered for some time longer; then what the engine does is right.
            Some((before, position, _)) => match &result {
                Err(refusal) => {
                    assert_eq!((refusal.code, *before != data), (Code::KeyReused, true));
                    return;
                }
                Ok(published) if published.duplicate => {
                    assert_eq!((published.position, *before), (Some(*position), data));
                    return;
                }
                Ok(_) => {}
            },
            None => {}
        }
        let published = result.expect("published");
        let position = published.position.expect("a place");
        let expected = &mut self.rooms[room];
        expected.messages.push((id, data));
        assert!(!published.duplicate);
        assert_eq!((position.offset, position.id), (expected.messages.len() as u64, id));
        assert!(expected.epoch.is_none_or(|epoch| epoch == position.epoch));
        expected.epoch = Some(position.epoch);
        expected.first = expected.first.max(1);
        if policy == TRIMMED {
            expected.first = expected.first.max(position.offset.saturating_sub(4));
        }
        if let Some(key) = key {
            self.keys.insert((room, key), (data, position, now));
        }
        let head = bench.head(name, policy);
        assert_eq!(head.position(), position);
        assert!(head.seq > self.last_seq);
        self.last_seq = head.seq;
    }

    fn page(&self, bench: &Bench, room: usize, back: bool, offset: u64, limit: u32) {
        let (name, policy) = ROOMS[room];
        let range = if back { Range::Before((offset < 15).then_some(offset)) } else { Range::After(offset) };
        let page = bench.page(name, policy, range, limit);
        let expected = &self.rooms[room];
        let (first, last) = (expected.first.max(1), expected.messages.len() as u64);
        let held: Vec<u64> = (first..=last)
            .filter(|held| match range {
                Range::Before(None) => true,
                Range::Before(Some(offset)) => *held < offset,
                Range::After(offset) => *held > offset,
            })
            .collect();
        let count = held.len().min(limit as usize);
        let wanted = if back { &held[held.len() - count..] } else { &held[..count] };
        let got: Vec<_> = page.messages.iter().map(|message| message.place.unwrap().offset).collect();
        assert_eq!((got.as_slice(), page.more), (wanted, held.len() > count), "{range:?}");
        assert_eq!((page.first, page.head.offset), (first, last));
        for message in &page.messages {
            let place = message.place.unwrap();
            let (id, data) = expected.messages[place.offset as usize - 1];
            assert_eq!((message.id, &*message.data), (id, data.to_string().as_str()));
        }
    }

    fn resume(&self, bench: &Bench, room: usize, number: usize, twist: u8) {
        let (name, policy) = ROOMS[room];
        let expected = &self.rooms[room];
        let Some(epoch) = expected.epoch else { return };
        let last = expected.messages.len() as u64;
        let offset = (number as u64).min(last);
        let id = offset.checked_sub(1).map_or(MessageId::NIL, |n| expected.messages[n as usize].0);
        let mut position = Position { epoch, offset, id };
        let reason = match twist {
            0 => {
                position.epoch = Epoch(epoch.0 ^ 1);
                Some(Lost::EpochChanged)
            }
            1 => {
                position.offset = last + 1;
                Some(Lost::Diverged)
            }
            2 if offset > 0 && offset + 1 >= expected.first => {
                position.id = MessageId(id.0 ^ 1);
                Some(Lost::Diverged)
            }
            _ if offset + 1 < expected.first => Some(Lost::Trimmed),
            _ => None,
        };
        let begin = Begin::Since(Since::Position(position));
        let outcome = bench.resume(name, policy, begin).outcome;
        match reason {
            Some(reason) => assert_eq!(outcome.err(), Some(reason), "{begin:?}"),
            None => {
                let page = outcome.expect("the gap");
                let got: Vec<_> = page.messages.iter().map(|message| message.id).collect();
                let gap: Vec<_> = expected.messages[offset as usize..].iter().map(|(id, _)| *id).collect();
                assert_eq!((got, page.more), (gap, false), "{begin:?}");
            }
        }
    }

    fn put(&mut self, bench: &Bench, key: u8, value: Option<u8>, expires: Option<u64>, expect: u8) {
        let now = bench.now();
        let there = self.record(key, now);
        let (expect, holds) = match (expect, there) {
            (0, _) => (Expect::Anything, true),
            (1, there) => (Expect::Absent, there.is_none()),
            (2, Some((_, version))) => (Expect::Version(version), true),
            _ => (Expect::Version(12_345), false),
        };
        let expires = expires.map(|ms| now + ms * 1000);
        let bytes = value.map(|value| [value]);
        let written = bench
            .put("kind", &key.to_string(), bytes.as_ref().map(<[u8; 1]>::as_slice), expires, expect)
            .expect("an answer");
        match (holds, value) {
            (false, _) => assert_eq!(written, None),
            (true, None) => {
                assert_eq!(written, Some(0));
                self.records.remove(&key);
            }
            (true, Some(value)) => {
                let version = written.expect("a version");
                assert!(version != 0 && there.is_none_or(|(_, before)| before != version));
                self.records.insert(key, Kept { value, version, expires });
            }
        }
    }

    fn record(&self, key: u8, now: u64) -> Option<(u8, u64)> {
        let kept = self.records.get(&key)?;
        kept.expires.is_none_or(|expires| expires > now).then_some((kept.value, kept.version))
    }

    /// What a restart takes: rings and the keys of their messages.
    fn reopen(&mut self) {
        self.rooms[3] = Room::default();
        self.keys.retain(|(room, _), _| *room != 3);
    }
}

fn embedded(dir: &Path) -> Bench {
    let settings = Settings { clock: || 0, idle: Duration::from_millis(1), ..Settings::new(dir) };
    Bench::new(Arc::new(EmbeddedEngine::open(settings).expect("an open store")), ())
}

/// Memory instead of a disk where there is some: these tests are not about the disk, and syncs are slow.
fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_engine_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let bench = Bench::new(Arc::new(MemoryEngine::new([7; 16])), ());
        let mut model = Model::default();
        for step in &steps {
            model.check(&bench, step);
        }
    }

    #[test]
    fn the_embedded_engine_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let dir = fast_dir();
        let mut bench = embedded(dir.path());
        let mut model = Model::default();
        for step in &steps {
            if let Step::Reopen = step {
                let next = bench.next();
                // The first must be closed before the second is opened.
                drop(bench);
                bench = embedded(dir.path());
                bench.go_on(next);
                model.reopen();
            }
            model.check(&bench, step);
        }
    }
}
