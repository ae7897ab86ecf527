//! A Socket.IO client, protocol revision 5, over WebSocket from the start.

mod event;
mod options;
mod outbox;
mod pump;
mod session;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parlor_proto::socketio::{Arguments, RESERVED, encode};
use serde::Serialize;
use serde::ser::Error as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout};

pub use event::{Ack, Disconnect, Incoming, SocketIoEvent};
pub use options::SocketIoOptions;

use crate::driver;
use crate::error::Error;

/// How the driver answers.
type Caller = driver::Caller<Arguments>;

/// A connection to one namespace of a Socket.IO server that comes back by itself; cheap to clone. When the last clone
/// is dropped, the connection is closed.
///
/// Emits are sent in the order of their calls, also those from while there was no connection. **[`SocketIoEvents::next`]
/// must be called steadily**: when a thousand events wait, the client stops reading, and acks and pings stop with it. A
/// program without interest in events drops [`SocketIoEvents`].
#[derive(Clone, Debug)]
pub struct SocketIo {
    asked: mpsc::Sender<Asked>,
    shared: Arc<Shared>,
}

/// What happens, in order.
#[derive(Debug)]
pub struct SocketIoEvents {
    events: mpsc::Receiver<SocketIoEvent>,
}

/// The answer to [`SocketIo::emit_with_ack`].
pub type Acknowledged = Pin<Box<dyn Future<Output = Result<Arguments, Error>> + Send>>;

/// What all clones and the driver know.
#[derive(Debug)]
struct Shared {
    namespace: String,
    /// One for everything that waits for the connection or for its ack.
    places: Arc<Semaphore>,
    next_id: AtomicU64,
    /// Bytes of one message that the server takes.
    max_payload: AtomicUsize,
    answer_within: Duration,
}

/// What the driver is asked for.
#[derive(Debug)]
enum Asked {
    Emit { message: Message, place: OwnedSemaphorePermit },
    EmitWithAck { message: Message, place: OwnedSemaphorePermit, id: u64, caller: Caller, deadline: Instant },
    Ack { message: Message, place: OwnedSemaphorePermit, connection: u64 },
    Flush { caller: Caller, place: OwnedSemaphorePermit },
}

/// A packet as it is sent: Engine.IO's digit, text, then attachments.
#[derive(Debug)]
struct Message {
    text: String,
    attachments: Vec<Bytes>,
}

impl SocketIo {
    /// Begins to connect to the server at `http://HOST:PORT`, or `https`, `ws`, `wss`. Without a path, `/socket.io/` is
    /// meant; what stands there otherwise is the path of the server, not a namespace.
    pub fn options(address: impl Into<String>) -> SocketIoOptions {
        SocketIoOptions::new(address.into())
    }

    /// Sends an event. `arguments` is a list of them: `&("hi", 1)`, `&["hi"]`, or `&()` for none; a
    /// [`Binary`](parlor_proto::socketio::Binary) anywhere inside travels as an attachment.
    ///
    /// The event has its place in the order when this returns. It is sent once: whether the server got what was on its
    /// way when the connection broke is only known by an ack.
    ///
    /// # Errors
    /// [`Error::QueueFull`] when as many wait for the connection as may; [`Error::NoJson`], [`Error::BadEvent`] and
    /// [`Error::TooLarge`] for what cannot be sent; [`Error::Closed`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, arguments: &T) -> Result<(), Error> {
        let message = self.shared.event(event, None, &list(arguments)?)?;
        let place = self.shared.place()?;
        hand_in(&self.asked, Asked::Emit { message, place })
    }

    /// Sends an event and waits for the server's ack: its arguments. The event has its place in the order when this
    /// returns. While there is no connection to send it on, it is taken back by dropping the future, and when its time is
    /// over.
    ///
    /// # Errors
    /// Those of [`SocketIo::emit`]; [`Error::Disconnected`] when the connection ended before the ack came, and
    /// [`Error::Timeout`] after the `answer_within` of the options.
    pub fn emit_with_ack<T: Serialize + ?Sized>(&self, event: &str, arguments: &T) -> Acknowledged {
        let within = self.shared.answer_within;
        match list(arguments).and_then(|arguments| self.ask(event, &arguments)) {
            Ok(answer) => Box::pin(async move {
                let answer = timeout(within, answer).await.map_err(|_| Error::Timeout(within))?;
                answer.unwrap_or(Err(Error::Closed))
            }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn ask(
        &self,
        event: &str,
        arguments: &Arguments,
    ) -> Result<oneshot::Receiver<Result<Arguments, Error>>, Error> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let message = self.shared.event(event, Some(id), arguments)?;
        let place = self.shared.place()?;
        let (caller, answer) = oneshot::channel();
        let deadline = Instant::now() + self.shared.answer_within;
        hand_in(&self.asked, Asked::EmitWithAck { message, place, id, caller, deadline })?;
        Ok(answer)
    }

    /// Waits until everything that was emitted so far is on its way; for programs that emit faster than the network
    /// takes it, and before the last clone is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`]
    pub async fn flush(&self) -> Result<(), Error> {
        let place = self.shared.places.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let (caller, answer) = oneshot::channel();
        hand_in(&self.asked, Asked::Flush { caller, place })?;
        answer.await.unwrap_or(Err(Error::Closed)).map(|_| ())
    }
}

impl SocketIoEvents {
    /// The next event; `None` after [`SocketIoEvent::Closed`]. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<SocketIoEvent> {
        self.events.recv().await
    }
}

