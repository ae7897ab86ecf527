//! Entering a namespace: the handler's decision, coming back, and the answer to the client.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_hub::command::Joined;
use parlor_hub::engine::Begin;
use parlor_hub::{Command, Reply, Ticket, socketio};
use parlor_net::Context;
use parlor_proto::codes::Refusal;
use parlor_proto::engineio::Revision;
use parlor_proto::position::{Position, Since};
use parlor_proto::socketio::{Arguments, MAIN};
use serde::Deserialize;

use super::conversation::{Conversation, Task};
use super::extract::Event;
use super::namespace::{ConnectRefused, Namespace};
use super::options::format;
use super::socket::{New, Socket};
use crate::chat::random;

/// Namespaces that one connection may be in.
const NAMESPACES: usize = 32;

/// A client that waits for the log of its namespace before it is let in.
pub(super) struct Entering {
    pub(super) ticket: Ticket,
    socket: Socket,
    /// It has come back, and this is what it sent.
    returning: Option<Option<Box<Arguments>>>,
}

impl Entering {
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// The fields of `auth` that are Socket.IO's own.
#[derive(Debug, Deserialize)]
struct Returning {
    pid: String,
    /// Of the last event that it got; none if it got none.
    offset: Option<String>,
}

impl Conversation {
    /// A client wants to enter a namespace.
    pub(super) fn enter(&mut self, name: &str, auth: Option<Box<Arguments>>, cx: &mut Context<'_>) {
        self.put_out.retain(|left| left != name);
        if self.sockets().count() + self.put_out.len() >= NAMESPACES {
            return self.refuse(name, &ConnectRefused::new("too many namespaces"), cx);
        }
        let Some(namespace) = self.registry.find(name) else {
            return self.refuse(name, &ConnectRefused::new("Invalid namespace"), cx);
        };
        if namespace.window().is_some()
            && let Some(returning) = auth.as_deref().and_then(|auth| auth.first().ok())
            && self.come_back(&namespace, &returning, auth.clone(), cx)
        {
            return;
        }
        self.enter_anew(&namespace, auth, cx);
    }

    fn enter_anew(&mut self, namespace: &Namespace, auth: Option<Box<Arguments>>, cx: &mut Context<'_>) {
        let pid = namespace.window().map(|_| secret().into());
        let id = match self.revision {
            Revision::V4 => secret(),
            // Clients of Socket.IO 2 are told no id: they make it of the session's.
            Revision::V3 if namespace.name() == MAIN => cx.connection().to_string(),
            Revision::V3 => format!("{}#{}", namespace.name(), cx.connection()),
        };
        let socket = self.socket(namespace, id.into(), pid, auth, false, cx);
        let handlers = namespace.deciding_handlers();
        if handlers.is_empty() {
            return self.admit(socket, cx);
        }
        let entering = socket.clone();
        let deciding = async move {
            for handler in handlers {
                let deciding = handler.call(&mut connected(&entering));
                deciding.map_err(|error| ConnectRefused::new(error.to_string()))?.await?;
            }
            Ok(())
        };
        self.start(Task::Decide(Box::pin(deciding), socket), cx);
    }

    /// The handler has decided.
    pub(super) fn decided(
        &mut self,
        socket: Socket,
        decision: Result<(), ConnectRefused>,
        cx: &mut Context<'_>,
    ) {
        match decision {
            Ok(()) => self.admit(socket, cx),
            Err(refused) => {
                socket.end();
                self.refuse(socket.namespace().name(), &refused, cx);
            }
        }
    }

    /// Where the namespace recovers, the log says first where it stands.
    fn admit(&mut self, socket: Socket, cx: &mut Context<'_>) {
        if socket.namespace().window().is_some() {
            return self.join_everybody(socket, None, None, cx);
        }
        self.let_in(socket, cx);
    }

    fn join_everybody(
        &mut self,
        socket: Socket,
        begin: Option<Begin>,
        returning: Option<Option<Box<Arguments>>>,
        cx: &mut Context<'_>,
    ) {
        let ticket = self.next_ticket();
        let (room, format) = (socket.namespace().everybody(), Some(socket.format()));
        self.entering.push(Entering { ticket, socket, returning });
        cx.command(ticket, Command::Join { room, begin, format });
    }

