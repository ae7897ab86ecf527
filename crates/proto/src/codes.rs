//! Error codes, close codes and the one type of refusal, each with what it means and who can act.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Why something was refused. The text form stands in replies, logs and metric labels, and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    // What was sent is wrong: change it.
    BadJson,
    BadMessage,
    UnknownType,
    UnsupportedData,
    TooLarge,
    TooDeep,
    BadName,
    // Who sent it is not known or not allowed.
    Unauthenticated,
    TokenExpired,
    Forbidden,
    OriginDenied,
    NameTaken,
    // What it asks for is not there.
    NoSuchUser,
    NoSuchRoom,
    NotJoined,
    NoLog,
    NoHandler,
    // It was sent before.
    KeyExpired,
    KeyReused,
    // Too much: later it works.
    RateLimited,
    TooManyRooms,
    TooManyConnections,
    Slow,
    // The server cannot at the moment.
    StorageFull,
    Busy,
    Timeout,
    Unavailable,
    Internal,
}

use Code::*;

/// Code, its text, its HTTP status, what it means: in the order of the enum.
const TABLE: [(Code, &str, u16, &str); 28] = [
    (BadJson, "bad_json", 400, "the text is not JSON"),
    (
        BadMessage,
        "bad_message",
        400,
        "the JSON is not a command: a field is missing, doubled or has the wrong type",
    ),
    (UnknownType, "unknown_type", 400, "there is no command of this type"),
    (UnsupportedData, "unsupported_data", 415, "binary data where this transport takes text"),
    (TooLarge, "too_large", 413, "a part is larger than its limit"),
    (TooDeep, "too_deep", 400, "the JSON is nested deeper than 32 levels"),
    (BadName, "bad_name", 400, "a name holds something that names may not hold"),
    (
        Unauthenticated,
        "unauthenticated",
        401,
        "this needs a token or a key, and none that is valid was given",
    ),
    (TokenExpired, "token_expired", 401, "the token was valid once; get a new one"),
    (Forbidden, "forbidden", 403, "this user may not do this here"),
    (OriginDenied, "origin_denied", 403, "a page of this origin may not connect; `--origin` allows it"),
    (NameTaken, "name_taken", 409, "somebody else has this name"),
    (NoSuchUser, "no_such_user", 404, "nobody has this name"),
    (NoSuchRoom, "no_such_room", 404, "there is no such room"),
    (NotJoined, "not_joined", 409, "this needs the room to be joined first"),
    (NoLog, "no_log", 409, "the room keeps no log, so there is no history, no position and no key"),
    (NoHandler, "no_handler", 404, "nothing answers calls of this method"),
    (KeyExpired, "key_expired", 410, "the key is older than the window in which repeats are recognised"),
    (KeyReused, "key_reused", 422, "the key was used for another message"),
    (RateLimited, "rate_limited", 429, "too much in too short a time"),
    (TooManyRooms, "too_many_rooms", 409, "the connection is in as many rooms as it may be"),
    (
        TooManyConnections,
        "too_many_connections",
        429,
        "the address or the user has as many connections as allowed",
    ),
    (Slow, "slow", 503, "the reader was too far behind"),
    (StorageFull, "storage_full", 507, "the disk is full: nothing can be stored, reading goes on"),
    (Busy, "busy", 503, "the server has too much to do at the moment"),
    (Timeout, "timeout", 504, "an answer did not come in time"),
    (Unavailable, "unavailable", 503, "this part of the server is not there at the moment"),
    (Internal, "internal", 500, "a fault of the server; its log says more"),
];

impl Code {
    /// Every code, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Code> {
        TABLE.iter().map(|row| row.0)
    }

    /// The text that stands in replies, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The status of an HTTP answer that says the same.
    pub const fn status(self) -> u16 {
        TABLE[self as usize].2
    }

    /// What it means, for the documentation: a clause without a capital or a full stop.
    pub const fn meaning(self) -> &'static str {
        TABLE[self as usize].3
    }

    /// The code with this text, if there is one.
    pub fn parse(text: &str) -> Option<Code> {
        TABLE.iter().find(|row| row.1 == text).map(|row| row.0)
    }

    /// Whether the sender sent something malformed; ten such commands in a row end the connection (4501).
    pub const fn is_malformed(self) -> bool {
        matches!(self, BadJson | BadMessage | UnknownType | UnsupportedData | TooDeep)
    }

    /// Whether the very same request may work later without anybody changing anything.
    pub const fn is_temporary(self) -> bool {
        matches!(self, RateLimited | TooManyConnections | Slow | StorageFull | Busy | Timeout | Unavailable)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request was not done: the one error type from the parsers up to the wire.
///
/// `message` is a sentence for a person that says what to do; it holds nothing secret, because it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub message: Cow<'static, str>,
    /// When it is worth trying again; on the wire in seconds.
    pub retry_after: Option<Duration>,
    /// With `name_taken`: names that are free.
    pub suggestions: Vec<String>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None, suggestions: Vec::new() }
    }

    /// The same refusal, saying when to try again.
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// `what` is the plural thing that came too fast, as in "messages".
    pub fn rate_limited(what: &str, after: Duration) -> Self {
        let message = format!("too many {what}; wait {:.1} s", after.as_secs_f64());
        Self::new(RateLimited, message).retry_after(after)
    }

    /// `what` is the thing that is too large, as in "data".
    pub fn too_large(what: &str, size: usize, limit: usize) -> Self {
        Self::new(TooLarge, format!("{what} is {size} bytes, the limit is {limit}"))
    }

    /// `who` may not do `what`, as in ("alice", "publish in ops").
    pub fn forbidden(who: &str, what: &str) -> Self {
        Self::new(Forbidden, format!("{who} may not {what}"))
    }

    pub fn no_such_user(name: &str) -> Self {
        Self::new(NoSuchUser, format!("nobody here is called {name}"))
    }

    pub fn no_such_room(room: &str) -> Self {
        Self::new(NoSuchRoom, format!("there is no room {room}"))
    }

    pub fn not_joined(room: &str) -> Self {
        Self::new(NotJoined, format!("join {room} first"))
    }

    /// `what` is what the room cannot do for want of a log, as in "history".
    pub fn no_log(room: &str, what: &str) -> Self {
        Self::new(NoLog, format!("{room} keeps no log, so it has no {what}"))
    }

    /// `free` are other names that could be taken.
    pub fn name_taken(name: &str, free: Vec<String>) -> Self {
        let message = match &*free {
            [] => format!("{name} is taken"),
            [one] => format!("{name} is taken; {one} is free"),
            several => format!("{name} is taken; {} are free", several.join(", ")),
        };
        Self { suggestions: free, ..Self::new(NameTaken, message) }
    }

    /// The HTTP header `Retry-After` in whole seconds, rounded up, if there is a time to wait.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// Why a connection ended, as WebSocket close codes (RFC 6455 section 7.4); SSE and polls carry the same number.
