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

    /// Reads what [`ConnectionId`]'s `Display` wrote.
    pub fn parse(text: &str) -> Option<ConnectionId> {
        if text.len() != 44 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let number = |from: usize, to: usize| u64::from_str_radix(&text[from..to], 16).ok();
        let random = [number(0, 16)?, number(16, 32)?];
        Some(ConnectionId { random, worker: number(32, 36)? as u16, slot: number(36, 44)? as u32 })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        let id = ConnectionId::new(0x0123_4567_89ab_cdef_0000_0000_0000_00ff, 3, 70_000);
        assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        for other in ["", "abc", &id.to_string().to_uppercase(), &id.to_string()[1..], &"é".repeat(22)] {
            assert_eq!(ConnectionId::parse(other), None, "{other}");
        }
    }
}
