//! `Follows`: the rooms that have subscribers on this node, and what is known of each: nothing twice, nothing before
//! what stands before it.
//!
//! ```text
//!   subscribe ──> Opening ──checked: nothing missed──> Live ──a gap──> Filling
//!                   │   ^                                ^                │ last page
//!                   │   └── connection lost ─────────────┼────────────────┘
//!                   └──── checked: something missed ─────┼──> Filling
//! ```
//!
//! While a room is filling, what arrives is left out: the last page is read after it, so it holds it. What other rooms
//! get meanwhile waits in [`Hold`].

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use parlor_hub::engine::Head;
use parlor_hub::publication::Place;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};

use super::hold::{Hold, Source};
use super::settings::LINGER;

#[derive(Debug, Default)]
pub(super) struct Follows {
    rooms: HashMap<RoomName, Followed>,
}

#[derive(Debug)]
struct Followed {
    phase: Phase,
    /// The newest that was delivered, or that was there when following began.
    delivered: Option<Head>,
    /// What is held behind it, in order.
    held: VecDeque<Head>,
    /// A page is asked for.
    reading: bool,
    /// Since when nobody here wants it.
    unwanted: Option<Instant>,
}

impl Followed {
    /// The newest that was delivered or is held.
    fn known(&self) -> Option<Head> {
        self.held.back().copied().or(self.delivered)
    }

    /// It stands here, and nothing of it is held.
    fn stand(&mut self, head: Option<Head>) {
        self.held.clear();
        self.delivered = head;
        self.phase = Phase::Live;
    }
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
    /// Delivered before, or it will be read.
    Skip,
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

/// What subscribers hold is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) Epoch);

impl Follows {
    /// Somebody wants the room.
    pub(super) fn want(&mut self, room: &RoomName) -> Want {
        if let Some(followed) = self.rooms.get_mut(room) {
            return match followed.unwanted.take() {
                Some(_) => Want::Again,
                None => Want::Still,
            };
        }
        let followed = Followed {
            phase: Phase::Opening,
            delivered: None,
            held: VecDeque::new(),
            reading: false,
            unwanted: None,
        };
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
    pub(super) fn forget(&mut self, now: Instant, hold: &mut Hold) -> Vec<RoomName> {
        let stale = |followed: &Followed| followed.unwanted.is_some_and(|since| now >= since + LINGER);
        let forgotten: Vec<RoomName> =
            self.rooms.extract_if(|_, followed| stale(followed)).map(|(room, _)| room).collect();
        forgotten.iter().for_each(|room| hold.catch_up(&Source::Room(room.clone())));
        forgotten
    }

    /// The connection is gone, and with it what was held: everything has to be compared once there is another.
    pub(super) fn disconnected(&mut self, hold: &mut Hold) {
        for (room, followed) in &mut self.rooms {
            followed.stand(followed.delivered);
            followed.phase = Phase::Opening;
            followed.reading = false;
            if let Some(known) = followed.delivered {
                hold.fall_behind(Source::Room(room.clone()), known.seq);
            }
        }
    }

    /// What is known of a room could not be compared: nothing of it is delivered until it can.
    pub(super) fn doubt(&mut self, room: &RoomName, hold: &mut Hold) {
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.phase = Phase::Opening;
            followed.reading = false;
            hold.fall_behind(Source::Room(room.clone()), followed.known().map_or(0, |known| known.seq));
        }
    }

