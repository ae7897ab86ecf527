//! Joining: a subscriber is entered as catching up, gets what it missed page by page, and goes live under the
//! sequencer, so that nothing falls between.
//!
//! ```text
//!   join ──> Asked ──resumed──> Reading(after) ──page──┐
//!                                 ^      │ more        │ at the end of the log
//!                                 └──────┘             v
//!            not stored here ──────────────────────> at the head? ── yes ──> live
//!                                                      │ the store is ahead of the door
//!                                                      └──> Waiting(after) ── delivered ──> live
//! ```

use std::sync::Arc;

use bytes::Bytes;
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{PAGE_MESSAGES, ROOMS_PER_CONNECTION};
use parlor_proto::name::RoomName;

use crate::command::{Command, Joined, Reply, RoomInfo, Ticket};
use crate::connection::ConnectionId;
use crate::encode::WireFormat;
use crate::engine::{Begin, Page, Range, Resumed};
use crate::hub::Hub;
use crate::mailbox::Mail;
use crate::policy::Log;
use crate::publication::Author;
use crate::publish::Publisher;
use crate::rooms::{Room, RoomKey};
use crate::shard::{Event, Shard, ShardRoom};
use crate::socketio;

/// A subscriber that does not get what is published yet. Invariant: it is in no `live` list of the same room.
#[derive(Debug)]
pub(crate) struct CatchingUp {
    pub(crate) slot: u32,
    ticket: Option<Ticket>,
    state: State,
    /// There is more to read than a page. What is published elsewhere does not wait for that.
    is_long: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The engine was asked.
    Asked,
    /// It has everything up to here; more is being read or will be when its outbox is empty.
    Reading(u64),
    /// It has read this message before the door delivered it; it goes live when the door does.
    Waiting(u64),
    /// It has everything up to here, and waits for other rooms of its connection.
    Held(u64),
}

impl CatchingUp {
    pub(crate) fn new(slot: u32, ticket: Ticket) -> CatchingUp {
        CatchingUp { slot, ticket: Some(ticket), state: State::Asked, is_long: false }
    }

    /// What is published in the room waits for the connection.
    pub(crate) fn held(slot: u32, after: u64) -> CatchingUp {
        CatchingUp { slot, ticket: None, state: State::Held(after), is_long: false }
    }

    /// The place behind which it waits.
    pub(crate) fn held_after(&self) -> Option<u64> {
        match self.state {
            State::Held(after) => Some(after),
            _ => None,
        }
    }

    /// Whether what is published in other rooms waits until this one is live.
    pub(crate) fn is_awaited(&self) -> bool {
        self.held_after().is_none() && !self.is_long
    }
}

impl Shard {
    /// Carries out a command of a connection; the reply comes as an [`Event::Reply`] from the mailbox.
    pub fn execute(&mut self, connection: ConnectionId, ticket: Ticket, command: Command, now: u64) {
        let mailbox = Arc::clone(self.hub.mailbox(self.worker));
        let reply = move |result| mailbox.push(Mail::Reply { connection, ticket, result });
        self.outstanding += 1;
        match command {
            Command::Publish(publish) => {
                let room = publish.room.clone();
                let done = Box::new(move |result: Result<_, _>| {
                    reply(result.map(|published| Reply::Published { room, published }));
                });
                self.hub.publish(Publisher::Connection(connection), publish, now, done);
            }
            Command::Join { room, begin, format } => {
                match self.join(connection, ticket, &room, begin, format, now) {
                    // Answered by the mail that enters the subscriber.
                    Ok(()) => self.outstanding -= 1,
                    Err(refusal) => reply(Err(refusal)),
                }
            }
            Command::Leave { room } => reply(match self.leave(connection, &room, now) {
                Some(()) => Ok(Reply::Left { room }),
                None => Err(Refusal::not_joined(&room)),
            }),
            Command::History { room, range, limit } => {
                let policy = self.hub.policy(&room);
                if policy.log == Log::None {
                    return reply(Err(Refusal::no_log(&room, "history")));
                }
                let engine = Arc::clone(self.hub.engine());
                let name = room.clone();
                let done = Box::new(move |page: Result<_, _>| {
                    reply(page.map(|page| Reply::History { room, range, page }));
                });
                engine.history(&name, policy, range, limit.clamp(1, PAGE_MESSAGES as u32), done);
            }
            Command::Members { room } => {
                let members = self.hub.members(&room);
                reply(Ok(Reply::Members { room, members }));
            }
            Command::Rooms { prefix, after, limit } => {
                let done = Box::new(move |rooms: Result<(Vec<RoomInfo>, bool), _>| {
                    reply(rooms.map(|(rooms, more)| Reply::Rooms { rooms, more }));
                });
                self.hub.rooms(&prefix, after.as_deref(), limit, done);
            }
        }
    }

