//! The opening handshake (RFC 6455 section 4) for both roles: the check of a request, the answer, and the readers.
//!
//! [`check()`] and [`write_response`] are all that a server needs whose HTTP library reads request heads.
//! [`RequestReader`] reads them for programs without one; [`ClientHandshake`] is the client's side.

mod check;
mod client;
mod head;
mod page;
mod request;
mod respond;

pub use check::{Accepted, Rejection, check};
pub use client::{ClientHandshake, ClientRequest, Established, Refused, Response};
pub use head::{HeadError, MAX_HEAD, MAX_HEADERS, MAX_LINE};
pub use page::page;
pub use request::{FOREIGN, Request, RequestReader};
pub use respond::write_response;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` as it was written (section 4.2.2): 28 characters of base64.
fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest =
        Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let mut accept = [0; 28];
    // 20 bytes are 28 characters: the slice is never too short.
    let _ = BASE64_STANDARD.encode_slice(digest, &mut accept);
    accept
}

/// The elements of comma-separated lists (RFC 9110 section 5.6.1), without the empty ones.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
}

/// A name or word as RFC 9110 section 5.6.2 has it.
fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Appends a header line. A control character in the value would end the line or worse; it becomes a space.
fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().map(|byte| if byte.is_ascii_control() && byte != b'\t' { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_answered_as_in_the_rfc() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_header_value_cannot_break_out_of_its_line() {
        let mut out = Vec::new();
        write_header(&mut out, "X", "a\r\nSet-Cookie: b\0\tc");
        assert_eq!(out, b"X: a  Set-Cookie: b \tc\r\n");
    }
}
