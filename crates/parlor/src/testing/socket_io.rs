//! `SocketIoClient`: a test's client of Socket.IO.

use std::collections::VecDeque;
use std::net::SocketAddr;

use parlor_proto::socketio::client::{Entry, ServerDecoder, ServerPacket, enter, split_offset};
use parlor_proto::socketio::{Arguments, encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::clients::{Clients, Heard, Say};
use super::clock::TestClock;
use super::engine_io::{EngineIoClient, EngineIoOptions};
use crate::socketio::Payload;

/// A client of Socket.IO that is to be let into a namespace; over WebSocket, unless it is told otherwise.
#[derive(Debug)]
#[must_use = "nothing is opened before `connect`"]
pub struct SocketIoOptions {
    engine: EngineIoOptions,
    namespace: String,
    auth: Option<Value>,
    lost: Option<Lost>,
}

/// A client in a namespace of Socket.IO, revision 5. It answers pings by itself, and acks when it is told to.
#[derive(Debug)]
pub struct SocketIoClient {
    engine: EngineIoClient,
    decoder: ServerDecoder,
    namespace: String,
    sid: String,
    pid: Option<String>,
    offset: Option<String>,
    recovered: bool,
    next_ack: u64,
    events: VecDeque<Event>,
    acks: VecDeque<(u64, Arguments)>,
    over: Option<String>,
}

/// What a client needs to come back to where it was.
#[derive(Clone, Debug)]
pub struct Lost {
    sid: String,
    pid: Option<String>,
    offset: Option<String>,
}

/// The namespace refuses.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The sentence.
    pub message: String,
    /// What stands beside it.
    pub data: Option<Value>,
}

/// An event that a client has got. It equals a pair of its name and its list of arguments.
#[derive(Clone, Debug)]
pub struct Event {
    /// Such as `message`.
    pub name: String,
    /// The list of arguments; a placeholder stands for bytes, which [`Event::read`] reads.
    pub arguments: Value,
    raw: Arguments,
    ack: Option<u64>,
}

impl Event {
    /// Reads the arguments: a tuple from all of them, any other type from the first. [`Binary`](crate::Binary) takes bytes.
    ///
    /// # Panics
    /// They are something else; the sentence has them.
    pub fn read<T: DeserializeOwned>(&self) -> T {
        self.raw.to_value().unwrap_or_else(|error| panic!("{error}: {}{}", self.name, self.arguments))
    }

    /// Whether the server wants an ack.
    pub fn wants_ack(&self) -> bool {
        self.ack.is_some()
    }
}

impl PartialEq<(&str, Value)> for Event {
    fn eq(&self, other: &(&str, Value)) -> bool {
        self.name == other.0 && self.arguments == other.1
    }
}

impl SocketIoOptions {
    pub(super) fn new(clients: Clients, clock: TestClock, address: SocketAddr, namespace: &str) -> Self {
        let engine = EngineIoOptions::new(clients, clock, address, "/socket.io");
        SocketIoOptions { engine, namespace: namespace.to_owned(), auth: None, lost: None }
    }

    /// What is shown at the door: an object.
    pub fn auth(mut self, auth: Value) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Over long polling.
    pub fn polling(mut self) -> Self {
        self.engine = self.engine.polling();
        self
    }

