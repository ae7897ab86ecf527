//! Why something was not done, sorted by whose move it is.

use std::io;
use std::time::Duration;

use parlor_proto::codes::{CloseCode, Code};
use parlor_proto::native::decode;

/// What can go wrong for a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // The caller's: change what is asked for.
    /// The sentence shows a correct address.
    #[error("{0}")]
    BadAddress(String),
    /// What was given to be sent has no JSON form.
    #[error("the data has no JSON form")]
    NoJson(#[source] serde_json::Error),
    /// A name that Socket.IO keeps for itself.
    #[error("{0} is an event of Socket.IO itself")]
    BadEvent(String),
    /// The server takes no message of this length; it would end the connection.
    #[error("{length} bytes are more than the {limit} that the server takes at once")]
    TooLarge {
        /// Bytes of the longest message that it would be.
        length: usize,
        /// Bytes that the server takes.
        limit: usize,
    },
    /// More requests wait for the connection than `max_waiting` of the options allows.
    #[error("too many requests wait for the connection; await some of them first")]
    QueueFull,
    /// What was given as a certificate is none, or none can be trusted on this machine.
    #[error("{0}")]
    BadCertificate(String),
    /// [`crate::Events`] was dropped, or the connection ended for good.
    #[error("the client is closed")]
    Closed,

    // The server's.
    /// The server said no.
    #[error("{0}")]
    Refused(Refused),
    /// The server ended the connection and said why; [`Error::may_retry`] tells whether this client may come back.
    #[error("the server ended the connection: {reason} ({code})")]
    Ended {
        /// The code of the WebSocket close.
        code: u16,
        /// What the server said with it; may be empty.
        reason: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// A Socket.IO namespace refused; `data` is JSON text, if the server said more.
    #[error("the namespace refuses: {message}")]
    NamespaceRefused {
        /// A sentence, or whatever the server sent in its place.
        message: String,
        /// JSON text of what the application adds.
        data: Option<String>,
    },
    /// A Socket.IO server ended the connection on purpose; it does not want this client back.
    #[error("the server ended the connection")]
    Dismissed,
    /// Whoever answers there, a proxy perhaps, cannot serve now.
    #[error("the server answered with status {status}: it cannot serve now")]
    Unavailable {
        /// 429, 502, 503 or 504.
        status: u16,
    },
    /// Whatever answers there is not Parlor, or a broken one.
    #[error("{0}")]
    BadAnswer(String),

    /// What answers there speaks no TLS, or has a certificate that is not trusted.
    #[error("no secure connection to {to}")]
    Insecure {
        /// Host and port.
        to: String,
        /// What TLS says of it.
        source: io::Error,
    },

    // The network's.
    /// Nothing answers there.
    #[error("cannot connect to {to}")]
    Unreachable {
        /// Host and port.
        to: String,
        /// What the system says of it.
        source: io::Error,
    },
    /// It was there, and broke.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// The connection ended before the answer came. Whether the request was done is not known; what has a key can
    /// be sent again with the same key.
    #[error("the connection ended before the answer came")]
    Disconnected,
    /// The other side was silent for this long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

/// A refusal by the server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// As sent; [`Refused::known`] has it as a value.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// With `name_taken`: names that are free.
    pub suggestions: Vec<String>,
}

impl Refused {
    /// The code, if this version knows it.
    pub fn known(&self) -> Option<Code> {
        Code::parse(&self.code)
    }
}

impl From<decode::Error> for Refused {
    fn from(error: decode::Error) -> Self {
        let retry_after = error.retry_after.and_then(seconds);
        Self { code: error.code, message: error.message, retry_after, suggestions: error.suggestions }
    }
}

impl Error {
    /// Whether trying to connect again can help without anybody changing anything.
    pub fn may_retry(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Broken(_) | Error::Disconnected | Error::Timeout(_) => true,
            Error::Unavailable { .. } => true,
            Error::Ended { code, .. } => CloseCode(*code).reconnect(),
            Error::Refused(refused) => refused.known().is_some_and(Code::is_temporary),
            _ => false,
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Refused(refused) => refused.retry_after,
            Error::Ended { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A time from a server, which may have sent anything; a wait of more than a day is not one.
pub(crate) fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok().map(|wait| wait.min(Duration::from_secs(24 * 60 * 60)))
}
