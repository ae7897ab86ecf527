//! `Native`: one connection that speaks the native protocol.

use std::collections::HashMap;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use parlor_hub::encode::{WireFormat, member};
use parlor_hub::engine::{Begin, Lost, Range};
use parlor_hub::rate::Bucket;
use parlor_hub::{Author, Command, ConnectionId, Hub, Reply, Ticket, socketio};
use parlor_net::{Context, Conversation, Exchange, Incoming};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{BAD_REQUESTS, COMMAND_RATE, PENDING_CALLS, PUBLISH_RATE};
use parlor_proto::name::RoomName;
use parlor_proto::native::command::{self, Request};
use parlor_proto::native::encode::{self, Of};
use parlor_proto::socketio::{Arguments, MAIN};
use parlor_proto::ws::{Failure, Kind};

use super::Chat;
use super::accounts::Login;
use super::inbox::Unread;
use super::page::{Answer, Page};
use super::recovery::Session;
use super::send::Post;

/// A connection and what it waits for.
pub(super) struct Native {
    pub(super) chat: Chat,
    pub(super) login: Login,
    wire: Wire,
    greeting: Option<Box<Greeting>>,
    tickets: HashMap<Ticket, Asked>,
    next_ticket: u64,
    /// Commands that wait for the engine.
    running: Vec<Running>,
    /// It may come back.
    pub(super) session: Option<Session>,
    bad_in_a_row: u32,
    commands: Bucket,
    publishes: Bucket,
    /// Bodies of `POST /send` whose commands are not all answered.
    pub(super) posts: HashMap<u64, Post>,
    pub(super) next_post: u64,
}

/// What is said once, at the beginning.
struct Greeting {
    rooms: Vec<(RoomName, Option<Begin>)>,
    inbox: Vec<Unread>,
}

/// Which command is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct To {
    /// The `id` that the command carried.
    pub(super) id: Option<Box<str>>,
    /// The ack that a Socket.IO client waits for.
    pub(super) ack: Option<u64>,
    /// The body in which it came, and its place there.
    pub(super) post: Option<(u64, usize)>,
}

impl To {
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// How a connection is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// An object is a message.
    Native,
    /// An object is an event named by its `type`, or an ack.
    SocketIo,
}

/// A command whose reply will come from the hub.
pub(super) struct Asked {
    pub(super) to: To,
    /// The other side, if it is about a direct conversation.
    pub(super) with: Option<Author>,
    pub(super) missed: Missed,
}

/// What a join says about what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// Nothing was asked.
    NotAsked,
    /// All of it since a position, or why not.
    Asked,
    /// This is why not; it was found before the join.
    Lost(Lost),
}

/// What a command that waited leads to.
pub(super) enum Then {
    Say(To, Vec<u8>),
    Ask(Asked, Box<Command>),
}

pub(super) type Running = Pin<Box<dyn Future<Output = Then> + Send>>;

impl Missed {
    pub(super) fn of(begin: Option<Begin>) -> Missed {
        match begin {
            Some(Begin::Since(_)) => Missed::Asked,
            Some(Begin::Last(_)) | None => Missed::NotAsked,
        }
    }
}

impl Native {
    pub(super) fn new(
        chat: Chat,
        login: Login,
        wire: Wire,
        rooms: Vec<RoomName>,
        inbox: Vec<Unread>,
        now: u64,
    ) -> Native {
        Native {
            chat,
            login,
            wire,
            greeting: Some(Box::new(Greeting {
                rooms: rooms.into_iter().map(|room| (room, None)).collect(),
                inbox,
            })),
            posts: HashMap::new(),
            next_post: 0,
            tickets: HashMap::new(),
            next_ticket: 0,
            running: Vec::new(),
            session: None,
            bad_in_a_row: 0,
            commands: Bucket::full(COMMAND_RATE, now),
            publishes: Bucket::full(PUBLISH_RATE, now),
        }
    }

    /// The same, beginning in its rooms at these places.
    pub(super) fn begin_at(mut self, begins: Vec<Option<Begin>>) -> Native {
        let rooms = self.greeting.iter_mut().flat_map(|greeting| &mut greeting.rooms);
        rooms.zip(begins).for_each(|(room, begin)| room.1 = begin);
        self
    }

