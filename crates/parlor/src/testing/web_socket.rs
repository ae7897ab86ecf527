//! `WebSocketClient`: a test's client of a raw WebSocket route.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest, Refused};
use parlor_proto::ws::{CloseCode, Config, Connection, Event, Kind, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clients::{Clients, Ends, Heard, Link, Say};
use super::clock::TestClock;
use crate::websocket::{Closed, Message};

/// A raw WebSocket that is to be opened.
#[derive(Debug)]
#[must_use = "nothing is opened before `connect`"]
pub struct WebSocketOptions {
    clients: Clients,
    clock: TestClock,
    target: Target,
}

/// Where a client goes, and with what.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) protocols: Vec<String>,
}

/// A raw WebSocket to a [`TestServer`](super::TestServer). It answers pings by itself; dropping it breaks the connection.
#[derive(Debug)]
pub struct WebSocketClient {
    link: Link,
    clock: TestClock,
}

impl WebSocketOptions {
    pub(super) fn new(clients: Clients, clock: TestClock, address: SocketAddr, path: &str) -> Self {
        let target = Target { address, path: path.to_owned(), headers: Vec::new(), protocols: Vec::new() };
        WebSocketOptions { clients, clock, target }
    }

    /// A header of the request, such as `Cookie`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.target.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A subprotocol, the preferred one first.
    pub fn protocol(mut self, protocol: &str) -> Self {
        self.target.protocols.push(protocol.to_owned());
        self
    }

    /// Opens it.
    ///
    /// # Panics
    /// The server refuses; the sentence has its status.
    pub async fn connect(self) -> WebSocketClient {
        let path = self.target.path.clone();
        match self.try_connect().await {
            Ok(client) => client,
            Err(status) => panic!("the WebSocket {path} is refused with status {status}"),
        }
    }

    /// Opens it, or gives the status with which the server refuses.
    ///
    /// # Errors
    /// The HTTP status, such as 404.
    pub async fn try_connect(self) -> Result<WebSocketClient, u16> {
        let WebSocketOptions { clients, clock, target } = self;
        let what = format!("the answer to the handshake of {}", target.path);
        let ws = clients.run(&what, async move { Ws::open(&target).await }).await?;
        let (link, ends) = clients.link();
        clients.spawn(pump(ws, ends));
        Ok(WebSocketClient { link, clock })
    }
}

impl WebSocketClient {
    /// Sends a message, text or bytes; returns when it is written.
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
    /// None comes, or the connection ends instead.
    pub async fn recv(&mut self) -> Message {
        match self.link.next("a message").await {
            Heard::Text(text) => Message::Text(text),
            Heard::Binary(bytes) => Message::Binary(bytes.into()),
            Heard::Closed { code, reason } => {
                panic!("a message was awaited, and the connection ended: {code} {reason:?}")
            }
        }
    }

    /// The next message, which is text.
    ///
    /// # Panics
    /// As [`WebSocketClient::recv`], or the message is binary.
    pub async fn text(&mut self) -> String {
        match self.recv().await {
            Message::Text(text) => text,
            Message::Binary(bytes) => panic!("text was awaited, and {} bytes came", bytes.len()),
        }
    }

    /// Panics if a message has come, or comes without time going by.
    ///
    /// # Panics
    /// As it says.
    pub async fn nothing(&mut self) {
        self.clock.settle().await;
        if let Some(heard) = self.link.now() {
            panic!("nothing should come, and this came: {heard:?}");
        }
    }

    /// Waits for the end, which is not this client's doing.
    ///
    /// # Panics
    /// A message comes, or no end.
    pub async fn closed(&mut self) -> Closed {
        match self.link.next("the end of the connection").await {
            Heard::Closed { code, reason } => Closed { code, reason },
            heard => panic!("the end of the connection was awaited, and this came: {heard:?}"),
        }
    }

    /// Closes with a code (RFC 6455 section 7.4), and returns when the server has answered and all is settled. Messages
    /// that came before are lost.
    pub async fn close(mut self, code: u16, reason: &str) -> Closed {
        self.link.say(Say::Close(code, reason.to_owned())).await;
        let closed = self.ended().await;
        self.clock.settle().await;
        closed
    }

    /// The end, whatever comes before it.
    pub(super) async fn ended(&mut self) -> Closed {
        loop {
            if let Heard::Closed { code, reason } = self.link.next("the end of the connection").await {
                return Closed { code, reason };
            }
        }
    }

    /// Breaks the connection without a word, and returns when the server has noticed.
    pub async fn lose(self) {
        self.link.say(Say::Lose).await;
        self.clock.settle().await;
    }

    /// From here on reads nothing: no message is heard, no ping answered, and what is sent to it piles up.
    pub async fn stop_reading(&mut self) {
        self.link.say(Say::Read(false)).await;
    }

    /// Reads again, what has piled up first.
    pub async fn go_on_reading(&mut self) {
        self.link.say(Say::Read(true)).await;
    }
}

