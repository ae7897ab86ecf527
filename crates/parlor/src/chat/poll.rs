//! `GET /poll`: rooms with a log are read by cursor, so that any worker answers and two polls with one cursor get the
//! same; what has no log waits in the outbox of a connection that outlives its requests.
//!
//! Whoever names no one and asks for logged rooms only is a reader: its connection ends with the request and is nobody's.
//! Everybody else has a session, which the cursor names: `CURSOR~SESSION~SEEN`. It is kept for a while after the last
//! answer; what was fetched from it is kept until a poll shows by `SEEN` that it arrived.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use std::time::Duration;

use parlor_hub::encode::{WireFormat, entry};
use parlor_hub::engine::Lost;
use parlor_hub::policy::Log;
use parlor_hub::{Command, ConnectionId, Reply};
use parlor_net::{Answer, Context, Conversation, Exchange, Incoming, Opened, Opening};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{OUTBOX_BYTES, POLLS_HELD, PRESENCE_GRACE, PRESENCE_GRACE_POLL};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode;
use parlor_proto::position::Cursor;
use tokio::time::{Sleep, sleep};

use super::native::{Native, Wire, error};
use super::readings::{Question, Written};
use super::ticket::{Ticket, Wish};
use super::{Chat, POLL, Wishes, gap, inbox, read};

struct Poller {
    chat: Chat,
    /// Who it is, if it has a session.
    native: Option<Native>,
    /// It is told so, as on every connection that stays.
    greet: bool,
    /// The rooms that it is in for its polls.
    joined: HashSet<RoomName>,
    joins: u64,
    held: Vec<Held>,
    /// Lines that were fetched last and have not been shown to have arrived.
    batch: Vec<u8>,
    batches: u64,
    idle: Option<Pin<Box<Sleep>>>,
}

/// A poll that is not answered yet.
struct Held {
    answer: Answer,
    wish: Wish,
    /// One of its rooms has a log.
    has_log: bool,
    /// `None` while it waits.
    reading: Option<Reading>,
    /// Something was published while it was read.
    again: bool,
    /// When it is answered at the latest, once there was nothing.
    deadline: Option<Pin<Box<Sleep>>>,
}

type Reading = Pin<Box<dyn Future<Output = Result<Arc<Written>, Refusal>> + Send>>;

pub(super) async fn open(chat: &Chat, opening: Opening) -> Result<Opened, Refusal> {
    let now = opening.now;
    let wishes = Wishes::read(&opening);
    let wish = Wish::read(&wishes)?;
    let unlogged = wish.rooms.iter().any(|(room, _)| chat.hub.policy(room).log == Log::None);
    let greet = wishes.welcome;
    let mut batch = Vec::new();
    let native = if greet || wishes.name.is_some() || wishes.token.is_some() || unlogged {
        let (login, _) = chat.identify(now, wishes).await?;
        let inbox = inbox::unread(&chat.hub, &login, now).await?;
        if !greet {
            let messages = inbox.iter().flat_map(|unread| &unread.page.messages);
            messages.for_each(|message| write_line(&mut batch, |line| encode::entry(line, &entry(message))));
        }
        Some(Native::new(chat.clone(), login, Wire::Native, Vec::new(), inbox, now))
    } else {
        None
    };
    let author = native.as_ref().map(|native| native.login.author().clone());
    let batches = u64::from(!batch.is_empty());
    let poller = Poller {
        chat: chat.clone(),
        native,
        greet,
        joined: HashSet::new(),
        joins: 0,
        held: Vec::new(),
        batch,
        batches,
        idle: None,
    };
    Ok(Opened { conversation: Box::new(poller), author, protocol: None })
}

fn write_line(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    parlor_proto::json::one_line(&mut out[start..]);
    out.push(b'\n');
}

