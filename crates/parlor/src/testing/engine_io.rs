//! `EngineIoClient`: a test's client of Engine.IO, over WebSocket or polling.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use parlor_proto::socketio::client::Opened;
use parlor_proto::ws::Kind;

use super::clients::{Clients, Ends, Heard, Link, Say};
use super::clock::TestClock;
use super::http::Http;
use super::web_socket::{Target, Ws};
use crate::websocket::Message;

/// A session of Engine.IO that is to be opened; over WebSocket, unless it is told otherwise.
#[derive(Debug)]
#[must_use = "nothing is opened before `connect`"]
pub struct EngineIoOptions {
    pub(super) clients: Clients,
    pub(super) clock: TestClock,
    target: Target,
    polling: bool,
}

/// A session of Engine.IO, revision 4. It answers pings by itself.
///
/// Socket.IO has a client of its own, [`SocketIoClient`](super::SocketIoClient); this one is for routes of
/// [`Server::engine_io`](crate::Server::engine_io), and for clients of Socket.IO that do not do what they should.
#[derive(Debug)]
pub struct EngineIoClient {
    pub(super) link: Link,
    pub(super) clock: TestClock,
    opened: Opened,
    pings: Arc<AtomicU64>,
}

impl EngineIoOptions {
    pub(super) fn new(clients: Clients, clock: TestClock, address: SocketAddr, path: &str) -> Self {
        let path = format!("{}/", path.trim_end_matches('/'));
        let target = Target { address, path, headers: Vec::new(), protocols: Vec::new() };
        EngineIoOptions { clients, clock, target, polling: false }
    }

    /// Over long polling.
    pub fn polling(mut self) -> Self {
        self.polling = true;
        self
    }

    /// A header of each request, such as `Cookie`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.target.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens it.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn connect(self) -> EngineIoClient {
        let EngineIoOptions { clients, clock, mut target, polling } = self;
        let what = format!("a session of Engine.IO at {}", target.path);
        let sep = if target.path.contains('?') { '&' } else { '?' };
        let transport = if polling { "polling" } else { "websocket" };
        target.path = format!("{}{sep}EIO=4&transport={transport}", target.path);
        let pings = Arc::new(AtomicU64::new(0));
        let (link, ends) = clients.link();
        let wire = Wire { ends, pings: Arc::clone(&pings) };
        let on = clients.clone();
        let opened = clients.run(&what, async move {
            if polling {
                open_polling(&on, target, wire).await
            } else {
                open_web_socket(&on, target, wire).await
            }
        });
        match opened.await {
            Ok(opened) => EngineIoClient { link, clock, opened, pings },
            Err(error) => panic!("{what} is refused: {error}"),
        }
    }
}

impl EngineIoClient {
    /// The session's id.
    pub fn sid(&self) -> &str {
        &self.opened.sid
    }

    /// Pings that it has got.
    pub fn pings(&self) -> u64 {
        self.pings.load(Ordering::Relaxed)
    }

    /// Sends a message; returns when it is written, over polling when it is answered.
    pub async fn send(&mut self, message: impl Into<Message>) {
        let say = match message.into() {
            Message::Text(text) => Say::Text(text),
            Message::Binary(bytes) => Say::Binary(bytes.into()),
        };
        self.link.say(say).await;
    }

    /// The next message.
    ///
    /// # Panics
    /// None comes, or the session ends instead.
    pub async fn recv(&mut self) -> Message {
        match self.link.next("a message").await {
            Heard::Text(text) => Message::Text(text),
            Heard::Binary(bytes) => Message::Binary(bytes.into()),
            Heard::Closed { reason, .. } => panic!("a message was awaited, and the session ended: {reason}"),
        }
    }

    /// Waits for the end, which is not this client's doing, and gives the reason as stock clients name it:
    /// `transport close` or `transport error`.
    ///
    /// # Panics
    /// A message comes, or no end.
    pub async fn closed(&mut self) -> String {
        match self.link.next("the end of the session").await {
            Heard::Closed { reason, .. } => reason,
            heard => panic!("the end of the session was awaited, and this came: {heard:?}"),
        }
    }

    /// Says goodbye, and returns when the server has heard it.
    pub async fn close(self) {
        self.link.say(Say::Close(1000, String::new())).await;
        self.clock.settle().await;
    }

    /// Goes without a word, and returns when the server has noticed; over polling, the request that is held is broken off.
    pub async fn lose(self) {
        self.link.say(Say::Lose).await;
        self.clock.settle().await;
    }

    /// From here on reads nothing, and polls no more: no message is heard, no ping answered.
    pub async fn stop_reading(&mut self) {
        self.link.say(Say::Read(false)).await;
    }

    /// Reads again, what has piled up first.
    pub async fn go_on_reading(&mut self) {
        self.link.say(Say::Read(true)).await;
    }
}

/// A client's end, and what it counts.
#[derive(Debug)]
struct Wire {
    ends: Ends,
    pings: Arc<AtomicU64>,
}

/// What a packet asks for.
enum Next {
    Nothing,
    Pong(String),
    Over,
}

const CLOSED: &str = "transport close";

