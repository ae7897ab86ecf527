//! What other nodes spread, and the direct messages, which go to every node because their reader may be anywhere.

use std::sync::Arc;
use std::time::Instant;

use parlor_hub::publication::Publication;

use super::super::entry::{self, decode_spread};
use super::super::hold::{Hold, Source};
use super::super::wire::Value;
use super::{Link, Pending, Session};

/// Direct messages that are read at once after an interruption.
const DIRECTS: usize = 100;

/// Which direct messages were delivered here.
#[derive(Debug, Default)]
pub(super) struct Directs {
    /// The number of the newest that was delivered; `None` before the first connection.
    delivered: Option<u64>,
    /// That of the newest that was delivered or is held.
    known: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It is not known yet how far the store is.
    #[default]
    Opening,
    Live,
    /// A page has to be read.
    Behind,
    /// It is being read.
    Reading,
}

impl Directs {
    /// Whether the one with this number is to be delivered now.
    pub(super) fn arrive(&mut self, seq: u64) -> bool {
        let new = self.phase == Phase::Live && seq > self.known;
        if new {
            self.known = seq;
        }
        new
    }

    pub(super) fn delivered(&mut self, seq: u64) {
        self.delivered = self.delivered.max(Some(seq));
    }

    pub(super) fn disconnected(&mut self, hold: &mut Hold) {
        self.phase = Phase::Opening;
        if let Some(delivered) = self.delivered {
            self.known = delivered;
            hold.fall_behind(Source::Directs, delivered);
        }
    }

    /// How far the store is, asked at the beginning of a connection.
    fn store_is_at(&mut self, seq: u64, hold: &mut Hold) {
        match self.delivered {
            Some(delivered) if delivered < seq => self.phase = Phase::Behind,
            // The first connection, or a store that was set back: what is there is not news.
            _ => {
                (self.delivered, self.known) = (Some(seq), seq);
                self.give_up(hold);
            }
        }
    }

    /// Behind which number a page is to be read; it counts as being read from now on.
    pub(super) fn next_read(&mut self) -> Option<u64> {
        (self.phase == Phase::Behind).then(|| {
            self.phase = Phase::Reading;
            self.known
        })
    }

    /// What was held last is not held any more: it is read again when its turn comes.
    pub(super) fn let_go(&mut self, seq: u64, hold: &mut Hold) {
        self.known = seq.saturating_sub(1);
        self.phase = Phase::Behind;
        hold.fall_behind(Source::Directs, self.known);
    }

    /// Nothing is missing any more, or nobody waits for it.
    pub(super) fn give_up(&mut self, hold: &mut Hold) {
        self.phase = Phase::Live;
        hold.catch_up(&Source::Directs);
    }
}

impl Link {
    /// Something that comes by itself.
    pub(super) fn heard(&mut self, session: &mut Session, parts: &[Value]) {
        let [kind, channel, bytes] = parts else { return };
        // The others say that a subscription has begun or ended.
        if kind.text() != Some("message") {
            return;
        }
        if let (Some(channel), Some(bytes)) = (channel.text(), bytes.bytes())
            && bytes.starts_with(b"q1 ")
        {
            if !self.heard_present(channel, bytes) {
                self.drop_hostile("who is in a room");
            }
            return;
        }
        if let (Some(channel), Some(bytes)) = (channel.text(), bytes.bytes())
            && bytes.starts_with(b"t1 ")
        {
            if !self.heard_told(channel, bytes) {
                self.drop_hostile("what a node says");
            }
            return;
        }
        let names = &self.shared.names;
        let is_direct = channel.text().is_some_and(|channel| channel == names.direct());
        let spread = bytes.bytes().and_then(decode_spread).filter(|spread| {
            let Publication { room, place, to, .. } = &spread.publication;
            match is_direct {
                true => to.is_some() && place.is_some(),
                false => to.is_none() && channel.text().is_some_and(|text| text == names.channel(room)),
            }
        });
        let Some(spread) = spread else { return self.drop_hostile("a message on a channel") };
        if spread.node == self.shared.node {
            // Delivered with its answer.
            return;
        }
        match spread.publication.place {
            Some(_) => self.arrive(session, spread.publication),
            None => self.hand_passing(spread.publication),
        }
    }

    /// `t1 NODE`, a line's end and what it says. `false`: it is something else.
    fn heard_told(&self, channel: &str, bytes: &[u8]) -> bool {
        let (names, own) = (&self.shared.names, entry::hex_of(self.shared.node));
        let is_ours = channel == names.told(None) || channel == names.told(Some(&own));
        let Some((line, said)) = bytes.split_at_checked(20).filter(|_| is_ours) else { return false };
        let line =
            std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("t1 ")?.strip_suffix('\n'));
        match line.and_then(entry::hex) {
            Some(node) if node == self.shared.node => true,
            Some(node) => self.door.told(node, said),
            None => false,
        }
    }

    /// Tells the other nodes, or one.
    pub(super) fn tell(&self, session: &mut Session, node: Option<u64>, bytes: &[u8]) {
        let own = entry::hex_of(self.shared.node);
        let channel = self.shared.names.told(node.map(entry::hex_of).as_deref());
        let said = [format!("t1 {own}\n").as_bytes(), bytes].concat();
        session.ask(Pending::Given, &[b"PUBLISH", channel.as_bytes(), &said]);
    }

    /// The newest number that the store has given out, asked at the beginning of a connection.
    pub(super) fn seq_is(&mut self, seq: u64) {
        self.newest = self.newest.max(Some(seq));
        self.directs.store_is_at(seq, &mut self.hold);
    }

    pub(super) fn read_directs(&self, session: &mut Session, after: u64) {
        let from = format!("({after}-0");
        let direct = self.shared.names.direct();
        let count = DIRECTS.to_string();
        session.ask(
            Pending::Directs { after },
            &[b"XRANGE", direct.as_bytes(), from.as_bytes(), b"+", b"COUNT", count.as_bytes()],
        );
    }

    pub(super) fn directs_read(&mut self, after: u64, value: &Value) {
        if self.directs.phase != Phase::Reading || self.directs.known != after {
            return;
        }
        if let Value::Error(why) = value {
            tracing::warn!(%why, "direct messages could not be read");
            self.directs.phase = Phase::Behind;
            return;
        }
        self.moved = Instant::now();
        let entries = value.list().unwrap_or_default();
        let mut last = after;
        for entry in entries {
            let parts = entry.list().unwrap_or_default();
            let seq = parts.first().and_then(Value::text).and_then(|id| id.strip_suffix("-0"));
            last = seq.and_then(entry::number).unwrap_or(last).max(last);
            let bytes = parts.get(1).and_then(Value::list).and_then(|fields| fields.get(1)?.bytes());
            let spread = bytes.and_then(decode_spread);
            let direct = spread.map(|spread| spread.publication).filter(|direct| direct.to.is_some());
            match direct.and_then(|direct| Some((direct.place?.seq, direct))) {
                Some((seq, direct)) => self.hold.push(seq, Arc::new(direct)),
                None => self.drop_hostile("a direct message"),
            }
        }
        self.directs.known = last;
        if entries.len() < DIRECTS {
            return self.directs.give_up(&mut self.hold);
        }
        self.directs.phase = Phase::Behind;
        self.hold.fall_behind(Source::Directs, last);
    }
}