    fn join(
        &mut self,
        connection: ConnectionId,
        ticket: Ticket,
        room: &RoomName,
        begin: Option<Begin>,
        format: Option<WireFormat>,
        now: u64,
    ) -> Result<(), Refusal> {
        if room.starts_with('$') && !socketio::is_everybody(room) {
            return Err(Refusal::new(
                Code::Forbidden,
                "names that begin with $ are the server's own; join another room",
            ));
        }
        let policy = self.hub.policy(room);
        if policy.log == Log::None && matches!(begin, Some(Begin::Since(_))) {
            return Err(Refusal::no_log(room, "position to begin from: join without `since`"));
        }
        let already = self.joined(connection, room);
        if already.is_none() && self.is_in_too_many_rooms(connection) && !socketio::is_everybody(room) {
            return Err(Refusal::new(
                Code::TooManyRooms,
                format!("a connection may be in {ROOMS_PER_CONNECTION} rooms; leave one first"),
            ));
        }
        let key = match already {
            Some(key) => key,
            None => {
                let author = self.author(connection).cloned();
                let who = Who::of(author.as_ref(), format);
                self.hub.enter_room(self.worker, room, who, now)
            }
        };
        self.begin_catching_up(connection, key, room, ticket, format);
        if policy.log == Log::None {
            self.hub.go_live(
                self.worker,
                room,
                Mail::Live { connection, room: key, after: 0, ticket: Some(ticket) },
                0,
            );
            return Ok(());
        }
        let mailbox = Arc::clone(self.hub.mailbox(self.worker));
        match self.format_in(connection.slot(), key) {
            // It rings as soon as its connection is in, for all that there is to be read by then, and so need not know how
            // far the log is. On a shared engine the answer also says that this node hears of the room.
            WireFormat::Bell if begin.is_none() && !self.hub.engine().is_shared() => {
                mailbox.push(Mail::Live { connection, room: key, after: 0, ticket: Some(ticket) });
                return Ok(());
            }
            WireFormat::SocketIoNativeOffset => self.hold(connection),
            _ => {}
        }
        let done =
            Box::new(move |result| mailbox.push(Mail::Resumed { connection, room: key, ticket, result }));
        self.hub.engine().resume(room, policy, begin.unwrap_or(Begin::Last(0)), done);
        Ok(())
    }

    /// The slots of those who are reading a log that is void now; who has not begun yet will read the new one.
    pub(crate) fn readers(&self, key: RoomKey) -> Vec<u32> {
        let waiting = self.rooms.get(&key).map_or(&[][..], |room| &room.catching_up);
        waiting.iter().filter(|waiting| waiting.state != State::Asked).map(|waiting| waiting.slot).collect()
    }

