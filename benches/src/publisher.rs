//! A publisher of Parlor with a thread of its own: how long an acknowledgement takes does not depend on what the
//! generator's clients do. It outlives the server: what was not acknowledged is published again, with its key.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use memchr::memmem;

use crate::clients::{Client, Visa};
use crate::histogram::Histogram;
use crate::wire;

/// An acknowledgement comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Publisher {
    stream: TcpStream,
    inbox: Vec<u8>,
    room: &'static str,
    bytes: usize,
    visa: Visa,
    counts: Arc<Counts>,
}

/// What has been published: numbers from 0 on.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
}

/// What a run gave.
pub(crate) struct Ran {
    pub(crate) publisher: Publisher,
    /// From the moment that each publication was due until it was acknowledged.
    pub(crate) latency: Histogram,
    /// Did the server go away?
    pub(crate) broken: bool,
}

pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Ran>>,
}

impl Running {
    pub(crate) fn stop(self) -> Result<Ran> {
        self.stop.store(true, SeqCst);
        self.thread.join().ok().context("the publisher panicked")?
    }
}

impl Publisher {
    pub(crate) fn new(address: SocketAddr, room: &'static str, bytes: usize) -> Result<Self> {
        let mut publisher = Publisher {
            stream: TcpStream::connect(address)?,
            inbox: Vec::new(),
            room,
            bytes,
            visa: Visa::default(),
            counts: Arc::default(),
        };
        publisher.greet(address)?;
        publisher.stream.write_all(&publisher.visa.proof())?;
        publisher.object("ok")?;
        Ok(publisher)
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Comes back as who it was, and publishes what was not acknowledged.
    pub(crate) fn return_to(&mut self, address: SocketAddr) -> Result<()> {
        self.stream = TcpStream::connect(address)?;
        self.inbox.clear();
        self.greet(address)?;
        let (sent, acknowledged) = (self.counts.sent.load(SeqCst), self.counts.acknowledged.load(SeqCst));
        if acknowledged < sent {
            self.say(acknowledged)?;
            self.acknowledged()?;
        }
        Ok(())
    }

    /// Publishes the next number and waits for its acknowledgement.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let number = self.counts.sent.fetch_add(1, SeqCst);
        self.say(number)?;
        self.acknowledged()
    }

    /// Publishes at `rate` a second until it is stopped or the server is gone.
    pub(crate) fn run(mut self, rate: f64) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (started, mut count, mut latency) = (Instant::now(), 0u32, Histogram::default());
            while !stopped.load(SeqCst) {
                let due = started + Duration::from_secs_f64(f64::from(count) / rate);
                let wait = due.saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    // In steps, so that a stop is seen.
                    thread::sleep(wait.min(Duration::from_millis(10)));
                    continue;
                }
                match self.publish() {
                    Ok(()) => latency.add(due.elapsed().as_micros() as u64),
                    Err(error) if error.is::<std::io::Error>() => {
                        return Ok(Ran { publisher: self, latency, broken: true });
                    }
                    Err(error) => return Err(error),
                }
                count += 1;
            }
            Ok(Ran { publisher: self, latency, broken: false })
        });
        Running { stop, thread }
    }

    fn greet(&mut self, address: SocketAddr) -> Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let client = Client::native("/ws?name=publisher", "").returning(vec![self.visa.clone()]);
        self.stream.write_all(&client.request(&address.to_string(), 0))?;
        while memmem::find(&self.inbox, b"\r\n\r\n").is_none() {
            self.read()?;
        }
        let end = memmem::find(&self.inbox, b"\r\n\r\n").unwrap_or_default() + 4;
        if !self.inbox.starts_with(b"HTTP/1.1 101 ") {
            bail!("the server refused: {}", String::from_utf8_lossy(&self.inbox));
        }
        self.inbox.drain(..end);
        let welcome = self.object("welcome")?;
        self.visa.note_token(&welcome);
        Ok(())
    }

    fn say(&mut self, number: u64) -> Result<()> {
        let (room, data) = (self.room, wire::payload(number, self.bytes));
        let key = if room.starts_with("live:") { String::new() } else { format!(r#","key":"{number}""#) };
        let text = format!(r#"{{"type":"publish","id":{number},"room":"{room}","data":"{data}"{key}}}"#);
        let mut frame = Vec::new();
        wire::write_masked(&mut frame, wire::TEXT, text.as_bytes());
        Ok(self.stream.write_all(&frame)?)
    }

    fn acknowledged(&mut self) -> Result<()> {
        self.object("published")?;
        self.counts.acknowledged.fetch_add(1, SeqCst);
        Ok(())
    }

    /// The next object of this type; others are passed over, but a refusal is an error.
    fn object(&mut self, wanted: &str) -> Result<Vec<u8>> {
        loop {
            while let Some(frame) = wire::frame(&self.inbox) {
                let (opcode, object, length) = (frame.opcode, frame.payload.to_vec(), frame.length);
                self.inbox.drain(..length);
                let is = |kind: &str| object.starts_with(format!(r#"{{"type":"{kind}""#).as_bytes());
                if opcode == wire::PING {
                    let mut pong = Vec::new();
                    wire::write_masked(&mut pong, wire::PONG, &object);
                    self.stream.write_all(&pong)?;
                } else if is(wanted) {
                    return Ok(object);
                } else if is("error") || is("bye") {
                    bail!("the server refused: {}", String::from_utf8_lossy(&object));
                }
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            count => {
                self.inbox.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}
