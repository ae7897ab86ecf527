//! The raw limit: what fan-out, echo and idle connections cost when there is nothing but the kernel.
//!
//! One thread, one epoll, one pre-encoded frame. Whatever a connection on `/ws` sends is answered by that
//! frame to every connection on `/ws`, one write each. The batching twin counts what arrived in a turn of
//! the loop and writes it at the turn's end, once per connection. `/echo` sends back what came. `GET /poll`
//! waits for the next publication: one answer each, or all that are due in one answer from the batching twin.
//! `GET /events` gets the frame as a server-sent event.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest, Sha1};

use crate::wire;

#[derive(Debug)]
pub(crate) struct Options {
    batch: bool,
    frame_bytes: usize,
    listen: SocketAddr,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options { batch: false, frame_bytes: 128, listen: ([127, 0, 0, 1], 0).into() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--batch" => options.batch = true,
                "--frame-bytes" => options.frame_bytes = value()?.parse()?,
                "--listen" => options.listen = value()?.parse()?,
                other => bail!("unknown option `{other}`"),
            }
        }
        Ok(options)
    }
}

/// The head of a response that does not end.
const EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";

const LISTENER: Token = Token(usize::MAX);

/// Frames that one write can carry. More may be pending; then the rest follows at once.
const REPEATS: usize = 64;

/// One read takes this much; the buffer is shared by all connections.
const READ: usize = 64 * 1024;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Bytes of the repeated frame or event that are due and not written; for a poller, publications that are due.
    pending: usize,
    /// Is this connection's token in the list of subscribers or of pollers?
    subscribed: bool,
    /// What is neither a whole head nor a whole frame yet. Empty, and without memory, nearly always.
    carry: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Fanout,
    Events,
    Echo,
    /// Does a request wait for its answer?
    Poll {
        waiting: bool,
    },
}

/// Serves until it is killed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(options.listen)?;
    println!("listening on http://{}", listener.local_addr()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = RawLimit::new(options);
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, &poll)?;
            } else {
                server.ready(event);
            }
        }
        server.end_turn();
    }
}

struct RawLimit {
    batch: bool,
    frame: Repeated,
    event: Repeated,
    /// Answers to polls with one publication, two, … in them; the twin that does not batch has the first only.
    answers: Vec<Vec<u8>>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    subscribers: Vec<usize>,
    pollers: Vec<usize>,
    /// Publications of this turn that the batching twin still owes.
    owed: usize,
    buffer: Box<[u8]>,
}

/// What leaves again and again.
struct Repeated {
    /// Bytes of it once.
    length: usize,
    /// It, `REPEATS` times.
    bytes: Vec<u8>,
}

impl Repeated {
    fn new(once: &[u8]) -> Self {
        Repeated { length: once.len(), bytes: once.repeat(REPEATS) }
    }
}

