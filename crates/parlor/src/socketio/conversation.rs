//! `Conversation`: one connection that speaks Socket.IO, with its sockets in namespaces and the handlers that run for
//! them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor_hub::{Reply, Ticket};
use parlor_net::{Context, Incoming, Opening};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::engineio::Revision;
use parlor_proto::limits::PENDING_CALLS;
use parlor_proto::socketio::{Arguments, Decoder, MAIN, Packet, ParseError, msgpack};
use tokio::time::Sleep;

use super::ack::Ack;
use super::entry::{Entering, Recalling};
use super::extract::Event;
use super::handler::{Deciding, Running};
use super::handshake::Handshake;
use super::namespace::Namespace;
use super::options::{Parser, SocketIoOptions};
use super::registry::Registry;
use super::socket::Socket;

/// A connection and everything that runs for it.
pub(crate) struct Conversation {
    pub(super) registry: Arc<Registry>,
    pub(super) parser: Parser,
    pub(super) revision: Revision,
    pub(super) handshake: Arc<Handshake>,
    decoder: Decoder,
    /// Those that are in.
    pub(super) members: Vec<Socket>,
    pub(super) entering: Vec<Entering>,
    /// Those of whom it is not known yet what they have to be given again.
    pub(super) recalling: Vec<Recalling>,
    tasks: Vec<Task>,
    /// Namespaces that this side has put the client out of, and that it has not entered again.
    pub(super) put_out: Vec<String>,
    next_ticket: u64,
    /// When a client that has entered nothing is sent away.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    /// Why it ends, if that is our doing.
    ending: Option<&'static str>,
}

/// Something that goes on for the connection.
pub(super) enum Task {
    /// A handler, and the event that it is for.
    Handle(Running, String),
    /// Whether a client may enter.
    Decide(Deciding, Socket),
    /// The same for one that has come back, and is in already.
    Greet(Deciding, Socket),
}

/// A handler that holds its worker for so long is named in the log: nobody else on that worker is served meanwhile.
const BLOCKING: Duration = Duration::from_millis(100);

impl Conversation {
    pub(crate) fn new(registry: Arc<Registry>, options: SocketIoOptions, opening: &Opening) -> Conversation {
        let handshake = Handshake::new(&opening.uri, &opening.headers, opening.address, opening.now);
        Conversation {
            registry,
            parser: options.parser,
            revision: opening.revision.unwrap_or(Revision::V4),
            handshake: Arc::new(handshake),
            decoder: Decoder::default(),
            members: Vec::new(),
            entering: Vec::new(),
            recalling: Vec::new(),
            tasks: Vec::new(),
            put_out: Vec::new(),
            next_ticket: 0,
            deadline: Some(Box::pin(tokio::time::sleep(options.connect_timeout))),
            ending: None,
        }
    }

