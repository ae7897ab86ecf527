//! `Consumer`: a connection as an object with a method for everything that can happen to it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;

use parlor_proto::codes::Refusal;
use parlor_proto::limits::ROOMS_PER_CONNECTION;
use serde::Serialize;

use crate::groups::GroupEvent;
use crate::pipe::Input;
use crate::rooms::{Rooms, too_many};
use crate::websocket::{Closed, Message, WebSocket};

/// What happens on one connection; each connection has a consumer of its own. Write the methods as `async fn`; those
/// that are left out do nothing.
///
/// One method runs at a time, in the order in which things happened. While it waits, up to 64 messages and 4,096 group
/// events (or 1 MB of them) wait for it; then reading from the client stops, and a consumer that group events find that
/// far behind is closed with 4008. A method that panics closes the connection with 1011; no other one is called then.
///
/// ```
/// use parlor::{Channel, Consumer, GroupEvent, Message, Server};
///
/// struct Chat;
///
/// impl Consumer for Chat {
///     async fn connect(&mut self, cx: &mut Channel) {
///         cx.group_add("lobby").expect("one group is not too many");
///     }
///
///     async fn receive(&mut self, cx: &mut Channel, message: Message) {
///         if let Message::Text(text) = message {
///             let _ = cx.group_send("lobby", "chat.message", &text);
///         }
///     }
///
///     async fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) {
///         if let ("chat.message", Ok(text)) = (event.kind(), event.data::<String>()) {
///             let _ = cx.send(text).await;
///         }
///     }
/// }
///
/// let mut server = Server::new();
/// server.consumer("/chat/", || Chat);
/// ```
pub trait Consumer: Send + 'static {
    /// The connection is open.
    fn connect(&mut self, cx: &mut Channel) -> impl Future<Output = ()> + Send {
        let _ = cx;
        std::future::ready(())
    }

    /// A message of the client, text or binary.
    fn receive(&mut self, cx: &mut Channel, message: Message) -> impl Future<Output = ()> + Send {
        let _ = (cx, message);
        std::future::ready(())
    }

    /// Something that a group is told which this consumer has joined. [`GroupEvent::kind`] says what it is.
    fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) -> impl Future<Output = ()> + Send {
        let _ = (cx, event);
        std::future::ready(())
    }

    /// The connection is over, whoever ended it: `code` is of RFC 6455 section 7.4, 1006 if it broke. It has left its
    /// groups and rooms; the last thing to be called.
    fn disconnect(&mut self, cx: &mut Channel, code: u16) -> impl Future<Output = ()> + Send {
        let _ = (cx, code);
        std::future::ready(())
    }
}

/// A consumer's connection and its groups.
pub struct Channel {
    socket: WebSocket,
    rooms: Rooms,
    /// Invariant: at most [`ROOMS_PER_CONNECTION`], each once.
    groups: Vec<Box<str>>,
    closing: bool,
}

impl Channel {
    /// Sends the client a message: text, bytes or a [`Message`]. Waits as [`WebSocket::send`] does.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        self.socket.send(message.into()).await
    }

    /// Closes with a code of RFC 6455 section 7.4 or from 4000 to 4999, and a reason of at most 123 bytes. Nothing more
    /// is received, and [`Consumer::disconnect`] follows.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.closing = true;
        self.socket.pipe.close(code, reason);
    }

    /// From here on this consumer gets what the group is told.
    ///
    /// # Errors
    /// `too_many_rooms` at 128 groups.
    pub fn group_add(&mut self, group: &str) -> Result<(), Refusal> {
        if self.groups.iter().any(|joined| **joined == *group) {
            return Ok(());
        }
        if self.groups.len() >= ROOMS_PER_CONNECTION {
            return Err(too_many("groups"));
        }
        self.groups.push(group.into());
        self.rooms.groups().add(group, &self.socket.pipe);
        Ok(())
    }

    /// From here on it does not; events that are under way already still come.
    pub fn group_discard(&mut self, group: &str) {
        if let Some(at) = self.groups.iter().position(|joined| **joined == *group) {
            self.groups.swap_remove(at);
            self.rooms.groups().discard(group, &self.socket.pipe);
        }
    }

    /// Has every consumer in the group handle an event, this one too if it is a member: in the same order everywhere.
    /// Nobody is waited for.
    ///
    /// # Errors
    /// `bad_message` if `value` cannot be written as JSON.
    pub fn group_send<T: Serialize + ?Sized>(
        &self,
        group: &str,
        kind: &str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.rooms.group_send(group, kind, value)
    }

    /// Consumers that are in the group.
    pub fn group_count(&self, group: &str) -> usize {
        self.rooms.group_count(group)
    }

    /// The connection itself: its request, and its rooms.
    pub fn socket(&self) -> &WebSocket {
        &self.socket
    }

    fn leave_groups(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            self.rooms.groups().discard(&group, &self.socket.pipe);
        }
    }
}

impl Drop for Channel {
    /// Also when a method panics.
    fn drop(&mut self) {
        self.leave_groups();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Calls a consumer's methods until its connection is over.
pub(crate) async fn run<C: Consumer>(mut consumer: C, socket: WebSocket, rooms: Rooms) {
    let pipe = Arc::clone(&socket.pipe);
    let mut cx = Channel { socket, rooms, groups: Vec::new(), closing: false };
    consumer.connect(&mut cx).await;
    while let Some(input) = poll_fn(|task| pipe.poll_recv(task)).await {
        match input {
            _ if cx.closing => {}
            Input::Message(message) => consumer.receive(&mut cx, message).await,
            Input::Event(event) => consumer.group_event(&mut cx, event).await,
        }
    }
    cx.leave_groups();
    let code = cx.socket.closed().map_or(1006, |closed| closed.code);
    consumer.disconnect(&mut cx, code).await;
}
