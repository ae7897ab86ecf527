//! Acks: of a handler to its client, of a client to whoever asked, and of many clients to a broadcast.

use std::collections::HashSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlor_hub::selector::Recipients;
use parlor_hub::{ConnectionId, socketio};
use parlor_proto::socketio::{Arguments, BadArguments};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::payload::Payload;
use super::socket::Socket;

/// How long an ack is waited for when nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The ack that a client wants for an event. Sent once, or not at all; a client that wants none is sent none.
#[derive(Debug)]
pub struct Ack {
    wanted: Option<(Socket, u64)>,
}

impl Ack {
    pub(super) fn new(wanted: Option<(Socket, u64)>) -> Ack {
        Ack { wanted }
    }

    /// Whether the client waits for it.
    pub fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Sends the ack; a tuple is several arguments.
    pub fn send<T: Payload + ?Sized>(self, data: &T) {
        let Some((socket, id)) = self.wanted else { return };
        match data.to_arguments() {
            Ok(arguments) => {
                let name = socket.namespace().name();
                socket.send(socketio::ack(socket.format(), name, id, &arguments), false);
            }
            Err(error) => tracing::warn!(%error, "an ack cannot be written"),
        }
    }
}

/// Why there is no ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckError {
    /// The client did not answer in time.
    Timeout,
    /// The client is gone, or too many of its acks are waited for.
    Closed,
    /// What should have been emitted cannot be written as JSON.
    Unwritable(BadArguments),
    /// The other nodes cannot be asked: the store does not answer.
    Unreachable,
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AckError::Timeout => f.write_str("the client did not answer in time"),
            AckError::Closed => f.write_str("the client is gone"),
            AckError::Unreachable => {
                f.write_str("the other nodes cannot be asked: the store does not answer")
            }
            AckError::Unwritable(error) => write!(f, "the event cannot be written: {error}"),
        }
    }
}

impl std::error::Error for AckError {}

/// An emit that asked for an ack: `await` it.
#[derive(Debug)]
#[must_use = "await it to get the ack"]
pub struct Asked {
    waiting: Result<(Socket, u64, oneshot::Receiver<Arguments>), AckError>,
    timeout: Duration,
}

impl Asked {
    pub(super) fn waiting(socket: Socket, id: u64, answered: oneshot::Receiver<Arguments>) -> Asked {
        Asked { waiting: Ok((socket, id, answered)), timeout: TIMEOUT }
    }

    pub(super) fn refused(error: BadArguments) -> Asked {
        Asked { waiting: Err(AckError::Unwritable(error)), timeout: TIMEOUT }
    }

    pub(super) fn closed() -> Asked {
        Asked { waiting: Err(AckError::Closed), timeout: TIMEOUT }
    }

    /// How long to wait.
    pub fn timeout(mut self, timeout: Duration) -> Asked {
        self.timeout = timeout;
        self
    }
}

impl IntoFuture for Asked {
    type Output = Result<Reply, AckError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (socket, id, answered) = self.waiting?;
            match tokio::time::timeout(self.timeout, answered).await {
                Ok(Ok(arguments)) => Ok(Reply(arguments)),
                Ok(Err(_)) => Err(AckError::Closed),
                Err(_) => {
                    socket.forget_ack(id);
                    Err(AckError::Timeout)
                }
            }
        })
    }
}

/// What a client said in an ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub Arguments);

impl Reply {
    /// Reads it: a tuple from all arguments, any other type from the first.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        self.0.to_value()
    }
}

/// What came of a broadcast that asked for acks.
#[derive(Debug, Default)]
pub struct Answers {
    /// The ids of those who answered, and what they said, as they came.
    pub replies: Vec<(String, Reply)>,
    /// How many were asked and left, or did not answer in time.
    pub missing: usize,
}

impl Answers {
    /// Each answer, read as [`Reply::read`] does; those that are something else are left out.
    pub fn read<T: DeserializeOwned>(&self) -> Vec<T> {
        self.replies.iter().filter_map(|(_, reply)| reply.read().ok()).collect()
    }
}

/// Gathers the answers to a broadcast until all have come.
#[derive(Debug, Default)]
pub(super) struct Collector {
    state: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// Workers that have not said yet whom they asked; `None` before their number is known.
    workers: Option<usize>,
    asked: HashSet<ConnectionId>,
    answered: HashSet<ConnectionId>,
    /// They will not answer any more.
    gone: HashSet<ConnectionId>,
    replies: Vec<(String, Reply)>,
    /// Dropped when everybody has answered or is gone.
    waiting: Option<oneshot::Sender<()>>,
}

impl Collector {
    pub(super) fn new() -> (Arc<Collector>, oneshot::Receiver<()>) {
        let (waiting, all_there) = oneshot::channel();
        let state = Mutex::new(Gathered { waiting: Some(waiting), ..Gathered::default() });
        (Arc::new(Collector { state }), all_there)
    }

    /// A client's answer; it may come before its worker has said that it was asked.
    pub(super) fn answer(&self, connection: ConnectionId, id: &str, arguments: Arguments) {
        let mut state = self.lock();
        let uninvited = state.workers == Some(0) && !state.asked.contains(&connection);
        if !uninvited && state.answered.insert(connection) {
            state.replies.push((id.to_owned(), Reply(arguments)));
            state.finish();
        }
    }

    /// A client has left; it may have been asked, though its worker has not said so yet.
    pub(super) fn gone(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.gone.insert(connection);
        state.finish();
    }

    pub(super) fn take(&self) -> Answers {
        let mut state = self.lock();
        let missing = state.asked.difference(&state.answered).count();
        Answers { replies: std::mem::take(&mut state.replies), missing }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn finish(&mut self) {
        let is_settled = |asked| self.answered.contains(asked) || self.gone.contains(asked);
        if self.workers == Some(0) && self.asked.iter().all(is_settled) {
            self.waiting.take();
        }
    }
}

impl Recipients for Collector {
    fn expect(&self, workers: usize) {
        let mut state = self.lock();
        state.workers = Some(workers);
        state.finish();
    }

    fn given(&self, connections: Vec<ConnectionId>) {
        let mut state = self.lock();
        state.asked.extend(connections);
        state.workers = state.workers.map(|workers| workers.saturating_sub(1));
        state.finish();
    }
}
