//! `Follows`: the rooms that have subscribers on this node, and what was delivered of each: nothing twice, nothing
//! before what stands before it.
//!
//! ```text
//!   subscribe ──> Opening ──checked: nothing missed──> Live ──a gap──> Filling
//!                   │   ^                                ^                │ last page
//!                   │   └── connection lost ─────────────┼────────────────┘
//!                   └──── checked: something missed ─────┼──> Filling
//! ```
//!
//! While a room is filling, what arrives is left out: the last page is read after it, so it holds it.

use std::collections::HashMap;
use std::time::Instant;

use parlor_hub::engine::Head;
use parlor_hub::publication::Place;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};

use super::settings::LINGER;

#[derive(Debug, Default)]
pub(super) struct Follows {
    rooms: HashMap<RoomName, Followed>,
}

#[derive(Debug)]
struct Followed {
    phase: Phase,
    /// The newest that was delivered, or that was there when following began.
    known: Option<Head>,
    /// Since when nobody here wants it.
    unwanted: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Live,
    Filling,
}

/// What a wish for a room means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// It has to be subscribed to now.
    New,
    /// It was still followed, though nobody wanted it for a while.
    Again,
    Still,
}

/// What to do with a publication that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Deliver,
    /// Delivered before, or part of what is being read.
    Skip,
    /// Something before it is missing: read on behind this offset.
    Fill(u64),
    /// It is from another life of the log; tell that first, then deliver.
    NewLife(Epoch),
    /// The log holds something else at this offset: compare.
    Check,
}

/// What a comparison with the store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Nothing was ever kept there, and nothing is.
    None,
    Same,
    /// What was known is no longer held.
    Trimmed,
    Changed,
}

/// What follows from a comparison or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Fill(u64),
    /// What subscribers hold is void.
    Lost(Epoch),
}

impl Follows {
    /// Somebody wants the room.
    pub(super) fn want(&mut self, room: &RoomName) -> Want {
        if let Some(followed) = self.rooms.get_mut(room) {
            return match followed.unwanted.take() {
                Some(_) => Want::Again,
                None => Want::Still,
            };
        }
        let followed = Followed { phase: Phase::Opening, known: None, unwanted: None };
        self.rooms.insert(room.clone(), followed);
        Want::New
    }

