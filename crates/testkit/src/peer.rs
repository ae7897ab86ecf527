//! `Peer`: a WebSocket client on a plain thread, that can also misbehave on purpose.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest};
use parlor_proto::ws::{Config, Connection, Event, Kind, Role};
use serde_json::Value;

/// How long anything may take before a test gives up; generous, because it is never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    ws: Connection,
    events: VecDeque<Heard>,
}

/// What came from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A JSON object.
    Object(Value),
    /// A text that is no JSON.
    Text(String),
    Binary(Vec<u8>),
    /// The closing code and reason; 1006 if the connection broke.
    Closed(u16, String),
}

impl Peer {
    /// Opens `target`, such as `/ws?name=ann&room=lobby`.
    pub fn connect(address: SocketAddr, target: &str) -> Peer {
        Peer::connect_with(address, target, &[])
    }

    /// The same, offering subprotocols.
    pub fn connect_with(address: SocketAddr, target: &str, protocols: &[&str]) -> Peer {
        Peer::try_connect(address, target, protocols).expect("the server accepts and answers the handshake")
    }

    /// The same with a server that may end at any moment.
    ///
    /// # Errors
    /// It has ended.
    pub fn try_connect(address: SocketAddr, target: &str, protocols: &[&str]) -> io::Result<Peer> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut out = Vec::new();
        let host = address.to_string();
        let request = ClientRequest { host: &host, target, protocols, ..ClientRequest::default() };
        let mut handshake = ClientHandshake::new(&request, [7; 16], &mut out);
        stream.write_all(&out)?;
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((_, used)) = handshake.receive(&buffer[..n]).map_err(io::Error::other)? {
                let ws = Connection::new(Role::Client, &Config { mask_seed: [3; 16], ..Config::default() });
                let mut peer = Peer { stream, ws, events: VecDeque::new() };
                peer.take(&mut buffer[used..n]);
                return Ok(peer);
            }
        }
    }

    /// Sends one text.
    pub fn send(&mut self, text: &str) {
        let mut out = Vec::new();
        self.ws.write_message(Kind::Text, text.as_bytes(), &mut out);
        self.send_raw(&out);
    }

    /// Sends one binary message.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        self.ws.write_message(Kind::Binary, bytes, &mut out);
        self.send_raw(&out);
    }

    /// Sends one text to a server that may end at any moment.
    ///
    /// # Errors
    /// It has ended.
    pub fn try_send(&mut self, text: &str) -> io::Result<()> {
        let mut out = Vec::new();
        self.ws.write_message(Kind::Text, text.as_bytes(), &mut out);
        self.stream.write_all(&out)
    }

    /// Sends bytes as they are, rules or not.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// The next object or the end.
    pub fn hear(&mut self) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(heard) = self.events.pop_front() {
                return heard;
            }
            assert!(Instant::now() < deadline, "nothing was heard for {PATIENCE:?}");
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end(),
                Ok(n) => self.take(&mut buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => self.end(),
                Err(error) => panic!("nothing was heard: {error}"),
            }
        }
    }

    /// The next object or the end, if it comes in this time; a connection that breaks has ended.
    pub fn hear_within(&mut self, time: Duration) -> Option<Heard> {
        if self.events.is_empty() {
            let mut buffer = vec![0; 64 * 1024];
            self.stream.set_read_timeout(Some(time)).expect("a time");
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end(),
                Ok(n) => self.take(&mut buffer[..n]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(_) => self.end(),
            }
            self.stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        }
        self.events.pop_front()
    }

    /// The next object of this `type`; others before it are skipped.
    pub fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            match self.hear() {
                Heard::Object(object) if object["type"] == kind => return object,
                Heard::Object(_) | Heard::Text(_) | Heard::Binary(_) => {}
                Heard::Closed(code, reason) => panic!("closed with {code} {reason} before {kind:?} came"),
            }
        }
    }

    /// Sends a command and waits for the reply with its `id`.
    pub fn ask(&mut self, command: &str) -> Value {
        let command: Value = serde_json::from_str(command).expect("a command in a test is JSON");
        self.send(&command.to_string());
        loop {
            match self.hear() {
                Heard::Object(object) if object["id"] == command["id"] => return object,
                Heard::Object(_) | Heard::Text(_) | Heard::Binary(_) => {}
                Heard::Closed(code, reason) => panic!("closed with {code} {reason} before a reply came"),
            }
        }
    }

    /// The next text, JSON or not, as it came.
    pub fn text(&mut self) -> String {
        match self.hear() {
            Heard::Text(text) => text,
            Heard::Object(value) => value.to_string(),
            other => panic!("{other:?} came instead of a text"),
        }
    }

    /// Waits for the end and gives its code, skipping what comes before.
    pub fn wait_for_end(&mut self) -> u16 {
        loop {
            if let Heard::Closed(code, _) = self.hear() {
                return code;
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut received = self.ws.receive(Instant::now(), bytes);
        while let Some(event) = received.poll_event() {
            match event {
                Event::Text(text) => {
                    let heard = serde_json::from_str(text);
                    self.events.push_back(heard.map_or_else(|_| Heard::Text(text.to_owned()), Heard::Object));
                }
                Event::Closed { code, reason, .. } => {
                    self.events.push_back(Heard::Closed(code, reason.to_owned()));
                }
                Event::Failed(failure) => panic!("the server broke a rule: {failure:?}"),
                Event::Binary(binary) => self.events.push_back(Heard::Binary(binary.to_vec())),
                Event::Ping(_) | Event::Pong(_) => {}
            }
        }
        drop(received);
        let mut out = Vec::new();
        if self.ws.poll_transmit(&mut out) {
            // The server may be gone already; what it said last is in `events`.
            let _ = self.stream.write_all(&out);
        }
    }

    fn end(&mut self) {
        if self.ws.receive_eof().is_some() || self.events.is_empty() {
            self.events.push_back(Heard::Closed(1006, String::new()));
        }
    }
}
