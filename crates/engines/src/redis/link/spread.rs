//! What other nodes spread, and the direct messages, which go to every node because their reader may be anywhere.

use parlor_hub::publication::Publication;

use super::super::entry::{self, decode_spread};
use super::super::wire::Value;
use super::{Link, Pending, Session};

/// Direct messages that are read at once after an interruption.
const DIRECTS: usize = 100;

/// Which direct messages were delivered here.
#[derive(Debug, Default)]
pub(super) struct Directs {
    /// The number of the newest; `None` before the first connection.
    last: Option<u64>,
    live: bool,
}

impl Directs {
    /// Whether the one with this number is to be delivered now.
    pub(super) fn arrive(&mut self, seq: u64) -> bool {
        let new = self.last.is_none_or(|last| seq > last);
        if self.live && new {
            self.last = Some(seq);
        }
        self.live && new
    }

    pub(super) fn disconnected(&mut self) {
        self.live = false;
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
            None => self.deliver_passing(spread.publication),
        }
    }

    /// The newest number that the store has given out, asked at the beginning of a connection.
    pub(super) fn seq_is(&mut self, session: &mut Session, seq: u64) {
        match self.directs.last {
            Some(last) if last <= seq => self.read_directs(session, last),
            // The first connection, or a store that was set back: what is there is not news.
            _ => {
                self.directs.last = Some(seq);
                self.directs.live = true;
            }
        }
    }

    fn read_directs(&self, session: &mut Session, after: u64) {
        let from = format!("({after}-0");
        let direct = self.shared.names.direct();
        let count = DIRECTS.to_string();
        session.ask(
            Pending::Directs,
            &[b"XRANGE", direct.as_bytes(), from.as_bytes(), b"+", b"COUNT", count.as_bytes()],
        );
    }

    pub(super) fn directs_read(&mut self, session: &mut Session, value: &Value) {
        let entries = value.list().unwrap_or_default();
        let mut last = self.directs.last.unwrap_or(0);
        for entry in entries {
            let parts = entry.list().unwrap_or_default();
            let seq = parts.first().and_then(Value::text).and_then(|id| id.strip_suffix("-0"));
            last = seq.and_then(entry::number).unwrap_or(last).max(last);
            let bytes = parts.get(1).and_then(Value::list).and_then(|fields| fields.get(1)?.bytes());
            match bytes.and_then(decode_spread).filter(|spread| spread.publication.to.is_some()) {
                Some(spread) => self.door.deliver(std::sync::Arc::new(spread.publication)),
                None => self.drop_hostile("a direct message"),
            }
        }
        self.directs.last = Some(last);
        match entries.len() < DIRECTS {
            true => self.directs.live = true,
            false => self.read_directs(session, last),
        }
    }
}
