//! `Window`: the idempotency keys that were seen, for as long as repeats must be recognised.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{KEY_WINDOW, KEY_WINDOW_MIN};
use parlor_proto::native::key;
use parlor_proto::position::Position;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher128};

use crate::publication::Draft;

/// Memory for keys: about three million of them, that is 5,000 keyed publishes a second over the whole window.
pub const WINDOW_BYTES: usize = 256 * 1024 * 1024;

/// Keys are forgotten in slices of this length: long enough that looking through all of them is quick, short
/// enough that the window does not last much longer than it must.
const SLICE_MS: u64 = 30_000;

/// The keys of the last minutes, as keyed hashes, bounded by bytes.
pub struct Window {
    secret: [u8; 16],
    bytes: usize,
    /// Oldest first.
    slices: VecDeque<Slice>,
    /// Keys from before this time, and of it, may have been forgotten.
    forgotten: u64,
}

/// A draft's key as the window keeps it: of fixed size, and meaningless to who reads the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Hash of room, author and key.
    pub key: u128,
    /// Hash of what the message says.
    pub body: u64,
    /// When the key was made, by its own account.
    pub made: Option<u64>,
}

struct Slice {
    begin: u64,
    newest: u64,
    /// The hashes are keyed and spread evenly, so the map need not hash them again.
    seen: HashMap<u128, Seen, BuildHasherDefault<Low64>>,
}

struct Seen {
    position: Position,
    body: u64,
}

impl Window {
    /// `secret` must be random; who keeps marks across restarts keeps it with them.
    pub fn new(secret: [u8; 16], bytes: usize) -> Window {
        Window { secret, bytes, slices: VecDeque::new(), forgotten: 0 }
    }

    /// The mark of a draft's key, if it has one.
    pub fn mark(&self, draft: &Draft) -> Option<Mark> {
        let text = draft.key.as_deref()?;
        // 0xFF and 0xFE are in no UTF-8 text, so that no two lists of parts read the same.
        let mut key_hash = SipHasher128::new_with_key(&self.secret);
        key_hash.write(draft.room.as_str().as_bytes());
        match &draft.author {
            Some(author) => {
                key_hash.write(&[0xFF]);
                key_hash.write(author.user.as_bytes());
            }
            None => key_hash.write(&[0xFE]),
        }
        key_hash.write(&[0xFF]);
        key_hash.write(text.as_bytes());
        let mut body_hash = SipHasher13::new_with_key(&self.secret);
        body_hash.write(draft.event.as_bytes());
        body_hash.write(&[0xFF]);
        body_hash.write(draft.data.as_bytes());
        Some(Mark { key: key_hash.finish128().as_u128(), body: body_hash.finish(), made: key::time(text) })
    }

    /// Whether the key was seen: the earlier message's position, or `None` if the message is new and there is room
    /// to remember it.
    ///
    /// # Errors
    /// `key_reused` for another message, `key_expired` if it is from before the window, `busy` if it is full.
    pub fn look(&mut self, mark: &Mark, now: u64) -> Result<Option<Position>, Refusal> {
        self.forget(now);
        for slice in self.slices.iter().rev() {
            if let Some(seen) = slice.seen.get(&mark.key) {
                return if seen.body == mark.body { Ok(Some(seen.position)) } else { Err(reused()) };
            }
        }
        let horizon = self.forgotten.max(now.saturating_sub(as_ms(KEY_WINDOW)));
        if mark.made.is_some_and(|made| made <= horizon) {
            return Err(expired());
        }
        self.make_room(now)?;
        Ok(None)
    }

    /// Remembers a key that [`Window::look`] did not know. `now` does not run backwards, or is taken as if not.
    pub fn remember(&mut self, mark: Mark, position: Position, now: u64) {
        if self.slices.back().is_none_or(|slice| now >= slice.begin + SLICE_MS) {
            self.slices.push_back(Slice { begin: now, newest: now, seen: HashMap::default() });
        }
        if let Some(slice) = self.slices.back_mut() {
            slice.newest = slice.newest.max(now);
            slice.seen.insert(mark.key, Seen { position, body: mark.body });
        }
    }

    /// Remembers a key from its stored form, oldest first. What does not fit is forgotten, the oldest first.
    pub fn restore(&mut self, key: u128, body: u64, position: Position, time: u64) {
        while self.is_full() && self.slices.len() > 1 {
            self.drop_oldest();
        }
        self.remember(Mark { key, body, made: None }, position, time);
    }

    /// Keys of this time and from before need not be kept anywhere.
    pub fn horizon(&self, now: u64) -> u64 {
        self.forgotten.max(now.saturating_sub(as_ms(KEY_WINDOW) + SLICE_MS))
    }

    fn forget(&mut self, now: u64) {
        while self.slices.front().is_some_and(|slice| slice.newest + as_ms(KEY_WINDOW) < now) {
            self.drop_oldest();
        }
    }

