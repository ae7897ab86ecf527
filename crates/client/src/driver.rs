//! The task behind a client, whatever it speaks: one connection after the other, and everything in its order.

use std::collections::VecDeque;
use std::time::Duration;

use parlor_proto::codes::CloseCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::backoff;
use crate::error::Error;
use crate::socket::{Received, Socket, random};

/// Events that may wait for the program; then reading stops, and the server notices a slow reader.
const EVENTS: usize = 1_000;

/// Bytes that may wait to be written before requests wait instead.
pub(crate) const OUT: usize = 256 * 1024;

/// A connection that lived this long was healthy: its end starts the back-off from the beginning.
const HEALTHY: Duration = Duration::from_secs(10);

/// How long the server may take to let a client in once the connection is open.
pub(crate) const HELLO: Duration = Duration::from_secs(10);

/// Who waits for an answer.
pub(crate) type Caller<A> = oneshot::Sender<Result<A, Error>>;

/// Something to hand out: to the program, or to a caller.
#[derive(Debug)]
pub(crate) enum Given<E, C, A> {
    Event(E),
    Answer(C, Result<A, Error>),
}

/// What waits to be handed out, in order.
pub(crate) type Queue<P> =
    VecDeque<Given<<P as Protocol>::Event, Caller<<P as Protocol>::Answer>, <P as Protocol>::Answer>>;

/// What is spoken on the connections of one client, and what outlives each of them.
pub(crate) trait Protocol: Sized + Send + 'static {
    /// What the program asks for.
    type Asked: Send;
    /// What it is told without having asked.
    type Event: Send;
    /// What a caller gets.
    type Answer: Send;

    /// One attempt to connect, up to where the server has let this client in.
    fn open(&mut self, given: &mut Queue<Self>) -> impl Future<Output = Result<Socket, Error>> + Send;

    /// Takes a request, and sends it if there is a connection.
    fn ask(&mut self, asked: Self::Asked, socket: Option<&mut Socket>, given: &mut Queue<Self>);

    /// Takes what arrived.
    ///
    /// # Errors
    /// The connection is over; this is why.
    fn receive(
        &mut self,
        received: Received,
        socket: &mut Socket,
        given: &mut Queue<Self>,
    ) -> Result<(), Error>;

    /// All that was queued has been written: there is room for more.
    fn drained(&mut self, socket: &mut Socket, given: &mut Queue<Self>);

    /// When [`Protocol::handle_timeout`] has something to do.
    fn poll_timeout(&self) -> Instant;

    /// The time has come.
    ///
    /// # Errors
    /// The connection is over; this is why.
    fn handle_timeout(&mut self, socket: &mut Socket, given: &mut Queue<Self>) -> Result<(), Error>;

    /// Queues the last words of a client that leaves by itself.
    fn leave(&mut self, socket: &mut Socket, given: &mut Queue<Self>);

    /// The connection ended.
    fn disconnected(&mut self, error: &Error, given: &mut Queue<Self>);

    /// All is over: everybody who waits is told.
    fn closed(&mut self, given: &mut Queue<Self>);

    /// Whether another attempt may go better than the one that ended so.
    fn may_retry(&mut self, error: &Error) -> bool;

    /// The event that tells of the next attempt.
    fn waiting(wait: Duration, error: Error) -> Self::Event;

    /// The last event.
    fn over(error: Error) -> Self::Event;
}

/// Goes on with the first connection, which is open; gives the events. The task ends when every sender of requests is
/// gone.
pub(crate) fn spawn<P: Protocol>(
    protocol: P,
    reconnect: bool,
    socket: Socket,
    given: Queue<P>,
    asked: mpsc::Receiver<P::Asked>,
) -> mpsc::Receiver<P::Event> {
    let (give, events) = mpsc::channel(EVENTS);
    let driver = Driver { protocol, reconnect, asked, give, given, attempt: 0, over: false };
    tokio::spawn(driver.run(socket));
    events
}

