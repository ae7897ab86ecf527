//! Numbers that nobody can guess, from the system.

use std::cell::RefCell;

/// Bytes asked of the system at once: a connection needs some fifty, and asking costs more than the bytes.
const POOL: usize = 1024;

thread_local! {
    /// What is left of the last answer; each byte is given out once.
    static LEFT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// 16 random bytes. Without the system's entropy nothing here would be safe, so the process does not go on.
pub(crate) fn bytes() -> [u8; 16] {
    LEFT.with_borrow_mut(|left| {
        if left.len() < 16 {
            left.resize(POOL, 0);
            getrandom::fill(left).expect("the system has no random numbers");
        }
        let rest = left.len() - 16;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&left[rest..]);
        left.truncate(rest);
        bytes
    })
}

/// `length` characters of a-z and 0-9, at most 24: five bits each.
pub(crate) fn text(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bits = u128::from_ne_bytes(bytes());
    let mut text = String::with_capacity(length);
    for _ in 0..length.min(24) {
        text.push(char::from(ALPHABET[bits as usize & 31]));
        bits >>= 5;
    }
    text
}
