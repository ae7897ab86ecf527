//! What the protocols ask of JSON text beyond serde: how deep it is, whether its strings are whole, and how to write it.

use memchr::{memchr_iter, memchr2};
use serde_json::value::RawValue;
use std::borrow::Cow;

use crate::codes::{Code, Refusal};
use crate::limits;

/// Checks a client's JSON value that is kept as text and handed on: at most `limit` bytes, at most
/// [`limits::DEPTH`] deep, and no half of a surrogate pair, which many JSON readers fail on.
///
/// # Errors
/// `too_large`, `too_deep` or `bad_json`; `what` names the field in the sentence.
pub fn check_value(what: &str, value: &RawValue, limit: usize) -> Result<(), Refusal> {
    let text = value.get();
    if text.len() > limit {
        return Err(Refusal::too_large(what, text.len(), limit));
    }
    if depth(text) > limits::DEPTH {
        return Err(Refusal::new(
            Code::TooDeep,
            format!("{what} is nested deeper than {} levels", limits::DEPTH),
        ));
    }
    if has_lone_surrogate(text) {
        let sentence = format!(
            "{what} holds half of a surrogate pair (\\ud800 to \\udfff); cut text between characters"
        );
        return Err(Refusal::new(Code::BadJson, sentence));
    }
    Ok(())
}

/// How many arrays and objects lie in each other at the deepest place. `text` is valid JSON.
pub fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut open, mut deepest, mut at) = (0usize, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The text of a JSON string, borrowed when it holds no escapes; `None` when the value is not a string.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    string(value.get())
}

/// The same for a value's text, which is valid JSON.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// Makes JSON text one line: line ends stand only between its tokens, where a space means the same.
pub fn one_line(json: &mut [u8]) {
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

/// Appends a JSON string, with the escapes that RFC 8259 section 7 asks for and no others.
pub(crate) fn write_text(out: &mut Vec<u8>, value: &str) {
    // A buffer in memory takes every byte, and text has no form that JSON cannot hold.
    serde_json::to_writer(out, value).unwrap_or_default();
}

/// The same value without insignificant white space. `text` is valid JSON. Most senders write none, and then nothing
/// is copied.
pub fn compact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut kept = String::new();
    let (mut at, mut from) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                kept.push_str(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

/// The place of the quote that ends the string which begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

fn has_lone_surrogate(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Where the second half of a pair that has been seen begins; and where an escape ends that was passed.
    let (mut paired, mut passed) = (usize::MAX, 0);
    for slash in memchr_iter(b'\\', bytes) {
        if slash < passed {
            continue;
        }
        passed = slash + 2;
        match escaped_unit(bytes, slash) {
            Some(0xD800..=0xDBFF) => match escaped_unit(bytes, slash + 6) {
                Some(0xDC00..=0xDFFF) => paired = slash + 6,
                _ => return true,
            },
            Some(0xDC00..=0xDFFF) if slash != paired => return true,
            _ => {}
        }
    }
    false
}

/// The UTF-16 unit of an escape `\uXXXX` at this place.
fn escaped_unit(bytes: &[u8], slash: usize) -> Option<u16> {
    let escape = bytes.get(slash..slash + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn depth_counts_what_is_open_and_skips_strings() {
        for (text, expected) in [
            ("1", 0),
            ("\"[[[\"", 0),
            ("[]", 1),
            ("[[],[]]", 2),
            ("{\"a\":[{\"b\":1}]}", 3),
            ("[\"\\\"]\",[\"\\\\\"]]", 2),
            ("{\"[\\\\\\\"[\":{}}", 2),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn space_goes_between_tokens_and_stays_in_strings() {
        for (text, expected) in [
            ("1", "1"),
            (" 1", "1"),
            ("[1, 2 ,\n3]", "[1,2,3]"),
            ("{\"a b\" : \"c\\\" d\\\\\" , \"e\":[ ]}", "{\"a b\":\"c\\\" d\\\\\",\"e\":[]}"),
            ("\t\"x y\" \r", "\"x y\""),
        ] {
            assert_eq!(compact(text), expected);
        }
        assert!(matches!(compact("[1,\"a b\"]"), Cow::Borrowed(_)));
    }

    #[test]
    fn text_is_unescaped_only_when_it_must_be() {
        assert!(matches!(text(raw("\"hi\"")), Some(Cow::Borrowed("hi"))));
        assert_eq!(text(raw("\"h\\u0069\\n\"")).as_deref(), Some("hi\n"));
        assert_eq!(text(raw("\"\\ud800\"")), None);
        assert_eq!(text(raw("1")), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for (text, whole) in [
            ("\"\\ud83d\\ude00\"", true),
            ("\"\\ud83d\\ude00\\ud83d\\ude00\"", true),
            ("\"\\\\ud800\"", true),
            ("\"\\\\\\u00e9\"", true),
            ("\"\\ud83d\"", false),
            ("\"\\ude00\"", false),
            ("\"\\ude00\\ud83d\"", false),
            ("\"\\ud83d\\ud83d\\ude00\"", false),
            ("\"\\ud83d\\\\ude00\"", false),
            ("\"\\\\\\ud800\"", false),
            ("\"\\uD83D\\uDE00\\uDE00\"", false),
        ] {
            assert_eq!(check_value("data", raw(text), 100).is_ok(), whole, "{text}");
            // The whole check agrees with a reader that decodes.
            assert_eq!(serde_json::from_str::<String>(text).is_ok(), whole, "{text}");
        }
    }
}
