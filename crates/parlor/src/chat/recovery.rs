//! Recovery of the chat's Socket.IO clients: what is written down of a connection, and what it missed while it was away.
//!
//! Every message of a log that such a client gets carries its place in the order of the whole store. Whoever comes back
//! says the place that it saw last: what is stored behind it in the client's rooms and direct conversations is what it
//! missed. All of that is read before it is let in; if it is not all there, it is a new connection.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlor_hub::engine::{Expect, Head, Range};
use parlor_hub::policy::{Log as Keeps, Policy};
use parlor_hub::socketio::Place;
use parlor_hub::{Hub, Publication, Reply, Ticket, command};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::{OUTBOX_BYTES, PAGE_MESSAGES, RESUME_MAX};
use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::accounts::{Login, Stored};
use super::native::Wire;
use super::page::Page;
use super::store::{self, wait};
use super::{Chat, inbox};
use crate::clock::now;
use crate::socketio::kept;

const KIND: &str = "socketio";
/// In the place of a namespace's name, which begins with a slash.
const CHAT: &str = "chat";

/// A record is written anew this often; whoever was killed with its server is known for no longer than this and the
/// window.
pub(super) const TEND: Duration = Duration::from_secs(60);

/// How often the rooms are looked at for one that grew meanwhile, before a client is told that it has a gap.
const PASSES: usize = 10;

/// A connection as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) sid: String,
    pub(super) account: Stored,
    rooms: BTreeMap<String, Followed>,
    /// No direct message up to here is missing.
    since: u64,
}

/// Where a room stood when it was joined.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Followed {
    /// `None`: it keeps nothing, or where it stands is not known yet.
    head: Option<Joined>,
    /// The client was given everything up to there at once; otherwise more followed, and nobody knows how far it came.
    whole: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Joined {
    epoch: u64,
    offset: u64,
    seq: u64,
}

/// A connection that may come back.
pub(super) struct Session {
    kept: Kept,
    window: Duration,
    pen: Arc<Pen>,
    /// Rooms that are being joined, and what they were to the client before.
    joining: HashMap<RoomName, Option<Followed>>,
    asked: HashMap<Ticket, RoomName>,
}

impl Session {
    /// Of a client that has just come, or come back with what was written down.
    pub(super) fn new(hub: &Arc<Hub>, pid: &str, window: Duration, kept: Kept) -> Session {
        let (hub, key) = (Arc::clone(hub), kept::key(CHAT, pid));
        let state = PenState { expect: Expect::Anything, busy: false, done: false, next: None };
        let pen = Arc::new(Pen { hub, key, state: Mutex::new(state) });
        Session { kept, window, pen, joining: HashMap::new(), asked: HashMap::new() }
    }

