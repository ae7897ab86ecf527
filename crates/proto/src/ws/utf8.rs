//! UTF-8 checking at memory speed, whole or piece by piece, failing at the first byte that cannot be right.

use super::Failure;

/// Checks a whole text. Short ones go to the standard library inside simdutf8, long ones to vector instructions:
/// beside the standard library alone twice as fast for a KB of ASCII, 14 times for a KB of mixed scripts
/// (`examples/ws_speed.rs`).
pub fn check(bytes: &[u8]) -> Result<&str, Failure> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Failure::BadUtf8)
}

/// Text that arrives in pieces which may be cut inside a character.
///
/// A piece is refused as soon as no continuation could make it UTF-8 (RFC 6455 section 8.1 asks for the failure,
/// this is the earliest possible one).
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    /// The beginning of a character whose other bytes have not come.
    /// Invariant: `tail[..tail_len]` is a proper prefix of some character's encoding.
    tail: [u8; 4],
    tail_len: u8,
}

impl Text {
    /// Bytes taken so far.
    pub fn len(&self) -> usize {
        self.text.len() + usize::from(self.tail_len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while self.tail_len > 0 {
            let [next, rest @ ..] = bytes else { return Ok(()) };
            bytes = rest;
            self.push_to_tail(*next)?;
        }
        let (whole, cut) = bytes.split_at(whole_characters(bytes));
        self.text.push_str(check(whole)?);
        for byte in cut {
            self.push_to_tail(*byte)?;
        }
        Ok(())
    }

    /// The text, if it does not end inside a character.
    pub fn finish(self) -> Result<String, Failure> {
        if self.tail_len > 0 { Err(Failure::BadUtf8) } else { Ok(self.text) }
    }

    fn push_to_tail(&mut self, byte: u8) -> Result<(), Failure> {
        self.tail[usize::from(self.tail_len)] = byte;
        self.tail_len += 1;
        match std::str::from_utf8(&self.tail[..usize::from(self.tail_len)]) {
            Ok(character) => {
                self.text.push_str(character);
                self.tail_len = 0;
                Ok(())
            }
            // No length means: cut short, but right so far.
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(Failure::BadUtf8),
        }
    }
}

/// How many bytes stand before a character that the end of `bytes` cuts. Looks at the last three bytes only, so
/// that the rest is checked in one go; whether it is UTF-8 at all is not judged here.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0b1000_0000..=0b1011_1111 => continue,
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_1111 => 4,
            _ => 1,
        };
        return if length > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The simple twin: the position of the byte after which no continuation can be UTF-8.
    fn first_bad_byte(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len()).find_map(|end| match std::str::from_utf8(&bytes[..end]) {
            Err(error) if error.error_len().is_some() => Some(end - 1),
            _ => None,
        })
    }

    #[test]
    fn pieces_fail_at_the_byte_where_the_twin_does() {
        fn check(bytes: &[u8]) {
            let expected = first_bad_byte(bytes);
            let mut text = Text::default();
            let bad = bytes.iter().position(|byte| text.push(&[*byte]).is_err());
            assert_eq!(bad, expected, "byte by byte {bytes:x?}");
            for cut in 0..=bytes.len() {
                let mut text = Text::default();
                let (first, second) = bytes.split_at(cut);
                let outcome = text.push(first).and_then(|()| text.push(second)).and_then(|()| text.finish());
                assert_eq!(
                    outcome.ok().as_deref(),
                    std::str::from_utf8(bytes).ok(),
                    "{bytes:x?} cut at {cut}"
                );
            }
        }
        check(b"");
        check(b"Hello");
        check("κόσμε \u{10ffff} \u{fffd} \u{7ff}\u{800}\u{ffff}\u{10000}".as_bytes());
        check(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited");
        check(b"\xf4\x90\x80\x80");
        check(b"\xf8\x88\x80\x80\x80");
        check(b"\xc0\x80");
        check(b"\xc1\xbf");
        check(b"\xe0\x9f\xbf");
        check(b"\xf0\x8f\xbf\xbf");
        check(b"\x80");
        check(b"abc\xbf\xbf\xbf\xbf");
        check(b"\xff");
        check(b"abcdefg\xf0\x9f\x98");
        check(b"\xe2\x82");
        check(b"\xf0\x9f\x98a");
    }

    #[test]
    fn the_length_counts_the_bytes_of_a_cut_character() {
        let mut text = Text::default();
        text.push(b"a\xf0\x9f").unwrap();
        assert_eq!(text.len(), 3);
        text.push(b"\x98\x80").unwrap();
        assert_eq!(text.finish().unwrap(), "a😀");
    }
}