impl RawLimit {
    fn new(options: &Options) -> Self {
        let mut frame = Vec::new();
        let payload = wire::payload(0, options.frame_bytes);
        wire::write_plain(&mut frame, wire::TEXT, payload.as_bytes());
        let most = if options.batch { REPEATS } else { 1 };
        RawLimit {
            batch: options.batch,
            frame: Repeated::new(&frame),
            event: Repeated::new(format!("data: {payload}\n\n").as_bytes()),
            answers: (1..=most).map(|count| poll_answer(&payload, count)).collect(),
            connections: Vec::new(),
            free: Vec::new(),
            subscribers: Vec::new(),
            pollers: Vec::new(),
            owed: 0,
            buffer: vec![0; READ].into(),
        }
    }

    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or(self.connections.len());
            poll.registry().register(&mut stream, Token(slot), Interest::READABLE | Interest::WRITABLE)?;
            let connection =
                Connection { stream, pending: 0, subscribed: false, carry: Vec::new(), stage: Stage::Head };
            if slot == self.connections.len() {
                self.connections.push(Some(connection));
            } else {
                self.connections[slot] = Some(connection);
            }
        }
    }

    fn ready(&mut self, event: &Event) {
        let slot = event.token().0;
        if event.is_writable() {
            self.write(slot);
        }
        if event.is_readable() && !self.read(slot) {
            self.close(slot);
        }
    }

    /// Reads what is there; false if the connection is over.
    fn read(&mut self, slot: usize) -> bool {
        loop {
            let Some(connection) = self.connections[slot].as_mut() else { return true };
            // The carry is put in front, so that a head or a frame is always read in one piece.
            let start = connection.carry.len();
            self.buffer[..start].copy_from_slice(&connection.carry);
            match connection.stream.read(&mut self.buffer[start..]) {
                Ok(0) => return false,
                Ok(count) => {
                    connection.carry = Vec::new();
                    let full = start + count == self.buffer.len();
                    if !self.bytes(slot, start + count) {
                        return false;
                    }
                    if !full {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// The first `end` bytes of the buffer are this connection's; false if it broke the rules.
    fn bytes(&mut self, slot: usize, end: usize) -> bool {
        let Some(connection) = self.connections[slot].as_mut() else { return true };
        if matches!(connection.stage, Stage::Poll { .. }) || self.buffer[..end].starts_with(b"GET /poll ") {
            return self.poll(slot, end);
        }
        let mut at = 0;
        let (mut publications, mut echo) = (0, Vec::new());
        if connection.stage == Stage::Head {
            let Some(head) = memchr::memmem::find(&self.buffer[..end], b"\r\n\r\n") else {
                connection.carry = self.buffer[..end].to_vec();
                return end < READ / 2;
            };
            at = head + 4;
            if self.buffer.starts_with(b"GET /events ") {
                let _ = connection.stream.write(EVENTS);
                connection.stage = Stage::Events;
                connection.subscribed = true;
                self.subscribers.push(slot);
                return true;
            }
            let Some(answer) = upgrade(&self.buffer[..at]) else { return false };
            // A new socket's buffer takes 129 bytes.
            let _ = connection.stream.write(&answer);
            connection.stage =
                if self.buffer.starts_with(b"GET /echo") { Stage::Echo } else { Stage::Fanout };
            if connection.stage == Stage::Fanout {
                connection.subscribed = true;
                self.subscribers.push(slot);
            }
        }
        while let Some(frame) = wire::frame(&self.buffer[at..end]) {
            at += frame.length;
            match (frame.opcode, connection.stage) {
                (wire::CLOSE, _) => return false,
                (wire::PONG, _) => {}
                (opcode, Stage::Echo) => {
                    let mask = frame.mask.unwrap_or_default();
                    let payload: Vec<u8> =
                        frame.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
                    wire::write_plain(&mut echo, opcode, &payload);
                }
                _ => publications += 1,
            }
        }
        if at < end {
            connection.carry = self.buffer[at..end].to_vec();
        }
        if !echo.is_empty() {
            // The generator has one message in flight, so the socket's buffer always takes it.
            let _ = connection.stream.write(&echo);
        }
        if self.batch {
            self.owed += publications;
        } else {
            (0..publications).for_each(|_| self.fan_out(1));
        }
        connection_fits(at, end)
    }

    /// A poller has one request under way, so whole requests come alone.
    fn poll(&mut self, slot: usize, end: usize) -> bool {
        let Some(connection) = self.connections[slot].as_mut() else { return true };
        if !self.buffer[..end].ends_with(b"\r\n\r\n") {
            connection.carry = self.buffer[..end].to_vec();
            return connection_fits(0, end);
        }
        if connection.stage == Stage::Head {
            connection.subscribed = true;
            self.pollers.push(slot);
        }
        connection.stage = Stage::Poll { waiting: true };
        self.answer(slot);
        true
    }

    /// Answers a waiting poll with what is due.
    fn answer(&mut self, slot: usize) {
        let Some(connection) = self.connections[slot].as_mut() else { return };
        let count = connection.pending.min(self.answers.len());
        if connection.stage == (Stage::Poll { waiting: true }) && count > 0 {
            connection.stage = Stage::Poll { waiting: false };
            connection.pending -= count;
            // Nothing else is on its way to a poller, so the socket's buffer always takes it.
            let _ = connection.stream.write(&self.answers[count - 1]);
        }
    }

    /// Owes every subscriber `count` frames more, and writes what its socket takes.
    fn fan_out(&mut self, count: usize) {
        for index in 0..self.subscribers.len() {
            let slot = self.subscribers[index];
            if let Some(connection) = self.connections[slot].as_mut() {
                let kind = if connection.stage == Stage::Events { &self.event } else { &self.frame };
                connection.pending += count * kind.length;
                self.write(slot);
            }
        }
        for index in 0..self.pollers.len() {
            let slot = self.pollers[index];
            if let Some(connection) = self.connections[slot].as_mut() {
                connection.pending += count;
                self.answer(slot);
            }
        }
    }

    fn write(&mut self, slot: usize) {
        let Some(connection) = self.connections[slot].as_mut() else { return };
        let kind = match connection.stage {
            Stage::Fanout => &self.frame,
            Stage::Events => &self.event,
            _ => return,
        };
        while connection.pending > 0 {
            // All frames are the same, so the place in the current one follows from what is left.
            let phase = (kind.length - connection.pending % kind.length) % kind.length;
            let end = (phase + connection.pending).min(kind.bytes.len());
            match connection.stream.write(&kind.bytes[phase..end]) {
                Ok(count) => connection.pending -= count,
                // Full, or broken: the next event says which.
                Err(_) => return,
            }
        }
    }

    fn end_turn(&mut self) {
        if self.owed > 0 {
            let owed = std::mem::take(&mut self.owed);
            self.fan_out(owed);
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(connection) = self.connections[slot].take() else { return };
        if connection.subscribed {
            self.subscribers.retain(|other| *other != slot);
            self.pollers.retain(|other| *other != slot);
        }
        self.free.push(slot);
    }
}

/// A frame larger than half the buffer would never become whole in it.
fn connection_fits(at: usize, end: usize) -> bool {
    end - at < READ / 2
}

/// An HTTP answer with `count` publications as an Engine.IO body separates them.
fn poll_answer(payload: &str, count: usize) -> Vec<u8> {
    let body = vec![payload; count].join("\x1e");
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The answer to an upgrade request, or nothing if it has no key.
fn upgrade(head: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"sec-websocket-key:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|l| l.len() > NAME.len() && l[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    let key = line[NAME.len()..].trim_ascii();
    // RFC 6455 section 4.2.2 item 5.4.
    let digest =
        Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    Some(format!("{head}{accept}\r\n\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_answered_by_one_publication_or_by_all_that_are_due() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: ";
        assert_eq!(poll_answer("~00", 1), format!("{head}3\r\n\r\n~00").into_bytes());
        assert_eq!(poll_answer("~00", 2), format!("{head}7\r\n\r\n~00\x1e~00").into_bytes());
    }

    #[test]
    fn the_key_of_the_standard_gets_the_answer_of_the_standard() {
        let head = b"GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-key:  dGhlIHNhbXBsZSBub25jZQ== \r\n\r\n";
        let answer = String::from_utf8(upgrade(head).unwrap()).unwrap();
        assert!(answer.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        assert_eq!(upgrade(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
