//! What is chosen for a connection before it starts.

use std::time::Duration;

use super::deflate::{self, Agreement};
use crate::limits::COMPRESS_FROM;

/// Limits and choices of one connection; copied into it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of one message, after inflating. A bigger one is refused with 1009, before memory is taken for it.
    pub max_message: usize,
    /// Frames of one message, empty ones included: without a limit, frames without payload cost the peer six bytes
    /// each and never reach `max_message`.
    pub max_fragments: u32,
    /// How long the peer has to answer our Close frame, and then to end the TCP connection.
    pub close_timeout: Duration,
    /// What the opening handshake agreed on; `None` means no compression.
    pub deflate: Option<Agreement>,
    /// Messages shorter than this many bytes are sent uncompressed: deflate gains little on them.
    pub compress_from: usize,
    /// 1 (fast) to 9 (small).
    pub compress_level: u8,
    /// Client role only: where masking keys come from. 16 fresh random bytes per connection, which must not be
    /// guessable (RFC 6455 section 10.3). A server does not look at it.
    pub mask_seed: [u8; 16],
}

impl Default for Config {
    fn default() -> Config {
        Config {
            // The limit of a native message: a publication of 64 KB with room for escapes, and some to spare.
            max_message: 1024 * 1024,
            max_fragments: 1024,
            // As long as the opening handshake may take, and as websockets for Python has it.
            close_timeout: Duration::from_secs(10),
            deflate: None,
            compress_from: COMPRESS_FROM,
            compress_level: deflate::LEVEL,
            mask_seed: [0; 16],
        }
    }
}