impl Poller {
    fn poll_request(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        let Exchange { uri, answer, .. } = exchange;
        let admitted = self.native.as_mut().map_or(Ok(()), |native| native.admit(false, cx.now()));
        let wishes = Wishes::of_query(uri.query().unwrap_or_default());
        let wish = match admitted.and_then(|()| Wish::read(&wishes)) {
            Ok(wish) => wish,
            Err(refusal) => return refuse(answer, &refusal),
        };
        if self.native.is_some() {
            self.enter(&wish, cx);
        }
        if self.held.len() >= POLLS_HELD {
            let oldest = self.held.remove(0);
            self.answer(oldest, None, cx);
        }
        let has_log = wish.rooms.iter().any(|(room, _)| self.chat.hub.policy(room).log != Log::None);
        let reading = Some(read(&self.chat, &wish, has_log));
        self.held.push(Held { answer, wish, has_log, reading, again: false, deadline: None });
        self.advance(cx);
    }

    /// Enters the rooms of a request and leaves those that it does not name.
    fn enter(&mut self, wish: &Wish, cx: &mut Context<'_>) {
        let left: Vec<_> = self
            .joined
            .iter()
            .filter(|room| wish.rooms.iter().all(|(other, _)| other != *room))
            .cloned()
            .collect();
        for room in left {
            self.joined.remove(&room);
            self.command(Command::Leave { room }, cx);
        }
        for (room, _) in &wish.rooms {
            if self.joined.insert(room.clone()) {
                let logged = self.chat.hub.policy(room).log != Log::None;
                let format = Some(if logged { WireFormat::Bell } else { WireFormat::Fetched });
                self.command(Command::Join { room: room.clone(), begin: None, format }, cx);
            }
        }
    }

    fn command(&mut self, command: Command, cx: &mut Context<'_>) {
        self.joins += 1;
        // Counted from the other end than the conversation's own.
        cx.command(parlor_hub::Ticket(u64::MAX - self.joins), command);
    }

