//! Many client connections in one thread: opens them, walks what arrives without copying, writes.

mod receive;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::clients::{Client, Listens};
use crate::poller::Poller;
use crate::wire;

/// One read takes at most this much; all connections share the buffer.
const READ: usize = 256 * 1024;

/// A head or a frame that is longer than this is not part of any scenario.
const LONGEST: usize = READ / 2;

/// Opening must go on at least this fast, or something is wrong.
const STALL: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Head,
    Greeting,
    Ready,
    Closed,
}

struct Connection {
    stream: TcpStream,
    stage: Stage,
    /// The start of a frame whose rest has not come. Nearly always empty.
    carry: Vec<u8>,
    /// Bytes to write; `sent` of them have left.
    out: Vec<u8>,
    sent: usize,
    carrier: Carrier,
}

/// What the bytes of a connection are.
enum Carrier {
    WebSocket,
    Polls(Box<Poller>),
    Events,
}

pub(crate) struct Swarm {
    pub(crate) client: Client,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
    /// Connections with something to write at the end of the turn.
    dirty: Vec<usize>,
    ready: usize,
    closed: usize,
    /// The first thing that a server refused.
    refusal: Option<String>,
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr, client: Client) -> Result<Self> {
        Ok(Swarm {
            client,
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ],
            connections: Vec::new(),
            dirty: Vec::new(),
            ready: 0,
            closed: 0,
            refusal: None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Opens `count` connections, `in_flight` handshakes at a time, and returns how long it took until the
    /// last one was ready.
    pub(crate) fn open(&mut self, count: usize, in_flight: usize) -> Result<Duration> {
        let started = Instant::now();
        let mut progress = (0, started);
        self.connections.reserve_exact(count);
        while self.ready < count {
            while self.len() < count && self.len() - self.ready < in_flight {
                self.connect()?;
            }
            self.turn(Duration::from_millis(100), |_, _| false)?;
            self.check()?;
            if self.ready > progress.0 {
                progress = (self.ready, Instant::now());
            } else if progress.1.elapsed() > STALL {
                bail!("only {} of {count} connections became ready", self.ready);
            }
        }
        Ok(started.elapsed())
    }

    /// Begins to open `count` connections, all in one moment.
    pub(crate) fn connect_all(&mut self, count: usize) -> Result<()> {
        self.connections.reserve_exact(count);
        (0..count).try_for_each(|_| self.connect())
    }

    /// How many connections the server has not closed.
    pub(crate) fn open_connections(&self) -> usize {
        self.len() - self.closed
    }

    /// Reads what is there until the server has closed everything or `limit` is over; returns how many it has closed.
    pub(crate) fn until_closed(&mut self, limit: Duration) -> Result<usize> {
        let end = Instant::now() + limit;
        while self.open_connections() > 0 && Instant::now() < end {
            self.turn(Duration::from_millis(10), |_, _| true)?;
        }
        Ok(self.closed)
    }

    /// Waits until nothing has arrived for `quiet`: joins are announced, pings are answered.
    pub(crate) fn settle(&mut self, quiet: Duration) -> Result<()> {
        let limit = Instant::now() + STALL;
        let mut last = Instant::now();
        while last.elapsed() < quiet && Instant::now() < limit {
            if self.turn(quiet, |_, _| false)? > 0 {
                last = Instant::now();
            }
        }
        self.check()
    }

    /// One turn of the loop: waits at most `timeout`, reads all that is there and gives every text or binary
    /// payload of a ready connection to `each`, which says whether it knew it. Returns how many events there
    /// were.
    pub(crate) fn turn<F>(&mut self, timeout: Duration, mut each: F) -> Result<usize>
    where
        F: FnMut(usize, &[u8]) -> bool,
    {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut count = 0;
        for event in &events {
            count += 1;
            let index = event.token().0;
            if event.is_writable() {
                self.writable(index);
            }
            if event.is_readable() {
                self.readable(index, event.is_read_closed(), &mut each);
            }
        }
        self.events = events;
        self.flush();
        Ok(count)
    }

    /// Queues bytes; they leave with the next `flush`, all of a connection's in one write.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        if connection.out.is_empty() {
            self.dirty.push(index);
        }
        connection.out.extend_from_slice(bytes);
    }

    pub(crate) fn flush(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            self.write(index);
        }
    }

    /// An error once the server has closed or refused something.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(refusal) = &self.refusal {
            bail!("the server refused: {refusal}");
        }
        if self.closed > 0 {
            bail!("the server closed {} of {} connections", self.closed, self.len());
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let index = self.len();
        let mut stream = TcpStream::connect(self.address).context("connect")?;
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let carrier = match self.client.listens {
            Listens::Polls(target) if index > 0 => {
                Carrier::Polls(Box::new(Poller::new(target, self.client.speaks)))
            }
            Listens::Events(_) if index > 0 => Carrier::Events,
            _ => Carrier::WebSocket,
        };
        let (carry, out) = (Vec::new(), Vec::new());
        self.connections.push(Connection { stream, stage: Stage::Connecting, carry, out, sent: 0, carrier });
        Ok(())
    }

    fn writable(&mut self, index: usize) {
        if self.connections[index].stage == Stage::Connecting {
            // Publications of the generator must leave when they are written.
            let _ = self.connections[index].stream.set_nodelay(true);
            if let Carrier::Polls(_) = self.connections[index].carrier {
                self.connections[index].stage = Stage::Greeting;
                self.ask(index);
                if self.client.ready_at_once() {
                    self.make_ready(index);
                }
                return;
            }
            self.connections[index].stage = Stage::Head;
            let request = self.client.request(&self.address.to_string(), index);
            self.send(index, &request);
        } else if !self.connections[index].out.is_empty() {
            self.write(index);
        }
    }

    fn write(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        while connection.sent < connection.out.len() {
            match connection.stream.write(&connection.out[connection.sent..]) {
                Ok(count) => connection.sent += count,
                // Full: the next writable event goes on. Broken: the next readable event says so.
                Err(_) => return,
            }
        }
        connection.out.clear();
        connection.sent = 0;
        // An idle connection of the generator costs no memory either: 10,000 of them are open.
        if connection.stage != Stage::Ready {
            connection.out = Vec::new();
        }
    }

    /// Queues a poller's next request.
    fn ask(&mut self, index: usize) {
        if let Carrier::Polls(poller) = &mut self.connections[index].carrier {
            let request = poller.request(&self.address.to_string());
            self.send(index, &request);
        }
    }

    fn make_ready(&mut self, index: usize) {
        if self.connections[index].stage == Stage::Greeting {
            self.connections[index].stage = Stage::Ready;
            self.ready += 1;
        }
    }

    fn send_frame(&mut self, index: usize, opcode: u8, payload: &[u8]) {
        let mut frame = Vec::new();
        wire::write_masked(&mut frame, opcode, payload);
        self.send(index, &frame);
    }

    fn refuse(&mut self, what: &str) {
        // Enough of it to see which rule it was.
        let what = what.chars().take(300).collect();
        self.refusal.get_or_insert(what);
    }

    fn close(&mut self, index: usize) {
        if self.connections[index].stage != Stage::Closed {
            self.connections[index].stage = Stage::Closed;
            self.closed += 1;
        }
    }
}
