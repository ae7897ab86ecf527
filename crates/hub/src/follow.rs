//! Following several rooms from one place of all of them: a connection waits in every room, reads what it missed, and goes
//! live in all of them at once or in none.
//!
//! While it waits, each room's entry notes what is delivered. So who has read up to there in every room has missed
//! nothing, and what is delivered afterwards comes behind it, in one order across the rooms.

use parlor_proto::name::RoomName;

use crate::command::Ticket;
use crate::connection::ConnectionId;
use crate::join::Who;
use crate::shard::Shard;

/// No join has it: whoever waits here is never answered by the log.
const WAITING: Ticket = Ticket(u64::MAX);

impl Shard {
    /// Enters a room without getting what is published there; [`Shard::go_live_in`] ends that, or a leave. `false`: the
    /// connection is in too many rooms.
    pub fn wait_in(&mut self, connection: ConnectionId, room: &RoomName, now: u64) -> bool {
        if !self.contains(connection) || self.is_in_too_many_rooms(connection) {
            return false;
        }
        if self.joined(connection, room).is_none() {
            let author = self.author(connection).cloned();
            let key = self.hub.enter_room(self.worker, room, Who::Counted(author.as_ref()), now);
            self.begin_catching_up(connection, key, room, WAITING, None);
        }
        true
    }

    /// Has the connection get what is published in these rooms from now on, if it has everything up to each of these
    /// offsets and that is all that was delivered. `false`: more was, and nothing has changed.
    pub fn go_live_in(&mut self, connection: ConnectionId, rooms: &[(RoomName, u64)]) -> bool {
        let has_all =
            |(room, has): &(RoomName, u64)| self.hub.delivered(room).is_none_or(|head| head <= *has);
        if !rooms.iter().all(has_all) {
            return false;
        }
        for (room, has) in rooms {
            if let Some(key) = self.joined(connection, room) {
                // What comes between the look and this is in the mailbox still. The events are those of streams, which
                // follow their rooms one by one.
                self.enter_live(connection, key, *has, &mut Vec::new());
            }
        }
        true
    }
}