    /// The engine's answer to a join: says `joined` with the first page, then goes on.
    pub(crate) fn resumed(
        &mut self,
        connection: ConnectionId,
        key: RoomKey,
        ticket: Ticket,
        result: Result<Resumed, Refusal>,
        now: u64,
        events: &mut Vec<Event>,
    ) {
        if !self.contains(connection) {
            return;
        }
        let asked =
            |waiting: &&mut CatchingUp| waiting.slot == connection.slot() && waiting.ticket == Some(ticket);
        let found = self.rooms.get_mut(&key).and_then(|room| {
            let waiting = room.catching_up.iter_mut().find(asked)?;
            Some((room.name.clone(), waiting))
        });
        let Some((name, waiting)) = found else { return overtaken(connection, ticket, events) };
        waiting.ticket = None;
        let resumed = match result {
            Ok(resumed) => resumed,
            Err(refusal) => {
                self.leave(connection, &name, now);
                events.push(Event::Reply { connection, ticket, result: Err(refusal) });
                self.settle(connection.slot(), events);
                return;
            }
        };
        let (messages, lost, more) = match resumed.outcome {
            Ok(page) => (page.messages, None, page.more),
            Err(lost) => (Vec::new(), Some(lost), false),
        };
        let last = messages.last().and_then(|publication| publication.place).map(|place| place.offset);
        let after = last.unwrap_or(resumed.head.offset);
        (waiting.state, waiting.is_long) = (State::Reading(after), more);
        let members = self.hub.members(&name);
        let joined = Joined { room: name, head: Some(resumed.head), lost, messages, members };
        events.push(Event::Reply { connection, ticket, result: Ok(Reply::Joined(joined)) });
        if more {
            self.hungry.push((connection.slot(), key));
            self.release(connection.slot());
        } else {
            self.arrive(connection, key, after);
        }
    }

    /// Asks for the next page of every replay whose connection has nothing left to write.
    pub fn continue_replays(&mut self) {
        if self.hungry.is_empty() {
            return;
        }
        for (slot, key) in std::mem::take(&mut self.hungry) {
            let Some(connection) = self.connection(slot) else { continue };
            let Some(room) = self.rooms.get(&key) else { continue };
            let waiting = room.catching_up.iter().find(|waiting| waiting.slot == slot);
            let Some(waiting) = waiting else { continue };
            let State::Reading(after) = waiting.state else { continue };
            // What is held back does not fill the outbox.
            let is_held = self.is_held(slot) && waiting.is_awaited();
            if !is_held && self.outbox(slot).is_some_and(|outbox| !outbox.is_empty()) {
                self.hungry.push((slot, key));
                continue;
            }
            let mailbox = Arc::clone(self.hub.mailbox(self.worker));
            let done =
                Box::new(move |result| mailbox.push(Mail::Page { connection, room: key, after, result }));
            let policy = self.hub.policy(&room.name);
            self.hub.engine().history(&room.name, policy, Range::After(after), PAGE_MESSAGES as u32, done);
        }
    }

    pub(crate) fn next_page(
        &mut self,
        connection: ConnectionId,
        key: RoomKey,
        behind: u64,
        result: Result<Page, Refusal>,
        events: &mut Vec<Event>,
    ) {
        let slot = connection.slot();
        if !self.contains(connection) {
            return;
        }
        let Some(room) = self.rooms.get_mut(&key) else { return };
        let Some(waiting) = room.catching_up.iter_mut().find(|waiting| waiting.slot == slot) else { return };
        let State::Reading(after) = waiting.state else { return };
        if after != behind {
            return;
        }
        // What was promised can no longer be given: say so and end, never skip.
        let is_awaited = waiting.is_awaited();
        let page = match result {
            Ok(page) if page.first <= after + 1 => page,
            _ => return self.cut(slot, CloseCode::POSITION_LOST, events),
        };
        let last = page.messages.last().and_then(|publication| publication.place);
        let after = last.map_or(after, |place| place.offset);
        waiting.state = State::Reading(after);
        if is_awaited && self.is_held(slot) {
            self.fill_in(slot, &page.messages, events);
        } else {
            let format = self.format_in(slot, key).replayed();
            self.send_publications(slot, format, &page.messages);
        }
        if page.more {
            self.hungry.push((slot, key));
        } else {
            self.arrive(connection, key, after);
        }
    }

