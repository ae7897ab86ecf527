//! Every engine passes the suite.

use std::sync::Arc;
use std::time::Duration;

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::engine::{Begin, Lost};
use parlor_hub::memory::MemoryEngine;
use parlor_proto::position::Since;
use parlor_testkit::engine_suite;
use parlor_testkit::engine_suite::{Bench, Event, MEMORY};

engine_suite!(memory, || Bench::new(Arc::new(MemoryEngine::new([7; 16])), ()));
engine_suite!(embedded, embedded_bench);

fn embedded_bench() -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        // The time of the bench, which is what callers name, counts; not this machine's.
        clock: || 0,
        idle: Duration::from_millis(1),
        ..Settings::new(dir.path())
    };
    Bench::new(Arc::new(EmbeddedEngine::open(settings).expect("an open store")), dir)
}

#[test]
fn rings_that_need_too_much_memory_are_given_up_aloud_the_most_silent_first() {
    let message = format!("\"{}\"", "x".repeat(1_000));
    let bench = Bench::new(Arc::new(MemoryEngine::new([7; 16]).limit_logs(10_000)), ());
    let first = bench.publish("silent", MEMORY, &message);
    let kept = bench.publish("busy", MEMORY, &message);
    for _ in 0..7 {
        bench.publish("busy", MEMORY, &message);
    }
    let changed: Vec<_> = bench
        .events(10)
        .into_iter()
        .filter_map(|event| match event {
            Event::EpochChanged(room, epoch) => Some((room.as_str().to_owned(), epoch)),
            _ => None,
        })
        .collect();
    let head = bench.head("silent", MEMORY);
    assert_eq!(changed, [("silent".to_owned(), head.epoch)]);
    assert_ne!(head.epoch, first.epoch);
    let resume = |room, position| {
        let resumed = bench.resume(room, MEMORY, Begin::Since(Since::Position(position)));
        resumed.outcome.map(|page| page.messages.len())
    };
    assert_eq!(resume("silent", first), Err(Lost::EpochChanged));
    assert_eq!(resume("busy", kept), Ok(7));
    // A ring that is alone may be as large as its policy says.
    for _ in 0..20 {
        bench.publish("busy", MEMORY, &message);
    }
    assert_eq!(resume("busy", kept), Ok(27));
}