impl Shared {
    fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.places.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => Error::QueueFull,
            TryAcquireError::Closed => Error::Closed,
        })
    }

    fn event(&self, name: &str, id: Option<u64>, arguments: &Arguments) -> Result<Message, Error> {
        if RESERVED.contains(&name) {
            return Err(Error::BadEvent(name.to_owned()));
        }
        self.message(arguments, |out| encode::event(out, &self.namespace, id, name, arguments, None))
    }

    fn message(&self, arguments: &Arguments, write: impl FnOnce(&mut Vec<u8>)) -> Result<Message, Error> {
        let text = session::message(write);
        let limit = self.max_payload.load(Ordering::Relaxed);
        let attachments = arguments.attachments().to_vec();
        let length = attachments.iter().map(Bytes::len).max().unwrap_or(0).max(text.len());
        if length > limit {
            return Err(Error::TooLarge { length, limit });
        }
        Ok(Message { text, attachments })
    }
}

/// There is room in the channel for every place.
fn hand_in(asked: &mpsc::Sender<Asked>, what: Asked) -> Result<(), Error> {
    asked.try_send(what).map_err(|_| Error::Closed)
}

/// The elements of what is a list in JSON; `()` is an empty one.
fn list<T: Serialize + ?Sized>(arguments: &T) -> Result<Arguments, Error> {
    let unit = || Arguments::one(arguments).is_ok_and(|one| one.text() == "null");
    match Arguments::of(arguments) {
        Ok(arguments) => Ok(arguments),
        Err(_) if unit() => Ok(Arguments::default()),
        Err(error) => Err(Error::NoJson(serde_json::Error::custom(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlor_proto::socketio::Binary;

    fn shared() -> Shared {
        Shared {
            namespace: "/chat".into(),
            places: Arc::new(Semaphore::new(1)),
            next_id: AtomicU64::new(0),
            max_payload: AtomicUsize::new(40),
            answer_within: Duration::from_secs(1),
        }
    }

    #[test]
    fn arguments_are_a_list() {
        for (written, expected) in [
            (list(&("hi", 1)), "\"hi\",1"),
            (list(&["hi"]), "\"hi\""),
            (list(&()), ""),
            (list::<[(); 0]>(&[]), ""),
            (list(&vec![None::<u8>]), "null"),
        ] {
            assert_eq!(written.unwrap().text(), expected);
        }
        assert!(matches!(list("hi"), Err(Error::NoJson(_))));
        assert!(matches!(list(&f64::NAN), Ok(arguments) if arguments.is_empty()));
    }

    #[test]
    fn an_event_is_written_with_engine_ios_digit() {
        let arguments = list(&(Binary(Bytes::from_static(b"x")),)).unwrap();
        let message = shared().event("a", Some(7), &arguments);
        assert!(matches!(message, Err(Error::TooLarge { length: 46, limit: 40 })), "{message:?}");
        let message = shared().event("a", None, &list(&[1]).unwrap()).unwrap();
        assert_eq!(message.text, "42/chat,[\"a\",1]");
        let message = shared().event("a", Some(7), &list(&()).unwrap()).unwrap();
        assert_eq!(message.text, "42/chat,7[\"a\"]");
        let reserved = shared().event("disconnect", None, &Arguments::default());
        assert_eq!(reserved.unwrap_err().to_string(), "disconnect is an event of Socket.IO itself");
    }

    #[test]
    fn places_are_counted() {
        let shared = shared();
        let place = shared.place().unwrap();
        assert!(matches!(shared.place(), Err(Error::QueueFull)));
        drop(place);
        assert!(shared.place().is_ok());
    }
}
