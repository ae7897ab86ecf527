//! `Wire`: one connection as a worker holds it, and what the worker's loop and the conversation do for it.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::command::{Command, Reply, Ticket};
use parlor_hub::encode::{WireFormat, entry, member};
use parlor_hub::engine::Begin;
use parlor_hub::shard::Event;
use parlor_hub::{Author, ConnectionId, Shard};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode::{self, Of};
use parlor_proto::position::{Cursor, MessageId};
use parlor_proto::sse;
use parlor_proto::ws::frame::{self, Opcode};

use crate::dice::Dice;

/// How a client is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// WebSocket frames.
    Frames,
    Lines,
    /// Events, whose ids are noted.
    Events,
}

/// A connection, from the server's queue to what the client has not read yet.
pub(super) struct Wire {
    pub(super) id: ConnectionId,
    speech: Speech,
    /// Written and not read by the client.
    pub(super) pipe: VecDeque<u8>,
    /// What it takes; a slow reader's is small.
    pub(super) capacity: usize,
    /// Commands on their way to the server.
    pub(super) uplink: VecDeque<(String, Command)>,
    asked: BTreeMap<u64, Asked>,
    tickets: u64,
    /// How far the store had come before the rooms were joined.
    last: u64,
    blocked: bool,
    /// The server says goodbye: when everything is written it ends.
    leaving: bool,
    /// The server has nothing more to do with it; what is in the pipe may still be read.
    pub(super) over: bool,
    /// The client has gone.
    pub(super) cut: bool,
}

/// A command that is not answered yet.
struct Asked {
    id: String,
    since: bool,
}

impl Wire {
    pub(super) fn open(
        shard: &mut Shard,
        dice: &mut Dice,
        speech: Speech,
        author: Author,
        last: u64,
    ) -> Wire {
        let format = match speech {
            Speech::Frames => WireFormat::Native,
            Speech::Lines => WireFormat::Lines,
            Speech::Events => WireFormat::SsePlain,
        };
        let random = u128::from(dice.number()) << 64 | u128::from(dice.number());
        Wire {
            id: shard.connect(random, Some(author), format),
            speech,
            pipe: VecDeque::new(),
            capacity: 64 << dice.roll(12),
            uplink: VecDeque::new(),
            asked: BTreeMap::new(),
            tickets: 0,
            last,
            blocked: false,
            leaving: false,
            over: false,
            cut: false,
        }
    }

    /// Carries out the oldest command that is on its way. What a stream wants is one request.
    pub(super) fn receive(&mut self, shard: &mut Shard, now: u64) -> bool {
        if self.over || self.leaving {
            self.uplink.clear();
        }
        let mut worked = self.receive_one(shard, now);
        while self.speech == Speech::Events && self.receive_one(shard, now) {
            worked = true;
        }
        worked
    }

    fn receive_one(&mut self, shard: &mut Shard, now: u64) -> bool {
        let Some((id, command)) = self.uplink.pop_front() else { return false };
        self.tickets += 1;
        let since = matches!(&command, Command::Join { begin: Some(Begin::Since(_)), .. });
        self.asked.insert(self.tickets, Asked { id, since });
        shard.execute(self.id, Ticket(self.tickets), command, now);
        true
    }

    /// What the worker is told about this connection while it receives mail.
    pub(super) fn handle(&mut self, shard: &mut Shard, event: Event, now: u64) {
        match event {
            Event::Reply { ticket, result, .. } => {
                let Some(asked) = self.asked.remove(&ticket.0) else { return };
                let object = self.answer(&asked, result);
                self.say(shard, &object);
            }
            Event::Settled { newest, .. } => {
                let (seq, id) = newest.unwrap_or((0, MessageId::NIL)).max((self.last, MessageId::NIL));
                let life = shard.hub().engine().life();
                let mut line = Vec::new();
                sse::id(&mut line, Cursor { life, seq, id });
                shard.send(self.id.slot(), Bytes::from(line));
            }
            Event::Cut { code, .. } => self.close(shard, code, now),
        }
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, shard: &mut Shard, code: CloseCode, now: u64) {
        if self.over || std::mem::replace(&mut self.leaving, true) {
            return;
        }
        shard.leave_everything(self.id, now);
        if code == CloseCode::SLOW {
            shard.drop_queued(self.id.slot());
        }
        let mut bye = Vec::new();
        encode::bye(&mut bye, code, None);
        self.say(shard, &bye);
    }