    /// A room is about to be joined. Until it is known where it stands the connection is not to be recovered: what this
    /// returns is ready when that is written down, so that the client does not hear of the room before.
    pub(super) fn joins(&mut self, room: &RoomName) -> impl Future<Output = ()> + Send + 'static {
        self.begin(room);
        self.write(self.window + 2 * TEND)
    }

    fn begin(&mut self, room: &RoomName) {
        let before = self.kept.rooms.insert(room.to_string(), Followed { head: None, whole: false });
        self.joining.entry(room.clone()).or_insert(before);
    }

    /// The join was handed to the hub.
    pub(super) fn asked(&mut self, ticket: Ticket, room: &RoomName) {
        self.begin(room);
        self.asked.insert(ticket, room.clone());
    }

    /// The hub's answer to a join, if it is one.
    pub(super) fn answered(&mut self, ticket: Ticket, result: &Result<Reply, Refusal>) {
        let Some(room) = self.asked.remove(&ticket) else { return };
        // A later one decides.
        if self.asked.values().any(|asked| *asked == room) {
            return;
        }
        let before = self.joining.remove(&room).flatten();
        let now = match result {
            Ok(Reply::Joined(joined)) => Some(Followed::from(joined)),
            _ => before,
        };
        match now {
            Some(followed) => drop(self.kept.rooms.insert(room.to_string(), followed)),
            None => drop(self.kept.rooms.remove(room.as_str())),
        }
        self.keep();
    }

    /// A room is about to be left, as soon as that is written down.
    pub(super) fn leaves(&mut self, room: &RoomName) -> impl Future<Output = ()> + Send + 'static {
        self.kept.rooms.remove(room.as_str());
        self.joining.remove(room);
        self.asked.retain(|_, asked| asked != room);
        self.write(self.window + 2 * TEND)
    }

    /// Writes it down for as long as the client is here.
    pub(super) fn keep(&self) {
        drop(self.write(self.window + 2 * TEND));
    }

    /// The client has gone and may come back.
    pub(super) fn away(&self) {
        drop(self.write(self.window));
    }

    /// It will not.
    pub(super) fn forget(&self) {
        self.pen.write(None, now(&self.pen.hub), None);
    }

    fn write(&self, lasts: Duration) -> impl Future<Output = ()> + Send + 'static {
        let value = serde_json::to_vec(&self.kept).unwrap_or_default();
        let (written, waits) = oneshot::channel();
        self.pen.write(Some(value), now(&self.pen.hub) + lasts.as_millis() as u64, Some(written));
        async move {
            // Nobody writes any more: then nothing that is no longer true stands there.
            let _ = waits.await;
        }
    }
}

impl From<&command::Joined> for Followed {
    fn from(joined: &command::Joined) -> Followed {
        let at = |head: Head| Joined { epoch: head.epoch.0, offset: head.offset, seq: head.seq };
        let last = joined.messages.last().and_then(|message| message.place);
        let whole = last.is_none_or(|last| joined.head.is_some_and(|head| head.offset == last.offset))
            && !Page::first(&joined.messages, Wire::SocketIo).is_cut();
        Followed { head: joined.head.map(at), whole }
    }
}

/// Writes one record, one write at a time; of what comes meanwhile only the newest is written.
struct Pen {
    hub: Arc<Hub>,
    key: String,
    state: Mutex<PenState>,
}

struct PenState {
    /// Another connection may have come back in the place of this one: then the record is not this one's any more.
    expect: Expect,
    busy: bool,
    done: bool,
    next: Option<Next>,
}

/// What is written next; no value takes the record away for good.
struct Next {
    value: Option<Vec<u8>>,
    expires: u64,
    /// Dropped once it is written.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Pen {
    fn write(self: &Arc<Self>, value: Option<Vec<u8>>, expires: u64, waits: Option<oneshot::Sender<()>>) {
        let mut state = self.lock();
        if state.done {
            return;
        }
        state.done = value.is_none();
        let mut waiting = state.next.take().map(|next| next.waiting).unwrap_or_default();
        waiting.extend(waits);
        state.next = Some(Next { value, expires, waiting });
        if !std::mem::replace(&mut state.busy, true) {
            drop(state);
            self.write_next();
        }
    }

