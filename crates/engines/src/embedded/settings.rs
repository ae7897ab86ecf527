//! `Settings` of the embedded engine, and its internal limits with their reasons.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parlor_hub::window::WINDOW_BYTES;

/// Publishes and record writes that wait for the writer. At 20,000 a second the last one waits less than a second.
pub(super) const WRITES_QUEUED: usize = 16_384;

/// What they may weigh together: 512 messages of the largest size.
pub(super) const WRITES_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// Writes that one commit takes along: beyond this a sync's cost is spread thin enough, and the wait grows.
pub(super) const BATCH: usize = 256;

/// What one commit takes along in bytes, so that large messages do not make it long.
pub(super) const BATCH_BYTES: usize = 1024 * 1024;

/// Reads that wait for a reader: at 20,000 pages a second the last one waits a fifth of a second.
pub(super) const READS_QUEUED: usize = 4096;

/// Reading threads. Pages come from the page cache; two keep one slow read from stopping all others.
pub(super) const READERS: usize = 2;

/// Rooms whose heads the writer, and the callers, have at hand; some 300 bytes each.
pub(super) const ROOMS_CACHED: usize = 16_384;

/// The write-ahead log is written back when nothing waits and it has grown to this, ...
pub(super) const WAL_IDLE_BYTES: u64 = 4 * 1024 * 1024;

/// ... or whatever waits when it has grown to this.
pub(super) const WAL_BYTES: u64 = 64 * 1024 * 1024;

/// Rows that one step of retention, key expiry or record expiry deletes: a few milliseconds.
pub(super) const SWEEP_ROWS: usize = 500;

/// Rooms that one idle step looks at for messages that are too old.
pub(super) const SWEEP_ROOMS: usize = 100;

/// A busy writer that never gets to rest cleans up this often all the same.
pub(super) const SWEEP_AT_LEAST: Duration = Duration::from_secs(60);

/// How an embedded store is run. `Settings::new` has the defaults.
#[derive(Clone)]
pub struct Settings {
    /// The data directory, made if it is missing. Only this process may use it.
    pub dir: PathBuf,
    /// Below this much free space, in bytes, nothing new is stored: what is there must still be written back.
    pub min_free: u64,
    /// The largest size of the database file in bytes, if less than the disk. Past it publishes are `storage_full`.
    pub max_bytes: Option<u64>,
    /// Memory for idempotency keys, in bytes.
    pub key_bytes: usize,
    /// How long the writer rests before it cleans up.
    pub idle: Duration,
    /// Milliseconds since 1970, for the age of messages in rooms where nothing happens.
    pub clock: fn() -> u64,
    /// What ends the process, with a sentence for its last line, when the disk fails. It must not return: it is a
    /// setting only so that a test can see it. When it does return, the engine refuses everything.
    pub fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The exit status when the disk failed (EX_SOFTWARE is 70: the operator has to look).
pub const EXIT_STORE_FAILED: i32 = 70;

impl Settings {
    /// The defaults for this data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            min_free: 64 * 1024 * 1024,
            max_bytes: None,
            key_bytes: WINDOW_BYTES,
            idle: Duration::from_secs(1),
            clock: system_time,
            fatal: Arc::new(|why| {
                eprintln!("parlor: {why}");
                std::process::exit(EXIT_STORE_FAILED);
            }),
        }
    }
}

fn system_time() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dir", &self.dir)
            .field("min_free", &self.min_free)
            .field("max_bytes", &self.max_bytes)
            .field("key_bytes", &self.key_bytes)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}