    /// All sockets, those that are entering too.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        let deciding = self.tasks.iter().filter_map(|task| match task {
            Task::Decide(_, socket) => Some(socket),
            _ => None,
        });
        self.members.iter().chain(self.entering.iter().map(Entering::socket)).chain(deciding)
    }

    /// Where it is, or will be.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.sockets().map(Socket::namespace).chain(self.recalling.iter().map(Recalling::namespace))
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn take(&mut self, packet: Packet, cx: &mut Context<'_>) -> Result<(), ParseError> {
        match packet {
            Packet::Connect { namespace, auth } => {
                // Clients of Socket.IO 2 put a query behind the name.
                let (name, query) = namespace.split_once('?').unwrap_or((&namespace, ""));
                let auth = auth.or_else(|| of_query(query));
                if self.namespaces().any(|namespace| namespace.name() == name) {
                    return Err(ParseError::BadNamespace);
                }
                self.enter(name, auth.map(Box::new), cx);
            }
            Packet::Disconnect { namespace } => {
                if let Some(socket) = self.addressed(&namespace)? {
                    self.leave(&socket, "client namespace disconnect", cx);
                }
            }
            Packet::Event { namespace, id, event, arguments } => {
                if let Some(socket) = self.addressed(&namespace)? {
                    socket.set_polling(cx.is_polling());
                    self.handle(&socket, id, event, &arguments, cx);
                }
            }
            Packet::Ack { namespace, id, arguments } => {
                if let Some(socket) = self.addressed(&namespace)? {
                    socket.answered(id, arguments);
                }
            }
        }
        Ok(())
    }

    /// The socket that a packet is for; `None`: it has just been put out, and the packet was on its way.
    fn addressed(&self, namespace: &str) -> Result<Option<Socket>, ParseError> {
        let member = self.members.iter().find(|socket| socket.namespace().name() == namespace);
        match member {
            Some(socket) => Ok(Some(socket.clone())),
            None if self.put_out.iter().any(|name| name == namespace) => Ok(None),
            None => Err(ParseError::BadNamespace),
        }
    }

    /// Calls the handlers of an event.
    fn handle(
        &mut self,
        socket: &Socket,
        mut ack: Option<u64>,
        name: String,
        arguments: &Arguments,
        cx: &mut Context<'_>,
    ) {
        for handler in socket.namespace().event_handlers(&name) {
            let (socket, arguments) = (socket.clone(), arguments.clone());
            let mut event = Event { socket, name: name.clone(), arguments, ack, reason: "" };
            match handler.call(&mut event) {
                Ok(running) => {
                    ack = event.ack;
                    self.start(Task::Handle(running, name.clone()), cx);
                }
                Err(error) => {
                    tracing::debug!(%error, event = name, "an event does not carry what its handler wants");
                    let wanted = event.ack.or(ack).map(|id| (event.socket, id));
                    let message = error.to_string();
                    let error =
                        serde_json::json!({ "type": "error", "code": "bad_message", "message": message });
                    Ack::new(wanted).send(&error);
                    ack = None;
                }
            }
        }
    }

    /// A socket is out of its namespace; the connection stays.
    fn leave(&mut self, socket: &Socket, reason: &'static str, cx: &mut Context<'_>) {
        self.members.retain(|member| !member.is(socket));
        socket.namespace().shared.recovery.forget(socket, cx.now());
        self.leave_everybody(socket, cx);
        if let Some(running) = disconnected(socket, reason) {
            self.start(Task::Handle(running, "disconnect".into()), cx);
        }
    }

    /// Begins something: it is polled once before anything later is.
    pub(super) fn start(&mut self, task: Task, cx: &mut Context<'_>) {
        if let Some(task) = self.poll_task(task, cx) {
            self.tasks.push(task);
        }
        cx.pause_reading(self.tasks.len() >= PENDING_CALLS);
    }

    /// Polls a task once; gives it back if it is not done.
    fn poll_task(&mut self, mut task: Task, cx: &mut Context<'_>) -> Option<Task> {
        let waker = cx.waker();
        let mut context = task::Context::from_waker(&waker);
        let started = Instant::now();
        // A panic ends this connection and nothing else; the hook has reported it.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| match &mut task {
            Task::Handle(running, _) => running.as_mut().poll(&mut context).map(Ok),
            Task::Decide(deciding, _) | Task::Greet(deciding, _) => deciding.as_mut().poll(&mut context),
        }));
        let held = started.elapsed();
        if held >= BLOCKING {
            let (name, ms) = (task.name(), held.as_millis());
            tracing::warn!(
                handler = name,
                "a handler held its worker for {ms} ms; use spawn_blocking for long work"
            );
        }
        let Ok(polled) = polled else {
            self.ending = Some("forced close");
            cx.close(CloseCode::INTERNAL, "a handler failed");
            return None;
        };
        let Poll::Ready(result) = polled else { return Some(task) };
        match task {
            Task::Handle(..) => {}
            Task::Decide(_, socket) => self.decided(socket, result, cx),
            Task::Greet(_, socket) => {
                if result.is_err() {
                    socket.disconnect();
                }
            }
        }
        None
    }

    fn fail(&mut self, error: &ParseError, cx: &mut Context<'_>) {
        tracing::debug!(%error, "a client does not speak Socket.IO");
        self.ending = Some("parse error");
        cx.close(CloseCode::BAD_REQUESTS, "parse error");
    }

    fn read(&mut self, message: Incoming<'_>) -> Result<Option<Packet>, ParseError> {
        match (self.parser, message) {
            (Parser::Json, Incoming::Text(text)) => self.decoder.receive_text(text),
            (Parser::Json, Incoming::Binary(data)) => {
                self.decoder.receive_binary(Bytes::copy_from_slice(data))
            }
            (Parser::Msgpack, Incoming::Binary(data)) => msgpack::decode(data).map(Some),
            (Parser::Msgpack, Incoming::Text(_)) => Err(ParseError::Unexpected),
        }
    }
}

impl parlor_net::Conversation for Conversation {
    fn opened(&mut self, cx: &mut Context<'_>) {
        if let Some(deadline) = &mut self.deadline {
            // The timer knows of it once it was polled.
            let _ = deadline.as_mut().poll(&mut task::Context::from_waker(&cx.waker()));
        }
        // Clients of Socket.IO 2 are in the main namespace without a word.
        if self.revision == Revision::V3 {
            let query: BTreeMap<String, String> = self.handshake.queries().collect();
            self.enter(MAIN, Arguments::one(&query).ok().map(Box::new), cx);
        }
    }

