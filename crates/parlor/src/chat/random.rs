//! Numbers that nobody can guess, from the system.

/// 16 random bytes. Without the system's entropy nothing here would be safe, so the process does not go on.
pub(crate) fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has no random numbers");
    bytes
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
