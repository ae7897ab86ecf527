//! Where publications are ordered and stored: engines behind `hub::Engine`.
//!
//! The memory engine lives in `hub`, because it needs nothing. Here are those that speak to a database.

pub mod embedded;
pub mod redis;

pub use embedded::{EmbeddedEngine, OpenError, Settings};
pub use redis::RedisEngine;
