//! The native protocol on a connection: the welcome, pings, and what the session says.

use std::collections::VecDeque;
use std::time::Duration;

use parlor_proto::codes::CloseCode;
use parlor_proto::native::SUBPROTOCOL;
use parlor_proto::native::command::{Command, Request};
use parlor_proto::native::decode::{Bye, ServerMessage, Welcome};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::client::{Caller, Client, Events};
use crate::driver::{self, Given, HELLO, Protocol, Queue};
use crate::error::{Error, seconds};
use crate::event::Event;
use crate::options::{Opened, Options};
use crate::session::{Asked, Session};
use crate::socket::{Received, Socket};

/// Silence after which the client asks whether somebody is there; the server pings as often.
const QUIET: Duration = Duration::from_secs(25);

/// Time for the answer, as the server allows on its side.
const PONG: Duration = Duration::from_secs(10);

/// Connects for the first time; with a socket that is open already, goes on with that.
pub(crate) async fn start(options: Options, socket: Option<Socket>) -> Result<(Client, Events), Error> {
    let (requests, asked) = mpsc::channel(64);
    let client = Client { requests, answer_within: options.answer_within };
    let reconnect = options.reconnect;
    let mut native = Native {
        token: options.token.clone(),
        session: Session::new(options.max_waiting),
        options,
        said: None,
        due: Instant::now(),
        pinged: false,
    };
    let mut given = VecDeque::new();
    let opened = match socket {
        Some(socket) => native.greet(socket, &mut given).await?,
        None => native.open(&mut given).await?,
    };
    Ok((client, Events { events: driver::spawn(native, reconnect, opened, given, asked) }))
}

/// Connects to whatever speaks WebSocket at exactly this address, or, if nothing does at its root, to Parlor there.
pub(crate) async fn start_any(options: Options) -> Result<Opened, Error> {
    let exact = options.exact(options.token.as_deref())?;
    let how = options.socket_options(options.token.as_deref());
    let socket = match Socket::open(&exact, &how).await {
        Err(Error::BadAnswer(_)) if exact.path() == "/" => {
            Socket::open(&options.target(options.token.as_deref())?, &how).await?
        }
        opened => opened?,
    };
    if socket.protocol() != Some(SUBPROTOCOL) {
        return Ok(Opened::Plain(socket));
    }
    let (client, events) = start(options, Some(socket)).await?;
    Ok(Opened::Parlor(client, events))
}

struct Native {
    options: Options,
    /// Who this is; for guests, what the last welcome gave.
    token: Option<String>,
    session: Session<Caller>,
    /// What the server said last: if it closes then, that explains the close better than the code does.
    said: Option<Error>,
    /// When to ask whether somebody is there, or, once `pinged`, to believe that nobody is.
    due: Instant,
    pinged: bool,
}

impl Native {
    /// Waits for the welcome, and queues what the session wants sent.
    async fn greet(&mut self, mut socket: Socket, given: &mut Queue<Self>) -> Result<Socket, Error> {
        // A server of another kind may be silent for ever; its answer to the handshake tells at once.
        if socket.protocol() != Some(SUBPROTOCOL) {
            return Err(not_parlor());
        }
        let welcome = timeout(HELLO, welcome(&mut socket)).await.map_err(|_| Error::Timeout(HELLO))??;
        if self.options.keep_account && self.token.is_none() {
            show_token(&welcome, &mut socket);
        }
        self.token = welcome.token.clone().or(self.token.take());
        self.session.give_up(Caller::is_closed);
        for text in self.session.connected(&welcome.user) {
            socket.queue_text(&text);
        }
        self.said = None;
        self.heard();
        given.push_back(Given::Event(Event::Welcome(welcome)));
        Ok(socket)
    }

    fn heard(&mut self) {
        self.due = Instant::now() + QUIET;
        self.pinged = false;
    }
}

impl Protocol for Native {
    type Asked = Asked<Caller>;
    type Event = Event;
    type Answer = ServerMessage;

    async fn open(&mut self, given: &mut Queue<Self>) -> Result<Socket, Error> {
        let address = self.options.target(self.token.as_deref())?;
        let socket = Socket::open(&address, &self.options.socket_options(self.token.as_deref())).await?;
        self.greet(socket, given).await
    }

