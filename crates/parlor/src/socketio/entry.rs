//! Entering a namespace: the handler's decision, coming back, and the answer to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

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
use super::kept;
use super::namespace::{ConnectRefused, Namespace};
use super::options::format;
use super::recovery::{self, Away, Found, Progress, nothing_since, tend_every};
use super::socket::{New, Socket};
use crate::chat::random;

/// Namespaces that one connection may be in.
const NAMESPACES: usize = 32;

/// A client that waits for the log of its namespace before it is let in.
pub(super) struct Entering {
    pub(super) ticket: Ticket,
    socket: Socket,
    returned: Option<Returned>,
}

/// Somebody who has come back.
struct Returned {
    /// What it sent.
    auth: Option<Box<Arguments>>,
    /// How far it is, if the log can give what is behind that.
    progress: Progress,
}

/// Somebody who was here before, or says so: its earlier connection has to end first, or the store is asked.
pub(super) struct Recalling {
    namespace: Namespace,
    auth: Option<Box<Arguments>>,
    returning: Returning,
    found: Pin<Box<dyn Future<Output = Option<Away>> + Send>>,
}

impl Recalling {
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

impl Entering {
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// What somebody who comes back knows.
#[derive(Debug)]
struct Returning {
    pid: Arc<str>,
    /// Of the last event that it got; none if it got none.
    last: Option<Position>,
}

impl Returning {
    /// The fields of `auth` that are Socket.IO's own; `None` if there are none, or they cannot be this server's.
    fn read(auth: Option<&Arguments>) -> Option<Returning> {
        #[derive(Deserialize)]
        struct Fields {
            pid: String,
            offset: Option<String>,
        }
        let Fields { pid, offset } = auth?.first().ok()?;
        let last = offset.map(|offset| offset.parse()).transpose().ok()?;
        Some(Returning { pid: pid.into(), last })
    }
}

impl Conversation {
    /// A client wants to enter a namespace.
    pub(super) fn enter(&mut self, name: &str, auth: Option<Box<Arguments>>, cx: &mut Context<'_>) {
        self.put_out.retain(|left| left != name);
        if self.namespaces().count() + self.put_out.len() >= NAMESPACES {
            return self.refuse(name, &ConnectRefused::new("too many namespaces"), cx);
        }
        let Some(namespace) = self.registry.find(name) else {
            return self.refuse(name, &ConnectRefused::new("Invalid namespace"), cx);
        };
        let returning = namespace.window().and_then(|_| Returning::read(auth.as_deref()));
        let Some(returning) = returning else { return self.enter_anew(&namespace, auth, cx) };
        let (hub, pid, now) = (Arc::clone(cx.hub()), Arc::clone(&returning.pid), cx.now());
        let is_shared = hub.engine().is_shared();
        let found: Pin<Box<dyn Future<Output = Option<Away>> + Send>> =
            match namespace.shared.recovery.find(&pid, now) {
                // It may have been with another process since.
                Some(Found::Away(away)) if is_shared => {
                    Box::pin(kept::get(&hub, namespace.name(), &pid, Some(*away), now))
                }
                Some(Found::Away(away)) => return self.come_back(&namespace, &returning, *away, auth, cx),
                Some(Found::Here(_)) => {
                    let namespace = namespace.clone();
                    Box::pin(async move {
                        let ended = namespace.shared.recovery.find_ended(&pid, &hub).await;
                        match is_shared {
                            true => kept::get(&hub, namespace.name(), &pid, ended, now).await,
                            false => ended,
                        }
                    })
                }
                None if kept::outlives(&hub) => Box::pin(kept::get(&hub, namespace.name(), &pid, None, now)),
                None => return self.enter_anew(&namespace, auth, cx),
            };
        self.recalling.push(Recalling { namespace, auth, returning, found });
        self.poll_recalling(cx);
    }

