//! permessage-deflate (RFC 7692): what is offered, what is agreed on, and the streams that do the work.

mod offer;
mod streams;

pub use offer::{BadResponse, Offer, Settings, accept, check_response, parse_offers};
pub use streams::Compressor;
pub(super) use streams::Streams;

use std::fmt;

use super::Role;

/// What both ends agreed on in the opening handshake (RFC 7692 section 7.1).
///
/// Displayed, it is the server's `Sec-WebSocket-Extensions`. The server's window is always named there: it must be
/// when the client named one (section 7.1.2.1), and may be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The server starts every message with an empty window: more bytes on the wire, no memory between messages.
    pub server_no_context_takeover: bool,
    pub client_no_context_takeover: bool,
    /// The server looks back at most 2^n bytes, n from 8 to 15.
    pub server_max_window_bits: u8,
    pub client_max_window_bits: u8,
}

impl Agreement {
    /// Whether `role` can compress what it sends. zlib cannot make raw deflate with a window of 256 bytes; who has
    /// agreed to 8 bits sends its messages uncompressed, which RFC 7692 section 6 leaves to every sender.
    pub fn can_compress(self, role: Role) -> bool {
        self.window_bits(role) >= MIN_COMPRESS_BITS
    }

    /// The window of what `sender` sends.
    pub fn window_bits(self, sender: Role) -> u8 {
        match sender {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
    }

    /// Whether the peer of a server understands what [`Compressor::shared`] makes.
    pub fn takes_shared(self) -> bool {
        self.server_no_context_takeover && self.server_max_window_bits >= SHARED_BITS
    }

    /// Whether what `sender` sends refers to earlier messages.
    pub fn context_takeover(self, sender: Role) -> bool {
        match sender {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }
}

/// The plain extension: context takeover and a window of 32 KB both ways.
impl Default for Agreement {
    fn default() -> Agreement {
        Agreement {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        write!(f, "; server_max_window_bits={}", self.server_max_window_bits)?;
        if self.client_max_window_bits < MAX_BITS {
            write!(f, "; client_max_window_bits={}", self.client_max_window_bits)?;
        }
        Ok(())
    }
}

pub(super) const NAME: &str = "permessage-deflate";
/// zlib's own default is 6; 3 costs half the time for a few percent in size.
pub(super) const LEVEL: u8 = 3;
/// The window of what many connections share, 4 KB: chat messages are hardly longer, and clients that want to save memory
/// ask for no less.
const SHARED_BITS: u8 = 12;
const MIN_BITS: u8 = 8;
const MIN_COMPRESS_BITS: u8 = 9;
const MAX_BITS: u8 = 15;
