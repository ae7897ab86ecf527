//! The Redis engine on a real server: the suite, two nodes, and what happens when Redis is away or has lost something.

use std::sync::Arc;

use parlor_engines::RedisEngine;
use parlor_engines::redis::Settings;
use parlor_hub::engine::Engine;
use parlor_testkit::engine_suite;
use parlor_testkit::engine_suite::Bench;
use parlor_testkit::redis::{DURABLE, Redis};

engine_suite!(suite, || {
    let redis = Redis::start(DURABLE);
    Bench::new(engine(&redis), redis)
});

/// An engine on this server.
fn engine(redis: &Redis) -> Arc<dyn Engine> {
    let settings = Settings::parse(&redis.url()).expect("an address");
    Arc::new(RedisEngine::open(settings).expect("an engine"))
}
