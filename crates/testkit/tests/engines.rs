//! Every engine passes the suite.

use std::sync::Arc;

use parlor_hub::memory::MemoryEngine;
use parlor_testkit::engine_suite;
use parlor_testkit::engine_suite::Bench;

engine_suite!(memory, || Bench::new(Arc::new(MemoryEngine::new([7; 16])), ()));
