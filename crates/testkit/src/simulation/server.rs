//! `Wire`: one connection as a worker holds it, and what the worker's loop and the conversation do for it.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::command::{Command, Joined, Reply, Ticket};
use parlor_hub::encode::{WireFormat, entry, member};
use parlor_hub::engine::{Begin, Lost};
use parlor_hub::shard::Event;
use parlor_hub::{Author, ConnectionId, Hub, Shard};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode::{self, Of};
use parlor_proto::position::{Cursor, MessageId};
use parlor_proto::sse;
use parlor_proto::ws::frame::{self, Opcode};

use super::behind::{Behind, Next};
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
    /// How far the store had come before the rooms were joined, and the newest place of these.
    last: u64,
    newest: (u64, MessageId),
    /// What a stream behind a cursor does before it joins its rooms.
    behind: Option<Behind>,
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
    /// What is said about what came before it, if that was asked; it may be lost already.
    missed: Option<Result<(), Lost>>,
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
            newest: (0, MessageId::NIL),
            behind: None,
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
        let since = matches!(&command, Command::Join { begin: Some(Begin::Since(_)), .. });
        self.ask(shard, Asked { id, missed: since.then_some(Ok(())) }, command, now);
        true
    }

    fn ask(&mut self, shard: &mut Shard, asked: Asked, command: Command, now: u64) {
        self.tickets += 1;
        self.asked.insert(self.tickets, asked);
        shard.execute(self.id, Ticket(self.tickets), command, now);
    }

    /// The request of a stream that goes on behind a cursor: its rooms, and what its client calls each of the answers.
    pub(super) fn begin_behind(&mut self, hub: &Arc<Hub>, rooms: BTreeMap<RoomName, String>, cursor: Cursor) {
        self.behind = Some(Behind::new(hub, rooms, cursor));
    }

    /// Goes on where a stream reads what is behind its cursor.
    pub(super) fn go_on(&mut self, shard: &mut Shard, now: u64) -> bool {
        let is_over = self.over || self.leaving;
        let Some(behind) = self.behind.as_mut().filter(|_| !is_over) else { return false };
        let drained = shard.outbox(self.id.slot()).is_none_or(|outbox| outbox.is_empty());
        match behind.go_on(drained) {
            Next::Nothing => return false,
            Next::Page(format, page) => shard.send_publications(self.id.slot(), format, &page),
            Next::Close(code) => self.close(shard, code, now),
            Next::Join { last, rooms } => {
                (self.last, self.behind) = (last, None);
                for (id, room, begin, missed) in rooms {
                    let logged = missed != Err(Lost::NoLog);
                    let command = join(&room, begin, self.speech, logged);
                    self.ask(shard, Asked { id, missed: Some(missed) }, command, now);
                }
            }
        }
        true
    }

    /// What the worker is told about this connection while it receives mail.
    pub(super) fn handle(&mut self, shard: &mut Shard, event: Event, now: u64) {
        match event {
            Event::Reply { ticket, result, .. } => {
                let Some(asked) = self.asked.remove(&ticket.0) else { return };
                if let Ok(Reply::Joined(Joined { head: Some(head), .. })) = &result {
                    self.newest = self.newest.max((head.seq, head.id));
                }
                // The ids of a stream speak for all of its rooms.
                let ends = self.speech == Speech::Events && result.is_err();
                let object = self.answer(&asked, result);
                self.say(shard, &object);
                if ends {
                    self.close(shard, CloseCode::OVERLOADED, now);
                }
            }
            Event::Settled { newest, .. } => {
                let (seq, id) = newest.map_or(self.newest, |newest| newest.max(self.newest));
                let life = shard.hub().engine().life();
                let mut line = Vec::new();
                sse::id(&mut line, Cursor { life, seq: seq.max(self.last), id });
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
                let missed = joined.lost.map_or(Ok(()), Err);
                let recovered = asked.missed.map(|before| before.and(missed).map_err(Lost::as_str));
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
