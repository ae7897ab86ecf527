//! Close codes, and the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).

use super::{Failure, utf8};

/// Why an endpoint closes: RFC 6455 section 7.4.1 up to 2999, libraries to 3999, applications from 4000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: CloseCode = CloseCode(1000);
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// The peer's Close frame was empty; never travels.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// The connection ended without a Close frame; never travels.
    pub const LOST: CloseCode = CloseCode(1006);
    /// The content is not what its type says, such as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    pub const POLICY: CloseCode = CloseCode(1008);
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// The client misses an extension in the server's handshake.
    pub const EXTENSION: CloseCode = CloseCode(1010);
    pub const INTERNAL: CloseCode = CloseCode(1011);
    pub const RESTART: CloseCode = CloseCode(1012);
    pub const TRY_LATER: CloseCode = CloseCode(1013);

    /// Whether the code may stand in a Close frame: the registered ones (1012 to 1014 were registered after the
    /// RFC, in the IANA registry) and 3000 to 4999. 1004, 1005, 1006 and 1015 must not (section 7.4.1).
    pub const fn may_travel(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// Bytes of a reason that fit beside the code in a control frame of 125 bytes.
pub(crate) const MAX_REASON: usize = 123;

/// The payload of a Close frame. A code that may not travel gives an empty one; a reason that is too long is cut
/// between two characters.
pub(crate) fn write_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if code.may_travel() {
        payload.extend_from_slice(&code.0.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON)]);
    }
    payload
}

/// The code and reason of a Close frame that arrived; an empty one is [`CloseCode::NO_STATUS`].
pub(crate) fn read_payload(payload: &[u8]) -> Result<(CloseCode, &str), Failure> {
    match payload {
        [] => Ok((CloseCode::NO_STATUS, "")),
        [_] => Err(Failure::BadClosePayload),
        [high, low, reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([*high, *low]));
            if !code.may_travel() {
                return Err(Failure::BadCloseCode);
            }
            Ok((code, utf8::check(reason)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_payloads_are_read_by_the_rfc() {
        fn check(payload: &[u8], expected: Result<(u16, &str), Failure>) {
            assert_eq!(
                read_payload(payload),
                expected.map(|(code, reason)| (CloseCode(code), reason)),
                "{payload:?}"
            );
        }
        check(b"", Ok((1005, "")));
        check(b"\x03", Err(Failure::BadClosePayload));
        check(b"\x03\xe8", Ok((1000, "")));
        check(b"\x03\xe8bye", Ok((1000, "bye")));
        check(b"\x03\xe8\xce\xba", Ok((1000, "κ")));
        check(b"\x03\xe8\xce", Err(Failure::BadUtf8));
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535u16] {
            check(&code.to_be_bytes(), Err(Failure::BadCloseCode));
        }
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4999u16]
        {
            check(&code.to_be_bytes(), Ok((code, "")));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = write_payload(CloseCode(4008), &"é".repeat(100));
        assert_eq!(payload.len(), 2 + 122);
        assert!(read_payload(&payload).is_ok());
    }

    #[test]
    fn a_code_that_may_not_travel_leaves_the_frame_empty() {
        assert_eq!(write_payload(CloseCode::NO_STATUS, "x"), b"");
        assert_eq!(write_payload(CloseCode::LOST, "x"), b"");
    }
}
