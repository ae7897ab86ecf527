//! The chat over Socket.IO: commands are events with one object and an ack, pushes are events named by their `type`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::Frontier;
use parlor_hub::{Publication, Reply, Ticket, socketio};
use parlor_net::{Context, Conversation, EngineIo, Incoming, Opened, Opening, Route};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{FRAGMENTS, SOCKETIO_CONNECT_TIMEOUT};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode;
use parlor_proto::socketio::{Arguments, Decoder, MAIN, Packet, ParseError};
use serde::Deserialize;
use tokio::time::Sleep;

use super::accounts::Login;
use super::inbox::{self, Unread};
use super::native::{Native, To, Wire, say};
use super::recovery::{Kept, Return, Session};
use super::{Chat, Wishes, random, recovery};

/// A connection of the chat that speaks Socket.IO.
struct ChatSocket {
    chat: Chat,
    opening: Opening,
    decoder: Decoder,
    stage: Stage,
    deadline: Option<Pin<Box<Sleep>>>,
    /// When what is written down of it is written anew.
    tend: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    /// It has not said who it is.
    Outside,
    /// It says that it was here before, which is looked for.
    Recalling(Recalling, Option<Box<Arguments>>),
    /// It was, and is in its rooms again, where everything is held back for it from now on.
    Following(Option<Box<Returning>>),
    /// What it missed before is read.
    Reading(Reading),
    /// Its account is looked for.
    Entering(Entering),
    In(Box<Native>),
}

type Recalling = Pin<Box<dyn Future<Output = Option<(Arc<str>, Return)>> + Send>>;
type Reading = Pin<Box<dyn Future<Output = (Box<Returning>, Option<Missed>)> + Send>>;
type Entered = (Login, Vec<RoomName>, Vec<Unread>, Option<Kept>);
type Entering = Pin<Box<dyn Future<Output = Result<Entered, Refusal>> + Send>>;

/// Somebody who comes back.
struct Returning {
    back: Return,
    pid: Arc<str>,
    /// What it sent, in case it cannot be what it was.
    auth: Option<Box<Arguments>>,
}

/// What was published up to a place of the store.
struct Missed {
    messages: Vec<Arc<Publication>>,
    last: u64,
}

/// Nothing else is asked before it is in.
const FOLLOW: Ticket = Ticket(0);

/// What a client sends with its CONNECT.
#[derive(Debug, Default, Deserialize)]
struct Auth {
    name: Option<String>,
    token: Option<String>,
    #[serde(default)]
    rooms: Vec<String>,
    /// Socket.IO's own: the secret of an earlier connection, and the place of the last event that it got.
    pid: Option<String>,
    offset: Option<String>,
}

/// How Socket.IO is spoken on the chat's path.
pub(super) fn route(recovers: bool) -> Route {
    let engine_io = EngineIo::default();
    let format = if recovers { WireFormat::SocketIoNativeOffset } else { WireFormat::SocketIoNative };
    Route {
        max_message: engine_io.max_payload,
        max_fragments: FRAGMENTS as u32,
        deflate: None,
        format,
        engine_io: Some(engine_io),
        http: None,
    }
}

pub(super) fn open(chat: Chat, opening: Opening) -> Opened {
    let (decoder, stage) = (Decoder::default(), Stage::Outside);
    let socket = ChatSocket { chat, opening, decoder, stage, deadline: None, tend: None };
    Opened { conversation: Box::new(socket), author: None, protocol: None }
}

impl ChatSocket {
    fn take(&mut self, packet: Packet, cx: &mut Context<'_>) -> Result<(), ParseError> {
        match (packet, &mut self.stage) {
            (Packet::Connect { namespace, .. }, _) if namespace != MAIN => {
                let refusal = socketio::connect_error(FORMAT, &namespace, "Invalid namespace", None);
                cx.send_frames(refusal);
            }
            (Packet::Connect { auth, .. }, Stage::Outside) => self.come_back_or_enter(auth.map(Box::new), cx),
            (Packet::Event { namespace, id, event, arguments }, Stage::In(native)) if namespace == MAIN => {
                carry_out(native, &event, &arguments, id, cx);
            }
            (Packet::Ack { namespace, .. }, Stage::In(_)) if namespace == MAIN => {}
            (Packet::Disconnect { namespace }, Stage::In(native)) if namespace == MAIN => {
                if let Some(session) = &native.session {
                    session.forget();
                }
                cx.close(CloseCode::NORMAL, "client namespace disconnect");
            }
            _ => return Err(ParseError::BadNamespace),
        }
        Ok(())
    }

    fn come_back_or_enter(&mut self, auth: Option<Box<Arguments>>, cx: &mut Context<'_>) {
        let returning = auth.as_deref().and_then(|auth| auth.first::<Auth>().ok());
        let pid = self.chat.recovery.and(returning.as_ref().and_then(|auth| auth.pid.as_deref()));
        let offset = returning.as_ref().and_then(|auth| auth.offset.as_deref());
        let (Some(pid), Ok(place)) = (pid, offset.map(str::parse).transpose()) else {
            return self.enter(auth.as_deref(), cx);
        };
        let (chat, pid, now) = (self.chat.clone(), Arc::from(pid), cx.now());
        let recalling = async move {
            let back = recovery::find(&chat, &pid, place, now).await?;
            Some((pid, back))
        };
        self.stage = Stage::Recalling(Box::pin(recalling), auth);
        self.advance(cx);
    }

