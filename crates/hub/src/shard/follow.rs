//! Following several rooms from one place of all of them: a connection enters every room at once, reads what it missed, and
//! goes live behind that.
//!
//! What is published from then on, in its rooms or to its account, is held back. Once it has entered, the store's frontier is
//! asked for: everything up to there is read from the logs, and of what was held back the rest is given.

use std::sync::Arc;

use parlor_proto::name::RoomName;

use super::Shard;
use crate::command::{Reply, Ticket};
use crate::connection::ConnectionId;
use crate::join::Who;
use crate::mailbox::Mail;
use crate::publication::Publication;

impl Shard {
    /// Enters rooms without getting what is published there; [`Shard::go_live_behind`] ends that, or
    /// [`Shard::begin_anew`]. The answer, [`Reply::Following`], says up to where everything is to be read. `false`: they
    /// are too many rooms, or the connection is gone.
    pub fn follow<'r>(
        &mut self,
        connection: ConnectionId,
        ticket: Ticket,
        rooms: impl IntoIterator<Item = &'r RoomName>,
        now: u64,
    ) -> bool {
        if !self.contains(connection) {
            return false;
        }
        self.hold(connection);
        for room in rooms {
            if self.joined(connection, room).is_some() {
                continue;
            }
            if self.is_in_too_many_rooms(connection) {
                return false;
            }
            let author = self.author(connection).cloned();
            let key = self.hub.enter_room(self.worker, room, Who::Counted(author.as_ref()), now);
            self.begin_catching_up(connection, key, room, ticket, None);
            self.hold_in(connection.slot(), key);
        }
        // By the mailbox: everything up to the frontier stands before the answer there.
        let mailbox = Arc::clone(self.hub.mailbox(self.worker));
        self.outstanding += 1;
        self.hub.engine().frontier(Box::new(move |frontier| {
            mailbox.push(Mail::Reply { connection, ticket, result: frontier.map(Reply::Following) });
        }));
        true
    }

    /// Has a connection that has everything up to `last` get what is published from here on, and gives what was held back
    /// behind that. `None`: it is gone, or about to go.
    pub fn go_live_behind(&mut self, connection: ConnectionId, last: u64) -> Option<Vec<Arc<Publication>>> {
        self.entry(connection)?;
        let mut held = self.take_held(connection.slot())?;
        held.retain(|publication| publication.place.is_none_or(|place| place.seq > last));
        self.release(connection.slot());
        Some(held)
    }

    /// Takes back what [`Shard::follow`] has begun, and whose connection it is.
    pub fn begin_anew(&mut self, connection: ConnectionId, now: u64) {
        let Some(left) = self.entry(connection).map(|entry| entry.left) else { return };
        self.leave_everything(connection, now);
        if let Some(entry) = self.entry_mut(connection) {
            entry.left = left;
        }
    }
}