    /// Goes on where something is read or waited for.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker();
        let mut task = task::Context::from_waker(&waker);
        let session = self.native.is_some().then(|| cx.connection());
        let mut index = 0;
        while let Some(held) = self.held.get_mut(index) {
            let read = match &mut held.reading {
                None => None,
                Some(reading) => match reading.as_mut().poll(&mut task) {
                    task::Poll::Pending => {
                        index += 1;
                        continue;
                    }
                    task::Poll::Ready(read) => Some(read),
                },
            };
            held.reading = None;
            let late =
                held.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(&mut task).is_ready());
            let lines = cx.queued() > 0 || seen(&held.wish, session) < self.batches;
            // A session that is over must not seem to be held: whoever names it has to begin anew.
            let gone = held.wish.ticket.as_ref().is_some_and(|ticket| ticket.session != session);
            let now =
                held.wish.ticket.is_none() || gone || held.wish.wait.is_zero() || held.answer.is_unwanted();
            match read {
                Some(Err(refusal)) => {
                    let held = self.held.remove(index);
                    refuse(held.answer, &refusal);
                    self.rest(cx);
                }
                Some(Ok(read)) if now || lines || !read.messages.is_empty() || !read.lost.is_empty() => {
                    let held = self.held.remove(index);
                    self.answer(held, Some(read), cx);
                }
                None if late || lines && held.deadline.is_some() || held.answer.is_unwanted() => {
                    let held = self.held.remove(index);
                    self.answer(held, None, cx);
                }
                Some(Ok(read)) => {
                    // From here on only what comes later is wanted.
                    if let Some(ticket) = &mut held.wish.ticket {
                        ticket.place = read.place.clone();
                    }
                    let first = held.deadline.is_none();
                    if first {
                        held.deadline = Some(Box::pin(sleep(held.wish.wait)));
                    }
                    if std::mem::take(&mut held.again) {
                        held.reading = Some(self::read(&self.chat, &held.wish, held.has_log));
                    } else if !first {
                        index += 1;
                    } else if self.native.is_none() {
                        // A reader has to be where it hears the bell.
                        let wish =
                            Wish { rooms: held.wish.rooms.clone(), ticket: None, wait: held.wish.wait };
                        self.enter(&wish, cx);
                    }
                    // Once more around, so that the clock of what now waits is started.
                }
                None => index += 1,
            }
        }
    }

    fn answer(&mut self, held: Held, read: Option<Arc<Written>>, cx: &mut Context<'_>) {
        let Held { answer, wish, .. } = held;
        let nothing = |ticket: &Ticket| {
            let place = ticket.place.clone();
            Arc::new(Written { messages: Vec::new(), place, lost: Vec::new() })
        };
        let Some(read) = read.or_else(|| wish.ticket.as_ref().map(nothing)) else {
            // Where it is cannot be said before anything was read.
            let sentence = "this poll was ended before its rooms were read; ask again";
            refuse(answer, &Refusal::new(Code::Unavailable, sentence));
            return self.rest(cx);
        };
        let mut body = b"{\"messages\":[".to_vec();
        let session = self.native.is_some().then(|| cx.connection());
        if session.is_some() {
            if !answer.is_unwanted() && seen(&wish, session) >= self.batches {
                self.batch = cx.take_queued(OUTBOX_BYTES);
                self.batches += u64::from(!self.batch.is_empty());
            }
            for line in self.batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                body.extend_from_slice(line);
                body.push(b',');
            }
        }
        body.extend_from_slice(&read.messages);
        body.pop_if(|byte| *byte == b',');
        let mut lost = read.lost.clone();
        lost.extend(self.unlogged_gone(&wish, session).map(|room| (room.clone(), Lost::NoLog)));
        let ticket = Ticket { place: read.place.clone(), session, seen: self.batches };
        write_end(&mut body, &ticket, &lost);
        answer.json(200, body);
        self.rest(cx);
    }

    /// Rooms without a log of which something may have been missed, because it did not wait in this session.
    fn unlogged_gone<'w>(
        &self,
        wish: &'w Wish,
        session: Option<ConnectionId>,
    ) -> impl Iterator<Item = &'w RoomName> + use<'w, '_> {
        let gone = wish.ticket.as_ref().is_some_and(|ticket| ticket.session != session);
        let unlogged = |room: &&RoomName| self.chat.hub.policy(room).log == Log::None;
        wish.rooms.iter().filter(move |_| gone).map(|(room, _)| room).filter(unlogged)
    }

    /// After an answer: a reader is done, a session waits for the next poll.
    fn rest(&mut self, cx: &mut Context<'_>) {
        if !self.held.is_empty() {
            return;
        }
        if self.native.is_none() {
            return cx.close(CloseCode::NORMAL, "");
        }
        // Whoever was its last connection is a member for the rest of the time.
        let mut idle = Box::pin(sleep(PRESENCE_GRACE_POLL - PRESENCE_GRACE));
        let _ = idle.as_mut().poll(&mut task::Context::from_waker(&cx.waker()));
        self.idle = Some(idle);
    }
}

/// Everything behind the place that a request names, together with everybody who is at the same place.
fn read(chat: &Chat, wish: &Wish, has_log: bool) -> Reading {
    let (hub, rooms) = (Arc::clone(&chat.hub), wish.rooms.clone());
    let place = wish.ticket.as_ref().map(|ticket| ticket.place.clone());
    let readings = Arc::clone(&chat.readings);
    Box::pin(async move {
        let frontier = gap::frontier(&hub).await?;
        let Some(place) = place else {
            return read::read(hub, rooms, None, frontier).await.map(|read| Arc::new(read.into()));
        };
        if !has_log {
            // There is nothing to read, but a room with a log may be asked for next time.
            let place = Cursor { seq: frontier.last, ..place.cursor }.into();
            return Ok(Arc::new(Written { messages: Vec::new(), place, lost: Vec::new() }));
        }
        let names = rooms.iter().map(|(room, _)| room.clone()).collect();
        let question = Question { rooms: names, place: place.clone(), frontier };
        readings.get(question, read::read(hub, rooms, Some(place), frontier)).await
    })
}

