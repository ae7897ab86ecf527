//! The seam: what an [`Application`] decides about requests, and how its [`Conversation`]s talk to the hub.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io::IoSlice;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use parlor_hub::encode::WireFormat;
use parlor_hub::{Author, Command, ConnectionId, Heard, Hub, Publication, Reply, Shard, Ticket};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::engineio::Revision;
use parlor_proto::name::RoomName;
use parlor_proto::position::MessageId;
use parlor_proto::ws::deflate;
use parlor_proto::ws::{Failure, Kind};
use tokio::sync::oneshot;

use crate::engineio::EngineIo;
use crate::errand::Errands;
use crate::stream::Stream;

/// What is not transport: which paths are WebSocket routes, and who may open them.
pub trait Application: Send + Sync + 'static {
    /// The WebSocket route at this path, if there is one.
    fn route(&self, path: &str) -> Option<Route>;

    /// The answer to a GET or HEAD of this path that does not ask for a WebSocket. `None`: a route explains itself with
    /// 426, and everything else goes to the router.
    fn plain(&self, path: &str) -> Option<Response<Body>> {
        let _ = path;
        None
    }

    /// A request for a route that is a correct opening handshake from an allowed origin. It may wait, for the engine
    /// say; a refusal is answered with its HTTP status.
    fn open(&self, opening: Opening) -> Pin<Box<dyn Future<Output = Result<Opened, Refusal>> + Send + '_>>;

    /// Whether whoever asks says that it was here before. After a restart everybody comes back, so those have a larger
    /// budget of new connections.
    fn comes_back(&self, opening: &Opening) -> bool {
        let _ = opening;
        false
    }

    /// The connection that a request of a [`Http::Requests`] path speaks for, if it names one.
    fn speaks_for(&self, uri: &Uri, headers: &HeaderMap) -> Option<ConnectionId> {
        let _ = (uri, headers);
        None
    }
}

/// How a WebSocket route is spoken.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Bytes of one message; a longer one ends the connection with 1009.
    pub max_message: usize,
    /// Frames of one message.
    pub max_fragments: u32,
    /// `None`: compression is not agreed on.
    pub deflate: Option<deflate::Settings>,
    /// What the hub may push to such a connection.
    pub format: WireFormat,
    /// Spoken here is Engine.IO, over polling and WebSocket; the conversation gets and sends its messages.
    pub engine_io: Option<EngineIo>,
    /// No WebSocket is spoken here, but HTTP.
    pub http: Option<Http>,
}

/// What a path is that is spoken over plain HTTP.
#[derive(Clone, Copy, Debug)]
pub enum Http {
    /// A response that does not end; `Incoming` never comes.
    Stream(Stream),
    /// Requests of this method, each of which a conversation answers: [`Conversation::exchange`].
    Requests(&'static str),
}

/// A request that a conversation answers.
#[derive(Debug)]
pub struct Exchange {
    pub uri: Uri,
    pub body: Bytes,
    pub answer: Answer,
}

/// Where the answer to an [`Exchange`] goes; dropped, it says that there is none.
#[derive(Debug)]
pub struct Answer(pub(crate) oneshot::Sender<Answered>);

/// A status and JSON text.
pub(crate) type Answered = (u16, Vec<u8>);

impl Answer {
    pub fn json(self, status: u16, body: Vec<u8>) {
        // Whoever asked may be gone.
        let _ = self.0.send((status, body));
    }

