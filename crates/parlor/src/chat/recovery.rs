//! Recovery of the chat's Socket.IO clients: what is written down of a connection, and what it missed while it was away.
//!
//! Every message of a log that such a client gets carries its place in the order of the whole store. Whoever comes back
//! says the place that it saw last: what is stored behind it in the client's rooms and direct conversations is what it
//! missed. What is published meanwhile is held back (`hub::shard::follow`), all of the rest is read, and then it is let in;
//! if it is not all there, it is a new connection.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlor_hub::engine::{Expect, Frontier, Head, Range};
use parlor_hub::socketio::Place;
use parlor_hub::{Hub, Publication, Reply, Ticket, command};
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::accounts::{Login, Stored};
use super::gap::{self, Behind};
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

/// Somebody who comes back.
pub(super) struct Return {
    pub(super) kept: Kept,
    pub(super) login: Login,
    /// Of each room, behind which place the client has to be told everything.
    rooms: Vec<Behind>,
    /// The same of its direct conversations.
    since: u64,
}

/// What is known of the client with this secret; `None` if that is not enough to say what it missed.
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
        let room = RoomName::internal(name.as_str());
        let head = followed.head?;
        let last = place.as_ref().filter(|place| place.room == room);
        let whole = followed.whole || last.is_some_and(|place| place.position.offset > head.offset);
        let behind = Behind { room, seq: seen.max(head.seq), epoch: Some(Epoch(head.epoch)) };
        whole.then_some(behind)
    });
    let rooms = rooms.collect::<Option<_>>()?;
    let since = seen.max(kept.since);
    Some(Return { kept, login, rooms, since })
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
        self.rooms.iter().map(|behind| &behind.room)
    }

    /// What the client missed up to the frontier; `None` if anything of that is not there. From before the frontier was
    /// asked for what is published is held back for it: also in conversations that begin only now.
    pub(super) async fn missed(
        &mut self,
        chat: &Chat,
        frontier: Frontier,
        now: u64,
    ) -> Option<Vec<Arc<Publication>>> {
        let talks = talks(chat, &self.login, now).await?;
        let behind = |room| Behind { room, seq: self.since, epoch: None };
        let mut places: Vec<_> = talks.into_iter().map(behind).collect();
        places.append(&mut self.rooms);
        let opened = gap::open_behind(&chat.hub, places, frontier).await.ok()?;
        if opened.lost.is_empty() { opened.gap.rest().await } else { None }
    }
}