    /// Sees to it that one more key fits.
    fn make_room(&mut self, now: u64) -> Result<(), Refusal> {
        while self.is_full() {
            match self.slices.front() {
                Some(slice) if slice.newest + as_ms(KEY_WINDOW_MIN) < now => self.drop_oldest(),
                _ => {
                    let message =
                        "too many messages with keys in the last minute; try again soon, with the same key";
                    return Err(Refusal::new(Code::Busy, message).retry_after(Duration::from_secs(5)));
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.slices.iter().map(Slice::bytes_after_next).sum::<usize>() > self.bytes
    }

    fn drop_oldest(&mut self) {
        if let Some(slice) = self.slices.pop_front() {
            self.forgotten = self.forgotten.max(slice.newest);
        }
    }
}

/// The refusal of a key that stands for another message.
pub fn reused() -> Refusal {
    Refusal::new(Code::KeyReused, "this key was used for another message; make a new one")
}

/// The refusal of a key from before the window.
pub fn expired() -> Refusal {
    let message = "by its own time this key is older than repeats are remembered; look whether the message arrived, \
                   then make a new key (and check this machine's clock)";
    Refusal::new(Code::KeyExpired, message)
}

impl Slice {
    /// What the map takes once one more key is in it: tables are filled to 7/8 and then doubled.
    fn bytes_after_next(&self) -> usize {
        let full = self.seen.len() == self.seen.capacity();
        let capacity = if full { self.seen.capacity() * 2 } else { self.seen.capacity() };
        capacity * 8 / 7 * (size_of::<(u128, Seen)>() + 1)
    }
}

impl fmt::Debug for Window {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: usize = self.slices.iter().map(|slice| slice.seen.len()).sum();
        f.debug_struct("Window")
            .field("keys", &keys)
            .field("forgotten", &self.forgotten)
            .finish_non_exhaustive()
    }
}

/// Takes the lower half of what is a hash already.
#[derive(Default)]
struct Low64(u64);

impl Hasher for Low64 {
    fn write(&mut self, bytes: &[u8]) {
        // Only `u128` is hashed here; whatever else came would still be hashed, badly.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn as_ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use parlor_proto::position::{Epoch, MessageId};

    use super::*;

    const NOW: u64 = 1_790_000_000_000;
    const WINDOW_MS: u64 = 600_000;

    fn mark(key: u128) -> Mark {
        Mark { key, body: 1, made: None }
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch(1), offset, id: MessageId(1) }
    }

    #[track_caller]
    fn refused(window: &mut Window, mark: Mark, now: u64, code: Code) {
        assert_eq!(window.look(&mark, now).map_err(|refusal| refusal.code), Err(code));
    }

    #[test]
    fn a_key_is_known_for_the_whole_window() {
        let mut window = Window::new([7; 16], WINDOW_BYTES);
        assert_eq!(window.look(&mark(1), NOW), Ok(None));
        window.remember(mark(1), at(1), NOW);
        assert_eq!(window.look(&mark(1), NOW + WINDOW_MS), Ok(Some(at(1))));
        refused(&mut window, Mark { body: 2, ..mark(1) }, NOW + WINDOW_MS, Code::KeyReused);
        assert_eq!(window.look(&mark(1), NOW + WINDOW_MS + 1), Ok(None));
    }

    #[test]
    fn a_key_that_was_forgotten_is_refused_by_its_own_time() {
        let mut window = Window::new([7; 16], WINDOW_BYTES);
        let made = |made| Mark { made: Some(made), ..mark(1) };
        assert_eq!(window.look(&made(NOW - WINDOW_MS + 1), NOW), Ok(None));
        refused(&mut window, made(NOW - WINDOW_MS), NOW, Code::KeyExpired);
        // A clock that is ahead does not hurt.
        assert_eq!(window.look(&made(NOW + WINDOW_MS), NOW), Ok(None));
    }

    #[test]
    fn a_full_window_shortens_to_a_minute_and_then_refuses() {
        // Room for one slice of 112 keys (a table of 128) and no second one of that size.
        let mut window = Window::new([7; 16], 128 * (size_of::<(u128, Seen)>() + 1));
        for key in 0..112 {
            assert_eq!(window.look(&mark(key), NOW), Ok(None));
            window.remember(mark(key), at(1), NOW);
        }
        refused(&mut window, mark(1000), NOW, Code::Busy);
        refused(&mut window, mark(1000), NOW + 60_000, Code::Busy);
        assert_eq!(window.look(&mark(111), NOW + 60_000), Ok(Some(at(1))));
        assert_eq!(window.look(&mark(1000), NOW + 60_001), Ok(None));
        // What was forgotten before its time is refused, not stored again.
        refused(&mut window, Mark { made: Some(NOW), ..mark(111) }, NOW + 60_001, Code::KeyExpired);
        assert_eq!(window.look(&Mark { made: Some(NOW + 1), ..mark(1001) }, NOW + 60_001), Ok(None));
    }
}