    /// Nobody waits for it any more.
    pub fn is_unwanted(&self) -> bool {
        self.0.is_closed()
    }
}

/// A request to open a WebSocket.
#[derive(Debug)]
pub struct Opening {
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The subprotocols that the client offers, in its order.
    pub protocols: Vec<String>,
    /// The client's address, as a trusted proxy gives it or as the socket has it.
    pub address: IpAddr,
    /// The revision of Engine.IO that the client speaks, if the route speaks it.
    pub revision: Option<Revision>,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// A connection that an application takes.
pub struct Opened {
    pub conversation: Box<dyn Conversation>,
    /// Who this is to others; `None` for routes of their own.
    pub author: Option<Author>,
    /// The subprotocol to answer with: one of those offered.
    pub protocol: Option<String>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("author", &self.author).finish_non_exhaustive()
    }
}

/// One message of the peer.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// One connection's side of the application. Its methods run on the connection's worker and must not block.
pub trait Conversation: Send {
    /// The connection is in the hub; the first thing to be called.
    fn opened(&mut self, cx: &mut Context<'_>);

    fn receive(&mut self, message: Incoming<'_>, cx: &mut Context<'_>);

    /// The answer to a [`Context::command`].
    fn reply(&mut self, _ticket: Ticket, _result: Result<Reply, Refusal>, _cx: &mut Context<'_>) {}

    /// The waker that [`Context::waker`] gave was woken.
    fn poll(&mut self, _cx: &mut Context<'_>) {}

    /// Everything that it sent has been written.
    fn drained(&mut self, _cx: &mut Context<'_>) {}

    /// A request that speaks for this connection.
    fn exchange(&mut self, _exchange: Exchange, _cx: &mut Context<'_>) {}

    /// A connection without a stream of its own: something was queued or rung for it.
    fn rung(&mut self, _cx: &mut Context<'_>) {}

    /// What is published from here on in all rooms that were joined with `WireFormat::Sse` carries its id. `newest`: the
    /// `seq` and id of the newest before, if any was published since they were joined.
    fn settled(&mut self, _newest: Option<(u64, MessageId)>, _cx: &mut Context<'_>) {}

    /// The peer broke a rule of WebSocket; what is sent now still reaches it, before the Close frame.
    fn failed(&mut self, _failure: Failure, _cx: &mut Context<'_>) {}

    /// The connection is about to be closed from this side; what is sent now still reaches the peer.
    fn closing(&mut self, _code: CloseCode, _retry_after: Option<Duration>, _cx: &mut Context<'_>) {}

    /// It is over; the last thing to be called. `code` is what the peer gave or was given; 1006 without a word. On
    /// Engine.IO `reason` is upstream's, as in `ping timeout`.
    fn closed(&mut self, _code: u16, _reason: &str, _cx: &mut Context<'_>) {}
}

/// What a conversation may do, during one of its calls.
pub struct Context<'a> {
    pub(crate) shard: &'a mut Shard,
    pub(crate) connection: ConnectionId,
    pub(crate) now: u64,
    pub(crate) outgoing: &'a mut Vec<Outgoing>,
    pub(crate) waker: &'a mut Option<Waker>,
    pub(crate) errands: &'a Arc<Errands>,
    pub(crate) paused: &'a mut bool,
    pub(crate) polling: bool,
}

pub(crate) enum Outgoing {
    Message(Kind, Bytes),
    Frames(Bytes),
    Publications(WireFormat, Vec<Arc<Publication>>),
    Close(CloseCode, Cow<'static, str>),
}

impl Context<'_> {
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Milliseconds since 1970, the same during one turn of the worker.
    pub fn now(&self) -> u64 {
        self.now
    }

    pub fn hub(&self) -> &Arc<Hub> {
        self.shard.hub()
    }

    /// Gives the hub a command; its reply comes to [`Conversation::reply`] with the same ticket.
    pub fn command(&mut self, ticket: Ticket, command: Command) {
        self.shard.execute(self.connection, ticket, command, self.now);
    }

    /// Queues a message for the peer.
    pub fn send(&mut self, kind: Kind, message: impl Into<Bytes>) {
        self.outgoing.push(Outgoing::Message(kind, message.into()));
    }

    /// Queues whole frames, as `parlor_hub::socketio` makes them.
    pub fn send_frames(&mut self, frames: Bytes) {
        self.outgoing.push(Outgoing::Frames(frames));
    }

    /// Queues publications of a log, those that are for this connection.
    pub fn send_publications(&mut self, format: WireFormat, publications: Vec<Arc<Publication>>) {
        self.outgoing.push(Outgoing::Publications(format, publications));
    }

    /// Enters rooms without getting what is published there yet, as [`Shard::follow`]. `false`: they are too many.
    pub fn follow<'r>(&mut self, ticket: Ticket, rooms: impl IntoIterator<Item = &'r RoomName>) -> bool {
        self.shard.follow(self.connection, ticket, rooms, self.now)
    }

    /// Goes live behind what was read: see [`Shard::go_live_behind`].
    pub fn go_live_behind(&mut self, last: u64) -> Option<Vec<Arc<Publication>>> {
        self.shard.go_live_behind(self.connection, last)
    }

    /// Takes back [`Context::follow`] and [`Context::set_author`].
    pub fn begin_anew(&mut self) {
        self.shard.begin_anew(self.connection, self.now);
    }

    /// How far this connection is in a room's log of which not everything is for it; also when it is over.
    pub fn heard(&self, room: &RoomName) -> Option<Heard> {
        self.shard.heard(self.connection, room)
    }

    /// Says who this is, where that was not known when it was opened.
    pub fn set_author(&mut self, author: Author) {
        self.shard.identify(self.connection, author);
    }

    /// Whether the connection polls at the moment; otherwise it has a WebSocket.
    pub fn is_polling(&self) -> bool {
        self.polling
    }

    /// Ends the connection with a Close frame, after what was sent before.
    pub fn close(&mut self, code: CloseCode, reason: impl Into<Cow<'static, str>>) {
        self.outgoing.push(Outgoing::Close(code, reason.into()));
    }

    /// Takes what waits for a connection without a stream of its own, up to whole chunks of about `limit` bytes.
    pub fn take_queued(&mut self, limit: usize) -> Vec<u8> {
        let slot = self.connection.slot();
        let mut taken = Vec::new();
        while let Some(outbox) = self.shard.outbox(slot).filter(|outbox| !outbox.is_empty()) {
            let mut slice = [IoSlice::new(&[])];
            outbox.slices(&mut slice);
            if !taken.is_empty() && taken.len() + slice[0].len() > limit {
                break;
            }
            taken.extend_from_slice(&slice[0]);
            let length = slice[0].len();
            self.shard.advance(slot, length);
        }
        taken
    }

    /// Bytes that wait to be written to the peer.
    pub fn queued(&self) -> usize {
        self.shard.outbox(self.connection.slot()).map_or(0, |outbox| outbox.len())
    }

    /// Has the peer spoken to in another format than its path's, in rooms that are joined later.
    pub fn speak(&mut self, format: WireFormat) {
        self.shard.speak(self.connection, format);
    }

    /// Stops reading from the peer, or goes on. What it sends meanwhile waits in the system's buffers and then at
    /// its own side.
    pub fn pause_reading(&mut self, paused: bool) {
        *self.paused = paused;
    }

    /// A waker for futures of this connection: it has [`Conversation::poll`] called soon, from any thread.
    pub fn waker(&mut self) -> Waker {
        let (errands, connection) = (self.errands, self.connection);
        self.waker.get_or_insert_with(|| errands.waker(connection)).clone()
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("connection", &self.connection).finish_non_exhaustive()
    }
}