///
/// Two bands, so that a client needs one comparison: 4000-4499 may come back, 4500-4999 must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// It was agreed to end.
    pub const NORMAL: Self = Self(1000);
    /// The server is going away; another one, or this one restarted, will take over.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the rules of the wire.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that this route never takes.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const BAD_UTF8: Self = Self(1007);
    /// A rule without a code of its own was broken.
    pub const POLICY: Self = Self(1008);
    /// A message over its limit.
    pub const TOO_BIG: Self = Self(1009);
    /// A fault of the server.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts.
    pub const RESTART: Self = Self(1012);
    /// The server has too much to do.
    pub const OVERLOADED: Self = Self(1013);
    /// The reader was too far behind; it resumes from its last position.
    pub const SLOW: Self = Self(4008);
    /// What was promised to be replayed can no longer be read; join again.
    pub const POSITION_LOST: Self = Self(4010);
    /// A ping was not answered.
    pub const NO_PONG: Self = Self(4012);
    /// More was sent than is allowed, for too long.
    pub const RATE: Self = Self(4013);
    /// The token is not valid.
    pub const BAD_TOKEN: Self = Self(4500);
    /// Ten malformed commands in a row.
    pub const BAD_REQUESTS: Self = Self(4501);
    /// Nobody said who this is.
    pub const NEVER_AUTHENTICATED: Self = Self(4502);
    /// An operator or the application ended it.
    pub const KICKED: Self = Self(4503);
    /// The address or the user has as many connections as allowed.
    pub const CONNECTION_LIMIT: Self = Self(4504);
    /// Somebody else has the name that was asked for.
    pub const NAME_TAKEN: Self = Self(4506);
    /// This user may not be here.
    pub const FORBIDDEN: Self = Self(4507);

    /// Whether a client should connect again by itself. Codes that are not ours mean no; a connection that ended
    /// without any close frame has no code, and its client does come back.
    pub const fn reconnect(self) -> bool {
        matches!(self.0, 1001 | 1012 | 1013 | 4000..=4499)
    }

    /// The word for `bye.reason`, logs and metric labels.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NORMAL => "normal",
            Self::GOING_AWAY => "going_away",
            Self::PROTOCOL_ERROR => "protocol_error",
            Self::UNSUPPORTED_DATA => "unsupported_data",
            Self::BAD_UTF8 => "bad_utf8",
            Self::POLICY => "policy",
            Self::TOO_BIG => "too_big",
            Self::INTERNAL => "internal",
            Self::RESTART => "restart",
            Self::OVERLOADED => "overloaded",
            Self::SLOW => "slow",
            Self::POSITION_LOST => "position_lost",
            Self::NO_PONG => "no_pong",
            Self::RATE => "rate",
            Self::BAD_TOKEN => "bad_token",
            Self::BAD_REQUESTS => "bad_requests",
            Self::NEVER_AUTHENTICATED => "never_authenticated",
            Self::KICKED => "kicked",
            Self::CONNECTION_LIMIT => "connection_limit",
            Self::NAME_TAKEN => "name_taken",
            Self::FORBIDDEN => "forbidden",
            Self(_) => "other",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_enum() {
        for (place, code) in Code::all().enumerate() {
            assert_eq!(code as usize, place);
            assert_eq!(Code::parse(code.as_str()), Some(code));
            assert!((400..600).contains(&code.status()), "{code}");
        }
        assert_eq!(Internal as usize + 1, TABLE.len());
        assert_eq!(Code::parse("teapot"), None);
    }

    #[test]
    fn the_bands_say_who_comes_back() {
        for code in [1001, 1012, 1013, 4000, 4008, 4010, 4012, 4013, 4499] {
            assert!(CloseCode(code).reconnect(), "{code}");
        }
        for code in [1000, 1002, 1007, 1009, 1011, 3999, 4500, 4501, 4507, 4999] {
            assert!(!CloseCode(code).reconnect(), "{code}");
        }
    }

    #[test]
    fn a_refusal_reads_as_a_sentence_and_rounds_its_wait_up() {
        let refusal = Refusal::rate_limited("messages", Duration::from_millis(1200));
        assert_eq!(refusal.to_string(), "rate_limited: too many messages; wait 1.2 s");
        assert_eq!(refusal.retry_after_seconds(), Some(2));
        let refusal = Refusal::name_taken("ann", vec!["ann2".into(), "ann3".into()]);
        assert_eq!(refusal.to_string(), "name_taken: ann is taken; ann2, ann3 are free");
        assert_eq!(refusal.retry_after_seconds(), None);
    }
}