    /// The connection has read everything there was: goes live if that is everything that was delivered.
    fn arrive(&mut self, connection: ConnectionId, key: RoomKey, after: u64) {
        let slot = connection.slot();
        let Some(room) = self.rooms.get_mut(&key) else { return };
        let live = Mail::Live { connection, room: key, after, ticket: None };
        match self.hub.go_live(self.worker, &room.name, live, after) {
            Arrival::Live => {}
            Arrival::Behind => self.hungry.push((slot, key)),
            Arrival::Ahead => {
                if let Some(waiting) = room.catching_up.iter_mut().find(|waiting| waiting.slot == slot) {
                    waiting.state = State::Waiting(after);
                }
            }
        }
    }

    /// The door has delivered up to `offset`: those who had read exactly that already go live. Who waits for less was
    /// not there for the end of the run, and reads on.
    pub(crate) fn reached(&mut self, key: RoomKey, offset: u64, events: &mut Vec<Event>) {
        let Some(room) = self.rooms.get_mut(&key) else { return };
        if room.catching_up.is_empty() {
            return;
        }
        let mut ready = Vec::new();
        for waiting in &mut room.catching_up {
            match waiting.state {
                State::Waiting(after) if after == offset => ready.push((waiting.slot, after)),
                State::Waiting(after) if after < offset => {
                    waiting.state = State::Reading(after);
                    self.hungry.push((waiting.slot, key));
                }
                _ => {}
            }
        }
        for (slot, after) in ready {
            if let Some(connection) = self.connection(slot) {
                self.enter_live(connection, key, after, events);
            }
        }
    }

    pub(crate) fn go_live(
        &mut self,
        connection: ConnectionId,
        key: RoomKey,
        after: u64,
        ticket: Option<Ticket>,
        events: &mut Vec<Event>,
    ) {
        if !self.contains(connection) {
            return;
        }
        // A mail that an earlier join of the same connection has led to is not for this one.
        let awaited = |waiting: &CatchingUp| match ticket {
            Some(_) => waiting.ticket == ticket,
            None => waiting.state == State::Reading(after),
        };
        let is_in = |room: &&ShardRoom| {
            room.catching_up.iter().any(|waiting| waiting.slot == connection.slot() && awaited(waiting))
        };
        let Some(room) = self.rooms.get(&key).filter(is_in) else {
            return ticket.map_or((), |ticket| overtaken(connection, ticket, events));
        };
        let name = room.name.clone();
        if let Some(ticket) = ticket {
            let members = self.hub.members(&name);
            let joined = Joined { room: name, head: None, lost: None, messages: Vec::new(), members };
            events.push(Event::Reply { connection, ticket, result: Ok(Reply::Joined(joined)) });
        }
        self.enter_live(connection, key, after, events);
    }
}

/// Answers a join that came to nothing, because its connection has joined the same room again or has left it meanwhile.
fn overtaken(connection: ConnectionId, ticket: Ticket, events: &mut Vec<Event>) {
    let sentence = "a later join or a leave of this room came before this one was done";
    let result = Err(Refusal::new(Code::NotJoined, sentence));
    events.push(Event::Reply { connection, ticket, result });
}

/// Whom a subscriber is counted as in its room's presence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    Counted(Option<&'a Author>),
    Nobody,
}

impl<'a> Who<'a> {
    pub(crate) fn of(author: Option<&'a Author>, format: Option<WireFormat>) -> Who<'a> {
        match (author, format) {
            // It reads the log and hears the bell for as long as a request takes.
            (None, Some(WireFormat::Bell)) => Who::Nobody,
            (author, _) => Who::Counted(author),
        }
    }
}

/// Where a subscriber that has read the whole log stands against what was delivered.
enum Arrival {
    /// At the head: the mail is in its worker's mailbox.
    Live,
    /// More was delivered meanwhile: read on.
    Behind,
    /// The store was ahead of the door.
    Ahead,
}

impl Hub {
    /// Counts a subscriber in, under the room's lock.
    pub(crate) fn enter_room(&self, worker: u16, name: &RoomName, who: Who<'_>, now: u64) -> RoomKey {
        let policy = self.policy(name);
        let mut table = self.rooms.lock(name);
        let room = self.rooms.entry(&mut table, name, policy, now);
        room.subscribers[usize::from(worker)] += 1;
        let key = room.key;
        let counted = match who {
            Who::Counted(author) => Some(author),
            Who::Nobody => None,
        };
        let due = counted.and_then(|author| room.presence.join(author, now));
        let came = counted.flatten().filter(|author| room.presence.is_here_once(&author.user));
        drop(table);
        if let Some(at) = due {
            self.schedule(name.clone(), at);
        }
        if let Some(author) = came {
            self.tell_present(name, author);
        }
        // Not only by the first: whoever reads the log next must have asked to follow it before.
        self.engine().interest(name, true);
        key
    }

