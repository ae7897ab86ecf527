//! `Link`: the engine's thread. It owns the connection: what callers want goes out in order, and answers and what other
//! nodes spread come back over the same connection in the order in which Redis did things.
//!
//! So there is one order and no merging: an own publication is delivered when its answer comes, a foreign one when it
//! comes by itself, and whichever came first was first.

mod answers;
mod order;
mod presence;
mod session;
mod spread;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parlor_hub::engine::{Done, Door, Published};
use parlor_hub::policy::{Ack, Log, Retention};
use parlor_hub::publication::{Author, Draft, Publication};
use parlor_hub::window::Window;
use parlor_proto::limits::{KEY_WINDOW, PAGE_MESSAGES};
use parlor_proto::name::RoomName;

use self::session::{Broken, Pending, Sent, Session, lost};
use self::spread::Directs;
use super::connect::{Connected, connect};
use super::entry;
use super::follow::{Follows, Want};
use super::hold::Hold;
use super::job::{Job, Waiting, Wish, unavailable};
use super::read::{What, read_log};
use super::scripts::Script;
use super::settings::{CHECK_ROOMS, HELD_BYTES, IDLE_ROOM, RECONNECT, RECONNECT_MAX, RENEW, SILENCES};
use super::{Shared, life_of, wire};

/// How often those who wait are looked at: what is left of the second that they are promised.
const TICK: Duration = Duration::from_millis(50);

/// Jobs that are taken before what has come is looked at again.
const BATCH: usize = 256;