    /// A header of each request, such as `Cookie`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.engine = self.engine.header(name, value);
        self
    }

    /// As somebody who was here before; see [`SocketIoClient::recovered`].
    pub fn recover(mut self, lost: Lost) -> Self {
        self.lost = Some(lost);
        self
    }

    /// Connects, and enters the namespace.
    ///
    /// # Panics
    /// The server refuses, or says nothing.
    pub async fn connect(self) -> SocketIoClient {
        let namespace = self.namespace.clone();
        match self.try_connect().await {
            Ok(client) => client,
            Err(Refused { message, data }) => {
                panic!("the namespace {namespace} refuses: {message}, with {data:?}")
            }
        }
    }

    /// Connects, and enters the namespace or is refused.
    ///
    /// # Errors
    /// The namespace refuses.
    ///
    /// # Panics
    /// It says nothing, or something else.
    pub async fn try_connect(self) -> Result<SocketIoClient, Refused> {
        let SocketIoOptions { engine, namespace, auth, lost } = self;
        let mut engine = engine.connect().await;
        let mut decoder = ServerDecoder::default();
        let mut packet = Vec::new();
        let auth = auth.map(|auth| auth.to_string());
        let (pid, offset) =
            lost.as_ref().map_or((None, None), |lost| (lost.pid.as_deref(), lost.offset.as_deref()));
        enter(&mut packet, &namespace, Entry { auth: auth.as_deref(), pid, offset });
        say(&mut engine, packet, &Arguments::default()).await;
        match take(&mut engine, &mut decoder, "the answer of the namespace").await {
            Taken::Packet(ServerPacket::Connect { sid, pid, .. }) => {
                let recovered = lost.as_ref().is_some_and(|lost| lost.sid == sid);
                Ok(SocketIoClient {
                    offset: lost.filter(|_| recovered).and_then(|lost| lost.offset),
                    engine,
                    decoder,
                    namespace,
                    sid,
                    pid,
                    recovered,
                    next_ack: 0,
                    events: VecDeque::new(),
                    acks: VecDeque::new(),
                    over: None,
                })
            }
            Taken::Packet(ServerPacket::ConnectError { message, data, .. }) => {
                let data = data.and_then(|data| serde_json::from_str(&data).ok());
                Err(Refused { message, data })
            }
            taken => panic!("the answer of the namespace {namespace} was awaited, and this came: {taken:?}"),
        }
    }
}

impl SocketIoClient {
    /// The socket's id.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Whether the server has given back what it was, and all that it missed.
    pub fn recovered(&self) -> bool {
        self.recovered
    }

    /// Pings that it has got.
    pub fn pings(&self) -> u64 {
        self.engine.pings()
    }

    /// Emits an event: a tuple for several arguments, `&()` for none. Returns when it is written.
    ///
    /// # Panics
    /// `arguments` cannot be written.
    pub async fn emit(&mut self, name: &str, arguments: &impl Payload) {
        self.send_event(name, None, arguments).await;
    }

