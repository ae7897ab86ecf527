//! `Settings` of the Redis engine, and its internal limits with their reasons.

use std::fmt;
use std::time::Duration;

use parlor_hub::policy::Ack;
use parlor_proto::limits::{PAGE_BYTES, SOCKETIO_PAYLOAD};

use super::address::Address;

/// Publishes, reads and writes that wait for Redis. At 20,000 a second the last one waits less than a second.
pub(super) const QUEUED: usize = 16_384;

/// What they may weigh together: 512 messages of the largest size.
pub(super) const QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// Commands that are sent and not answered: enough to keep Redis busy over a network's round trip, few enough that
/// their answers come within the time that a caller waits.
pub(super) const IN_FLIGHT: usize = 1024;

/// What is written to the socket and not taken yet; beyond it nothing more is encoded.
pub(super) const OUT_BYTES: usize = 4 * 1024 * 1024;

/// How long a caller waits. Then the answer is `unavailable`, in time for the second that clients are promised, also on a
/// machine with other things to do.
const PATIENCE: Duration = Duration::from_millis(800);

/// A connection on which Redis has not answered for so many times what a caller waits is given up: it may be half open.
pub(super) const SILENCES: u32 = 4;

/// What is held while something before it has to be read: 64 pages of the largest size. What is beyond is read from its
/// log when its turn comes.
pub(super) const HELD_BYTES: usize = 64 * PAGE_BYTES;

/// Pages that are asked for at once: enough to keep Redis busy, and at most half of what may be held.
pub(super) const FILLS: usize = 32;

/// Nobody waits longer than this for a room whose log cannot be read though Redis answers: its subscribers are told that
/// they have lost their position. Longer than a connection may be silent.
pub(super) const STUCK: Duration = Duration::from_secs(5);

/// The longest that a node tells others: an event of the largest data, its bytes in base64.
pub(super) const TOLD_BYTES: usize = 3 * SOCKETIO_PAYLOAD;

/// What one attempt to connect may take, greeting and scripts included.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// The first wait between two attempts, and the longest: Redis is missed after it came back for no longer than that.
pub(super) const RECONNECT: Duration = Duration::from_millis(50);
pub(super) const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How often what is known of followed rooms is compared with the store; a log that was lost is told to clients
/// within 10 s, of which this leaves half for everything else.
pub(super) const CHECK: Duration = Duration::from_secs(5);

/// A node that has not said for this long that it lives is dead. Together with [`RENEW`] and the 10 s after which a
/// member without connections leaves, its users are gone within 20 s.
pub(super) const LEASE: Duration = Duration::from_secs(6);
pub(super) const RENEW: Duration = Duration::from_millis(1500);

/// Rooms of one batch of checks or subscriptions: a few milliseconds of Redis's time.
pub(super) const CHECK_ROOMS: usize = 512;

/// A room without subscribers is followed for this long: who reloads a page comes back to a room that is up to date.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// Rings, and rooms that were only asked for, are forgotten this long after the last use.
pub(super) const IDLE_ROOM: Duration = Duration::from_secs(24 * 60 * 60);

/// How a Redis store is used. `Settings::new` has the defaults.
#[derive(Clone)]
pub struct Settings {
    pub address: Address,
    /// What every key and channel begins with, so that several Parlors can share one Redis.
    pub prefix: String,
    /// What publishers are promised; the engine does not start where the server cannot keep it. `None`: the best that
    /// the server keeps.
    pub ack: Option<Ack>,
    /// How often what is known of rooms is compared with the store.
    pub check: Duration,
    /// How long a caller waits for Redis before the answer is `unavailable`.
    pub patience: Duration,
}

impl Settings {
    /// The defaults for this server.
    pub fn new(address: Address) -> Settings {
        Settings { address, prefix: "parlor".to_owned(), ack: None, check: CHECK, patience: PATIENCE }
    }

    /// Reads `redis://[user[:password]@]host[:port][/database][?prefix=…&ack=memory|local]`.
    ///
    /// # Errors
    /// A sentence without anything secret in it.
    pub fn parse(url: &str) -> Result<Settings, String> {
        let (address, query) = Address::parse(url)?;
        let mut settings = Settings::new(address);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("prefix", prefix)) if is_prefix(prefix) => settings.prefix = prefix.to_owned(),
                Some(("prefix", _)) => {
                    return Err("prefix is 1 to 64 letters, digits and any of _-.:".to_owned());
                }
                Some(("ack", "local")) => settings.ack = Some(Ack::Local),
                Some(("ack", "memory")) => settings.ack = Some(Ack::Memory),
                Some(("ack", _)) => return Err("ack is memory or local".to_owned()),
                _ => {
                    return Err(
                        "behind the question mark there are prefix=… and ack=memory or local".to_owned()
                    );
                }
            }
        }
        Ok(settings)
    }
}

fn is_prefix(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &self.address)
            .field("prefix", &self.prefix)
            .field("ack", &self.ack)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_question_mark_is_checked() {
        let parsed = Settings::parse("redis://127.0.0.1?prefix=shop&ack=local").unwrap();
        assert_eq!((parsed.prefix.as_str(), parsed.ack), ("shop", Some(Ack::Local)));
        for (query, expected) in [
            ("prefix=", "prefix is 1 to 64 letters, digits and any of _-.:"),
            ("prefix=a{b}", "prefix is 1 to 64 letters, digits and any of _-.:"),
            ("ack=replicated", "ack is memory or local"),
            ("tls=on", "behind the question mark there are prefix=… and ack=memory or local"),
        ] {
            assert_eq!(Settings::parse(&format!("redis://h?{query}")).unwrap_err(), expected);
        }
    }
}
