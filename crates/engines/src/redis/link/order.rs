//! The order of deliveries: over all rooms of this node that of the store, also while some of them have to be read.

use std::sync::Arc;
use std::time::Instant;

use parlor_hub::engine::Head;
use parlor_hub::publication::Publication;
use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;

use super::super::follow::Lost;
use super::super::hold::{Item, Source};
use super::super::job::unavailable;
use super::super::settings::{FILLS, STUCK};
use super::{Link, Session, draw};

impl Link {
    /// Delivers what is stored, or holds it until its turn.
    pub(super) fn hand(&mut self, publication: Arc<Publication>) {
        let Some(place) = publication.place else { return };
        if self.hold.is_open() {
            return self.deliver(publication);
        }
        self.hold.push(place.seq, publication);
    }

    /// What is not kept: in its place among what is, or not at all.
    pub(super) fn hand_passing(&mut self, publication: Publication) {
        let publication = Arc::new(publication);
        if self.hold.is_open() {
            self.door.deliver(publication);
        } else if let Some(newest) = self.newest {
            self.hold.push_behind(newest, Item::Message(publication));
        }
    }

    fn deliver(&mut self, publication: Arc<Publication>) {
        match publication.place {
            Some(place) if publication.to.is_some() => self.directs.delivered(place.seq),
            Some(place) => self.follows.delivered(&publication.room, place.offset),
            None => {}
        }
        self.door.deliver(publication);
    }

    /// Delivers what need not wait any more, lets go what is too much, and reads on.
    pub(super) fn go_on(&mut self, session: &mut Session, now: Instant) {
        self.release(now);
        while let Some(item) = self.hold.overflow() {
            self.let_go(item);
        }
        if self.hold.is_behind() && now >= self.moved + STUCK {
            self.give_up();
            self.release(now);
        }
        while session.fills < FILLS
            && let Some((room, after)) = self.follows.next_fill(&self.hold)
        {
            self.fill(session, &room, after);
        }
        if let Some(after) = self.directs.next_read() {
            self.read_directs(session, after);
        }
    }

    fn release(&mut self, now: Instant) {
        while let Some(item) = self.hold.ready() {
            self.moved = now;
            match item {
                Item::Message(message) => self.deliver(message),
                Item::Answer(ask, value) => (ask.answer)(Ok(value)),
            }
        }
        if !self.hold.is_behind() {
            self.moved = now;
        }
    }

    fn let_go(&mut self, item: Item) {
        match item {
            Item::Answer(ask, _) => (ask.answer)(Err(unavailable())),
            Item::Message(message) => match message.place {
                Some(place) if message.to.is_some() => self.directs.let_go(place.seq, &mut self.hold),
                Some(place) => {
                    if let Err(lost) = self.follows.let_go(&message.room, place, &mut self.hold) {
                        self.lost(&message.room, lost);
                    }
                }
                // It was promised to nobody.
                None => {}
            },
        }
    }

    /// Those who are behind cannot be read although Redis answers: nobody else waits for them any longer.
    fn give_up(&mut self) {
        let behind: Vec<Source> = self.hold.behind().cloned().collect();
        tracing::warn!(rooms = behind.len(), "what was missed cannot be read: subscribers are told");
        for source in behind {
            match source {
                Source::Directs => self.directs.give_up(&mut self.hold),
                Source::Room(room) => {
                    self.follows.give_up(&room, &mut self.hold);
                    self.lost(&room, Lost(Epoch(draw())));
                }
            }
        }
    }

    pub(super) fn lost(&self, room: &RoomName, lost: Lost) {
        tracing::warn!(room = room.as_str(), "the log lost something: its subscribers are told");
        self.door.epoch_changed(room, lost.0);
    }
}

/// The place of a stored message as the newest of its room.
pub(super) fn head_at(message: &Publication) -> Option<Head> {
    let place = message.place?;
    Some(Head { epoch: place.epoch, offset: place.offset, id: message.id, seq: place.seq })
}