    fn receive(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        if self.ending.is_some() {
            return;
        }
        let taken = match self.read(message) {
            Ok(Some(packet)) => self.take(packet, cx),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            self.fail(&error, cx);
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        let place = self.entering.iter().position(|entering| entering.ticket == ticket);
        if let Some(place) = place {
            let entering = self.entering.remove(place);
            self.joined(entering, result, cx);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(first) = self.members.iter().find(|socket| socket.puts_all_out()).cloned() {
            self.members.iter().for_each(Socket::disconnect);
            first.close();
        }
        let put_out: Vec<Socket> =
            self.members.iter().filter(|socket| socket.is_put_out()).cloned().collect();
        for socket in put_out {
            self.put_out.push(socket.namespace().name().to_owned());
            self.leave(&socket, "server namespace disconnect", cx);
        }
        for socket in self.members.iter().filter(|socket| socket.is_to_be_tended()) {
            note_progress(socket, cx);
            socket.keep();
        }
        self.poll_recalling(cx);
        for task in std::mem::take(&mut self.tasks) {
            if let Some(task) = self.poll_task(task, cx) {
                self.tasks.push(task);
            }
        }
        cx.pause_reading(self.tasks.len() >= PENDING_CALLS);
        if let Some(deadline) = &mut self.deadline {
            let late = deadline.as_mut().poll(&mut task::Context::from_waker(&cx.waker())).is_ready();
            if late {
                self.deadline = None;
                self.ending = Some("forced close");
                cx.close(CloseCode::NEVER_AUTHENTICATED, "no namespace was entered in time");
            }
        }
    }

    fn closing(&mut self, code: CloseCode, _retry_after: Option<Duration>, cx: &mut Context<'_>) {
        if code == CloseCode::GOING_AWAY {
            self.ending.get_or_insert("server shutting down");
        }
        // The peer may take its time for its goodbye, or be back on another line already.
        self.members.iter().for_each(|socket| keep_place(socket, cx));
    }

    fn closed(&mut self, _code: u16, reason: &str, cx: &mut Context<'_>) {
        let reason = self.ending.unwrap_or_else(|| known(reason));
        for entering in std::mem::take(&mut self.entering) {
            entering.socket().end();
        }
        for socket in std::mem::take(&mut self.members) {
            keep_place(&socket, cx);
            let reason = if socket.is_put_out() { "server namespace disconnect" } else { reason };
            socket.end();
            if let Some(running) = disconnected(&socket, reason) {
                self.start(Task::Handle(running, "disconnect".into()), cx);
            }
        }
        // What still runs goes on as a task of its own; its acks have been given up.
        for task in std::mem::take(&mut self.tasks) {
            match task {
                Task::Handle(running, _) => drop(tokio::spawn(running)),
                Task::Decide(_, socket) | Task::Greet(_, socket) => drop(socket.end()),
            }
        }
    }
}

impl Task {
    /// What it runs for, for people.
    fn name(&self) -> &str {
        match self {
            Task::Handle(_, event) => event,
            Task::Decide(..) | Task::Greet(..) => "connect",
        }
    }
}

/// Keeps what a client is given again if it comes back, unless it was put out.
fn keep_place(socket: &Socket, cx: &mut Context<'_>) {
    note_progress(socket, cx);
    let recovery = &socket.namespace().shared.recovery;
    match socket.namespace().window() {
        Some(window) if !socket.is_put_out() => recovery.left(socket, window, cx.now()),
        _ => recovery.forget(socket, cx.now()),
    }
}

/// Notes how far a client is in the log of its namespace.
fn note_progress(socket: &Socket, cx: &mut Context<'_>) {
    if socket.pid().is_some()
        && let Some(heard) = cx.heard(&socket.namespace().everybody())
    {
        socket.note(heard);
    }
}

/// The handler of a namespace for somebody who has left it.
fn disconnected(socket: &Socket, reason: &'static str) -> Option<Running> {
    let handler = socket.namespace().disconnect_handler()?;
    let (name, arguments) = ("disconnect".to_owned(), Arguments::default());
    let mut event = Event { socket: socket.clone(), name, arguments, ack: None, reason };
    handler.call(&mut event).inspect_err(|error| tracing::warn!(%error, "on_disconnect was not called")).ok()
}

/// One of upstream's reasons, of which there are few.
fn known(reason: &str) -> &'static str {
    ["transport error", "ping timeout", "parse error", "forced close"]
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("transport close")
}

/// A query as an object.
fn of_query(query: &str) -> Option<Arguments> {
    let fields: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if fields.is_empty() { None } else { Arguments::one(&fields).ok() }
}
