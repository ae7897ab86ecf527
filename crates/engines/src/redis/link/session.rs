//! `Session`: one connection of the engine's thread, and what was asked on it and is not answered yet.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parlor_hub::engine::{Done, Head, Published};
use parlor_hub::policy::Ack;
use parlor_hub::publication::Publication;
use parlor_proto::name::RoomName;
use tokio::net::TcpStream;

use super::super::connect::Clock;
use super::super::job::{Ask, Verb, unavailable};
use super::super::scripts::{Hashes, Script};
use super::super::settings::{IN_FLIGHT, OUT_BYTES};
use super::super::wire;

/// One connection and what is on its way.
pub(super) struct Session {
    pub(super) stream: TcpStream,
    pub(super) input: BytesMut,
    pub(super) out: BytesMut,
    pub(super) hashes: Hashes,
    pub(super) clock: Clock,
    /// What was asked and not answered, in order.
    pub(super) pending: VecDeque<Sent>,
    /// Jobs among them, and pages of rooms that are behind.
    pub(super) jobs: usize,
    pub(super) fills: usize,
    /// A connection that says nothing for so long is given up.
    pub(super) silence: Duration,
}

/// Something that is not answered yet.
pub(super) struct Sent {
    pub(super) pending: Pending,
    pub(super) at: Instant,
    /// Until when somebody waits for it.
    pub(super) deadline: Instant,
}

/// What an answer is for. Who has waited too long is told so and taken out; the answer, if it comes, counts all the
/// same: what Redis has stored is delivered.
pub(super) enum Pending {
    Publish {
        publication: Publication,
        ack: Ack,
        done: Option<Done<Published>>,
    },
    Pass {
        publication: Publication,
        done: Option<Done<Published>>,
    },
    Ask(Ask),
    Check {
        room: RoomName,
        known: Option<Head>,
    },
    Fill {
        room: RoomName,
        after: u64,
    },
    Directs {
        after: u64,
    },
    /// Who is in a room on other nodes.
    Present {
        room: RoomName,
    },
    Lease,
    Seq,
    Time,
    Store,
    /// Nobody needs it.
    Nothing,
    /// The same, and it was a job.
    Given,
}

impl Pending {
    pub(super) fn is_job(&self) -> bool {
        matches!(self, Pending::Publish { .. } | Pending::Pass { .. } | Pending::Ask(_) | Pending::Given)
    }

    pub(super) fn refuse(self) {
        match self {
            Pending::Publish { done: Some(done), .. } | Pending::Pass { done: Some(done), .. } => {
                done(Err(unavailable()));
            }
            Pending::Ask(ask) => (ask.answer)(Err(unavailable())),
            _ => {}
        }
    }
}

/// Why a connection is given up.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing more is wanted of it.
    Stopped,
    Lost(String),
}

impl Session {
    pub(super) fn has_room(&self) -> bool {
        self.jobs < IN_FLIGHT && self.out.len() < OUT_BYTES
    }

    /// A command whose answer comes like what is spread, beside the others.
    pub(super) fn command(&mut self, parts: &[&[u8]]) {
        wire::command(&mut self.out, parts);
    }

    pub(super) fn ask(&mut self, pending: Pending, parts: &[&[u8]]) {
        self.command(parts);
        self.sent(pending, self.deadline());
    }

    /// Until when an answer is waited for that nobody but the engine wants.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.silence
    }

    pub(super) fn sent(&mut self, pending: Pending, deadline: Instant) {
        self.pending.push_back(Sent { pending, at: Instant::now(), deadline });
    }

    pub(super) fn script(
        &mut self,
        pending: Pending,
        deadline: Instant,
        script: Script,
        keys: &[String],
        args: &[&[u8]],
    ) {
        let count = keys.len().to_string();
        let hash = script.hash(&self.hashes).to_owned();
        let mut parts: Vec<&[u8]> = vec![b"EVALSHA", hash.as_bytes(), count.as_bytes()];
        parts.extend(keys.iter().map(String::as_bytes));
        parts.extend(args);
        self.command(&parts);
        self.sent(pending, deadline);
    }

    pub(super) fn send_ask(&mut self, ask: Ask, deadline: Instant) {
        let count = ask.keys.len().to_string();
        let mut parts: Vec<&[u8]> = match ask.verb {
            Verb::Script(script) => {
                vec![b"EVALSHA", script.hash(&self.hashes).as_bytes(), count.as_bytes()]
            }
            Verb::Plain(verb) => vec![verb.as_bytes()],
        };
        parts.extend(ask.keys.iter().map(String::as_bytes));
        parts.extend(ask.args.iter().map(Vec::as_slice));
        wire::command(&mut self.out, &parts);
        self.sent(Pending::Ask(ask), deadline);
    }

    /// Tells those who have waited long enough.
    pub(super) fn expire(&mut self, now: Instant) -> Result<(), Broken> {
        if self.pending.front().is_some_and(|oldest| oldest.at + self.silence <= now) {
            return Err(Broken::Lost("it does not answer".to_owned()));
        }
        for sent in self.pending.iter_mut().filter(|sent| sent.deadline <= now) {
            match &mut sent.pending {
                Pending::Publish { done, .. } | Pending::Pass { done, .. } => {
                    if let Some(done) = done.take() {
                        done(Err(unavailable()));
                    }
                }
                Pending::Ask(_) => {
                    // Its answer is counted as that of a job.
                    let asked = std::mem::replace(&mut sent.pending, Pending::Given);
                    asked.refuse();
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self) -> Result<(), Broken> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(n) => self.out.advance(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    /// Whether anything came.
    pub(super) fn read(&mut self) -> Result<bool, Broken> {
        self.input.reserve(64 * 1024);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(Broken::Lost("the connection was closed".to_owned())),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(lost(error)),
        }
    }
}

pub(super) fn lost(error: std::io::Error) -> Broken {
    Broken::Lost(error.to_string())
}