    /// It is known: first its rooms, in which nothing is sent to it yet.
    fn come_back(&mut self, returning: Box<Returning>, cx: &mut Context<'_>) {
        cx.set_author(returning.back.login.author().clone());
        if cx.follow(FOLLOW, returning.back.rooms()) {
            self.stage = Stage::Following(Some(returning));
        } else {
            self.begin_anew(*returning, cx);
        }
    }

    /// Then what it missed up to here.
    fn read(&mut self, mut returning: Box<Returning>, frontier: Frontier, cx: &mut Context<'_>) {
        let (chat, now) = (self.chat.clone(), cx.now());
        self.stage = Stage::Reading(Box::pin(async move {
            let missed = returning.back.missed(&chat, frontier, now).await;
            (returning, missed.map(|messages| Missed { messages, last: frontier.last }))
        }));
        self.advance(cx);
    }

    /// It gets that and what was held back meanwhile.
    fn returned(&mut self, returning: Box<Returning>, missed: Option<Missed>, cx: &mut Context<'_>) {
        let (Some(Missed { mut messages, last }), Some(window)) = (missed, self.chat.recovery) else {
            return self.begin_anew(*returning, cx);
        };
        // Otherwise it is ending.
        let Some(held) = cx.go_live_behind(last) else { return };
        messages.extend(held);
        let Returning { back: Return { kept, login, .. }, pid, .. } = *returning;
        cx.send_frames(socketio::connect(FORMAT, MAIN, &kept.sid, Some(&pid)));
        cx.send_publications(WireFormat::SocketIoNativeOffset, messages);
        let mut native =
            Native::new(self.chat.clone(), login, Wire::SocketIo, Vec::new(), Vec::new(), cx.now());
        native.session = Some(Session::new(cx.hub(), &pid, window, kept));
        self.be_in(native, cx);
    }

    /// It cannot be what it was any more.
    fn begin_anew(&mut self, Returning { back, auth, .. }: Returning, cx: &mut Context<'_>) {
        cx.begin_anew();
        // With it goes the hold on its name, which it may want again.
        drop(back);
        self.enter(auth.as_deref(), cx);
    }

    fn be_in(&mut self, native: Native, cx: &mut Context<'_>) {
        self.deadline = None;
        if let Some(session) = &native.session {
            session.keep();
            self.tend = Some(Box::pin(tokio::time::sleep(recovery::TEND)));
        }
        self.stage = Stage::In(Box::new(native));
        self.look_after(cx);
    }

    /// What is done beside the commands of a connection that may come back.
    fn look_after(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker();
        let mut task = task::Context::from_waker(&waker);
        while let Some(tend) = &mut self.tend
            && tend.as_mut().poll(&mut task).is_ready()
        {
            self.tend = Some(Box::pin(tokio::time::sleep(recovery::TEND)));
            if let Stage::In(native) = &self.stage
                && let Some(session) = &native.session
            {
                session.keep();
            }
        }
    }

    fn enter(&mut self, auth: Option<&Arguments>, cx: &mut Context<'_>) {
        let auth = match auth.map_or_else(|| Ok(Auth::default()), Arguments::first::<Auth>) {
            Ok(auth) => auth,
            Err(error) => {
                let sentence = format!(
                    "auth is not understood: {error}; one is {{\"name\":\"ann\",\"rooms\":[\"lobby\"]}}"
                );
                return refuse(&Refusal::new(Code::BadMessage, sentence), cx);
            }
        };
        let mut wishes = Wishes::read(&self.opening);
        wishes.name = auth.name.filter(|name| !name.is_empty()).or(wishes.name);
        wishes.token = auth.token.or(wishes.token);
        wishes.rooms.extend(auth.rooms);
        let (chat, now) = (self.chat.clone(), cx.now());
        let entering = async move {
            let (login, rooms) = chat.identify(now, wishes).await?;
            let kept = match chat.recovery {
                Some(_) => Kept::new(&chat, &login, random::text(20), now).await,
                None => None,
            };
            let inbox = inbox::unread(&chat.hub, &login, now).await?;
            Ok((login, rooms, inbox, kept))
        };
        self.stage = Stage::Entering(Box::pin(entering));
        self.advance(cx);
    }

