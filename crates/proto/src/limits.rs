//! Every limit that is on by default, each with its reason; sizes in bytes (KB = 1,024).
//!
//! All of them are finite. An operator may change those that settings name; the protocol machines only ever see
//! the numbers that they are given, so that a test can make them small.

use std::time::Duration;

/// How often something may happen: a bucket of `burst` that refills `per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

// ---- Messages -----------------------------------------------------------------------------------------------

/// JSON text of one publication's `data`. Past it the answer is `too_large` and the connection stays. 64 KB is
/// what Centrifugo and Ably allow; larger things belong into a file that the message links to.
pub const DATA: usize = 64 * 1024;

/// One native message, a batch of `POST /send` included. Past it the connection ends with 1009: the sender is
/// not speaking the protocol, and nothing bigger is ever held in memory.
pub const NATIVE_MESSAGE: usize = 1024 * 1024;

/// One Engine.IO payload or Socket.IO packet; upstream's `maxHttpBufferSize` is 1e6, not 1 MiB.
pub const SOCKETIO_PAYLOAD: usize = 1_000_000;

/// The body of a poll's POST, before anything in it has been read; the same reason as [`SOCKETIO_PAYLOAD`].
pub const POLL_BODY: usize = SOCKETIO_PAYLOAD;

/// Packets that one poll answer carries. python-engineio refuses payloads with more.
pub const POLL_PACKETS_OUT: usize = 16;

/// Binary attachments of one Socket.IO packet; socket.io-parser counts to ten since 4.2.6, because a client may
/// announce attachments that it never sends.
pub const ATTACHMENTS: usize = 10;

/// Nesting of JSON and MessagePack: deep enough for documents, shallow enough for every reader's stack.
pub const DEPTH: usize = 32;

/// Frames of one WebSocket message, empty ones included, because a frame costs work whatever it carries.
pub const FRAGMENTS: usize = 1024;

/// The longest message that a raw WebSocket route may ask for.
pub const RAW_MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// Messages shorter than this are not compressed where compression is on: deflate gains little on them.
pub const COMPRESS_FROM: usize = 1024;

/// An event name: it is stored with every publication and repeated in every frame.
pub const EVENT: usize = 128;

/// An idempotency key: room for a time, a UUID and a prefix of one's own.
pub const KEY: usize = 64;

/// A command's `id`, as JSON text: it is echoed, so it must not be a way to make answers long.
pub const COMMAND_ID: usize = 64;

/// A token in any place: larger ones do not fit into common servers' header limits.
pub const TOKEN: usize = 8 * 1024;

/// The method of a `call`; it becomes part of a hook's path.
pub const METHOD: usize = 128;

// ---- Names --------------------------------------------------------------------------------------------------

/// A user's name, 1 to 64 bytes: more than twenty Chinese characters, and it still fits beside a message.
pub const USER_NAME: usize = 64;

/// A room's name, 1 to 200 bytes: below every peer's limit that we bridge to (Centrifugo 255, Pusher 164 ASCII).
pub const ROOM_NAME: usize = 200;

// ---- HTTP and opening ---------------------------------------------------------------------------------------

/// The request line; a URL with 128 short rooms fits.
pub const REQUEST_LINE: usize = 8 * 1024;

/// All headers of a request together, cookies included.
pub const HEADERS_BYTES: usize = 16 * 1024;

/// Number of headers; browsers send about twenty.
pub const HEADERS: usize = 64;

/// A request head must be complete by then: an honest client sends it in one packet.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A native connection that needs to say who it is does so by then, or ends with 4502.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A Socket.IO connection must open a namespace by then; upstream's `connectTimeout`.
pub const SOCKETIO_CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// The answer to a WebSocket close, and to an Engine.IO upgrade probe; upstream's `upgradeTimeout`.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

// ---- Being there --------------------------------------------------------------------------------------------

/// The time between pings: below the 30 and 60 s after which common proxies drop silent connections.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// A native connection that has not answered a ping by then is gone (4012).
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for Socket.IO, whose clients are told this number and expect upstream's.
pub const SOCKETIO_PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest that a poll is held: below the 30 s after which gateways answer 504.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a poll waits when it does not say.
pub const POLL_WAIT: Duration = Duration::from_secs(25);

/// The time between comments of an event stream: below the shortest wait of proxies (nginx 60 s, some networks 20 s).
pub const STREAM_HEARTBEAT: Duration = Duration::from_secs(15);

/// What an event stream tells clients to wait before they come back.
pub const STREAM_RETRY: Duration = Duration::from_secs(1);

/// Polls of one session that are held at once: a client needs one, and one more whose answer it gave up.
pub const POLLS_HELD: usize = 4;

