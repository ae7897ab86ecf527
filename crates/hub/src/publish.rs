//! The way in: limits and permission of one publication, then the engine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::ROOM_RATE;

use crate::command::Publish;
use crate::connection::ConnectionId;
use crate::engine::{Done, Published};
use crate::hub::Hub;
use crate::policy::Log;
use crate::publication::Draft;

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub enum Publisher {
    /// A connection of a client: the room's rate holds for it, and it may be left out of the fan-out.
    Connection(ConnectionId),
    /// A request of a client without a connection.
    Client,
    /// A backend with the API key.
    Backend,
    /// The application itself, which may leave a connection out: no rate holds for it, and no name is reserved.
    Application(Option<ConnectionId>),
}

impl Hub {
    /// Publishes one message. `done` is called when the ack is true, or with the reason why nothing was published.
    /// `now` is milliseconds since 1970.
    pub fn publish(&self, from: Publisher, publish: Publish, now: u64, done: Done<Published>) {
        match self.admit(from, publish, now) {
            Ok(draft) => {
                self.stats.published.fetch_add(1, Ordering::Relaxed);
                self.engine().publish(draft, now, done);
            }
            Err(refusal) => done(Err(refusal)),
        }
    }

    fn admit(&self, from: Publisher, publish: Publish, now: u64) -> Result<Draft, Refusal> {
        let Publish { room, event, data, form, author, to, key, echo, store, delivery } = publish;
        if room.starts_with('$') && to.is_none() && !matches!(from, Publisher::Application(_)) {
            return Err(Refusal::new(
                Code::Forbidden,
                "names that begin with $ are the server's own; choose another room",
            ));
        }
        let policy = self.policy(&room);
        if policy.log == Log::None && key.is_some() {
            return Err(Refusal::no_log(&room, "keys: publish without one"));
        }
        if self.mailboxes.iter().any(|mailbox| mailbox.is_full()) {
            return Err(Refusal::new(
                Code::Busy,
                "the server is behind with its deliveries; publish again in a second",
            )
            .retry_after(Duration::from_secs(1)));
        }
        if self.is_limited() && matches!(from, Publisher::Connection(_) | Publisher::Client) {
            let mut table = self.rooms.lock(&room);
            let entry = self.rooms.entry(&mut table, &room, policy, now);
            let admitted = entry.bucket.take(ROOM_RATE, now);
            let unused = entry.subscriber_count() == 0;
            drop(table);
            if unused {
                self.schedule(room.clone(), now + crate::hub::ROOM_IDLE_MS);
            }
            admitted.map_err(|wait| {
                Refusal::rate_limited("messages in this room", Duration::from_millis(u64::from(wait)))
            })?;
        }
        let except = match from {
            Publisher::Connection(connection) if !echo => Some(connection),
            Publisher::Application(except) => except,
            _ => None,
        };
        let event = event.unwrap_or_else(default_event);
        let id = self.next_id(now);
        Ok(Draft { room, policy, id, event, data, form, author, to, key, except, store, delivery })
    }
}

/// `message`, the event of a publication that does not name one; one copy for each thread.
fn default_event() -> Arc<str> {
    thread_local! {
        static MESSAGE: Arc<str> = Arc::from("message");
    }
    MESSAGE.with(Arc::clone)
}
