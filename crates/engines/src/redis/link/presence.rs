//! Who is in which room on which node. A node says so as long as it lives; when it no longer says that it lives, another
//! takes back what it had said.

use std::time::SystemTime;

use parlor_hub::engine::Elsewhere;
use parlor_hub::publication::Author;
use parlor_proto::name::RoomName;

use super::super::entry;
use super::super::job::Presence;
use super::super::scripts::Script;
use super::super::settings::LEASE;
use super::super::wire::Value;
use super::{Link, Pending, Session};

impl Link {
    /// Tells the other nodes what a caller said.
    pub(super) fn say_present(&mut self, session: &mut Session, presence: Presence) {
        let Presence { room, who, here } = presence;
        let key = (room, who.user.clone());
        self.announce(session, &key.0, &who, here);
        match here {
            true => self.own.insert(key, who),
            false => self.own.remove(&key),
        };
    }

    fn announce(&self, session: &mut Session, room: &RoomName, who: &Author, here: bool) {
        let names = &self.shared.names;
        let node = entry::hex_of(self.shared.node);
        let keys = [names.present(room), names.said_by(&node)];
        let bytes = entry::encode_present(room, who);
        let channel = names.channel(room);
        let sign: &[u8] = if here { b"+" } else { b"-" };
        let args = [node.as_bytes(), sign, who.user.as_bytes(), &bytes, channel.as_bytes()];
        session.script(Pending::Nothing, session.deadline(), Script::Present, &keys, &args);
    }

    /// Says that this node lives.
    pub(super) fn renew(&self, session: &mut Session) {
        let names = &self.shared.names;
        let node = entry::hex_of(self.shared.node);
        let lease = LEASE.as_millis().to_string();
        let said = names.said_by("");
        let args = [node.as_bytes(), lease.as_bytes(), said.as_bytes()];
        session.script(Pending::Lease, session.deadline(), Script::Lease, &[names.nodes()], &args);
    }

    /// Says that it no longer does: the next one that looks takes back what it has said.
    pub(super) fn end_lease(&self, session: &mut Session) {
        let (nodes, node) = (self.shared.names.nodes(), entry::hex_of(self.shared.node));
        session.ask(Pending::Nothing, &[b"ZADD", nodes.as_bytes(), b"0", node.as_bytes()]);
    }

    pub(super) fn renewed(&mut self, session: &mut Session, value: &Value) {
        let Some([new, swept]) = value.list() else { return };
        if new.number() == Some(1) {
            // The store did not know this node, or took it for dead: what it said is gone.
            for ((room, _), who) in &self.own {
                self.announce(session, room, who, true);
            }
        }
        if swept.number() == Some(1) {
            self.renew(session);
        }
    }

    /// Asks who is in a room on other nodes.
    pub(super) fn ask_present(&self, session: &mut Session, room: &RoomName) {
        let present = self.shared.names.present(room);
        session.ask(Pending::Present { room: room.clone() }, &[b"HGETALL", present.as_bytes()]);
    }

    pub(super) fn present_is(&self, room: &RoomName, value: &Value) {
        let Value::Map(pairs) = value else { return };
        let mut all = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let node = pair[0].text().and_then(|field| entry::hex(field.get(..16)?));
            let who = pair[1].bytes().and_then(entry::decode_present).filter(|(of, _)| of == room);
            match node.zip(who) {
                Some((node, (_, who))) if node != self.shared.node => all.push((node, who)),
                Some(_) => {}
                None => self.drop_hostile("who is in a room"),
            }
        }
        self.door.present(room, Elsewhere::Are(all), now());
    }

    /// `q1 NODE +`, a line's end and who it is. `false`: it is something else.
    pub(super) fn heard_present(&self, channel: &str, bytes: &[u8]) -> bool {
        let Some((line, bytes)) = bytes.split_at_checked(22) else { return false };
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let Some(rest) = line.strip_prefix("q1 ") else { return false };
        let (Some(node), sign) = (rest.get(..16).and_then(entry::hex), rest.get(16..)) else { return false };
        let Some((room, who)) = entry::decode_present(bytes) else { return false };
        if self.shared.names.channel(&room) != channel {
            return false;
        }
        let elsewhere = match sign {
            Some(" +\n") => Elsewhere::Came(node, who),
            Some(" -\n") => Elsewhere::Went(node, who.user),
            _ => return false,
        };
        if node != self.shared.node {
            self.door.present(&room, elsewhere, now());
        }
        true
    }
}

/// Milliseconds since 1970, for the grace of who went.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