/// The engine's thread and what it knows.
pub(super) struct Link {
    shared: Arc<Shared>,
    door: Arc<dyn Door>,
    follows: Follows,
    directs: Directs,
    hold: Hold,
    /// The newest number that this connection has told; `None` before it has told any.
    newest: Option<u64>,
    /// When somebody who is behind was last told something.
    moved: Instant,
    /// Rooms that could not be compared, to be asked about again.
    doubted: Vec<RoomName>,
    /// Who is where on this node.
    own: HashMap<(RoomName, Arc<str>), Author>,
    /// Only makes marks: what was seen is remembered by Redis.
    window: Window,
    store: Option<[u8; 16]>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, door: Arc<dyn Door>) -> Link {
        Link {
            shared,
            door,
            follows: Follows::default(),
            directs: Directs::default(),
            hold: Hold::new(HELD_BYTES),
            newest: None,
            moved: Instant::now(),
            doubted: Vec::new(),
            own: HashMap::new(),
            window: Window::new([0; 16], 0),
            store: None,
        }
    }

    /// Connects, works, and connects again, until the engine is stopped.
    pub(super) async fn run(mut self) {
        let mut wait = RECONNECT;
        let mut away: Option<Instant> = None;
        while !self.shared.inbox.is_done() {
            let shared = Arc::clone(&self.shared);
            let attempt = connect(&shared.settings, &shared.names, shared.draw);
            let why = match self.meanwhile(attempt).await {
                Ok(connected) if connected.ack < self.shared.ack => {
                    "it no longer keeps what is promised: appendfsync or appendonly was changed".to_owned()
                }
                Ok(connected) => {
                    if let Some(since) = away.take() {
                        tracing::info!(address = %self.shared.settings.address, away = ?since.elapsed(), "Redis is back");
                    }
                    wait = RECONNECT;
                    match self.work(connected).await {
                        Broken::Stopped => return,
                        Broken::Lost(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            if away.is_none() {
                let address = &self.shared.settings.address;
                tracing::warn!(%address, %why, "Redis is away: publishes are refused until it is back");
                away = Some(Instant::now());
            }
            self.meanwhile(tokio::time::sleep(wait)).await;
            wait = (wait * 2).min(RECONNECT_MAX);
        }
    }

    /// Waits for something while nothing can be carried out: who has waited long enough is told.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                result = &mut what => return result,
                () = tokio::time::sleep(TICK) => self.expire(Instant::now()),
            }
        }
    }

    /// Tells those who have waited long enough before anything was sent.
    fn expire(&self, now: Instant) {
        self.shared.inbox.expired(now).into_iter().for_each(|job| job.refuse(unavailable()));
    }

    /// Works until the connection breaks; then takes back what can be asked again and refuses the rest.
    async fn work(&mut self, connected: Connected) -> Broken {
        let Connected { stream, input, hashes, clock, store, .. } = connected;
        let pending = VecDeque::new();
        let silence = self.shared.settings.patience * SILENCES;
        let out = BytesMut::new();
        let mut session = Session { stream, input, out, hashes, clock, pending, jobs: 0, fills: 0, silence };
        self.named(store);
        self.moved = Instant::now();
        self.open(&mut session);
        let broken = match self.turns(&mut session).await {
            Ok(()) => Broken::Stopped,
            Err(broken) => broken,
        };
        for ask in self.hold.clear() {
            (ask.answer)(Err(unavailable()));
        }
        self.newest = None;
        self.doubted.clear();
        self.follows.disconnected(&mut self.hold);
        self.directs.disconnected(&mut self.hold);
        let mut again: Vec<Waiting> = Vec::new();
        for Sent { pending, deadline, .. } in session.pending {
            match pending {
                Pending::Ask(ask) if ask.repeatable => again.push((Job::Ask(ask), deadline)),
                pending => pending.refuse(),
            }
        }
        self.shared.inbox.put_back(again.into_iter());
        broken
    }

    /// The name of the store, which also keys the marks of idempotency keys. `true`: it is another store than before.
    fn named(&mut self, store: [u8; 16]) -> bool {
        self.window = Window::new(store, 0);
        self.shared.life.store(life_of(store), Ordering::Relaxed);
        self.store.replace(store).is_some_and(|before| before != store)
    }

    /// What a new connection has to be told: which channels are wanted, and what is to be compared.
    fn open(&mut self, session: &mut Session) {
        let names = &self.shared.names;
        let own = entry::hex_of(self.shared.node);
        let channels = [names.direct(), names.told(None), names.told(Some(&own))];
        let [direct, told, told_own] = channels.each_ref().map(String::as_bytes);
        session.command(&[b"SUBSCRIBE", direct, told, told_own]);
        let rooms: Vec<RoomName> = self.follows.rooms().cloned().collect();
        for rooms in rooms.chunks(CHECK_ROOMS) {
            let channels: Vec<String> = rooms.iter().map(|room| names.channel(room)).collect();
            let mut parts: Vec<&[u8]> = vec![b"SUBSCRIBE"];
            parts.extend(channels.iter().map(String::as_bytes));
            session.command(&parts);
        }
        // Behind the subscriptions: everything that was missed has a number up to this one.
        session.ask(Pending::Seq, &[b"GET", names.seq().as_bytes()]);
        for room in &rooms {
            self.check(session, room);
            self.ask_present(session, room);
        }
        self.renew(session);
    }

    async fn turns(&mut self, session: &mut Session) -> Result<(), Broken> {
        let mut next_tick = Instant::now() + TICK;
        let mut next_check = Instant::now() + self.shared.settings.check;
        let mut next_renewal = Instant::now() + RENEW;
        let mut checked = 0;
        loop {
            self.take(session);
            session.write()?;
            if !session.read()? {
                if session.pending.is_empty() && self.shared.inbox.is_done() {
                    self.end_lease(session);
                    return session.write();
                }
                let shared = Arc::clone(&self.shared);
                let writable = !session.out.is_empty();
                tokio::select! {
                    ready = session.stream.readable() => ready.map_err(lost)?,
                    ready = session.stream.writable(), if writable => ready.map_err(lost)?,
                    () = shared.inbox.filled.notified(), if session.has_room() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
            }
            loop {
                let value =
                    wire::take(&mut session.input).map_err(|error| Broken::Lost(error.to_string()))?;
                let Some(value) = value else { break };
                self.receive(session, value)?;
            }
            let now = Instant::now();
            match self.hold.is_open() {
                true => self.moved = now,
                false => self.go_on(session, now),
            }
            if now >= next_tick {
                next_tick = now + TICK;
                self.expire(now);
                session.expire(now)?;
                for room in std::mem::take(&mut self.doubted) {
                    self.check(session, &room);
                }
            }
            if now >= next_renewal {
                next_renewal = now + RENEW;
                self.renew(session);
            }
            if now >= next_check {
                next_check = now + self.shared.settings.check;
                self.look(session, &mut checked, now);
            }
        }
    }

    /// What is done every few seconds: is it still the same store, what does its clock show, and are the rooms where
    /// they are believed to be.
    fn look(&mut self, session: &mut Session, checked: &mut usize, now: Instant) {
        let names = &self.shared.names;
        self.ask_store(session);
        session.ask(Pending::Time, &[b"TIME"]);
        for room in self.follows.forget(now, &mut self.hold) {
            session.command(&[b"UNSUBSCRIBE", names.channel(&room).as_bytes()]);
        }
        let rooms: Vec<RoomName> = self.follows.rooms().skip(*checked).take(CHECK_ROOMS).cloned().collect();
        *checked = if rooms.len() < CHECK_ROOMS { 0 } else { *checked + CHECK_ROOMS };
        rooms.iter().for_each(|room| self.check(session, room));
    }

    /// Asks which store it is. One without a name gets one: so every node learns that it was emptied.
    fn ask_store(&self, session: &mut Session) {
        let (store, new) = (self.shared.names.store(), entry::hex_of(draw()) + &entry::hex_of(draw()));
        session.ask(Pending::Nothing, &[b"SET", store.as_bytes(), new.as_bytes(), b"NX"]);
        session.ask(Pending::Store, &[b"GET", store.as_bytes()]);
    }

    fn check_all(&self, session: &mut Session) {
        self.follows.rooms().for_each(|room| self.check(session, room));
    }

    fn check(&self, session: &mut Session, room: &RoomName) {
        let names = &self.shared.names;
        let known = self.follows.known(room);
        let keys = [names.meta(room), names.stream(room)];
        let known_as =
            known.map(|head| [entry::hex_of(head.epoch.0), head.offset.to_string(), entry::text_of(head.id)]);
        let [epoch, offset, id] = known_as.unwrap_or_default();
        let args = [entry::hex_of(draw()), epoch, offset, id];
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let pending = Pending::Check { room: room.clone(), known };
        session.script(pending, session.deadline(), Script::Check, &keys, &args);
    }

    fn fill(&self, session: &mut Session, room: &RoomName, after: u64) {
        let (_, keys, args) = read_log(&self.shared, room, None, What::After(after), PAGE_MESSAGES as u32);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let pending = Pending::Fill { room: room.clone(), after };
        session.fills += 1;
        session.script(pending, session.deadline(), Script::Read, &keys, &args);
    }

    /// Takes what waits, as long as there is room for it.
    fn take(&mut self, session: &mut Session) {
        if !session.has_room() {
            return;
        }
        let taken = self.shared.inbox.take(BATCH);
        // First the rooms: whoever joins one reads its log afterwards, and must not miss what comes in between.
        let now = Instant::now();
        for (room, wish) in taken.interest {
            if wish == Wish::Unwanted {
                self.follows.unwant(&room, now);
                continue;
            }
            match (self.follows.want(&room), wish) {
                (Want::New, _) => {
                    session.command(&[b"SUBSCRIBE", self.shared.names.channel(&room).as_bytes()]);
                    self.check(session, &room);
                    self.ask_present(session, &room);
                }
                (Want::Again, _) | (_, Wish::WantedAgain) => self.ask_present(session, &room),
                (Want::Still, _) => {}
            }
        }
        for presence in taken.presence {
            self.say_present(session, presence);
        }
        for (job, deadline) in taken.jobs {
            session.jobs += 1;
            match job {
                Job::Ask(ask) => session.send_ask(ask, deadline),
                Job::Tell { node, bytes } => self.tell(session, node, &bytes),
                Job::Pass { draft, now, done } => self.pass(session, draft, now, done, deadline),
                Job::Publish { draft, keep, now, done } => {
                    self.publish(session, draft, keep, now, done, deadline);
                }
            }
        }
    }

    fn publish(
        &mut self,
        session: &mut Session,
        draft: Draft,
        keep: Retention,
        now: u64,
        done: Done<Published>,
        deadline: Instant,
    ) {
        let names = &self.shared.names;
        let mark = self.window.mark(&draft);
        let in_memory = matches!(draft.policy.log, Log::Memory(_));
        let ack = if in_memory { Ack::Memory } else { self.shared.ack };
        let publication = Publication::new(draft, None, now);
        let room = &publication.room;
        let mut keys = vec![names.meta(room), names.stream(room), names.seq(), names.rooms(), names.direct()];
        keys.push(names.store());
        keys.extend(mark.map(|mark| names.key(mark.key)));
        let some = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let (channel, direct) = match &publication.to {
            Some(_) => (String::new(), names.direct()),
            None => (names.channel(room), String::new()),
        };
        let body = entry::encode(&publication);
        let texts = [
            entry::hex_of(self.shared.node),
            channel,
            room.as_str().to_owned(),
            now.to_string(),
            session.clock.at(deadline).to_string(),
            entry::hex_of(draw()),
            entry::text_of(publication.id),
            String::new(),
            publication.weight().to_string(),
            some(keep.messages),
            some(keep.bytes),
            some(keep.age_ms),
            if in_memory { IDLE_ROOM.as_millis().to_string() } else { String::new() },
            direct,
            mark.map(|mark| entry::hex_of(mark.body)).unwrap_or_default(),
            some(mark.and_then(|mark| mark.made)),
            KEY_WINDOW.as_millis().to_string(),
            self.store.map(|store| format!("{:032x}", u128::from_be_bytes(store))).unwrap_or_default(),
        ];
        let mut args: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        args[7] = &body;
        let pending = Pending::Publish { publication, ack, done: Some(done) };
        session.script(pending, deadline, Script::Publish, &keys, &args);
    }

    fn pass(
        &mut self,
        session: &mut Session,
        draft: Draft,
        now: u64,
        done: Done<Published>,
        deadline: Instant,
    ) {
        let mut time = now;
        if draft.policy.log == Log::None {
            // There is no head whose time counts.
            self.shared.order.pass(&draft.room, now, |not_before| time = not_before);
        }
        let names = &self.shared.names;
        let publication = Publication::new(draft, None, time);
        let keys = [names.meta(&publication.room)];
        let body = entry::encode(&publication);
        let texts = [
            entry::hex_of(self.shared.node),
            names.channel(&publication.room),
            time.to_string(),
            session.clock.at(deadline).to_string(),
            entry::text_of(publication.id),
        ];
        let mut args: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        args.push(&body);
        let pending = Pending::Pass { publication, done: Some(done) };
        session.script(pending, deadline, Script::Pass, &keys, &args);
    }

    /// Something that no Parlor of this prefix wrote.
    fn drop_hostile(&self, what: &str) {
        let before = self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        // The first, and then ever more rarely: whoever writes there must not fill the log.
        if before.is_power_of_two() || before == 0 {
            tracing::warn!(dropped = before + 1, what, "dropped what no Parlor can have written");
        }
    }
}

/// 64 bits that nobody can guess. Without a source of entropy the engine would not have been opened.
fn draw() -> u64 {
    getrandom::u64().unwrap_or_default()
}
