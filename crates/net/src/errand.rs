//! `Errands`: what tasks and other threads ask of a worker besides the hub's mail.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use parlor_hub::ConnectionId;
use parlor_proto::engineio::Revision;
use tokio::sync::{Notify, oneshot};

use crate::engineio::{Body, EngineIo, Opened, Poll};
use crate::takeover::{Taken, Unattached};

pub(crate) enum Errand {
    /// A socket to own from now on.
    Adopt(Box<Taken>),
    /// A future of this connection can go on.
    Poll(ConnectionId),
    /// What a request of a polling client asks.
    EngineIo(Box<Ask>),
    /// Memory is short: end the connection for which the most waits.
    CutSlowest,
    /// Say goodbye to everyone and end.
    Stop,
}

/// What Engine.IO's requests ask of the worker that owns the session.
pub(crate) enum Ask {
    /// A new session; the answer is its first packet and its id.
    Open {
        opened: Box<Unattached>,
        settings: EngineIo,
        revision: Revision,
        b64: bool,
        answer: oneshot::Sender<Opened>,
    },
    /// What waits, or what comes.
    Poll { connection: ConnectionId, poll: Poll },
    /// Packets.
    Post { connection: ConnectionId, body: Body },
    /// The request for what comes has ended unanswered.
    Gone(ConnectionId),
}

/// A worker's queue of errands and the bell that wakes it.
pub(crate) struct Errands {
    worker: u16,
    /// `None` once the worker has ended: what comes then is dropped, and so answered.
    queue: Mutex<Option<Vec<Errand>>>,
    bell: Notify,
}

thread_local! {
    /// The worker whose turn is running on this thread: it looks into its queues before it sleeps, so nobody needs
    /// to wake it.
    static IN_TURN: Cell<Option<u16>> = const { Cell::new(None) };
}

impl Errands {
    pub(crate) fn new(worker: u16) -> Arc<Errands> {
        Arc::new(Errands { worker, queue: Mutex::new(Some(Vec::new())), bell: Notify::new() })
    }

    pub(crate) fn push(&self, errand: Errand) {
        if let Some(queue) = &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            queue.push(errand);
        }
        self.ring();
    }

    /// Makes the worker take a turn.
    pub(crate) fn ring(&self) {
        if IN_TURN.get() != Some(self.worker) {
            self.bell.notify_one();
        }
    }

    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn swap(&self, empty: &mut Vec<Errand>) {
        if let Some(queue) = &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            std::mem::swap(queue, empty);
        }
    }

    /// The worker has ended.
    pub(crate) fn end(&self) {
        let left = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(left);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Marks this thread as inside a turn while `turn` runs.
    pub(crate) fn in_turn<T>(&self, turn: impl FnOnce() -> T) -> T {
        IN_TURN.set(Some(self.worker));
        let result = turn();
        IN_TURN.set(None);
        result
    }

    pub(crate) fn waker(self: &Arc<Self>, connection: ConnectionId) -> Waker {
        Waker::from(Arc::new(ConnectionWaker { errands: Arc::clone(self), connection }))
    }
}

struct ConnectionWaker {
    errands: Arc<Errands>,
    connection: ConnectionId,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.errands.push(Errand::Poll(self.connection));
    }
}