async fn pump(mut ws: Ws, mut ends: Ends) {
    let mut reading = true;
    loop {
        tokio::select! {
            told = ends.told.recv() => {
                let Some((say, done)) = told else { return };
                match say {
                    Say::Text(text) => ws.send(Kind::Text, text.as_bytes()).await,
                    Say::Binary(bytes) => ws.send(Kind::Binary, &bytes).await,
                    Say::Close(code, reason) => ws.close(code, &reason).await,
                    Say::Lose => return,
                    Say::Read(reads) => reading = reads,
                }
                let _ = done.send(());
            }
            heard = ws.next(), if reading => {
                if !ends.hear(heard) {
                    return;
                }
            }
        }
    }
}

/// Bytes of one read.
const READ: usize = 16 * 1024;

/// A WebSocket over TCP, in the clients' runtime.
#[derive(Debug)]
pub(super) struct Ws {
    stream: TcpStream,
    conn: Connection,
    heard: VecDeque<Heard>,
    /// What is not written yet.
    out: Vec<u8>,
    /// Not on the stack, so that futures stay small.
    buffer: Vec<u8>,
}

impl Ws {
    /// The status with which the server refuses; 0 if what it says is no answer to a handshake.
    pub(super) async fn open(target: &Target) -> Result<Ws, u16> {
        Ws::handshake(target).await.map_err(|error| match error {
            Some(Refused::Status(response)) => response.status,
            _ => 0,
        })
    }

    async fn handshake(target: &Target) -> Result<Ws, Option<Refused>> {
        let mut stream = TcpStream::connect(target.address).await.map_err(|_| None)?;
        let _ = stream.set_nodelay(true);
        let host = target.address.to_string();
        let headers: Vec<_> = target.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let protocols: Vec<_> = target.protocols.iter().map(String::as_str).collect();
        let (target, protocols) = (target.path.as_str(), &protocols[..]);
        let request = ClientRequest { host: &host, target, protocols, deflate: None, headers: &headers };
        let mut out = Vec::new();
        let mut handshake = ClientHandshake::new(&request, crate::chat::random::bytes(), &mut out);
        stream.write_all(&out).await.map_err(|_| None)?;
        let mut buffer = vec![0; 4096];
        loop {
            let length = stream.read(&mut buffer).await.map_err(|_| None)?;
            if length == 0 {
                return Err(None);
            }
            if let Some((_, used)) = handshake.receive(&buffer[..length]).map_err(Some)? {
                let mask_seed = crate::chat::random::bytes();
                // As much as any server may send it in one message.
                let config = Config { max_message: 64 << 20, mask_seed, ..Config::default() };
                let conn = Connection::new(Role::Client, &config);
                let mut ws =
                    Ws { stream, conn, heard: VecDeque::new(), out: Vec::new(), buffer: vec![0; READ] };
                ws.take(&mut buffer[used..length]);
                ws.flush().await;
                return Ok(ws);
            }
        }
    }

    pub(super) async fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.conn.write_message(kind, payload, &mut self.out);
        self.flush().await;
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        self.conn.close(Instant::now(), CloseCode(code), reason);
        self.flush().await;
    }

    /// The next thing that is for somebody. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            self.flush().await;
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let read = match self.stream.readable().await {
                Ok(()) => self.stream.try_read(&mut self.buffer),
                Err(error) => Err(error),
            };
            match read {
                Ok(length) if length > 0 => {
                    let mut buffer = std::mem::take(&mut self.buffer);
                    self.take(&mut buffer[..length]);
                    self.buffer = buffer;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => {
                    self.conn.receive_eof();
                    self.heard.push_back(Heard::Closed { code: CloseCode::LOST.0, reason: String::new() });
                }
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut arrived = self.conn.receive(Instant::now(), bytes);
        while let Some(event) = arrived.poll_event() {
            self.heard.push_back(match event {
                Event::Text(text) => Heard::Text(text.to_owned()),
                Event::Binary(bytes) => Heard::Binary(bytes.to_owned()),
                Event::Ping(_) | Event::Pong(_) => continue,
                Event::Closed { code, reason, .. } => Heard::Closed { code, reason: reason.to_owned() },
                Event::Failed(failure) => {
                    Heard::Closed { code: failure.close_code().0, reason: failure.reason().to_owned() }
                }
            });
        }
    }

    /// Writes what waits, and what the machine itself wants to say. Dropping the future loses nothing.
    async fn flush(&mut self) {
        self.conn.poll_transmit(&mut self.out);
        while !self.out.is_empty() {
            let wrote = match self.stream.writable().await {
                Ok(()) => self.stream.try_write(&self.out),
                Err(error) => Err(error),
            };
            match wrote {
                Ok(length) => drop(self.out.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Whoever is gone is noticed by reading.
                Err(_) => self.out.clear(),
            }
        }
    }
}