struct Driver<P: Protocol> {
    protocol: P,
    reconnect: bool,
    asked: mpsc::Receiver<P::Asked>,
    give: mpsc::Sender<P::Event>,
    /// What could not be handed out yet.
    given: Queue<P>,
    /// Connections in a row that did not become healthy.
    attempt: u32,
    /// Nobody can ask for anything any more.
    over: bool,
}

impl<P: Protocol> Driver<P> {
    async fn run(mut self, mut socket: Socket) {
        let end = loop {
            let opened = Instant::now();
            let error = self.live(socket).await;
            self.protocol.disconnected(&error, &mut self.given);
            if self.over || !self.reconnect || !self.protocol.may_retry(&error) {
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
        self.protocol.closed(&mut self.given);
        self.given.push_back(Given::Event(P::over(end)));
        while !self.given.is_empty() {
            hand_out::<P>(&mut self.given, &self.give).await;
        }
    }

    /// Waits and tries until a connection is open. Requests that come meanwhile wait in the protocol.
    async fn reopen(&mut self, mut error: Error) -> Result<Socket, Error> {
        loop {
            let chance = random().map_or(u32::MAX, u32::from_ne_bytes);
            let wait = backoff::delay(self.attempt, chance, error.retry_after());
            self.attempt = self.attempt.saturating_add(1);
            self.given.push_back(Given::Event(P::waiting(wait, error)));
            let until = Instant::now() + wait;
            while Instant::now() < until && !self.over {
                tokio::select! {
                    () = sleep_until(until) => {}
                    asked = self.asked.recv() => self.take(asked, None),
                    () = hand_out::<P>(&mut self.given, &self.give), if !self.given.is_empty() => {}
                }
            }
            if self.over {
                return Err(Error::Closed);
            }
            match self.protocol.open(&mut self.given).await {
                Ok(socket) => return Ok(socket),
                Err(failed) if self.protocol.may_retry(&failed) => error = failed,
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Moves messages until the connection ends; says why it did.
    async fn live(&mut self, mut socket: Socket) -> Error {
        loop {
            let (reads, queued) = (self.given.is_empty(), socket.queued());
            tokio::select! {
                // In this order: the program's backlog comes first, and the clock never before what has arrived,
                // because the other side's sign of life may lie behind what the program was slow to take.
                biased;
                () = hand_out::<P>(&mut self.given, &self.give), if !reads => {}
                asked = self.asked.recv(), if queued < OUT => {
                    self.take(asked, Some(&mut socket));
                    // What waits already leaves in the same write.
                    while socket.queued() < OUT && let Ok(more) = self.asked.try_recv() {
                        self.take(Some(more), Some(&mut socket));
                    }
                    if self.over {
                        self.protocol.leave(&mut socket, &mut self.given);
                        socket.close(CloseCode::NORMAL.0, "").await;
                        return Error::Closed;
                    }
                }
                received = next(&mut socket, reads), if reads || queued > 0 => {
                    if socket.queued() == 0 {
                        self.protocol.drained(&mut socket, &mut self.given);
                    }
                    if let Some(received) = received
                        && let Err(error) = self.protocol.receive(received, &mut socket, &mut self.given)
                    {
                        return error;
                    }
                }
                () = sleep_until(self.protocol.poll_timeout()), if reads => {
                    if let Err(error) = self.protocol.handle_timeout(&mut socket, &mut self.given) {
                        return error;
                    }
                }
            }
        }
    }

    fn take(&mut self, asked: Option<P::Asked>, socket: Option<&mut Socket>) {
        match asked {
            Some(asked) => self.protocol.ask(asked, socket, &mut self.given),
            None => self.over = true,
        }
    }
}

/// The next thing that arrives; `None` when all that was queued has been written first. While the program is behind,
/// nothing is read.
async fn next(socket: &mut Socket, read: bool) -> Option<Received> {
    if read {
        return socket.recv_or_drain().await;
    }
    match socket.flush().await {
        Ok(()) => None,
        // The next read tells of it, in its turn.
        Err(_) => std::future::pending().await,
    }
}

/// Hands out what comes first, waiting for room if it is an event. Dropping the future loses nothing.
async fn hand_out<P: Protocol>(given: &mut Queue<P>, give: &mpsc::Sender<P::Event>) {
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
