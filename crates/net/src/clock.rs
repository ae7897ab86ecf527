//! The clocks of a worker: a monotonic one for deadlines and the wall's for what people see.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time of one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// From tokio, so that a test that pauses tokio's clock owns this one too.
    pub(crate) instant: Instant,
    /// Milliseconds since 1970.
    pub(crate) wall: u64,
}

impl Now {
    pub(crate) fn read() -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { instant: tokio::time::Instant::now().into_std(), wall: since.as_millis() as u64 }
    }
}