    /// Who it is, and then the conversations with something unread. It is said once.
    pub(super) fn greet(&mut self, session: ConnectionId) -> Vec<Answer> {
        let Some(greeting) = self.greeting.take() else { return Vec::new() };
        let mut out = Vec::with_capacity(256);
        // From here on only its hash is needed.
        let token = self.login.token.take();
        let author = self.login.author();
        let welcome = encode::Welcome {
            session: &session.to_string(),
            user: &author.user,
            name: &author.name,
            token: token.as_deref(),
            server: concat!("parlor/", env!("CARGO_PKG_VERSION")),
        };
        encode::welcome(&mut out, &welcome);
        let unread = greeting.inbox.iter().map(|unread| {
            let page = Page::first(&unread.page.messages, self.wire);
            let entries = page.entries();
            let joined = encode::Joined {
                of: Of::With(member(&unread.with)),
                head: Some(unread.head.position()),
                recovered: None,
                messages: &entries,
                presence: None,
                unread: Some(unread.count),
            };
            let mut out = Vec::with_capacity(512);
            encode::joined(&mut out, None, &joined);
            drop(entries);
            page.within_and_rest(out)
        });
        iter::once(out.into()).chain(unread).collect()
    }

    /// Joins a room unasked, as the request that opened the connection wants it.
    pub(super) fn join(
        &mut self,
        room: RoomName,
        begin: Option<Begin>,
        format: Option<WireFormat>,
        missed: Missed,
        cx: &mut Context<'_>,
    ) {
        let asked = Asked { to: To::default(), with: None, missed };
        self.ask(asked, Command::Join { room, begin, format }, cx);
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.chat.hub
    }

    /// Whether this asks for something that no body of the client has asked for.
    pub(super) fn asks_for_itself(&self, ticket: Ticket) -> bool {
        self.tickets.get(&ticket).is_some_and(|asked| asked.to.post.is_none())
    }

    /// Sends an object: the answer to a command, or a push.
    pub(super) fn say(&mut self, to: &To, answer: impl Into<Answer>, cx: &mut Context<'_>) {
        let mut answer = answer.into();
        match to.post {
            Some(place) => self.answer_post(place, answer.object),
            None => {
                say(self.wire, to, std::mem::take(&mut answer.object), &answer.attachments, cx);
                answer.send_rest(cx);
            }
        }
    }

    pub(super) fn ask(&mut self, asked: Asked, command: Command, cx: &mut Context<'_>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, asked);
        if let (Some(session), Command::Join { room, .. }) = (&mut self.session, &command) {
            session.asked(ticket, room);
        }
        cx.command(ticket, command);
    }