    fn write_next(self: &Arc<Self>) {
        let mut state = self.lock();
        let Some(Next { value, expires, waiting }) = state.next.take() else {
            state.busy = false;
            return;
        };
        let expect = state.expect;
        drop(state);
        let (pen, removes) = (Arc::clone(self), value.is_none());
        let done = Box::new(move |result| {
            let mut state = pen.lock();
            match result {
                Ok(Some(version)) => state.expect = Expect::Version(version),
                Ok(None) => (state.done, state.next) = (true, None),
                Err(_) if removes => {}
                Err(refusal) => {
                    tracing::warn!(%refusal, "a connection cannot be recovered");
                    // Better nothing than what is no longer true.
                    state.done = true;
                    let waiting = state.next.take().map(|next| next.waiting).unwrap_or_default();
                    state.next = Some(Next { value: None, expires, waiting });
                }
            }
            drop(state);
            drop(waiting);
            pen.write_next();
        });
        let records = self.hub.engine().records();
        records.put(KIND, &self.key, value.as_deref(), Some(expires), expect, now(&self.hub), done);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A new client, that has missed nothing so far.
    pub(super) async fn new(chat: &Chat, login: &Login, sid: String, now: u64) -> Option<Kept> {
        let mut since = 0;
        for talk in talks(chat, login, now).await? {
            let head = wait(|done| chat.hub.engine().head(&talk, chat.hub.policy(&talk), done)).await.ok()?;
            since = since.max(head.seq);
        }
        let account = login.account.stored();
        Some(Kept { sid, account, rooms: BTreeMap::new(), since })
    }
}

/// The direct conversations of an account; `None` if they are too many to be looked through.
async fn talks(chat: &Chat, login: &Login, now: u64) -> Option<Vec<RoomName>> {
    if login.fresh {
        return Some(Vec::new());
    }
    let me = login.author();
    let others = inbox::talks(&chat.hub, me, now).await.ok()?;
    let all = others.len() < inbox::TALKS as usize;
    all.then(|| others.iter().map(|other| Hub::direct_room(me, other)).collect())
}

/// Somebody who comes back, and what it missed as far as it was read.
pub(super) struct Return {
    pub(super) kept: Kept,
    pub(super) login: Login,
    rooms: Vec<Log>,
    talks: Vec<Log>,
    /// What may still be read.
    messages: usize,
    bytes: usize,
}

/// One log, behind the place from which the client has to be told everything.
struct Log {
    name: RoomName,
    policy: Policy,
    epoch: Option<Epoch>,
    /// In the order of the store; the client has what is up to here.
    from: u64,
    /// As far as it was read.
    head: Option<Head>,
    found: Vec<Arc<Publication>>,
}

/// What is known of the client with this secret, and everything that it missed; `None` if anything of that is not there.
pub(super) async fn find(chat: &Chat, pid: &str, place: Option<Place>, now: u64) -> Option<Return> {
    let key = kept::key(CHAT, pid);
    let kept: Kept = store::get(chat.hub.engine(), KIND, &key, now).await.ok()??;
    if let Some(place) = &place
        && !is_true(&chat.hub, place).await?
    {
        return None;
    }
    let login = chat.accounts.restore(&kept.account, now).await?;
    let seen = place.as_ref().map_or(0, |place| place.seq);
    let rooms = kept.rooms.iter().map(|(name, followed)| {
        let name = RoomName::internal(name.as_str());
        let head = followed.head?;
        let last = place.as_ref().filter(|place| place.room == name);
        let whole = followed.whole || last.is_some_and(|place| place.position.offset > head.offset);
        let log = Log::new(&chat.hub, name, Some(Epoch(head.epoch)), seen.max(head.seq));
        log.filter(|_| whole)
    });
    let rooms = rooms.collect::<Option<_>>()?;
    let from = seen.max(kept.since);
    let talks = talks(chat, &login, now).await?;
    let talks = talks.into_iter().map(|talk| Log::new(&chat.hub, talk, None, from)).collect::<Option<_>>()?;
    let mut back = Return { kept, login, rooms, talks, messages: RESUME_MAX, bytes: OUTBOX_BYTES };
    back.read(&chat.hub, true).await.then_some(back)
}

/// Whether this place is one of this store, and not of an earlier life of it.
async fn is_true(hub: &Hub, place: &Place) -> Option<bool> {
    let before = place.position.offset.checked_sub(1)?;
    let (room, policy) = (&place.room, hub.policy(&place.room));
    let page = wait(|done| hub.engine().history(room, policy, Range::After(before), 1, done)).await.ok()?;
    let found = page.messages.first().and_then(|message| Place::of(message));
    Some(found.as_ref() == Some(place))
}

impl Return {
    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.iter().map(|log| &log.name)
    }

    /// How far each room was read.
    pub(super) fn has(&self) -> Vec<(RoomName, u64)> {
        self.rooms.iter().filter_map(|log| Some((log.name.clone(), log.head?.offset))).collect()
    }

