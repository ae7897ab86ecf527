//! Idempotency keys that begin with their time, so that a server can tell one that it must have forgotten.

use crate::position::{Base36, parse_base36};

/// A key for one message: the time in ms since 1970, a hyphen and randomness, in lower-case base 36.
pub fn make(time_ms: u64, random: u64) -> String {
    format!("{}-{:0>13}", Base36::new(time_ms).as_str(), Base36::new(random).as_str())
}

/// When a key was made, in ms since 1970, if it has the form that [`make`] gives.
///
/// Keys of any other form are welcome; they just cannot be judged. The form is strict (8 or 9 digits, a hyphen,
/// at least 13 digits, all of lower-case base 36) so that a word does not pass for a time.
pub fn time(key: &str) -> Option<u64> {
    let (time, random) = key.split_once('-')?;
    let form = matches!(time.len(), 8 | 9)
        && random.len() >= 13
        && random.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    if form { parse_base36(time) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_time() {
        let key = make(1_790_000_000_000, 7);
        assert_eq!(key, "mubbs7i8-0000000000007");
        assert_eq!(time(&key), Some(1_790_000_000_000));
        assert_eq!(time(&make(1_790_000_000_000, u64::MAX)), Some(1_790_000_000_000));
        assert!(make(u64::MAX, u64::MAX).len() <= crate::limits::KEY);
    }

    #[test]
    fn other_keys_are_not_judged() {
        for key in [
            "",
            "order-17",
            "checkout-17",
            "550e8400-e29b-41d4-a716-446655440000",
            "location-0123456789abC",
            "mubo-0000000000007",
        ] {
            assert_eq!(time(key), None, "{key}");
        }
    }
}