    /// Has a command wait for the engine without holding up the others.
    pub(super) fn start(&mut self, running: Running, cx: &mut Context<'_>) {
        self.running.push(running);
        self.advance(cx);
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker();
        let mut task = task::Context::from_waker(&waker);
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            let Poll::Ready(then) = running.as_mut().poll(&mut task) else {
                index += 1;
                continue;
            };
            drop(self.running.remove(index));
            match then {
                Then::Say(to, text) => self.say(&to, text, cx),
                Then::Ask(asked, command) => self.ask(asked, *command, cx),
            }
        }
        cx.pause_reading(self.running.len() + self.tickets.len() >= PENDING);
    }

    /// Carries out a command. In its data placeholders stand for the attachments; `ack` is the number of the ack that is
    /// wanted.
    pub(super) fn command(
        &mut self,
        text: &str,
        attachments: Vec<Bytes>,
        ack: Option<u64>,
        cx: &mut Context<'_>,
    ) {
        self.request(Request::parse(text), attachments, To { ack, ..To::default() }, cx);
    }

    /// Carries out what was read as a command; its `id` is added to where the answer goes.
    pub(super) fn request(
        &mut self,
        request: Result<Request<'_>, command::Refused<'_>>,
        attachments: Vec<Bytes>,
        to: To,
        cx: &mut Context<'_>,
    ) {
        let to = |id: Option<&str>| To { id: id.map(Box::from), ..to.clone() };
        let outcome = match request {
            Ok(request) => {
                let to = to(request.id);
                let carried_out = self.carry_out(request, attachments, &to, cx);
                carried_out.map_err(|refusal| (to, refusal))
            }
            Err(refused) => Err((to(refused.id), refused.refusal)),
        };
        match outcome {
            Ok(()) => self.bad_in_a_row = 0,
            Err((to, refusal)) => self.refuse(&to, &refusal, cx),
        }
    }

    /// Answers with a refusal; too many malformed commands in a row end the connection.
    pub(super) fn refuse(&mut self, to: &To, refusal: &Refusal, cx: &mut Context<'_>) {
        self.say(to, error(to.id(), refusal), cx);
        if self.count_bad(refusal).is_err() {
            cx.close(CloseCode::BAD_REQUESTS, CloseCode::BAD_REQUESTS.reason());
        }
    }

    /// `Err` after ten malformed commands in a row.
    fn count_bad(&mut self, refusal: &Refusal) -> Result<(), ()> {
        self.bad_in_a_row = if refusal.code.is_malformed() { self.bad_in_a_row + 1 } else { 0 };
        if self.bad_in_a_row >= BAD_REQUESTS { Err(()) } else { Ok(()) }
    }

    /// The limits on commands, and on publishes among them.
    pub(super) fn admit(&mut self, publishes: bool, now: u64) -> Result<(), Refusal> {
        if !self.chat.hub.is_limited() {
            return Ok(());
        }
        let wait = |ms: u32| Duration::from_millis(u64::from(ms));
        self.commands.take(COMMAND_RATE, now).map_err(|ms| Refusal::rate_limited("commands", wait(ms)))?;
        if publishes {
            self.publishes
                .take(PUBLISH_RATE, now)
                .map_err(|ms| Refusal::rate_limited("messages", wait(ms)))?;
        }
        Ok(())
    }

    fn say_reply(&mut self, asked: &Asked, reply: Reply) -> Answer {
        let mut out = Vec::with_capacity(256);
        let id = asked.to.id();
        let with = asked.with.as_ref().map(member);
        let me = &self.login.author().user;
        match reply {
            Reply::Published { room, published } => {
                let of = with.map_or(Of::Room(&room), Of::With);
                // Whoever writes has read what was there.
                if let Some(position) = published.position {
                    self.chat.accounts.read(me, &room, position.offset);
                }
                encode::published(&mut out, id, of, published.position, published.ack.as_str());
            }
            Reply::Joined(joined) => {
                let page = Page::first(&joined.messages, self.wire);
                let entries = page.entries();
                let members: Vec<_> = joined.members.list.iter().flatten().map(member).collect();
                let presence = encode::Presence {
                    members: &members,
                    count: joined.members.count as u64,
                    version: joined.members.version,
                };
                let unread = joined.head.map(|head| {
                    // In a room that is new to this account nothing is unread.
                    let read = self.login.account.read_in(&joined.room);
                    read.map_or_else(
                        || {
                            self.chat.accounts.read(me, &joined.room, head.offset);
                            0
                        },
                        |read| head.offset.saturating_sub(read),
                    )
                });
                let recovered = match (asked.missed, joined.lost) {
                    (Missed::NotAsked, _) => None,
                    (Missed::Asked, None) => Some(Ok(())),
                    (Missed::Asked, Some(lost)) | (Missed::Lost(lost), _) => Some(Err(lost.as_str())),
                };
                let joined = encode::Joined {
                    of: Of::Room(&joined.room),
                    head: joined.head.map(|head| head.position()),
                    recovered,
                    messages: &entries,
                    presence: Some(presence),
                    unread,
                };
                encode::joined(&mut out, id, &joined);
                drop(entries);
                return page.within_and_rest(out);
            }
            Reply::Left { room } => encode::left(&mut out, id, &room),
            Reply::History { room, range, page: found } => {
                let page = match range {
                    Range::Before(_) => Page::last(&found.messages, self.wire),
                    Range::After(_) => Page::first(&found.messages, self.wire),
                };
                let (of, more) = (with.map_or(Of::Room(&room), Of::With), found.more || page.is_cut());
                encode::history(&mut out, id, of, &page.entries(), more);
                return page.within(out);
            }
            Reply::Members { room, members } => {
                let list: Vec<_> = members.list.iter().flatten().map(member).collect();
                let presence = encode::Presence {
                    members: &list,
                    count: members.count as u64,
                    version: members.version,
                };
                encode::members(&mut out, id, &room, &presence);
            }
            Reply::Rooms { rooms, more } => {
                let row = |info: &parlor_hub::command::RoomInfo| {
                    let offset = info.head.map(|head| head.offset);
                    let read = self.login.account.read_in(&info.room);
                    let unread = offset.map(|offset| read.map_or(0, |read| offset.saturating_sub(read)));
                    (info.room.clone(), info.count as u64, offset, unread)
                };
                let rows: Vec<_> = rooms.iter().map(row).collect();
                let rows: Vec<_> = rows
                    .iter()
                    .map(|(room, count, offset, unread)| encode::Room {
                        room,
                        count: *count,
                        offset: *offset,
                        unread: *unread,
                    })
                    .collect();
                encode::rooms(&mut out, id, &rows, more);
            }
            Reply::Following(_) => unreachable!("whoever comes back asks before it is one of these"),
        }
        out.into()
    }
}

