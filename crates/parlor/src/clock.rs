//! The time for what application code does outside of its worker's turn.

use std::time::{SystemTime, UNIX_EPOCH};

use parlor_hub::Hub;

/// Milliseconds since 1970: the system's, or those of a test that owns the hub's time.
pub(crate) fn now(hub: &Hub) -> u64 {
    hub.own_time().unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
    })
}
