//! `NamespaceHandler`: a namespace whose handlers are the methods of one type.

use std::future::{Future, ready};
use std::sync::Arc;

use super::ack::Ack;
use super::extract::{EventName, Reason, Rest};
use super::namespace::{ConnectRefused, Namespace};
use super::socket::Socket;

/// What a class-based namespace does: one value serves all of its clients, so that what belongs to one client is kept
/// with [`Socket::set`]. Every method may be left out, and those that are there may be written as `async fn`.
///
/// ```no_run
/// use parlor::{Ack, NamespaceHandler, Rest, Server, Socket};
///
/// struct Test;
///
/// impl NamespaceHandler for Test {
///     async fn on_event(&self, socket: Socket, event: &str, data: Rest, _ack: Ack) {
///         match event {
///             "my_event" => drop(socket.namespace().emit("my_response", &data)),
///             _ => {}
///         }
///     }
/// }
///
/// let mut server = Server::new();
/// server.namespace("/test").class(Test);
/// ```
pub trait NamespaceHandler: Send + Sync + 'static {
    /// Somebody wants to enter. What it joins and emits takes effect once the client is in. Lets everybody in.
    ///
    /// # Errors
    /// The client is not let in, and this is what it is told.
    fn on_connect(&self, socket: Socket) -> impl Future<Output = Result<(), ConnectRefused>> + Send {
        drop(socket);
        ready(Ok(()))
    }

    /// A client has emitted an event. Ignores it; a client that waits for an ack gets none then.
    fn on_event(&self, socket: Socket, event: &str, data: Rest, ack: Ack) -> impl Future<Output = ()> + Send {
        drop((socket, event, data, ack));
        ready(())
    }

    /// A client has left, for one of upstream's reasons: `transport close`, `client namespace disconnect` and so on.
    fn on_disconnect(&self, socket: Socket, reason: &'static str) -> impl Future<Output = ()> + Send {
        let _ = (socket, reason);
        ready(())
    }
}

impl Namespace {
    /// Hands everything that happens in the namespace to the methods of one value, in place of [`Namespace::on_connect`]
    /// and [`Namespace::on_disconnect`]. An event that has a handler of its own, set with [`Namespace::on`], goes to that
    /// one and not to [`NamespaceHandler::on_event`].
    pub fn class(self, handler: impl NamespaceHandler) -> Namespace {
        let handler = Arc::new(handler);
        let (connect, disconnect) = (Arc::clone(&handler), Arc::clone(&handler));
        self.on_connect(move |socket: Socket| {
            let handler = Arc::clone(&connect);
            async move { handler.on_connect(socket).await }
        })
        .otherwise(move |socket: Socket, EventName(event): EventName, data: Rest, ack: Ack| {
            let handler = Arc::clone(&handler);
            async move { handler.on_event(socket, &event, data, ack).await }
        })
        .on_disconnect(move |socket: Socket, Reason(reason): Reason| {
            let handler = Arc::clone(&disconnect);
            async move { handler.on_disconnect(socket, reason).await }
        })
    }
}