    /// A room that cannot be read is given up: it goes on with whatever comes next.
    pub(super) fn give_up(&mut self, room: &RoomName, hold: &mut Hold) {
        hold.catch_up(&Source::Room(room.clone()));
        hold.drop_room(room);
        if let Some(followed) = self.rooms.get_mut(room) {
            followed.stand(None);
            followed.reading = false;
        }
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    pub(super) fn known(&self, room: &RoomName) -> Option<Head> {
        self.rooms.get(room)?.known()
    }

    /// A stored publication arrived.
    pub(super) fn arrive(
        &mut self,
        room: &RoomName,
        place: Place,
        id: MessageId,
        hold: &mut Hold,
    ) -> Arrival {
        // Of a room that is not followed there is nothing to compare with, and nobody here who would miss anything.
        let Some(followed) = self.rooms.get_mut(room) else { return Arrival::Deliver };
        let head = Head { epoch: place.epoch, offset: place.offset, id, seq: place.seq };
        let Some(known) = followed.known() else {
            followed.held.push_back(head);
            return Arrival::Deliver;
        };
        if followed.phase != Phase::Live {
            if followed.phase == Phase::Opening {
                hold.fall_behind(Source::Room(room.clone()), known.seq);
            }
            return Arrival::Skip;
        }
        if place.epoch != known.epoch {
            // An empty log has nothing to lose: its first message may name it anew.
            let is_first = known.offset == 0 && place.offset == 1;
            if !is_first {
                followed.held.clear();
                hold.drop_room(room);
            }
            followed.held.push_back(head);
            return if is_first { Arrival::Deliver } else { Arrival::NewLife(place.epoch) };
        }
        if place.offset == known.offset + 1 {
            followed.held.push_back(head);
            return Arrival::Deliver;
        }
        if place.offset > known.offset {
            followed.phase = Phase::Filling;
            hold.fall_behind(Source::Room(room.clone()), known.seq);
            return Arrival::Skip;
        }
        if place.offset == known.offset && id != known.id {
            return Arrival::Check;
        }
        Arrival::Skip
    }

    /// The store was compared with what was known.
    pub(super) fn checked(
        &mut self,
        room: &RoomName,
        checked: Checked,
        head: Head,
        hold: &mut Hold,
    ) -> Result<(), Lost> {
        let Some(followed) = self.rooms.get_mut(room) else { return Ok(()) };
        let source = Source::Room(room.clone());
        if checked == Checked::None {
            followed.phase = Phase::Live;
            if followed.known().is_none() {
                // It is known to be empty: the first that comes may be missed too.
                followed.delivered = Some(head);
            }
            hold.catch_up(&source);
            return Ok(());
        }
        let Some(known) = followed.known() else {
            followed.stand(Some(head));
            return Ok(());
        };
        if followed.phase == Phase::Filling {
            return Ok(());
        }
        let lost = checked == Checked::Trimmed || (checked == Checked::Changed && known.offset > 0);
        if lost {
            followed.stand(Some(head));
            hold.catch_up(&source);
            hold.drop_room(room);
            return Err(Lost(head.epoch));
        }
        if checked == Checked::Changed {
            followed.stand(Some(Head { offset: 0, id: MessageId::NIL, seq: known.seq, epoch: head.epoch }));
        }
        if head.offset > known.offset {
            followed.phase = Phase::Filling;
            hold.fall_behind(source, known.seq);
        } else {
            followed.phase = Phase::Live;
            hold.catch_up(&source);
        }
        Ok(())
    }

    /// The next room of which a page is to be read, and behind which offset; it counts as being read from now on.
    pub(super) fn next_fill(&mut self, hold: &Hold) -> Option<(RoomName, u64)> {
        for source in hold.behind() {
            if let Source::Room(room) = source
                && let Some(followed) = self.rooms.get_mut(room)
                && followed.phase == Phase::Filling
                && !followed.reading
            {
                followed.reading = true;
                return Some((room.clone(), followed.known().map_or(0, |known| known.offset)));
            }
            if hold.is_filling_up() {
                return None;
            }
        }
        None
    }

    /// A page behind `after` was read: whether its messages follow. `first` is the oldest offset held.
    pub(super) fn fills(
        &mut self,
        room: &RoomName,
        after: u64,
        first: u64,
        head: Head,
        hold: &mut Hold,
    ) -> Result<bool, Lost> {
        let Some(followed) = self.rooms.get_mut(room) else { return Ok(false) };
        followed.reading = false;
        match followed.known() {
            Some(known) if followed.phase == Phase::Filling && known.offset == after => {
                if known.epoch == head.epoch && first <= after + 1 {
                    return Ok(true);
                }
                followed.stand(Some(head));
                hold.catch_up(&Source::Room(room.clone()));
                hold.drop_room(room);
                Err(Lost(head.epoch))
            }
            _ => Ok(false),
        }
    }

    /// The page's messages are held; if there are `more`, the next page is read when it is due.
    pub(super) fn filled(
        &mut self,
        room: &RoomName,
        page: impl Iterator<Item = Head>,
        more: bool,
        hold: &mut Hold,
    ) {
        let Some(followed) = self.rooms.get_mut(room) else { return };
        followed.held.extend(page);
        let source = Source::Room(room.clone());
        if more {
            return hold.fall_behind(source, followed.known().map_or(0, |known| known.seq));
        }
        followed.phase = Phase::Live;
        hold.catch_up(&source);
    }

    /// A message is being delivered: the oldest that was held of its room.
    pub(super) fn delivered(&mut self, room: &RoomName, offset: u64) {
        let Some(followed) = self.rooms.get_mut(room) else { return };
        if followed.held.front().is_some_and(|head| head.offset == offset) {
            followed.delivered = followed.held.pop_front();
        }
    }

    /// What was held last of a room is not held any more: it is read again when its turn comes.
    pub(super) fn let_go(&mut self, room: &RoomName, place: Place, hold: &mut Hold) -> Result<(), Lost> {
        let Some(followed) = self.rooms.get_mut(room) else { return Ok(()) };
        if followed.held.back().is_none_or(|head| head.offset != place.offset) {
            return Ok(());
        }
        followed.held.pop_back();
        if followed.known().is_none() {
            // It was the first that came, before it was known where the log stands.
            self.give_up(room, hold);
            return Err(Lost(place.epoch));
        }
        if followed.phase == Phase::Live {
            followed.phase = Phase::Filling;
        }
        hold.fall_behind(Source::Room(room.clone()), place.seq.saturating_sub(1));
        Ok(())
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

    /// A room that is followed, and nothing of which is held for long.
    struct Alone {
        follows: Follows,
        hold: Hold,
    }

    impl Alone {
        /// It was at this head when following began.
        fn live(epoch: u64, offset: u64) -> Alone {
            let mut alone = Alone { follows: Follows::default(), hold: Hold::new(usize::MAX) };
            assert_eq!(alone.follows.want(&room()), Want::New);
            assert_eq!(alone.checked(Checked::Same, head(epoch, offset)), Ok(()));
            alone
        }

        fn arrive(&mut self, epoch: u64, offset: u64) -> Arrival {
            let Head { id, seq, .. } = head(epoch, offset);
            let place = Place { epoch: Epoch(epoch), offset, seq };
            let arrival = self.follows.arrive(&room(), place, id, &mut self.hold);
            if matches!(arrival, Arrival::Deliver | Arrival::NewLife(_)) {
                self.follows.delivered(&room(), offset);
            }
            arrival
        }

        fn checked(&mut self, checked: Checked, head: Head) -> Result<(), Lost> {
            self.follows.checked(&room(), checked, head, &mut self.hold)
        }

        fn disconnected(&mut self) {
            self.hold.clear();
            self.follows.disconnected(&mut self.hold);
        }

        /// Behind which offset the next page is read.
        fn next_fill(&mut self) -> Option<u64> {
            self.follows.next_fill(&self.hold).map(|(_, after)| after)
        }

        /// A page behind `after` was read, from a log that begins at `first` and ends at `head`.
        fn fills(&mut self, after: u64, first: u64, head: Head) -> Result<bool, Lost> {
            self.follows.fills(&room(), after, first, head, &mut self.hold)
        }

        /// The messages up to this offset were in it.
        fn filled(&mut self, up_to: u64, more: bool) {
            let known = self.follows.known(&room()).unwrap();
            let page = known.offset + 1..=up_to;
            let heads = page.clone().map(|offset| head(known.epoch.0, offset));
            self.follows.filled(&room(), heads, more, &mut self.hold);
            page.for_each(|offset| self.follows.delivered(&room(), offset));
        }
    }

    #[test]
    fn what_comes_in_order_is_delivered_and_what_comes_twice_is_not() {
        let mut alone = Alone::live(1, 5);
        assert_eq!(alone.arrive(1, 6), Arrival::Deliver);
        assert_eq!(alone.arrive(1, 6), Arrival::Skip);
        assert_eq!(alone.arrive(1, 7), Arrival::Deliver);
        assert_eq!(alone.arrive(1, 3), Arrival::Skip);
    }

    #[test]
    fn a_gap_is_filled_before_anything_later_is_delivered() {
        let mut alone = Alone::live(1, 5);
        assert_eq!(alone.arrive(1, 8), Arrival::Skip);
        assert_eq!(alone.arrive(1, 9), Arrival::Skip);
        assert!(alone.hold.is_behind());
        assert_eq!((alone.next_fill(), alone.next_fill()), (Some(5), None));
        assert_eq!(alone.fills(5, 1, head(1, 9)), Ok(true));
        alone.filled(7, true);
        assert_eq!(alone.next_fill(), Some(7));
        assert_eq!(alone.fills(7, 1, head(1, 9)), Ok(true));
        alone.filled(9, false);
        assert!(alone.hold.is_open());
        assert_eq!(alone.arrive(1, 10), Arrival::Deliver);
    }

    #[test]
    fn after_an_interruption_everything_waits_for_the_comparison() {
        let mut alone = Alone::live(1, 5);
        alone.disconnected();
        // It may be the sixth of another history: only the comparison tells.
        assert_eq!(alone.arrive(1, 6), Arrival::Skip);
        assert_eq!(alone.next_fill(), None);
        assert_eq!(alone.checked(Checked::Same, head(1, 6)), Ok(()));
        assert_eq!(alone.next_fill(), Some(5));
        alone.disconnected();
        assert_eq!(alone.checked(Checked::Same, head(1, 5)), Ok(()));
        assert!(alone.hold.is_open());
        assert_eq!(alone.arrive(1, 6), Arrival::Deliver);
    }

    #[test]
    fn a_log_that_was_cut_rewritten_or_trimmed_is_told() {
        for checked in [Checked::Changed, Checked::Trimmed] {
            let mut alone = Alone::live(1, 5);
            alone.disconnected();
            assert_eq!(alone.checked(checked, head(2, 3)), Err(Lost(Epoch(2))));
            assert!(alone.hold.is_open());
            assert_eq!(alone.arrive(2, 4), Arrival::Deliver);
        }
        let mut alone = Alone::live(1, 5);
        assert_eq!(alone.arrive(2, 1), Arrival::NewLife(Epoch(2)));
        assert_eq!(alone.arrive(2, 2), Arrival::Deliver);
        let mut alone = Alone::live(1, 5);
        let place = Place { epoch: Epoch(1), offset: 5, seq: 9 };
        let arrival = alone.follows.arrive(&room(), place, MessageId(51), &mut alone.hold);
        assert_eq!(arrival, Arrival::Check);
        let mut alone = Alone::live(1, 5);
        assert_eq!(alone.arrive(1, 8), Arrival::Skip);
        assert_eq!(alone.next_fill(), Some(5));
        assert_eq!(alone.fills(5, 7, head(1, 8)), Err(Lost(Epoch(1))));
        assert!(alone.hold.is_open());
    }

    #[test]
    fn of_a_room_that_was_empty_the_first_is_missed_too() {
        let mut alone = Alone { follows: Follows::default(), hold: Hold::new(usize::MAX) };
        alone.follows.want(&room());
        assert_eq!(alone.checked(Checked::None, head(0, 0)), Ok(()));
        alone.disconnected();
        assert_eq!(alone.checked(Checked::Changed, head(2, 3)), Ok(()));
        assert_eq!(alone.next_fill(), Some(0));
    }

    #[test]
    fn an_empty_log_has_nothing_to_lose() {
        let mut alone = Alone::live(1, 0);
        assert_eq!(alone.arrive(2, 1), Arrival::Deliver);
        let mut alone = Alone::live(1, 0);
        alone.disconnected();
        assert_eq!(alone.checked(Checked::Changed, head(2, 3)), Ok(()));
        assert_eq!(alone.next_fill(), Some(0));
        assert_eq!(alone.fills(0, 1, head(2, 3)), Ok(true));
    }

    #[test]
    fn what_is_let_go_is_read_again_from_there() {
        let mut alone = Alone::live(1, 5);
        let hold = &mut alone.hold;
        for offset in [6, 7] {
            let place = Place { epoch: Epoch(1), offset, seq: offset };
            assert_eq!(alone.follows.arrive(&room(), place, head(1, offset).id, hold), Arrival::Deliver);
        }
        let place = Place { epoch: Epoch(1), offset: 7, seq: 7 };
        assert_eq!(alone.follows.let_go(&room(), place, hold), Ok(()));
        assert_eq!(alone.next_fill(), Some(6));
        assert_eq!(alone.arrive(1, 8), Arrival::Skip);
        // A page from before that is of no use.
        assert_eq!(alone.fills(7, 1, head(1, 8)), Ok(false));
        assert_eq!(alone.next_fill(), Some(6));
        // The first of a room may come before it is known where its log stands.
        let mut follows = Follows::default();
        follows.want(&room());
        let mut hold = Hold::new(usize::MAX);
        assert_eq!(follows.arrive(&room(), place, MessageId(70), &mut hold), Arrival::Deliver);
        assert_eq!(follows.let_go(&room(), place, &mut hold), Err(Lost(Epoch(1))));
    }

    #[test]
    fn a_room_is_followed_a_little_longer_than_it_is_wanted() {
        let Alone { mut follows, mut hold } = Alone::live(1, 5);
        let now = Instant::now();
        follows.unwant(&room(), now);
        assert!(follows.forget(now, &mut hold).is_empty());
        assert_eq!(follows.want(&room()), Want::Again);
        assert_eq!(follows.want(&room()), Want::Still);
        assert!(follows.forget(now + LINGER, &mut hold).is_empty());
        follows.unwant(&room(), now);
        assert_eq!(follows.forget(now + LINGER, &mut hold), [room()]);
        assert_eq!(follows.rooms().count(), 0);
    }
}