    /// Reads on until nothing new is found in any room: then what was read is everything up to one moment. `talks`: in
    /// the direct conversations too. `false`: not everything is there.
    pub(super) async fn read(&mut self, hub: &Hub, talks: bool) -> bool {
        let Return { rooms, talks: conversations, messages, bytes, .. } = self;
        for _ in 0..PASSES {
            let mut grown = false;
            for log in rooms.iter_mut().chain(conversations.iter_mut().filter(|_| talks)) {
                match log.read_on(hub, messages, bytes).await {
                    Some(found) => grown |= found,
                    None => return false,
                }
            }
            if !grown {
                return true;
            }
        }
        false
    }

    /// Whether a direct message came between the reading and this call: nobody knows then whether the client, who gets
    /// them by now, has got it.
    pub(super) fn is_torn(&self, chat: &Chat) -> impl Future<Output = bool> + Send + 'static {
        let (hub, me) = (Arc::clone(&chat.hub), self.login.author().clone());
        let read = |log: &Log| Some((log.name.clone(), log.head?.offset));
        let read: BTreeMap<RoomName, u64> = self.talks.iter().filter_map(read).collect();
        async move {
            let Ok(others) = inbox::talks(&hub, &me, now(&hub)).await else { return true };
            for other in others {
                let talk = Hub::direct_room(&me, &other);
                let head = wait(|done| hub.engine().head(&talk, hub.policy(&talk), done)).await;
                let known = read.get(&talk).copied().unwrap_or(0);
                if head.map_or(true, |head| head.offset > known) {
                    return true;
                }
            }
            false
        }
    }

    /// Everything that was found, in the order of the store.
    pub(super) fn messages(&mut self) -> Vec<Arc<Publication>> {
        let logs = self.rooms.iter_mut().chain(&mut self.talks);
        let mut messages: Vec<_> = logs.flat_map(|log| std::mem::take(&mut log.found)).collect();
        messages.sort_by_key(|message| message.place.map(|place| place.seq));
        messages
    }
}

impl Log {
    /// `None`: nothing is kept there.
    fn new(hub: &Hub, name: RoomName, epoch: Option<Epoch>, from: u64) -> Option<Log> {
        let policy = hub.policy(&name);
        let log = Log { name, policy, epoch, from, head: None, found: Vec::new() };
        (policy.log != Keeps::None).then_some(log)
    }

    /// Reads what is new, backwards from the head; whether there was anything. `None`: it is not all there, or too much.
    async fn read_on(&mut self, hub: &Hub, messages: &mut usize, bytes: &mut usize) -> Option<bool> {
        let (engine, policy, name) = (hub.engine(), self.policy, &self.name);
        let head = wait(|done| engine.head(name, policy, done)).await.ok()?;
        if self.epoch.is_some_and(|epoch| epoch != head.epoch) {
            return None;
        }
        if self.head.is_some_and(|known| known.offset == head.offset) {
            return Some(false);
        }
        let floor = self.head.map_or(self.from, |known| known.seq);
        let mut found = Vec::new();
        let mut before = (head.seq > floor).then_some(head.offset + 1);
        while let Some(end) = before.take() {
            let range = Range::Before(Some(end));
            let page = wait(|done| engine.history(name, policy, range, PAGE_MESSAGES as u32, done));
            let page = page.await.ok().filter(|page| page.head.epoch == head.epoch)?;
            let new = page.messages.iter().rev();
            let new = new.take_while(|message| message.place.is_some_and(|place| place.seq > floor));
            let count = found.len();
            found.extend(new.cloned());
            if found.len() > *messages {
                return None;
            }
            if found.len() - count < page.messages.len() {
                break;
            }
            match page.messages.first().and_then(|message| message.place) {
                Some(oldest) if page.more => before = Some(oldest.offset),
                // All that is held is new to the client, and it is not the beginning.
                _ if page.first > 1 => return None,
                _ => {}
            }
        }
        *messages -= found.len();
        *bytes = bytes.checked_sub(found.iter().map(|message| message.weight()).sum())?;
        found.reverse();
        self.found.extend(found);
        (self.epoch, self.head) = (Some(head.epoch), Some(head));
        Some(true)
    }
}