    fn ask(&mut self, asked: Asked<Caller>, socket: Option<&mut Socket>, given: &mut Queue<Self>) {
        if self.session.is_full() {
            self.session.give_up(Caller::is_closed);
        }
        match (self.session.ask(asked), socket) {
            (Ok(text), Some(socket)) => {
                socket.queue_text(text);
            }
            (Ok(_), None) => {}
            (Err(caller), _) => given.push_back(Given::Answer(caller, Err(Error::QueueFull))),
        }
    }

    fn receive(
        &mut self,
        received: Received,
        _socket: &mut Socket,
        given: &mut Queue<Self>,
    ) -> Result<(), Error> {
        self.heard();
        let text = match received {
            Received::Text(text) => text,
            Received::Binary(_) | Received::Alive => return Ok(()),
            Received::Closed { code, reason } => return Err(self.said.take().unwrap_or(ended(code, reason))),
        };
        let message = ServerMessage::parse(&text).map_err(|error| {
            Error::BadAnswer(format!("the server sent what is not its protocol: {error}"))
        })?;
        self.said = match &message {
            ServerMessage::Error(error) if error.id.is_none() => Some(Error::Refused(error.clone().into())),
            ServerMessage::Bye(bye) => Some(farewell(bye.clone())),
            _ => None,
        };
        self.session.receive(message, given);
        Ok(())
    }

    fn drained(&mut self, _socket: &mut Socket, _given: &mut Queue<Self>) {}

    fn poll_timeout(&self) -> Instant {
        self.due
    }

    fn handle_timeout(&mut self, socket: &mut Socket, _given: &mut Queue<Self>) -> Result<(), Error> {
        if self.pinged {
            return Err(Error::Timeout(QUIET + PONG));
        }
        self.pinged = true;
        self.due = Instant::now() + PONG;
        socket.queue_ping();
        Ok(())
    }

    fn leave(&mut self, _socket: &mut Socket, _given: &mut Queue<Self>) {}

    fn disconnected(&mut self, _error: &Error, given: &mut Queue<Self>) {
        given.extend(self.session.disconnected());
    }

    fn closed(&mut self, given: &mut Queue<Self>) {
        given.extend(self.session.closed());
    }

    /// A token that the server does not know any more must not lock its owner out: once, be the same name without.
    fn may_retry(&mut self, error: &Error) -> bool {
        let bad_token = match error {
            Error::Ended { code, .. } => *code == CloseCode::BAD_TOKEN.0,
            Error::Refused(refused) => matches!(&*refused.code, "unauthenticated" | "token_expired"),
            _ => false,
        };
        if bad_token && self.options.token.is_none() && self.token.take().is_some() {
            return true;
        }
        error.may_retry()
    }

    fn waiting(wait: Duration, error: Error) -> Event {
        Event::Waiting { wait, error }
    }

    fn over(error: Error) -> Event {
        Event::Closed(error)
    }
}

async fn welcome(socket: &mut Socket) -> Result<Welcome, Error> {
    let mut said = None;
    loop {
        match socket.recv().await {
            Received::Text(text) => match ServerMessage::parse(&text) {
                Ok(ServerMessage::Welcome(welcome)) => return Ok(welcome),
                Ok(ServerMessage::Error(error)) => said = Some(Error::Refused(error.into())),
                Ok(ServerMessage::Bye(bye)) => said = said.or(Some(farewell(bye))),
                _ => return Err(not_parlor()),
            },
            Received::Binary(_) => return Err(not_parlor()),
            Received::Alive => {}
            Received::Closed { code, reason } => return Err(said.unwrap_or(ended(code, reason))),
        }
    }
}

fn show_token(welcome: &Welcome, socket: &mut Socket) {
    if let Some(token) = &welcome.token {
        let mut text = Vec::new();
        Request { id: None, command: Command::Auth { token: token.into() } }.encode(&mut text);
        socket.queue_text(&String::from_utf8_lossy(&text));
    }
}

fn not_parlor() -> Error {
    Error::BadAnswer("whatever answers there is not Parlor".into())
}

fn farewell(bye: Bye) -> Error {
    Error::Ended { code: bye.code, reason: bye.reason, retry_after: bye.retry_after.and_then(seconds) }
}

fn ended(code: u16, reason: String) -> Error {
    match code {
        1005 | 1006 => Error::Disconnected,
        code => Error::Ended { code, reason, retry_after: None },
    }
}
