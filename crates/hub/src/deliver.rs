//! The single door out: every publication, whoever ordered it, enters the fan-out here.

use std::sync::Arc;

use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;

use crate::engine::Door;
use crate::hub::Hub;
use crate::mailbox::Mail;
use crate::publication::Publication;

impl Door for Hub {
    /// Under the room's lock the publication goes into the mailbox of every worker with subscribers: that is the
    /// room's one order.
    fn deliver(&self, publication: Arc<Publication>) {
        let mut table = self.rooms.lock(&publication.room);
        if let (Some(author), Some(to)) = (&publication.author, &publication.to) {
            let pair = [Arc::clone(&author.user), Arc::clone(&to.user)];
            self.users.each_worker(&pair, |worker| {
                self.mailboxes[worker].push(Mail::Direct(Arc::clone(&publication), pair.clone()));
            });
            return;
        }
        let awaited = publication.delivery.as_ref().and_then(|delivery| delivery.ack.as_ref());
        let Some(room) = table.get_mut(&publication.room) else {
            awaited.inspect(|ack| ack.recipients.expect(0));
            return;
        };
        if let Some(ack) = awaited {
            ack.recipients.expect(room.subscribers.iter().filter(|&&count| count > 0).count());
        }
        if let Some(place) = publication.place {
            room.head = Some(place.offset);
        }
        for (worker, &count) in room.subscribers.iter().enumerate() {
            if count > 0 {
                self.mailboxes[worker].push(Mail::Publication(room.key, Arc::clone(&publication)));
            }
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
}
