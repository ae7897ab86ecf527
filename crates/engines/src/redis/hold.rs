//! `Hold`: what waits so that everything is delivered in the order of the store, over all rooms of this node.
//!
//! A cursor promises that nothing earlier is still owed. So as long as one room has to be read from its log, everything
//! later waits, whatever room it is of. What is held is bounded: what comes last is given up first, and read from its
//! log when its turn comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parlor_hub::publication::Publication;
use parlor_proto::name::RoomName;

use super::job::Ask;
use super::wire::Value;

/// Who has something to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Directs,
    Room(RoomName),
}

/// What waits.
pub(super) enum Item {
    Message(Arc<Publication>),
    /// An answer that is true once everything before it is delivered.
    Answer(Ask, Value),
}

impl Item {
    fn weight(&self) -> usize {
        // Beside what it carries, about what an entry costs.
        256 + match self {
            Item::Message(message) => message.weight(),
            Item::Answer(_, value) => value.weight(),
        }
    }
}

pub(super) struct Hold {
    /// Those who have to read, by the number up to which nothing of theirs is missing.
    behind: BTreeSet<(u64, Source)>,
    marks: BTreeMap<Source, u64>,
    /// By number, and behind that in the order in which it came.
    items: BTreeMap<(u64, u32), Item>,
    next: u32,
    weight: usize,
    most: usize,
}

impl Hold {
    pub(super) fn new(most: usize) -> Hold {
        Hold {
            behind: BTreeSet::new(),
            marks: BTreeMap::new(),
            items: BTreeMap::new(),
            next: 0,
            weight: 0,
            most,
        }
    }

    /// Nothing waits, and nothing has to.
    pub(super) fn is_open(&self) -> bool {
        self.behind.is_empty() && self.items.is_empty()
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Something of this source is missing, but nothing up to `mark`.
    pub(super) fn fall_behind(&mut self, source: Source, mark: u64) {
        if let Some(before) = self.marks.insert(source.clone(), mark) {
            self.behind.remove(&(before, source.clone()));
        }
        self.behind.insert((mark, source));
    }

    /// Nothing of it is missing any more.
    pub(super) fn catch_up(&mut self, source: &Source) {
        if let Some(mark) = self.marks.remove(source) {
            self.behind.remove(&(mark, source.clone()));
        }
    }

    /// Those who are behind, the furthest first.
    pub(super) fn behind(&self) -> impl Iterator<Item = &Source> {
        self.behind.iter().map(|(_, source)| source)
    }

    /// Whether only what lets something go may still be read.
    pub(super) fn is_filling_up(&self) -> bool {
        self.weight > self.most / 2
    }

    /// Holds what has this number in the store.
    pub(super) fn push(&mut self, seq: u64, message: Arc<Publication>) {
        self.insert((seq, 0), Item::Message(message));
    }

    /// Holds what has no number of its own, behind everything up to this one.
    pub(super) fn push_behind(&mut self, seq: u64, item: Item) {
        self.next = self.next.wrapping_add(1).max(1);
        self.insert((seq, self.next), item);
    }

    fn insert(&mut self, place: (u64, u32), item: Item) {
        self.weight += item.weight();
        if let Some(other) = self.items.insert(place, item) {
            self.weight -= other.weight();
        }
    }

    /// The next whose turn it is.
    pub(super) fn ready(&mut self) -> Option<Item> {
        let first = self.items.first_entry()?;
        if self.behind.first().is_some_and(|(mark, _)| first.key().0 > *mark) {
            return None;
        }
        let item = first.remove();
        self.weight -= item.weight();
        Some(item)
    }

    /// If it is too much: what would be the last to go. Whoever it is of has to read it again.
    pub(super) fn overflow(&mut self) -> Option<Item> {
        if self.weight <= self.most {
            return None;
        }
        let (_, item) = self.items.pop_last()?;
        self.weight -= item.weight();
        Some(item)
    }

    /// Forgets what is held of a room.
    pub(super) fn drop_room(&mut self, room: &RoomName) {
        let dropped = self.items.extract_if(.., |_, item| {
            matches!(item, Item::Message(message) if message.room == *room && message.place.is_some())
        });
        self.weight -= dropped.map(|(_, item)| item.weight()).sum::<usize>();
    }

    /// Forgets everything, those who are behind included; returns the answers, which nobody can give any more.
    pub(super) fn clear(&mut self) -> Vec<Ask> {
        self.behind.clear();
        self.marks.clear();
        self.weight = 0;
        let answers = std::mem::take(&mut self.items).into_values().filter_map(|item| match item {
            Item::Answer(ask, _) => Some(ask),
            Item::Message(_) => None,
        });
        answers.collect()
    }
}

#[cfg(test)]
mod tests {
    use parlor_hub::encode::Encodings;
    use parlor_hub::publication::{Form, Place};
    use parlor_proto::position::{Epoch, MessageId};

