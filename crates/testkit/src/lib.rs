//! What tests share: the suite that every engine passes. Never published.

pub mod engine_suite;
pub mod peer;