    /// Goes on with those of whom the store has said what it knows.
    pub(super) fn poll_recalling(&mut self, cx: &mut Context<'_>) {
        for mut recalling in std::mem::take(&mut self.recalling) {
            let waker = cx.waker();
            match recalling.found.as_mut().poll(&mut task::Context::from_waker(&waker)) {
                Poll::Pending => self.recalling.push(recalling),
                Poll::Ready(found) => {
                    let Recalling { namespace, auth, returning, .. } = recalling;
                    match found {
                        Some(away) => self.come_back(&namespace, &returning, away, auth, cx),
                        None => self.enter_anew(&namespace, auth, cx),
                    }
                }
            }
        }
    }

    fn enter_anew(&mut self, namespace: &Namespace, auth: Option<Box<Arguments>>, cx: &mut Context<'_>) {
        let pid = namespace.window().map(|_| secret().into());
        let id = match self.revision {
            Revision::V4 => secret(),
            // Clients of Socket.IO 2 are told no id: they make it of the session's.
            Revision::V3 if namespace.name() == MAIN => cx.connection().to_string(),
            Revision::V3 => format!("{}#{}", namespace.name(), cx.connection()),
        };
        let socket = self.socket(namespace, id.into(), pid, auth, None, cx);
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
            return self.join_everybody(socket, None, cx);
        }
        self.let_in(socket, cx);
    }

    fn join_everybody(&mut self, socket: Socket, returned: Option<Returned>, cx: &mut Context<'_>) {
        let ticket = self.next_ticket();
        let (room, format) = (socket.namespace().everybody(), Some(socket.format()));
        let since = returned.as_ref().map(|returned| returned.progress.heard.passed);
        let begin = since.map(|since| Begin::Since(Since::Position(since)));
        self.entering.push(Entering { ticket, socket, returned });
        cx.command(ticket, Command::Join { room, begin, format });
    }

    /// Somebody who was here before: the rooms first, so that the replay knows what is for it, then the gap.
    fn come_back(
        &mut self,
        namespace: &Namespace,
        returning: &Returning,
        away: Away,
        auth: Option<Box<Arguments>>,
        cx: &mut Context<'_>,
    ) {
        let since = away.progress.since(returning.last);
        let progress = Progress { heard: nothing_since(since), ..away.progress };
        let pid = Some(Arc::clone(&returning.pid));
        let stay = away.stay.saturating_add(1);
        let socket = self.socket(namespace, away.id, pid, auth.clone(), Some(stay), cx);
        socket.restore(&away.rooms, away.session);
        socket.enter_before();
        self.join_everybody(socket, Some(Returned { auth, progress }), cx);
    }

    /// The log has answered.
    pub(super) fn joined(
        &mut self,
        entering: Entering,
        result: Result<Reply, Refusal>,
        cx: &mut Context<'_>,
    ) {
        let Entering { socket, returned, .. } = entering;
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
        match returned {
            // The gap cannot be given whole: none of it is, and it enters like anybody else.
            Some(Returned { auth, .. }) if lost.is_some() => {
                self.leave_everybody(&socket, cx);
                self.enter_anew(&namespace, auth, cx);
            }
            returned => {
                let came_back = returned.is_some();
                let progress = returned.map(|returned| returned.progress);
                let progress = progress.or_else(|| head.map(|head| Progress::new(head.position())));
                if let (Some(pid), Some(progress)) = (socket.pid(), progress) {
                    socket.set_progress(progress);
                    if let Some(other) = namespace.shared.recovery.entered(pid, &socket) {
                        other.close();
                    }
                    tend_from_now_on(&namespace);
                }
                let format = socket.format();
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
        came_back: Option<u32>,
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
            recovered: came_back.is_some(),
            stay: came_back.unwrap_or(0),
            waker: cx.waker(),
        });
        socket.set_polling(cx.is_polling());
        socket
    }
}

/// Has somebody look after those in a namespace who may come back, if nobody does yet.
fn tend_from_now_on(namespace: &Namespace) {
    if let Some(window) = namespace.window().filter(|_| namespace.shared.recovery.begin_tending()) {
        tokio::spawn(recovery::tend(Arc::downgrade(&namespace.shared), tend_every(window)));
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
