//! The task behind a [`Client`]: opens connections one after the other and moves what the session says.

use std::collections::VecDeque;
use std::time::Duration;

use parlor_proto::codes::CloseCode;
use parlor_proto::native::SUBPROTOCOL;
use parlor_proto::native::command::{Command, Request};
use parlor_proto::native::decode::{Bye, ServerMessage, Welcome};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backoff;
use crate::client::{Caller, Client, Events};
use crate::error::{Error, seconds};
use crate::event::Event;
use crate::options::{Opened, Options};
use crate::session::{Asked, Given, Session};
use crate::socket::{Received, Socket, random};

/// Events that may wait for the program; then reading stops, and the server notices a slow reader.
const EVENTS: usize = 1_000;

/// Bytes that may wait to be written before requests wait instead.
const OUT: usize = 256 * 1024;

/// Silence after which the client asks whether somebody is there; the server pings as often.
const QUIET: Duration = Duration::from_secs(25);

/// Time for the answer, as the server allows on its side.
const PONG: Duration = Duration::from_secs(10);

/// A connection that lived this long was healthy: its end starts the back-off from the beginning.
const HEALTHY: Duration = Duration::from_secs(10);

/// How long the server may take to say welcome.
const HELLO: Duration = Duration::from_secs(10);

/// Connects for the first time; with a socket that is open already, goes on with that.
pub(crate) async fn start(options: Options, socket: Option<Socket>) -> Result<(Client, Events), Error> {
    let (requests, asked) = mpsc::channel(64);
    let (give, events) = mpsc::channel(EVENTS);
    let client = Client { requests, answer_within: options.answer_within };
    let token = options.token.clone();
    let session = Session::new(options.max_waiting);
    let mut driver =
        Driver { options, token, session, asked, give, given: VecDeque::new(), attempt: 0, over: false };
    let opened = match socket {
        Some(socket) => driver.greet(socket).await?,
        None => driver.open().await?,
    };
    tokio::spawn(driver.run(opened));
    Ok((client, Events { events }))
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

struct Driver {
    options: Options,
    /// Who this is; for guests, what the last welcome gave.
    token: Option<String>,
    session: Session<Caller>,
    asked: mpsc::Receiver<Asked<Caller>>,
    give: mpsc::Sender<Event>,
    /// What could not be handed out yet.
    given: VecDeque<Given<Caller>>,
    /// Connections in a row that did not become healthy.
    attempt: u32,
    /// Every [`Client`] is gone.
    over: bool,
}

impl Driver {
    async fn run(mut self, mut socket: Socket) {
        let end = loop {
            let opened = Instant::now();
            let error = self.live(socket).await;
            let broken = self.session.disconnected();
            self.given.extend(broken);
            if self.over || !self.options.reconnect || !self.may_retry(&error) {
                break error;
            }
            if opened.elapsed() >= HEALTHY {
                self.attempt = 0;
            }
            socket = match self.reopen(error).await {
                Ok(socket) => socket,
                Err(error) => break error,
            };
        };
        let closed = self.session.closed();
        self.given.extend(closed);
        self.given.push_back(Given::Event(Event::Closed(end)));
        while !self.given.is_empty() {
            self.hand_out().await;
        }
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

    /// Waits and tries until a connection is welcomed. Requests that come meanwhile wait in the session.
    async fn reopen(&mut self, mut error: Error) -> Result<Socket, Error> {
        loop {
            let chance = random().map_or(u32::MAX, u32::from_ne_bytes);
            let wait = backoff::delay(self.attempt, chance, error.retry_after());
            self.attempt = self.attempt.saturating_add(1);
            self.given.push_back(Given::Event(Event::Waiting { wait, error }));
            let until = Instant::now() + wait;
            while Instant::now() < until && !self.over {
                tokio::select! {
                    () = sleep_until(until) => {}
                    asked = self.asked.recv() => self.take(asked, None),
                    () = hand_out(&mut self.given, &self.give), if !self.given.is_empty() => {}
                }
            }
            if self.over {
                return Err(Error::Closed);
            }
            match self.open().await {
                Ok(socket) => return Ok(socket),
                Err(failed) if self.may_retry(&failed) => error = failed,
                Err(failed) => return Err(failed),
            }
        }
    }

    /// One attempt to connect.
    async fn open(&mut self) -> Result<Socket, Error> {
        let address = self.options.target(self.token.as_deref())?;
        let socket = Socket::open(&address, &self.options.socket_options(self.token.as_deref())).await?;
        self.greet(socket).await
    }

    /// Waits for the welcome, and queues what the session wants sent.
    async fn greet(&mut self, mut socket: Socket) -> Result<Socket, Error> {
        // A server of another kind may be silent for ever; its answer to the handshake tells at once.
        if socket.protocol() != Some(SUBPROTOCOL) {
            return Err(not_parlor());
        }
        let welcome =
            timeout(HELLO, self.welcome(&mut socket)).await.map_err(|_| Error::Timeout(HELLO))??;
        if self.options.keep_account && self.token.is_none() {
            self.show_token(&welcome, &mut socket);
        }
        self.token = welcome.token.clone().or(self.token.take());
        self.session.give_up(Caller::is_closed);
        for text in self.session.connected(&welcome.user) {
            socket.queue_text(&text);
        }
        self.given.push_back(Given::Event(Event::Welcome(welcome)));
        Ok(socket)
    }

    async fn welcome(&mut self, socket: &mut Socket) -> Result<Welcome, Error> {
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

    fn show_token(&self, welcome: &Welcome, socket: &mut Socket) {
        if let Some(token) = &welcome.token {
            let mut text = Vec::new();
            Request { id: None, command: Command::Auth { token: token.into() } }.encode(&mut text);
            socket.queue_text(&String::from_utf8_lossy(&text));
        }
    }

    /// Moves messages until the connection ends; says why it did.
    async fn live(&mut self, mut socket: Socket) -> Error {
        let mut said = None;
        let mut heard = Instant::now();
        let mut pinged = false;
        loop {
            let silence = heard + if pinged { QUIET + PONG } else { QUIET };
            let (reads, queued) = (self.given.is_empty(), socket.queued());
            tokio::select! {
                () = hand_out(&mut self.given, &self.give), if !reads => {}
                received = next(&mut socket, reads), if reads || queued > 0 => {
                    heard = Instant::now();
                    pinged = false;
                    if let Some(error) = received.and_then(|received| self.received(received, &mut said)) {
                        return error;
                    }
                }
                asked = self.asked.recv(), if queued < OUT => {
                    self.take(asked, Some(&mut socket));
                    // What waits already leaves in the same write.
                    while let Ok(more) = self.asked.try_recv() {
                        self.take(Some(more), Some(&mut socket));
                    }
                    if self.over {
                        socket.close(CloseCode::NORMAL.0, "").await;
                        return Error::Closed;
                    }
                }
                () = sleep_until(silence), if reads => {
                    if pinged {
                        return Error::Timeout(QUIET + PONG);
                    }
                    pinged = true;
                    socket.queue_ping();
                }
            }
        }
    }

    /// Takes what arrived; gives why the connection is over, if it is. `said` is what the server said last: if it
    /// closes then, that explains the close better than the code does.
    fn received(&mut self, received: Received, said: &mut Option<Error>) -> Option<Error> {
        let text = match received {
            Received::Text(text) => text,
            Received::Binary(_) | Received::Alive => return None,
            Received::Closed { code, reason } => return Some(said.take().unwrap_or(ended(code, reason))),
        };
        let message = match ServerMessage::parse(&text) {
            Ok(message) => message,
            Err(error) => {
                return Some(Error::BadAnswer(format!("the server sent what is not its protocol: {error}")));
            }
        };
        *said = match &message {
            ServerMessage::Error(error) if error.id.is_none() => Some(Error::Refused(error.clone().into())),
            ServerMessage::Bye(bye) => Some(farewell(bye.clone())),
            _ => None,
        };
        self.session.receive(message, &mut self.given);
        None
    }

    /// Takes a request, and sends it if there is a connection.
    fn take(&mut self, asked: Option<Asked<Caller>>, socket: Option<&mut Socket>) {
        let Some(asked) = asked else {
            self.over = true;
            return;
        };
        if self.session.is_full() {
            self.session.give_up(Caller::is_closed);
        }
        match (self.session.ask(asked), socket) {
            (Ok(text), Some(socket)) => {
                socket.queue_text(text);
            }
            (Ok(_), None) => {}
            (Err(caller), _) => self.given.push_back(Given::Answer(caller, Err(Error::QueueFull))),
        }
    }

    async fn hand_out(&mut self) {
        hand_out(&mut self.given, &self.give).await;
    }
}

/// The next thing that arrives. While the program is behind, nothing is read, but what is queued still goes out.
async fn next(socket: &mut Socket, read: bool) -> Option<Received> {
    if read {
        return Some(socket.recv().await);
    }
    // A write that fails is noticed by the next read.
    let _ = socket.flush().await;
    None
}

/// Hands out what comes first, waiting for room if it is an event. Dropping the future loses nothing.
async fn hand_out(given: &mut VecDeque<Given<Caller>>, give: &mpsc::Sender<Event>) {
    if let Some(Given::Event(_)) = given.front() {
        // Nobody may listen to events; requests go on all the same.
        let permit = give.reserve().await;
        if let (Some(Given::Event(event)), Ok(permit)) = (given.pop_front(), permit) {
            permit.send(event);
        }
    } else if let Some(Given::Answer(caller, answer)) = given.pop_front() {
        // A caller that has given up needs no answer.
        let _ = caller.send(answer);
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
