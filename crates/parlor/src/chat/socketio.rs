//! The chat over Socket.IO: commands are events with one object and an ack, pushes are events named by their `type`.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use parlor_hub::encode::WireFormat;
use parlor_hub::{Reply, Ticket, socketio};
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
use super::{Chat, Wishes, random};

/// A connection of the chat that speaks Socket.IO.
struct ChatSocket {
    chat: Chat,
    opening: Opening,
    decoder: Decoder,
    stage: Stage,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    /// It has not said who it is.
    Outside,
    /// Its account is looked for.
    Entering(Entering),
    In(Box<Native>),
}

type Entered = (Login, Vec<RoomName>, Vec<Unread>);
type Entering = Pin<Box<dyn Future<Output = Result<Entered, Refusal>> + Send>>;

/// What a client sends with its CONNECT.
#[derive(Debug, Default, Deserialize)]
struct Auth {
    name: Option<String>,
    token: Option<String>,
    #[serde(default)]
    rooms: Vec<String>,
}

/// How Socket.IO is spoken on the chat's path.
pub(super) fn route() -> Route {
    let engine_io = EngineIo::default();
    Route {
        max_message: engine_io.max_payload,
        max_fragments: FRAGMENTS as u32,
        deflate: None,
        format: WireFormat::SocketIoNative,
        engine_io: Some(engine_io),
        http: None,
    }
}

pub(super) fn open(chat: Chat, opening: Opening) -> Opened {
    let socket =
        ChatSocket { chat, opening, decoder: Decoder::default(), stage: Stage::Outside, deadline: None };
    Opened { conversation: Box::new(socket), author: None, protocol: None }
}

impl ChatSocket {
    fn take(&mut self, packet: Packet, cx: &mut Context<'_>) -> Result<(), ParseError> {
        match (packet, &mut self.stage) {
            (Packet::Connect { namespace, .. }, _) if namespace != MAIN => {
                let refusal = socketio::connect_error(FORMAT, &namespace, "Invalid namespace", None);
                cx.send_frames(refusal);
            }
            (Packet::Connect { auth, .. }, Stage::Outside) => self.enter(auth.as_ref(), cx),
            (Packet::Event { namespace, id, event, arguments }, Stage::In(native)) if namespace == MAIN => {
                carry_out(native, &event, &arguments, id, cx);
            }
            (Packet::Ack { namespace, .. }, Stage::In(_)) if namespace == MAIN => {}
            (Packet::Disconnect { namespace }, Stage::In(_)) if namespace == MAIN => {
                cx.close(CloseCode::NORMAL, "client namespace disconnect");
            }
            _ => return Err(ParseError::BadNamespace),
        }
        Ok(())
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
            let inbox = inbox::unread(&chat.hub, &login, now).await?;
            Ok((login, rooms, inbox))
        };
        self.stage = Stage::Entering(Box::pin(entering));
        self.advance(cx);
    }

    /// Goes on where an account is looked for.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let Stage::Entering(entering) = &mut self.stage else { return };
        let waker = cx.waker();
        let Poll::Ready(entered) = entering.as_mut().poll(&mut task::Context::from_waker(&waker)) else {
            return;
        };
        match entered {
            Ok((login, rooms, inbox)) => {
                cx.set_author(login.author().clone());
                cx.send_frames(socketio::connect(FORMAT, MAIN, &random::text(20), None));
                let native = Native::new(self.chat.clone(), login, Wire::SocketIo, rooms, inbox, cx.now());
                let mut native = Box::new(native);
                native.opened(cx);
                self.deadline = None;
                self.stage = Stage::In(native);
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
        if let Stage::In(native) = &mut self.stage {
            native.reply(ticket, result, cx);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        match &mut self.stage {
            Stage::In(native) => native.poll(cx),
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
            say(Wire::SocketIo, &To::default(), out, cx);
        }
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        if let Stage::In(native) = &mut self.stage {
            native.closed(code, reason, cx);
        }
    }
}