    /// Nobody wants it any more; it is followed a little longer.
    pub(super) fn unwant(&mut self, room: &RoomName, now: Instant) {
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.unwanted = Some(now);
        }
    }

    /// Forgets the rooms that nobody has wanted for a while.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<RoomName> {
        let stale = |followed: &Followed| followed.unwanted.is_some_and(|since| now >= since + LINGER);
        self.rooms.extract_if(|_, followed| stale(followed)).map(|(room, _)| room).collect()
    }

    /// The connection is gone: everything has to be compared once there is another.
    pub(super) fn disconnected(&mut self) {
        self.rooms.values_mut().for_each(|followed| followed.phase = Phase::Opening);
    }

    /// What is known of a room could not be compared: nothing of it is delivered until it can.
    pub(super) fn doubt(&mut self, room: &RoomName) {
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.phase = Phase::Opening;
        }
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    pub(super) fn known(&self, room: &RoomName) -> Option<Head> {
        self.rooms.get(room)?.known
    }

    /// A stored publication arrived.
    pub(super) fn arrive(&mut self, room: &RoomName, place: Place, id: MessageId) -> Arrival {
        // Of a room that is not followed there is nothing to compare with, and nobody here who would miss anything.
        let Some(followed) = self.rooms.get_mut(room) else { return Arrival::Deliver };
        let head = Head { epoch: place.epoch, offset: place.offset, id, seq: place.seq };
        let Some(known) = followed.known else {
            followed.known = Some(head);
            return Arrival::Deliver;
        };
        if followed.phase != Phase::Live {
            return Arrival::Skip;
        }
        if place.epoch != known.epoch {
            followed.known = Some(head);
            // An empty log has nothing to lose: its first message may name it anew.
            return match known.offset == 0 && place.offset == 1 {
                true => Arrival::Deliver,
                false => Arrival::NewLife(place.epoch),
            };
        }
        if place.offset == known.offset + 1 {
            followed.known = Some(head);
            return Arrival::Deliver;
        }
        if place.offset > known.offset {
            followed.phase = Phase::Filling;
            return Arrival::Fill(known.offset);
        }
        if place.offset == known.offset && id != known.id {
            return Arrival::Check;
        }
        Arrival::Skip
    }

    /// Whether what is not kept is delivered: not while what stands before it is still missing.
    pub(super) fn passes(&self, room: &RoomName) -> bool {
        self.rooms.get(room).is_none_or(|followed| followed.known.is_none() || followed.phase == Phase::Live)
    }

    /// The store was compared with what was known.
    pub(super) fn checked(&mut self, room: &RoomName, checked: Checked, head: Head) -> Next {
        let Some(followed) = self.rooms.get_mut(room) else { return Next::Nothing };
        if checked == Checked::None {
            followed.phase = Phase::Live;
            return Next::Nothing;
        }
        let Some(known) = followed.known else {
            followed.known = Some(head);
            followed.phase = Phase::Live;
            return Next::Nothing;
        };
        if followed.phase == Phase::Filling {
            return Next::Nothing;
        }
        let lost = checked == Checked::Trimmed || (checked == Checked::Changed && known.offset > 0);
        if lost {
            followed.known = Some(head);
            followed.phase = Phase::Live;
            return Next::Lost(head.epoch);
        }
        if checked == Checked::Changed {
            followed.known = Some(Head { offset: 0, id: MessageId::NIL, seq: 0, epoch: head.epoch });
        }
        if head.offset > known.offset {
            followed.phase = Phase::Filling;
            return Next::Fill(known.offset);
        }
        followed.phase = Phase::Live;
        Next::Nothing
    }

    /// A page behind `after` was read: whether its messages are to be delivered. `first` is the oldest offset held.
    pub(super) fn fills(&mut self, room: &RoomName, after: u64, first: u64, head: Head) -> Result<(), Next> {
        let Some(followed) = self.rooms.get_mut(room) else { return Err(Next::Nothing) };
        let filling = followed.phase == Phase::Filling;
        match followed.known {
            Some(known) if filling && known.offset == after => {
                if known.epoch == head.epoch && first <= after + 1 {
                    return Ok(());
                }
                followed.known = Some(head);
                followed.phase = Phase::Live;
                Err(Next::Lost(head.epoch))
            }
            _ => Err(Next::Nothing),
        }
    }

    /// The page's messages up to `last` were delivered; `more` are to be read.
    pub(super) fn filled(&mut self, room: &RoomName, last: Head, more: bool) -> Next {
        let Some(followed) = self.rooms.get_mut(room) else { return Next::Nothing };
        followed.known = Some(last);
        if more {
            return Next::Fill(last.offset);
        }
        followed.phase = Phase::Live;
        Next::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomName {
        RoomName::internal("room")
    }

    fn head(epoch: u64, offset: u64) -> Head {
        Head { epoch: Epoch(epoch), offset, id: MessageId(u128::from(offset) * 10), seq: offset }
    }

    /// A room that is followed and was at this head when following began.
    fn live(epoch: u64, offset: u64) -> Follows {
        let mut follows = Follows::default();
        assert_eq!(follows.want(&room()), Want::New);
        assert_eq!(follows.checked(&room(), Checked::Same, head(epoch, offset)), Next::Nothing);
        follows
    }

    fn arrive(follows: &mut Follows, epoch: u64, offset: u64) -> Arrival {
        let Head { id, seq, .. } = head(epoch, offset);
        follows.arrive(&room(), Place { epoch: Epoch(epoch), offset, seq }, id)
    }

    #[test]
    fn what_comes_in_order_is_delivered_and_what_comes_twice_is_not() {
        let mut follows = live(1, 5);
        assert_eq!(arrive(&mut follows, 1, 6), Arrival::Deliver);
        assert_eq!(arrive(&mut follows, 1, 6), Arrival::Skip);
        assert_eq!(arrive(&mut follows, 1, 7), Arrival::Deliver);
        assert_eq!(arrive(&mut follows, 1, 3), Arrival::Skip);
    }

    #[test]
    fn a_gap_is_filled_before_anything_later_is_delivered() {
        let mut follows = live(1, 5);
        assert_eq!(arrive(&mut follows, 1, 8), Arrival::Fill(5));
        assert_eq!(arrive(&mut follows, 1, 9), Arrival::Skip);
        assert!(!follows.passes(&room()));
        assert_eq!(follows.fills(&room(), 5, 1, head(1, 9)), Ok(()));
        assert_eq!(follows.filled(&room(), head(1, 7), true), Next::Fill(7));
        assert_eq!(follows.fills(&room(), 7, 1, head(1, 9)), Ok(()));
        assert_eq!(follows.filled(&room(), head(1, 9), false), Next::Nothing);
        assert_eq!(arrive(&mut follows, 1, 10), Arrival::Deliver);
        assert!(follows.passes(&room()));
    }

    #[test]
    fn after_an_interruption_everything_waits_for_the_comparison() {
        let mut follows = live(1, 5);
        follows.disconnected();
        // It may be the sixth of another history: only the comparison tells.
        assert_eq!(arrive(&mut follows, 1, 6), Arrival::Skip);
        assert_eq!(follows.checked(&room(), Checked::Same, head(1, 6)), Next::Fill(5));
        follows.disconnected();
        assert_eq!(follows.checked(&room(), Checked::Same, head(1, 5)), Next::Nothing);
        assert_eq!(arrive(&mut follows, 1, 6), Arrival::Deliver);
    }

    #[test]
    fn a_log_that_was_cut_rewritten_or_trimmed_is_told() {
        for checked in [Checked::Changed, Checked::Trimmed] {
            let mut follows = live(1, 5);
            follows.disconnected();
            assert_eq!(follows.checked(&room(), checked, head(2, 3)), Next::Lost(Epoch(2)));
            assert_eq!(arrive(&mut follows, 2, 4), Arrival::Deliver);
        }
        let mut follows = live(1, 5);
        assert_eq!(arrive(&mut follows, 2, 1), Arrival::NewLife(Epoch(2)));
        assert_eq!(arrive(&mut follows, 2, 2), Arrival::Deliver);
        let mut follows = live(1, 5);
        let place = Place { epoch: Epoch(1), offset: 5, seq: 9 };
        assert_eq!(follows.arrive(&room(), place, MessageId(51)), Arrival::Check);
        let mut follows = live(1, 5);
        assert_eq!(arrive(&mut follows, 1, 8), Arrival::Fill(5));
        assert_eq!(follows.fills(&room(), 5, 7, head(1, 8)), Err(Next::Lost(Epoch(1))));
    }

    #[test]
    fn an_empty_log_has_nothing_to_lose() {
        let mut follows = live(1, 0);
        assert_eq!(arrive(&mut follows, 2, 1), Arrival::Deliver);
        let mut follows = live(1, 0);
        follows.disconnected();
        assert_eq!(follows.checked(&room(), Checked::Changed, head(2, 3)), Next::Fill(0));
        assert_eq!(follows.fills(&room(), 0, 1, head(2, 3)), Ok(()));
    }

    #[test]
    fn a_room_is_followed_a_little_longer_than_it_is_wanted() {
        let mut follows = live(1, 5);
        let now = Instant::now();
        follows.unwant(&room(), now);
        assert!(follows.forget(now).is_empty());
        assert_eq!(follows.want(&room()), Want::Again);
        assert_eq!(follows.want(&room()), Want::Still);
        assert!(follows.forget(now + LINGER).is_empty());
        follows.unwant(&room(), now);
        assert_eq!(follows.forget(now + LINGER), [room()]);
        assert_eq!(follows.rooms().count(), 0);
    }
}