/// How long a user stays a member after the last connection ended: a reload is not a leave.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(10);

/// The same for a poller, counted from the last poll: two missed polls and a bit.
pub const PRESENCE_GRACE_POLL: Duration = Duration::from_secs(60);

/// Changes of a room's members leave at most this often, so that a crowd arriving is one push.
pub const PRESENCE_INTERVAL: Duration = Duration::from_millis(250);

/// Members that one list holds; `count` says how many there are. Ably's number.
pub const MEMBERS_LISTED: usize = 200;

/// Above this many members a room sends counts only: joins times members would be the main traffic.
pub const PRESENCE_MEMBERS: usize = 500;

/// A chosen name stays its guest's for this long after the last connection, once the token was shown.
pub const NAME_HELD: Duration = Duration::from_secs(24 * 60 * 60);

// ---- Readers ------------------------------------------------------------------------------------------------

/// Bytes that wait for one connection; a reader that is further behind is cut with 4008 and can resume.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// Messages that wait for one connection: bounds the queue itself when messages are tiny.
pub const OUTBOX_MESSAGES: usize = 4096;

/// No progress for this long while something waits means that nobody reads.
pub const WRITE_STALL: Duration = Duration::from_secs(5);

/// Messages in one page of a replay or of `history`.
pub const PAGE_MESSAGES: usize = 100;

/// Bytes of one page: a page must leave most of the outbox free.
pub const PAGE_BYTES: usize = 256 * 1024;

/// The largest gap that a resume fills; more is `too_many`, and `history` pages on.
pub const RESUME_MAX: usize = 1000;

/// Rooms in one answer to `rooms`.
pub const ROOMS_LISTED: usize = 200;

/// Idempotency keys are remembered for this long; a key that is older by its own time is `key_expired`.
pub const KEY_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Under memory pressure the window shortens to no less than this, then publishes with keys are `busy`.
pub const KEY_WINDOW_MIN: Duration = Duration::from_secs(60);

/// One engine record: accounts, markers and sessions are small, anything larger is a message.
pub const RECORD_BYTES: usize = 64 * 1024;

/// The key of an engine record: two names and a kind.
pub const RECORD_KEY_BYTES: usize = 512;

// ---- Floods -------------------------------------------------------------------------------------------------

/// Rooms that one connection may be in; Centrifugo's number.
pub const ROOMS_PER_CONNECTION: usize = 128;

/// Publishes of one connection: faster than anyone types, slower than a flood.
pub const PUBLISH_RATE: Rate = Rate { per_second: 20, burst: 40 };

/// Publishes into one room from all clients together; beyond it nobody can read along anyway.
pub const ROOM_RATE: Rate = Rate { per_second: 200, burst: 400 };

/// A request to the HTTP API is read and done by then; what callers and proxies wait themselves.
pub const API_TIMEOUT: Duration = Duration::from_secs(30);

/// Publishes through the HTTP API, per key.
pub const API_RATE: Rate = Rate { per_second: 5000, burst: 10_000 };

/// Commands of any kind of one connection.
pub const COMMAND_RATE: Rate = Rate { per_second: 50, burst: 100 };

/// Commands in one body of `POST /send`: the burst of [`COMMAND_RATE`], which no body gets past anyway.
pub const SEND_COMMANDS: usize = 100;

/// Commands in a row that were refused as malformed; then the connection ends with 4501.
pub const BAD_REQUESTS: u32 = 10;

/// Handlers or calls of one connection that may be pending; then reading stops.
pub const PENDING_CALLS: usize = 64;

/// Connections of one address (for IPv6 a /64, which is what one customer gets).
pub const CONNECTIONS_PER_ADDRESS: usize = 200;

/// New connections of one address.
pub const CONNECT_RATE: Rate = Rate { per_second: 20, burst: 60 };

/// Connections that resume have this many times the budget of new ones: after a restart everybody comes back.
pub const RESUME_BUDGET: u32 = 5;

/// Connections of one user: many tabs on several devices.
pub const CONNECTIONS_PER_USER: usize = 32;

/// At this share of the memory limit, in percent, new connections are refused.
pub const MEMORY_REFUSE_PERCENT: u8 = 80;

/// At this share, in percent, the slowest readers are cut.
pub const MEMORY_CUT_PERCENT: u8 = 90;

/// How often the process looks at its memory: a gigabit fills 125 MB in that time.
pub const MEMORY_LOOK: Duration = Duration::from_secs(1);

/// What a client that is refused for want of memory is told to wait.
pub const MEMORY_RETRY: Duration = Duration::from_secs(5);