/// Commands of a connection that may wait at once; then reading stops. More than handlers, because a durable publish
/// waits for the disk and a backend publishes many at a time.
const PENDING: usize = PENDING_CALLS * 8;

impl Conversation for Native {
    fn opened(&mut self, cx: &mut Context<'_>) {
        let rooms =
            self.greeting.as_mut().map_or_else(Vec::new, |greeting| std::mem::take(&mut greeting.rooms));
        for answer in self.greet(cx.connection()) {
            self.say(&To::default(), answer, cx);
        }
        for (room, begin) in rooms {
            self.join(room, begin, None, Missed::of(begin), cx);
        }
    }

    fn receive(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        match message {
            Incoming::Binary(_) => {
                let sentence = "this protocol is text: send JSON in text frames, and binary as base64 inside";
                self.refuse(&To::default(), &Refusal::new(Code::UnsupportedData, sentence), cx);
            }
            Incoming::Text(text) => self.command(text, Vec::new(), None, cx),
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        let Some(asked) = self.tickets.remove(&ticket) else { return };
        if let Some(session) = &mut self.session {
            session.answered(ticket, &result);
        }
        let answer = match result {
            Ok(reply) => self.say_reply(&asked, reply),
            Err(refusal) => error(asked.to.id(), &refusal).into(),
        };
        self.say(&asked.to, answer, cx);
        cx.pause_reading(self.running.len() + self.tickets.len() >= PENDING);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.advance(cx);
    }

    fn exchange(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        self.post(exchange, cx);
    }

    fn failed(&mut self, failure: Failure, cx: &mut Context<'_>) {
        let code = match failure.close_code().0 {
            1009 => Code::TooLarge,
            1007 => Code::UnsupportedData,
            _ => Code::BadMessage,
        };
        self.say(&To::default(), error(None, &Refusal::new(code, failure.reason())), cx);
    }

    fn closing(&mut self, code: CloseCode, retry_after: Option<Duration>, cx: &mut Context<'_>) {
        let mut out = Vec::with_capacity(96);
        encode::bye(&mut out, code, retry_after);
        self.say(&To::default(), out, cx);
    }

    fn closed(&mut self, _code: u16, _reason: &str, cx: &mut Context<'_>) {
        let over = Refusal::new(Code::Unavailable, "the connection ended before this was answered");
        self.posts.drain().for_each(|(_, post)| post.end(&over));
        self.login.keep(cx.now());
        if let Some(session) = &self.session {
            session.away();
        }
    }
}

/// A connection that is told why it cannot be, and closed.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) code: CloseCode,
}

impl Conversation for Refused {
    fn opened(&mut self, cx: &mut Context<'_>) {
        cx.send(Kind::Text, error(None, &self.refusal));
        cx.close(self.code, self.code.reason());
    }

    fn receive(&mut self, _message: Incoming<'_>, _cx: &mut Context<'_>) {}

    fn closing(&mut self, code: CloseCode, _retry_after: Option<Duration>, cx: &mut Context<'_>) {
        let mut out = Vec::with_capacity(96);
        encode::bye(&mut out, code, self.refusal.retry_after);
        cx.send(Kind::Text, out);
    }
}

/// Sends an object over a wire; only one that has attachments has any.
pub(super) fn say(wire: Wire, to: &To, object: Vec<u8>, attachments: &[Bytes], cx: &mut Context<'_>) {
    match (wire, to.ack) {
        (Wire::Native, _) => cx.send(Kind::Text, object),
        (Wire::SocketIo, None) => cx.send_frames(socketio::native_event_with(&object, attachments, None)),
        (Wire::SocketIo, Some(ack)) => {
            let object = String::from_utf8(object).unwrap_or_default();
            let arguments = Arguments::from_parts(object, 1, attachments.to_vec());
            cx.send_frames(socketio::ack(WireFormat::SocketIo, MAIN, ack, &arguments));
        }
    }
}

pub(super) fn error(id: Option<&str>, refusal: &Refusal) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    encode::error(&mut out, id, refusal);
    out
}