impl Wire {
    fn take(&self, packet: &str) -> Next {
        match packet.split_at_checked(1) {
            Some(("2", rest)) => {
                self.pings.fetch_add(1, Ordering::Relaxed);
                return Next::Pong(format!("3{rest}"));
            }
            Some(("4", message)) if !self.ends.hear(Heard::Text(message.to_owned())) => return Next::Over,
            Some(("1", _)) => return self.over(CLOSED),
            _ => {}
        }
        Next::Nothing
    }

    fn binary(&self, bytes: Vec<u8>) -> Next {
        if self.ends.hear(Heard::Binary(bytes)) { Next::Nothing } else { Next::Over }
    }

    fn over(&self, reason: &str) -> Next {
        self.ends.hear(Heard::Closed { code: 0, reason: reason.to_owned() });
        Next::Over
    }
}

fn opened(packet: &str) -> Result<Opened, String> {
    let open =
        packet.strip_prefix('0').ok_or_else(|| format!("this is no session's beginning: {packet:?}"))?;
    Opened::parse(open).map_err(|error| error.to_string())
}

async fn open_web_socket(clients: &Clients, target: Target, wire: Wire) -> Result<Opened, String> {
    let mut ws = Ws::open(&target).await.map_err(|status| format!("status {status}"))?;
    let opened = match ws.next().await {
        Heard::Text(text) => opened(&text)?,
        heard => return Err(format!("{heard:?}")),
    };
    clients.spawn(pump_web_socket(ws, wire));
    Ok(opened)
}

async fn pump_web_socket(mut ws: Ws, mut wire: Wire) {
    let mut reading = true;
    loop {
        tokio::select! {
            told = wire.ends.told.recv() => {
                let Some((say, done)) = told else { return };
                match say {
                    Say::Text(text) => ws.send(Kind::Text, format!("4{text}").as_bytes()).await,
                    Say::Binary(bytes) => ws.send(Kind::Binary, &bytes).await,
                    Say::Close(code, reason) => {
                        ws.send(Kind::Text, b"1").await;
                        ws.close(code, &reason).await;
                        wire.over(CLOSED);
                        return;
                    }
                    Say::Lose => return,
                    Say::Read(reads) => reading = reads,
                }
                let _ = done.send(());
            }
            heard = ws.next(), if reading => {
                let next = match heard {
                    Heard::Text(packet) => wire.take(&packet),
                    Heard::Binary(bytes) => wire.binary(bytes),
                    Heard::Closed { .. } => wire.over(CLOSED),
                };
                match next {
                    Next::Nothing => {}
                    Next::Pong(pong) => ws.send(Kind::Text, pong.as_bytes()).await,
                    Next::Over => return,
                }
            }
        }
    }
}

async fn open_polling(clients: &Clients, mut target: Target, wire: Wire) -> Result<Opened, String> {
    let mut polls = Http::new(clients.clone(), target.address);
    let answer = polls.send(Method::GET, &target.path, &target.headers, Bytes::new()).await?;
    if answer.status != 200 {
        return Err(format!("status {} and {:?}", answer.status, answer.text()));
    }
    let text = answer.text();
    let mut packets = text.split(SEPARATOR);
    let opened = opened(packets.next().unwrap_or_default())?;
    target.path = format!("{}&sid={}", target.path, opened.sid);
    let posts = Http::new(clients.clone(), target.address);
    clients.spawn(pump_polling(polls, posts, target, wire));
    Ok(opened)
}

/// Between the packets of a payload.
const SEPARATOR: char = '\x1e';

async fn pump_polling(mut polls: Http, mut posts: Http, target: Target, mut wire: Wire) {
    let Target { path, headers, .. } = &target;
    let mut reading = true;
    loop {
        let poll = polls.send(Method::GET, path, headers, Bytes::new());
        tokio::pin!(poll);
        let answer = loop {
            tokio::select! {
                told = wire.ends.told.recv() => {
                    let Some((say, done)) = told else { return };
                    let last = matches!(say, Say::Close(..));
                    let packet = match say {
                        Say::Text(text) => format!("4{text}"),
                        Say::Binary(bytes) => format!("b{}", BASE64_STANDARD.encode(bytes)),
                        Say::Close(..) => "1".to_owned(),
                        Say::Lose => return,
                        Say::Read(reads) => {
                            reading = reads;
                            let _ = done.send(());
                            continue;
                        }
                    };
                    let posted = posts.send(Method::POST, path, headers, packet.into()).await;
                    if last || !posted.is_ok_and(|posted| posted.status == 200) {
                        wire.over(if last { CLOSED } else { "transport error" });
                        return;
                    }
                    let _ = done.send(());
                }
                answer = &mut poll, if reading => break answer,
            }
        };
        let Ok(answer) = answer.map(|answer| (answer.status, answer.text())) else {
            wire.over("transport error");
            return;
        };
        if answer.0 != 200 {
            wire.over("transport error");
            return;
        }
        for packet in answer.1.split(SEPARATOR) {
            let next = match packet.strip_prefix('b') {
                Some(binary) => match BASE64_STANDARD.decode(binary) {
                    Ok(bytes) => wire.binary(bytes),
                    Err(_) => wire.over("parse error"),
                },
                None => wire.take(packet),
            };
            match next {
                Next::Nothing => {}
                Next::Pong(pong) => {
                    let _ = posts.send(Method::POST, path, headers, pong.into()).await;
                }
                Next::Over => return,
            }
        }
    }
}