/// The batches of this session that a request shows to have arrived.
fn seen(wish: &Wish, session: Option<ConnectionId>) -> u64 {
    wish.ticket.as_ref().filter(|ticket| ticket.session == session).map_or(0, |ticket| ticket.seen)
}

fn refuse(answer: Answer, refusal: &Refusal) {
    answer.json(refusal.code.status(), error(None, refusal));
}

/// The end of an answer, behind its messages.
fn write_end(body: &mut Vec<u8>, ticket: &Ticket, lost: &[(RoomName, Lost)]) {
    let session = ticket.session.map_or_else(String::new, |session| format!(",\"session\":\"{session}\""));
    let end = format!("],\"cursor\":\"{}\"{session},\"recovered\":{}", ticket.text(), lost.is_empty());
    body.extend_from_slice(end.as_bytes());
    if let Some((_, reason)) = lost.first() {
        body.extend_from_slice(format!(",\"reason\":\"{}\",\"lost\":", reason.as_str()).as_bytes());
        let rooms: HashMap<&str, &str> =
            lost.iter().map(|(room, reason)| (room.as_str(), reason.as_str())).collect();
        serde_json::to_writer(&mut *body, &rooms).unwrap_or_default();
    }
    body.push(b'}');
}

impl Conversation for Poller {
    fn opened(&mut self, cx: &mut Context<'_>) {
        if let Some(native) = self.native.as_mut().filter(|_| self.greet) {
            // Whoever is greeted is told who comes and goes as well.
            cx.speak(WireFormat::Lines);
            for answer in native.greet(cx.connection()) {
                write_line(&mut self.batch, |line| line.extend_from_slice(&answer.object));
            }
            self.batches = 1;
        }
    }

    fn receive(&mut self, _message: Incoming<'_>, _cx: &mut Context<'_>) {}

    fn exchange(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        self.idle = None;
        if exchange.uri.path() == POLL {
            return self.poll_request(exchange, cx);
        }
        match &mut self.native {
            Some(native) => native.post(exchange, cx),
            None => drop(exchange),
        }
        self.rest(cx);
    }

    fn rung(&mut self, cx: &mut Context<'_>) {
        // What has no log is not read, but waits in the outbox.
        for held in self.held.iter_mut().filter(|held| held.has_log) {
            match held.reading {
                Some(_) => held.again = true,
                None => held.reading = Some(read(&self.chat, &held.wish, true)),
            }
        }
        self.advance(cx);
    }

    fn reply(&mut self, ticket: parlor_hub::Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        if ticket.0 <= u64::MAX / 2 {
            if let Some(native) = &mut self.native {
                native.reply(ticket, result, cx);
            }
            return;
        }
        // A room may have been left by a command before.
        if let Err(refusal) = result
            && refusal.code != Code::NotJoined
        {
            self.joined.clear();
            self.held.drain(..).for_each(|held| refuse(held.answer, &refusal));
            self.rest(cx);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(native) = &mut self.native {
            native.poll(cx);
        }
        self.advance(cx);
        let waker = cx.waker();
        let over = |idle: &mut Pin<Box<Sleep>>| {
            idle.as_mut().poll(&mut task::Context::from_waker(&waker)).is_ready()
        };
        if self.idle.as_mut().is_some_and(over) {
            self.idle = None;
            cx.close(CloseCode::NORMAL, "");
        }
    }

    fn closing(&mut self, _code: CloseCode, _retry_after: Option<Duration>, cx: &mut Context<'_>) {
        for held in std::mem::take(&mut self.held) {
            self.answer(held, None, cx);
        }
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        if let Some(native) = &mut self.native {
            native.closed(code, reason, cx);
        }
    }
}
