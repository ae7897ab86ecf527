//! Moves what the Socket.IO session says to a socket and back.

use std::time::Duration;

use parlor_proto::socketio::Arguments;
use tokio::time::{Instant, timeout};

use super::session::{Frame, Session};
use super::{Asked, SocketIoEvent};
use crate::address::Address;
use crate::driver::{HELLO, OUT, Protocol, Queue};
use crate::error::Error;
use crate::socket::{Received, Socket, SocketOptions};

pub(super) struct Pump {
    pub(super) address: Address,
    pub(super) how: SocketOptions,
    pub(super) session: Session,
}

impl Pump {
    async fn enter(&mut self, socket: &mut Socket, given: &mut Queue<Self>) -> Result<(), Error> {
        self.session.opening();
        while !self.session.is_open() {
            let received = socket.recv().await;
            if socket.queued() == 0 {
                self.session.drained();
            }
            self.receive(received, socket, given)?;
        }
        Ok(())
    }

    /// What does not fit stays in the session: it is not on its way if the connection breaks.
    fn transmit(&mut self, socket: &mut Socket, given: &mut Queue<Self>) {
        while socket.queued() < OUT
            && let Some(frame) = self.session.poll_transmit(given)
        {
            queue(socket, frame);
        }
    }
}

impl Protocol for Pump {
    type Asked = Asked;
    type Event = SocketIoEvent;
    type Answer = Arguments;

    async fn open(&mut self, given: &mut Queue<Self>) -> Result<Socket, Error> {
        self.session.expire(Instant::now());
        let mut socket = Socket::open(&self.address, &self.how).await?;
        let entered = timeout(HELLO, self.enter(&mut socket, given)).await;
        match entered.unwrap_or(Err(Error::Timeout(HELLO))) {
            Ok(()) => Ok(socket),
            Err(error) => {
                self.session.reset();
                Err(error)
            }
        }
    }

    fn ask(&mut self, asked: Asked, socket: Option<&mut Socket>, given: &mut Queue<Self>) {
        self.session.ask(asked);
        if let Some(socket) = socket {
            self.transmit(socket, given);
        }
    }

    fn receive(
        &mut self,
        received: Received,
        socket: &mut Socket,
        given: &mut Queue<Self>,
    ) -> Result<(), Error> {
        self.session.receive(Instant::now(), received, given)?;
        self.transmit(socket, given);
        Ok(())
    }

    fn drained(&mut self, socket: &mut Socket, given: &mut Queue<Self>) {
        self.session.drained();
        self.transmit(socket, given);
    }

    fn poll_timeout(&self) -> Instant {
        self.session.poll_timeout()
    }

    fn handle_timeout(&mut self, _socket: &mut Socket, _given: &mut Queue<Self>) -> Result<(), Error> {
        self.session.handle_timeout(Instant::now())
    }

    fn leave(&mut self, socket: &mut Socket, given: &mut Queue<Self>) {
        self.session.leave();
        while let Some(frame) = self.session.poll_transmit(given) {
            queue(socket, frame);
        }
    }

    fn disconnected(&mut self, error: &Error, given: &mut Queue<Self>) {
        self.session.disconnected(error, given);
    }

    fn closed(&mut self, given: &mut Queue<Self>) {
        self.session.closed(given);
    }

    /// Once a server has spoken Socket.IO, whatever answers in its place is taken for a passing state, as the
    /// JavaScript client does; only a refusal that is meant for this client ends it.
    fn may_retry(&mut self, error: &Error) -> bool {
        match error {
            Error::Dismissed | Error::NamespaceRefused { .. } | Error::Closed => false,
            // Parlor's own codes say so themselves.
            Error::Ended { code: 4500..=4999, .. } => false,
            Error::Refused(_) => error.may_retry(),
            _ => true,
        }
    }

    fn waiting(wait: Duration, error: Error) -> SocketIoEvent {
        SocketIoEvent::Waiting { wait, error }
    }

    fn over(error: Error) -> SocketIoEvent {
        SocketIoEvent::Closed(error)
    }
}

fn queue(socket: &mut Socket, frame: Frame) {
    match frame {
        Frame::Text(text) => socket.queue_text(&text),
        Frame::Binary(bytes) => socket.queue_binary(&bytes),
    };
}