    /// Emits an event, and gives the list of arguments of its ack. Events that come meanwhile are kept.
    ///
    /// # Panics
    /// No ack comes.
    pub async fn ask(&mut self, name: &str, arguments: &impl Payload) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        self.send_event(name, Some(id), arguments).await;
        let wanted = format!("the ack of {name}");
        loop {
            if let Some(at) = self.acks.iter().position(|(ack, _)| *ack == id) {
                return list(&self.acks.remove(at).unwrap_or_default().1);
            }
            self.hear(&wanted).await;
            if let Some(reason) = &self.over {
                panic!("{wanted} was awaited, and the connection ended: {reason}{}", self.kept());
            }
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// None comes, or the connection ends instead.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Some(reason) = &self.over {
                panic!("an event was awaited, and the connection ended: {reason}");
            }
            self.hear("an event").await;
        }
    }

    /// Panics if an event has come, or the end, or comes without time going by.
    ///
    /// # Panics
    /// As it says.
    pub async fn nothing(&mut self) {
        self.engine.clock.settle().await;
        while let Some(heard) = self.engine.link.now() {
            let taken = decode(&mut self.decoder, heard);
            self.keep(taken);
        }
        if let Some(event) = self.events.front() {
            panic!("nothing should come, and this event came: {}{}", event.name, event.arguments);
        }
        if let Some(reason) = &self.over {
            panic!("nothing should come, and the connection ended: {reason}");
        }
    }

    /// Answers an event that wants it.
    ///
    /// # Panics
    /// The event wants no ack, or `arguments` cannot be written.
    pub async fn ack(&mut self, event: &Event, arguments: &impl Payload) {
        let id = event.ack.unwrap_or_else(|| panic!("the event {} wants no ack", event.name));
        let arguments = written(arguments);
        let mut packet = Vec::new();
        encode::ack(&mut packet, &self.namespace, id, &arguments);
        say(&mut self.engine, packet, &arguments).await;
    }

    /// Waits for the end, which is not this client's doing, and gives the reason as stock clients name it:
    /// `io server disconnect`, `transport close`, `transport error`. Events that come before are kept.
    ///
    /// # Panics
    /// No end comes.
    pub async fn disconnected(&mut self) -> String {
        while self.over.is_none() {
            let wanted = format!("the end of the connection{}", self.kept());
            self.hear(&wanted).await;
        }
        self.over.clone().unwrap_or_default()
    }

    /// Leaves the namespace and closes, and returns when the server has handled it.
    pub async fn disconnect(mut self) {
        let mut packet = Vec::new();
        encode::disconnect(&mut packet, &self.namespace);
        say(&mut self.engine, packet, &Arguments::default()).await;
        self.engine.close().await;
    }

    /// Breaks the connection without a word, and returns when the server has noticed. What it returns is for
    /// [`SocketIoOptions::recover`]; events that the test has not taken count as heard.
    pub async fn lose(mut self) -> Lost {
        self.engine.clock.settle().await;
        while let Some(heard) = self.engine.link.now() {
            let taken = decode(&mut self.decoder, heard);
            self.keep(taken);
        }
        self.engine.lose().await;
        Lost { sid: self.sid, pid: self.pid, offset: self.offset }
    }

    /// From here on reads nothing, and polls no more: no event is heard, no ping answered.
    pub async fn stop_reading(&mut self) {
        self.engine.stop_reading().await;
    }

    /// Reads again, what has piled up first.
    pub async fn go_on_reading(&mut self) {
        self.engine.go_on_reading().await;
    }

    async fn send_event(&mut self, name: &str, id: Option<u64>, arguments: &impl Payload) {
        let arguments = written(arguments);
        let mut packet = Vec::new();
        encode::event(&mut packet, &self.namespace, id, name, &arguments, None);
        say(&mut self.engine, packet, &arguments).await;
    }

    async fn hear(&mut self, wanted: &str) {
        let taken = take(&mut self.engine, &mut self.decoder, wanted).await;
        self.keep(taken);
    }

    fn keep(&mut self, taken: Taken) {
        match taken {
            Taken::Half => {}
            Taken::Packet(ServerPacket::Event { id, event: name, mut arguments, .. }) => {
                if self.pid.is_some() && id.is_none() {
                    let (rest, offset) = split_offset(arguments);
                    arguments = rest;
                    self.offset = offset.or_else(|| self.offset.take());
                }
                let list = list(&arguments);
                self.events.push_back(Event { name, arguments: list, raw: arguments, ack: id });
            }
            Taken::Packet(ServerPacket::Ack { id, arguments, .. }) => self.acks.push_back((id, arguments)),
            Taken::Packet(ServerPacket::Disconnect { .. }) => {
                self.over = Some("io server disconnect".to_owned());
            }
            Taken::Over(reason) => self.over = self.over.take().or(Some(reason)),
            Taken::Packet(packet) => panic!("a server does not say this to somebody who is in: {packet:?}"),
        }
    }

    /// What has come and nobody has asked for, for a sentence.
    fn kept(&self) -> String {
        let names: Vec<_> = self.events.iter().map(|event| event.name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!(" (these events came: {})", names.join(", ")) }
    }
}

#[derive(Debug)]
enum Taken {
    Packet(ServerPacket),
    /// Its attachments follow.
    Half,
    Over(String),
}

async fn take(engine: &mut EngineIoClient, decoder: &mut ServerDecoder, wanted: &str) -> Taken {
    loop {
        match decode(decoder, engine.link.next(wanted).await) {
            Taken::Half => {}
            taken => return taken,
        }
    }
}

fn decode(decoder: &mut ServerDecoder, heard: Heard) -> Taken {
    let packet = match &heard {
        Heard::Text(text) => decoder.receive_text(text),
        Heard::Binary(bytes) => decoder.receive_binary(bytes.clone().into()),
        Heard::Closed { reason, .. } => return Taken::Over(reason.clone()),
    };
    match packet {
        Ok(packet) => packet.map_or(Taken::Half, Taken::Packet),
        Err(error) => panic!("the server does not speak Socket.IO ({error}): {heard:?}"),
    }
}

async fn say(engine: &mut EngineIoClient, packet: Vec<u8>, arguments: &Arguments) {
    engine.link.say(Say::Text(String::from_utf8(packet).expect("packets are text"))).await;
    for attachment in arguments.attachments() {
        engine.link.say(Say::Binary(attachment.to_vec())).await;
    }
}

fn written(arguments: &impl Payload) -> Arguments {
    arguments.to_arguments().unwrap_or_else(|error| panic!("this cannot be sent: {error}"))
}

fn list(arguments: &Arguments) -> Value {
    serde_json::from_str(&format!("[{}]", arguments.text())).unwrap_or_default()
}