    use super::*;

    fn message(room: &str, seq: u64) -> Arc<Publication> {
        Arc::new(Publication {
            room: RoomName::internal(room),
            place: Some(Place { epoch: Epoch(1), offset: seq, seq }),
            id: MessageId(1),
            event: "".into(),
            data: "1".into(),
            form: Form::Value,
            author: None,
            to: None,
            time: 0,
            except: None,
            delivery: None,
            encodings: Encodings::default(),
        })
    }

    fn room(name: &str) -> Source {
        Source::Room(RoomName::internal(name))
    }

    /// The numbers of what may go now.
    fn ready(hold: &mut Hold) -> Vec<u64> {
        let seq = |item| match item {
            Item::Message(message) => message.place.map_or(0, |place| place.seq),
            Item::Answer(..) => 0,
        };
        std::iter::from_fn(|| hold.ready()).map(seq).collect()
    }

    #[test]
    fn nothing_goes_before_what_may_still_be_missing() {
        let mut hold = Hold::new(usize::MAX);
        hold.fall_behind(room("a"), 10);
        hold.fall_behind(room("b"), 20);
        for seq in [40, 11, 15, 22] {
            hold.push(seq, message("c", seq));
        }
        assert!(ready(&mut hold).is_empty());
        hold.fall_behind(room("a"), 15);
        assert_eq!(ready(&mut hold), [11, 15]);
        assert_eq!(hold.behind().collect::<Vec<_>>(), [&room("a"), &room("b")]);
        hold.catch_up(&room("a"));
        assert!(ready(&mut hold).is_empty());
        hold.catch_up(&room("b"));
        assert!(!hold.is_behind() && !hold.is_open());
        assert_eq!(ready(&mut hold), [22, 40]);
        assert!(hold.is_open());
    }

    #[test]
    fn what_is_not_kept_goes_where_it_came() {
        let mut hold = Hold::new(usize::MAX);
        hold.fall_behind(room("a"), 10);
        let passing = |data: &str| {
            let mut message = message("c", 0);
            let own = Arc::get_mut(&mut message).unwrap();
            (own.place, own.data) = (None, data.into());
            Item::Message(message)
        };
        hold.push(30, message("c", 30));
        hold.push_behind(20, passing("first"));
        hold.push_behind(20, passing("second"));
        hold.push(20, message("c", 20));
        hold.catch_up(&room("a"));
        assert_eq!(ready(&mut hold), [20, 0, 0, 30]);
    }

    #[test]
    fn too_much_gives_up_what_would_go_last() {
        let one = Item::Message(message("a", 1)).weight();
        let mut hold = Hold::new(2 * one);
        hold.fall_behind(room("a"), 0);
        for seq in [3, 1, 2, 4] {
            hold.push(seq, message("b", seq));
        }
        assert!(hold.is_filling_up());
        let mut given_up = Vec::new();
        while let Some(Item::Message(message)) = hold.overflow() {
            given_up.push(message.place.unwrap().seq);
        }
        assert_eq!(given_up, [4, 3]);
        hold.drop_room(&RoomName::internal("b"));
        assert_eq!(hold.weight, 0);
        hold.clear();
        assert!(hold.is_open());
    }
}