    /// Goes on where an account is looked for.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker();
        let mut task = task::Context::from_waker(&waker);
        let entering = match &mut self.stage {
            Stage::Recalling(recalling, auth) => {
                let Poll::Ready(found) = recalling.as_mut().poll(&mut task) else { return };
                let auth = auth.take();
                return match found {
                    Some((pid, back)) => self.come_back(Box::new(Returning { back, pid, auth }), cx),
                    None => self.enter(auth.as_deref(), cx),
                };
            }
            Stage::Reading(reading) => {
                let Poll::Ready((returning, missed)) = reading.as_mut().poll(&mut task) else { return };
                return self.returned(returning, missed, cx);
            }
            Stage::Entering(entering) => entering,
            Stage::Outside | Stage::Following(_) | Stage::In(_) => return,
        };
        let Poll::Ready(entered) = entering.as_mut().poll(&mut task) else { return };
        match entered {
            Ok((login, rooms, inbox, kept)) => {
                cx.set_author(login.author().clone());
                let mut native =
                    Native::new(self.chat.clone(), login, Wire::SocketIo, rooms, inbox, cx.now());
                let (mut sid, mut pid) = (random::text(20), None);
                if let (Some(kept), Some(window)) = (kept, self.chat.recovery) {
                    let secret = pid.insert(random::text(24));
                    sid.clone_from(&kept.sid);
                    native.session = Some(Session::new(cx.hub(), secret, window, kept));
                }
                cx.send_frames(socketio::connect(FORMAT, MAIN, &sid, pid.as_deref()));
                native.opened(cx);
                self.be_in(native, cx);
            }
            Err(refusal) => {
                self.stage = Stage::Outside;
                refuse(&refusal, cx);
            }
        }
    }
}

const FORMAT: WireFormat = WireFormat::SocketIo;

/// An event is the command of its name.
fn carry_out(
    native: &mut Native,
    event: &str,
    arguments: &Arguments,
    ack: Option<u64>,
    cx: &mut Context<'_>,
) {
    let to = To { ack, ..To::default() };
    let object = match arguments.len() {
        0 => "{}",
        _ => arguments.text(),
    };
    let Some(fields) = object.strip_prefix('{').filter(|_| arguments.len() <= 1) else {
        let sentence =
            "a command is an event with one object: emit(\"publish\", {room: \"lobby\", data: \"hi\"})";
        return native.refuse(&to, &Refusal::new(Code::BadMessage, sentence), cx);
    };
    if !COMMANDS.contains(&event) {
        let sentence =
            format!("nothing here handles the event {event}; the commands are {}", COMMANDS.join(", "));
        return native.refuse(&to, &Refusal::new(Code::NoHandler, sentence), cx);
    }
    let comma = if fields == "}" { "" } else { "," };
    let command = format!("{{\"type\":\"{event}\"{comma}{fields}");
    native.command(&command, arguments.attachments().to_vec(), ack, cx);
}

/// The events that are commands; any other is a call to an application.
const COMMANDS: [&str; 11] =
    ["join", "leave", "publish", "direct", "history", "members", "rooms", "read", "call", "auth", "ping"];

/// Keeps a client out, with what a program reads in `connect_error.data`.
fn refuse(refusal: &Refusal, cx: &mut Context<'_>) {
    let mut data = Vec::with_capacity(128);
    encode::error(&mut data, None, refusal);
    let data = String::from_utf8(data).unwrap_or_default();
    cx.send_frames(socketio::connect_error(FORMAT, MAIN, &refusal.message, Some(&data)));
}

impl Conversation for ChatSocket {
    fn opened(&mut self, cx: &mut Context<'_>) {
        let mut deadline = Box::pin(tokio::time::sleep(SOCKETIO_CONNECT_TIMEOUT));
        let _ = deadline.as_mut().poll(&mut task::Context::from_waker(&cx.waker()));
        self.deadline = Some(deadline);
    }

    fn receive(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        let packet = match message {
            Incoming::Text(text) => self.decoder.receive_text(text),
            Incoming::Binary(data) => self.decoder.receive_binary(Bytes::copy_from_slice(data)),
        };
        let taken = packet.and_then(|packet| packet.map_or(Ok(()), |packet| self.take(packet, cx)));
        if let Err(error) = taken {
            tracing::debug!(%error, "a client does not speak Socket.IO");
            cx.close(CloseCode::BAD_REQUESTS, "parse error");
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        match &mut self.stage {
            Stage::In(native) => native.reply(ticket, result, cx),
            Stage::Following(returning) => match (returning.take(), result) {
                (Some(returning), Ok(Reply::Following(frontier))) => self.read(returning, frontier, cx),
                (Some(returning), _) => self.begin_anew(*returning, cx),
                (None, _) => {}
            },
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        match &mut self.stage {
            Stage::In(native) => {
                native.poll(cx);
                self.look_after(cx);
            }
            _ => self.advance(cx),
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(&mut task::Context::from_waker(&cx.waker())).is_ready()
        {
            self.deadline = None;
            cx.close(CloseCode::NEVER_AUTHENTICATED, "no namespace was entered in time");
        }
    }

    fn closing(&mut self, code: CloseCode, retry_after: Option<Duration>, cx: &mut Context<'_>) {
        if let Stage::In(_) = &self.stage {
            let mut out = Vec::with_capacity(96);
            encode::bye(&mut out, code, retry_after);
            say(Wire::SocketIo, &To::default(), out, &[], cx);
        }
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        if let Stage::In(native) = &mut self.stage {
            native.closed(code, reason, cx);
        }
    }
}
