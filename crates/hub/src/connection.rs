//! `ConnectionId`: the name of one client's logical presence in the hub.

use std::fmt;

/// 128 random bits, so that it cannot be guessed, and the way to its owner: worker and slot.
///
/// A slot is used again after a connection ended; the random bits tell the two apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    random: [u64; 2],
    worker: u16,
    slot: u32,
}

impl ConnectionId {
    /// `random` must come from a cryptographic source.
    pub fn new(random: u128, worker: u16, slot: u32) -> ConnectionId {
        ConnectionId { random: [(random >> 64) as u64, random as u64], worker, slot }
    }

    pub fn worker(self) -> u16 {
        self.worker
    }

    pub fn slot(self) -> u32 {
        self.slot
    }
}

impl fmt::Display for ConnectionId {
    /// 44 hexadecimal digits: random bits, worker, slot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}{:04x}{:08x}", self.random[0], self.random[1], self.worker, self.slot)
    }
}

impl fmt::Debug for ConnectionId {
    /// Without the random bits: they let their holder act as the connection, and do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({}:{})", self.worker, self.slot)
    }
}