    /// Somebody who was here before: the rooms first, so that the replay knows what is for it, then the gap.
    fn come_back(
        &mut self,
        namespace: &Namespace,
        returning: &Returning,
        auth: Option<Box<Arguments>>,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(found) = namespace.shared.recovery.find(&returning.pid, cx.now()) else { return false };
        let since = match &returning.offset {
            None => found.since,
            Some(offset) => match offset.parse::<Position>() {
                Ok(position) => position,
                Err(_) => return false,
            },
        };
        if let Some(old) = found.old.filter(|old| old.connection() != cx.connection()) {
            old.close();
        }
        let pid: Arc<str> = returning.pid.as_str().into();
        let socket = self.socket(namespace, found.id, Some(pid), auth.clone(), true, cx);
        socket.restore(&found.rooms, found.session);
        socket.enter_before();
        self.join_everybody(socket, Some(Begin::Since(Since::Position(since))), Some(auth), cx);
        true
    }

    /// The log has answered.
    pub(super) fn joined(
        &mut self,
        entering: Entering,
        result: Result<Reply, Refusal>,
        cx: &mut Context<'_>,
    ) {
        let Entering { socket, returning, .. } = entering;
        let namespace = socket.namespace().clone();
        let joined = match result {
            Ok(Reply::Joined(joined)) => joined,
            Ok(_) => return,
            Err(refusal) => {
                self.leave_everybody(&socket, cx);
                return self.refuse(namespace.name(), &ConnectRefused::new(refusal.message), cx);
            }
        };
        let Joined { head, lost, messages, .. } = joined;
        match returning {
            // The gap cannot be given whole: none of it is, and it enters like anybody else.
            Some(auth) if lost.is_some() => {
                self.leave_everybody(&socket, cx);
                self.enter_anew(&namespace, auth, cx);
            }
            returning => {
                if let (Some(pid), Some(head)) = (socket.pid(), head) {
                    namespace.shared.recovery.entered(pid, &socket, head.position());
                }
                let format = socket.format();
                let came_back = returning.is_some();
                self.let_in(socket, cx);
                if came_back {
                    cx.send_publications(format, messages);
                }
            }
        }
    }

    /// Takes a socket out of its namespace and all rooms of it.
    pub(super) fn leave_everybody(&mut self, socket: &Socket, cx: &mut Context<'_>) {
        socket.end();
        if socket.namespace().window().is_some() {
            // At once, so that the client may enter again right away.
            let ticket = self.next_ticket();
            cx.command(ticket, Command::Leave { room: socket.namespace().everybody() });
        }
    }

    /// Tells the client that it is in, and then everything that was emitted to it meanwhile.
    fn let_in(&mut self, socket: Socket, cx: &mut Context<'_>) {
        let (namespace, recovered) = (socket.namespace().clone(), socket.recovered());
        let pid = socket.pid().map(|pid| &**pid);
        cx.send_frames(socketio::connect(socket.format(), namespace.name(), socket.id(), pid));
        socket.let_in();
        self.deadline = None;
        self.members.push(socket.clone());
        let Some(handler) = namespace.connect_handler().filter(|handler| !handler.decides || recovered)
        else {
            return;
        };
        match handler.call(&mut connected(&socket)) {
            Ok(running) if handler.decides => self.start(Task::Greet(running, socket), cx),
            Ok(running) => {
                let running = Box::pin(async move { drop(running.await) });
                self.start(Task::Handle(running, "connect".into()), cx);
            }
            Err(error) => tracing::warn!(%error, namespace = namespace.name(), "on_connect was not called"),
        }
    }

    fn refuse(&mut self, name: &str, refused: &ConnectRefused, cx: &mut Context<'_>) {
        let format = format(self.parser, self.revision, false);
        cx.send_frames(socketio::connect_error(format, name, &refused.message, refused.data.as_deref()));
    }

    fn socket(
        &self,
        namespace: &Namespace,
        id: Arc<str>,
        pid: Option<Arc<str>>,
        auth: Option<Box<Arguments>>,
        recovered: bool,
        cx: &mut Context<'_>,
    ) -> Socket {
        let socket = Socket::new(New {
            id,
            namespace: namespace.clone(),
            hub: Arc::clone(cx.hub()),
            connection: cx.connection(),
            format: format(self.parser, self.revision, pid.is_some()),
            handshake: Arc::clone(&self.handshake),
            auth,
            pid,
            recovered,
            waker: cx.waker(),
        });
        socket.set_polling(cx.is_polling());
        socket
    }
}

fn connected(socket: &Socket) -> Event {
    let name = "connect".to_owned();
    Event { socket: socket.clone(), name, arguments: Arguments::default(), ack: None, reason: "" }
}

/// 128 bits that nobody guesses.
fn secret() -> String {
    let random: [u8; 16] = random::bytes();
    URL_SAFE_NO_PAD.encode(random)
}
