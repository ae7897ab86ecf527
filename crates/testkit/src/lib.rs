//! What tests share: the suite that every engine passes, peers, children and what they were told. Never published.

pub mod dice;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod engine_suite;
pub mod ledger;
pub mod listener;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod server;
pub mod simulation;
pub mod torture;
