//! Why a connection is failed, and the one place that decides which close code the peer is told.

use std::fmt;

use super::CloseCode;

/// Why a connection was failed (RFC 6455 section 7.1.7). The peer is told [`Failure::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    // The peer broke the framing rules of RFC 6455 section 5.
    ReservedBits,
    ReservedOpcode,
    /// A frame from a client without a mask.
    Unmasked,
    /// A frame from a server with a mask.
    Masked,
    /// A length in more bytes than it needs, or with its highest bit set.
    BadLength,
    FragmentedControl,
    LongControl,
    /// A continuation frame while no message is under way.
    UnexpectedContinuation,
    /// A new message inside an unfinished one.
    InterruptedMessage,
    /// A Close frame whose payload is one byte: half a code.
    BadClosePayload,
    /// A Close frame with a code that must not travel.
    BadCloseCode,

    // The peer sent content that is not what it says it is.
    BadUtf8,
    BadDeflate,

    // A limit of ours.
    MessageTooBig,
    TooManyFragments,
}

impl Failure {
    /// The code that the peer's Close frame carries (RFC 6455 section 7.4.1).
    pub fn close_code(self) -> CloseCode {
        self.verdict().0
    }

    /// One sentence for the Close frame and the log; at most 123 bytes, so that it fits the frame.
    pub fn reason(self) -> &'static str {
        self.verdict().1
    }

    fn verdict(self) -> (CloseCode, &'static str) {
        use Failure::*;
        let protocol = CloseCode::PROTOCOL;
        match self {
            ReservedBits => (protocol, "reserved bits are set that no extension explains"),
            ReservedOpcode => (protocol, "the opcode is reserved"),
            Unmasked => (protocol, "a client must mask its frames"),
            Masked => (protocol, "a server must not mask its frames"),
            BadLength => (protocol, "the length is not in its shortest form"),
            FragmentedControl => (protocol, "a control frame must not be fragmented"),
            LongControl => (protocol, "a control frame carries at most 125 bytes"),
            UnexpectedContinuation => (protocol, "a continuation frame without a message to continue"),
            InterruptedMessage => (protocol, "a new message began before the last one ended"),
            BadClosePayload => (protocol, "a close frame carries no payload or a code of two bytes"),
            BadCloseCode => (protocol, "this close code must not be sent"),
            BadUtf8 => (CloseCode::INVALID_DATA, "text is not UTF-8"),
            BadDeflate => (CloseCode::INVALID_DATA, "the message does not inflate"),
            MessageTooBig => (CloseCode::TOO_BIG, "the message is too big"),
            TooManyFragments => (CloseCode::TOO_BIG, "the message has too many fragments"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Failure {}
