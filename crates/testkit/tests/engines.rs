//! Every engine passes the suite.

use std::sync::Arc;
use std::time::Duration;

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::memory::MemoryEngine;
use parlor_testkit::engine_suite;
use parlor_testkit::engine_suite::Bench;

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