    /// Takes the connection out of the hub.
    pub(super) fn end(&mut self, shard: &mut Shard, now: u64) {
        if !std::mem::replace(&mut self.over, true) {
            shard.disconnect(self.id, now);
        }
    }

    fn say(&mut self, shard: &mut Shard, object: &[u8]) {
        let mut out = Vec::with_capacity(object.len() + 16);
        match self.speech {
            Speech::Frames => {
                frame::write_header(&mut out, true, false, Opcode::Text, object.len());
                out.extend_from_slice(object);
            }
            Speech::Lines => {
                out.extend_from_slice(object);
                out.push(b'\n');
            }
            Speech::Events => sse::event(&mut out, None, object),
        }
        shard.send(self.id.slot(), Bytes::from(out));
    }

    fn answer(&mut self, asked: &Asked, result: Result<Reply, Refusal>) -> Vec<u8> {
        let mut out = Vec::new();
        let id = Some(&*asked.id);
        match result {
            Ok(Reply::Joined(joined)) => {
                let messages: Vec<_> = joined.messages.iter().map(|message| entry(message)).collect();
                let members: Vec<_> = joined.members.list.iter().flatten().map(member).collect();
                let recovered = match (asked.since, joined.lost) {
                    (false, _) => None,
                    (true, None) => Some(Ok(())),
                    (true, Some(lost)) => Some(Err(lost.as_str())),
                };
                let presence = encode::Presence {
                    members: &members,
                    count: joined.members.count as u64,
                    version: joined.members.version,
                };
                let said = encode::Joined {
                    of: Of::Room(&joined.room),
                    head: joined.head.map(|head| head.position()),
                    recovered,
                    messages: &messages,
                    presence: Some(presence),
                    unread: None,
                };
                encode::joined(&mut out, id, &said);
            }
            Ok(Reply::Published { room, published }) => {
                encode::published(&mut out, id, Of::Room(&room), published.position, published.ack.as_str());
            }
            Ok(Reply::Left { room }) => encode::left(&mut out, id, &room),
            Ok(_) => unreachable!("nobody asks for more"),
            Err(refusal) => encode::error(&mut out, id, &refusal),
        }
        out
    }

    /// Writes what waits, as far as the pipe takes it. `true`: something went.
    pub(super) fn flush(&mut self, shard: &mut Shard, now: u64) -> bool {
        if self.over {
            return false;
        }
        let slot = self.id.slot();
        if self.cut {
            // The system takes what nobody will read, until it finds that out.
            let waits = shard.outbox(slot).map_or(0, |outbox| outbox.len());
            shard.advance(slot, waits);
            if self.leaving {
                self.end(shard, now);
            }
            return waits > 0;
        }
        let mut written = 0;
        while self.pipe.len() < self.capacity {
            let Some(outbox) = shard.outbox(slot).filter(|outbox| !outbox.is_empty()) else { break };
            let mut slice = [IoSlice::new(&[])];
            outbox.slices(&mut slice);
            let count = slice[0].len().min(self.capacity - self.pipe.len());
            self.pipe.extend(&slice[0][..count]);
            shard.advance(slot, count);
            written += count;
        }
        self.blocked = shard.outbox(slot).is_some_and(|outbox| !outbox.is_empty());
        if self.leaving && !self.blocked {
            self.end(shard, now);
        }
        written > 0
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked && !self.over
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }
}

/// The command to join a room.
pub(super) fn join(room: &RoomName, begin: Option<Begin>, speech: Speech, logged: bool) -> Command {
    let format = (speech == Speech::Events && logged).then_some(WireFormat::Sse);
    Command::Join { room: room.clone(), begin, format }
}

/// Somebody.
pub(super) fn author(name: &str) -> Author {
    Author { user: Arc::from(name), name: Arc::from(name) }
}
