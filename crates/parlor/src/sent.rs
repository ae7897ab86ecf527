//! `Sent`: what became of a message, and the one way in which the application hands one to the hub.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parlor_hub::command::Publish;
use parlor_hub::publish::Publisher;
use parlor_hub::{ConnectionId, Delivery, Form, Hub};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::socketio::Arguments;
use tokio::sync::oneshot;

use crate::clock::now;

/// What became of a message: a future that need not be awaited, for the message takes its place without. It is ready
/// when the message has its place, and is kept if its room keeps messages.
///
/// # Errors
/// `unavailable` while the server does not listen or ends, `busy` while it is behind with its deliveries, `bad_message`
/// if the value cannot be written as JSON; with a store also what the store says.
pub struct Sent(Outcome);

enum Outcome {
    Known(Result<(), Refusal>),
    Waiting(oneshot::Receiver<Result<(), Refusal>>),
}

/// A message of the application.
pub(crate) struct Message<'m> {
    pub(crate) room: RoomName,
    /// `None`: the usual one.
    pub(crate) event: Option<&'m str>,
    pub(crate) arguments: &'m Arguments,
    pub(crate) store: bool,
    pub(crate) delivery: Option<Box<Delivery>>,
}

impl Sent {
    pub(crate) fn done() -> Sent {
        Sent(Outcome::Known(Ok(())))
    }

    pub(crate) fn refused(refusal: Refusal) -> Sent {
        Sent(Outcome::Known(Err(refusal)))
    }

    /// Publishes; `from` is left out.
    pub(crate) fn publish(hub: &Arc<Hub>, from: Option<ConnectionId>, message: Message<'_>) -> Sent {
        let Message { room, event, arguments, store, delivery } = message;
        let (data, form) = Form::of(arguments);
        let (event, author, to, key) = (event.map(Arc::from), None, None, None);
        let publish = Publish { room, event, data, form, author, to, key, echo: true, store, delivery };
        let (told, done) = oneshot::channel();
        // Whoever asked may not want to know.
        let told = Box::new(move |result: Result<_, Refusal>| drop(told.send(result.map(drop))));
        hub.publish(Publisher::Application(from), publish, now(hub), told);
        Sent(Outcome::Waiting(done))
    }
}

impl Future for Sent {
    type Output = Result<(), Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = |_| Err(Refusal::new(Code::Unavailable, "the server ended before this had its place"));
        match &mut self.0 {
            Outcome::Known(result) => Poll::Ready(result.clone()),
            Outcome::Waiting(done) => Pin::new(done).poll(cx).map(|result| result.unwrap_or_else(ended)),
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").finish_non_exhaustive()
    }
}
