//! The hub in a world of its own: workers, a store that can be killed, a network that delays and cuts, readers that are
//! slow, and a clock that moves when it is told to. One thread, one seed, and the same seed is the same run.
//!
//! Everything that threads, sockets and disks would do by themselves is a move here, and dice say which is next. What is
//! under test is real: `Hub`, `Shard`, their mailboxes and outboxes, the memory engine, the key window, the order, the
//! encoders, the chat's reader of cursors. What stands in for the rest is short: `store` for the embedded engine's threads
//! and its disk, `server` for the worker's loop and the conversation, `behind` for a stream's before it joins, `client` for
//! those who follow rooms, `poller` for those who ask again and again, `publisher` for those who write.

mod behind;
mod client;
mod disk;
mod poller;
mod publisher;
mod server;
mod store;
mod world;

use crate::torture::{Fault, Log, Truth, check};

/// What a seed led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub logs: Vec<Log>,
    pub lives: Vec<Truth>,
    /// What clients found wrong themselves.
    found: Vec<Fault>,
    /// What happened how often, to see that a run is worth something.
    pub counts: Counts,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: usize,
    pub acked: usize,
    pub joined: usize,
    pub recovered: usize,
    pub lost: usize,
    pub slow: usize,
    pub torn: usize,
    pub crashes: usize,
    pub restores: usize,
    /// Answers to polls.
    pub polled: usize,
    /// Streams that went on behind their last id.
    pub by_id: usize,
}

impl Run {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = check(&self.logs, &self.lives);
        faults.extend(self.found.iter().cloned());
        faults
    }
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.messages += other.messages;
        self.acked += other.acked;
        self.joined += other.joined;
        self.recovered += other.recovered;
        self.lost += other.lost;
        self.slow += other.slow;
        self.torn += other.torn;
        self.crashes += other.crashes;
        self.restores += other.restores;
        self.polled += other.polled;
        self.by_id += other.by_id;
    }
}

/// Plays one seed to its end.
///
/// # Panics
/// When everything is well again and nobody does anything new, somebody still waits for something.
pub fn run(seed: u64) -> Run {
    world::World::new(seed).play()
}

/// The name of a message, which its data begins with; what follows is filling.
fn label(data: &str) -> String {
    let data = data.trim_matches('"');
    data.split(' ').next().unwrap_or(data).to_owned()
}