    /// Has a connection get what is published in a room from here on. It takes its place now: whatever is published
    /// after this call finds the connection in the room.
    pub fn enter(&self, connection: ConnectionId, name: &RoomName, format: WireFormat, now: u64) {
        let policy = self.policy(name);
        let worker = usize::from(connection.worker());
        let mut table = self.rooms.lock(name);
        let room = self.rooms.entry(&mut table, name, policy, now);
        room.subscribers[worker] += 1;
        let mail = Mail::Enter { connection, room: name.clone(), key: room.key, format };
        self.mailboxes[worker].push(mail);
        drop(table);
        self.engine().interest(name, true);
    }

    /// Has it no longer get what is published there from here on.
    pub fn exit(&self, connection: ConnectionId, room: &RoomName) {
        let mail = Mail::Exit { connection, room: room.clone() };
        self.mailbox(connection.worker()).push(mail);
    }

    /// Sends frames to one connection, in order with what is published. `volatile`: unless something waits for it.
    /// A connection for which more is sent than its worker can take meanwhile is cut like a slow reader.
    pub fn send(&self, connection: ConnectionId, frames: Bytes, volatile: bool) {
        let mailbox = self.mailbox(connection.worker());
        if mailbox.is_full() {
            return mailbox.push(Mail::Kick { connection, code: CloseCode::SLOW.0 });
        }
        mailbox.push(Mail::Send { connection, frames, volatile });
    }

    /// Ends a connection, after what was sent to it before.
    pub fn kick(&self, connection: ConnectionId, code: CloseCode) {
        self.mailbox(connection.worker()).push(Mail::Kick { connection, code: code.0 });
    }

    /// Counts a subscriber out.
    pub(crate) fn leave_room(&self, worker: u16, name: &RoomName, who: Who<'_>, now: u64) {
        let mut table = self.rooms.lock(name);
        let Some(room) = table.get_mut(name) else { return };
        room.subscribers[usize::from(worker)] -= 1;
        let counted = match who {
            Who::Counted(author) => Some(author),
            Who::Nobody => None,
        };
        let author = counted.flatten();
        let here = |room: &Room| author.is_some_and(|author| room.presence.is_here(&author.user));
        let before = here(room);
        let mut due = counted.and_then(|author| room.presence.leave(author, now));
        let went = author.filter(|_| before && !here(room));
        if due.is_none() && room.subscriber_count() == 0 {
            due = Some(now + crate::hub::ROOM_IDLE_MS);
        }
        drop(table);
        if let Some(at) = due {
            self.schedule(name.clone(), at);
        }
        if let Some(author) = went {
            self.tell_present(name, author);
        }
    }

    /// Puts `live` into the worker's mailbox if the subscriber, who has everything up to `after`, is at the head:
    /// under the room's lock, so that the mail stands exactly between what it has and what comes.
    fn go_live(&self, worker: u16, name: &RoomName, live: Mail, after: u64) -> Arrival {
        let table = self.rooms.lock(name);
        match table.get(name).and_then(|room| room.head) {
            Some(head) if head > after => Arrival::Behind,
            Some(head) if head < after => Arrival::Ahead,
            _ => {
                self.mailbox(worker).push(live);
                Arrival::Live
            }
        }
    }
}
