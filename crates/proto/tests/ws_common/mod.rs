//! A connection under test: bytes in, owned events and bytes out, and a clock that the test owns.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod bodies;
pub mod model;

use std::time::{Duration, Instant};

use parlor_proto::ws::{ClosedBy, Config, Connection, Event, Failure, Kind, Role};

/// An event that outlives the bytes it was lent from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(u16, String, ClosedBy),
    Failed(Failure),
}

pub use Got::*;

impl From<Event<'_>> for Got {
    fn from(event: Event<'_>) -> Got {
        match event {
            Event::Text(text) => Text(text.to_owned()),
            Event::Binary(binary) => Binary(binary.to_owned()),
            Event::Ping(payload) => Ping(payload.to_owned()),
            Event::Pong(payload) => Pong(payload.to_owned()),
            Event::Closed { code, reason, by } => Closed(code, reason.to_owned(), by),
            Event::Failed(failure) => Failed(failure),
        }
    }
}

pub fn text(text: &str) -> Got {
    Text(text.to_owned())
}

pub struct Peer {
    pub conn: Connection,
    pub now: Instant,
}

impl Peer {
    pub fn new(role: Role, config: &Config) -> Peer {
        Peer { conn: Connection::new(role, config), now: Instant::now() }
    }

    pub fn server() -> Peer {
        Peer::new(Role::Server, &Config::default())
    }

    pub fn client() -> Peer {
        Peer::new(Role::Client, &Config::default())
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conn.handle_timeout(self.now);
    }

    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Got> {
        let mut bytes = bytes.to_vec();
        let mut events = Vec::new();
        let mut received = self.conn.receive(self.now, &mut bytes);
        while let Some(event) = received.poll_event() {
            events.push(event.into());
        }
        events
    }

    /// The same bytes, one at a time.
    pub fn receive_slowly(&mut self, bytes: &[u8]) -> Vec<Got> {
        bytes.iter().flat_map(|byte| self.receive(&[*byte])).collect()
    }

    pub fn transmit(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let any = self.conn.poll_transmit(&mut out);
        assert_eq!(any, !out.is_empty());
        out
    }

    pub fn message(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(self.conn.write_message(kind, payload, &mut out));
        out
    }
}

/// A Close frame of a server.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    [&[0x88, payload.len() as u8], payload.as_slice()].concat()
}

/// A frame of a client whose key is zero, so that its payload can be read.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
