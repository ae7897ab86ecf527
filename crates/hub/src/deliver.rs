//! The single door out: every publication, whoever ordered it, enters the fan-out here.

use std::sync::Arc;

use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;

use crate::engine::{Door, Elsewhere};
use crate::hub::Hub;
use crate::mailbox::Mail;
use crate::publication::{Author, Publication};
use crate::rooms::RoomKey;

impl Door for Hub {
    /// Under the room's lock the publication goes into the mailbox of every worker with subscribers: that is the
    /// room's one order. One that is for other rooms too goes to their workers as well.
    fn deliver(&self, publication: Arc<Publication>) {
        let elsewhere = self.workers_elsewhere(&publication);
        let mut table = self.rooms.lock(&publication.room);
        if let (Some(author), Some(to)) = (&publication.author, &publication.to) {
            let pair = [Arc::clone(&author.user), Arc::clone(&to.user)];
            self.users.each_worker(&pair, |worker| {
                self.mailboxes[worker].push(Mail::Direct(Arc::clone(&publication), pair.clone()));
            });
            return;
        }
        let awaited = publication.delivery.as_ref().and_then(|delivery| delivery.ack.as_ref());
        let room = table.get_mut(&publication.room);
        let key = room.as_ref().map_or(RoomKey::NONE, |room| room.key);
        let here = room.as_ref().map_or(&[][..], |room| &room.subscribers);
        let workers = (0..self.mailboxes.len()).filter(|&worker| {
            here.get(worker).is_some_and(|&count| count > 0) || elsewhere.get(worker) == Some(&true)
        });
        if let Some(ack) = awaited {
            ack.recipients.expect(workers.clone().count());
        }
        for worker in workers {
            self.mailboxes[worker].push(Mail::Publication(key, Arc::clone(&publication)));
        }
        if let (Some(room), Some(place)) = (room, publication.place) {
            // Without subscribers an engine of several nodes does not tell everything: what is known is not the head.
            room.head = (room.subscriber_count() > 0).then_some(place.offset);
        }
    }

    fn epoch_changed(&self, room: &RoomName, _epoch: Epoch) {
        let mut table = self.rooms.lock(room);
        let Some(room) = table.get_mut(room) else { return };
        room.head = None;
        for mailbox in &self.mailboxes {
            mailbox.push(Mail::EpochChanged(room.key));
        }
    }

    fn present(&self, name: &RoomName, elsewhere: Elsewhere, now: u64) {
        let mut table = self.rooms.lock(name);
        // Who comes in next is told by the engine who is there.
        let due = table.get_mut(name).and_then(|room| room.presence.elsewhere(elsewhere, now));
        drop(table);
        if let Some(at) = due {
            self.schedule(name.clone(), at);
        }
    }

    fn told(&self, node: u64, bytes: &[u8]) -> bool {
        Hub::told(self, node, bytes)
    }
}

impl Hub {
    /// Tells the engine whether an account is in a room here. Asked again afterwards, because another worker may have told
    /// it the opposite meanwhile: what was true last is told last.
    pub(crate) fn tell_present(&self, room: &RoomName, who: &Author) {
        let is_here =
            || self.rooms.lock(room).get(room).is_some_and(|entry| entry.presence.is_here(&who.user));
        let here = is_here();
        self.engine().present(room, who, here);
        if is_here() != here {
            self.engine().present(room, who, !here);
        }
    }

    /// The workers with subscribers of the rooms that a selector names beside the publication's own; empty if there
    /// are none. Each room is locked for itself: nobody holds two.
    fn workers_elsewhere(&self, publication: &Publication) -> Vec<bool> {
        let Some(delivery) = &publication.delivery else { return Vec::new() };
        let mut workers = Vec::new();
        for name in delivery.selector.rooms.iter().filter(|name| **name != publication.room) {
            if let Some(room) = self.rooms.lock(name).get(name) {
                workers.resize(self.mailboxes.len(), false);
                workers.iter_mut().zip(&room.subscribers).for_each(|(is_one, &count)| *is_one |= count > 0);
            }
        }
        workers
    }
}
