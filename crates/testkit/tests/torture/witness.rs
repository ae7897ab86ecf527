//! Witnesses: they follow every room at one node on a good line, and what they are told is read while it happens.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use parlor_testkit::torture::Note;

use super::follow::Follower;

/// No wait takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Witness {
    name: String,
    pub(crate) node: usize,
    rooms: usize,
    receiver: Receiver<(Instant, Note)>,
    told: Vec<(Instant, Note)>,
}

impl Witness {
    /// Reads along with this follower, who goes to one node only.
    pub(crate) fn of(follower: &mut Follower<'_>, node: usize, rooms: usize) -> Witness {
        let (sender, receiver) = channel();
        follower.straight = Some(node);
        follower.diary.reader = Some(sender);
        Witness { name: follower.diary.log.who.clone(), node, rooms, receiver, told: Vec::new() }
    }

    fn read_until(&mut self, deadline: Instant) {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.told.extend(self.receiver.recv_timeout(patience));
        self.told.extend(self.receiver.try_iter());
    }

    /// Waits until it is in all its rooms.
    #[track_caller]
    pub(crate) fn wait_until_in(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let since = self.told.iter().rposition(|(_, note)| matches!(note, Note::Cut { .. }));
            let room = |(_, note)| match note {
                Note::Joined { room, .. } => Some(room),
                _ => None,
            };
            let rooms = self.told[since.map_or(0, |cut| cut + 1)..].iter().cloned().filter_map(room);
            if rooms.collect::<BTreeSet<_>>().len() == self.rooms {
                return;
            }
            assert!(Instant::now() < deadline, "{} does not come in", self.name);
            self.read_until(Instant::now() + Duration::from_millis(100));
        }
    }

    /// When it was told something like this, from a moment on.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, from: Instant, is: impl Fn(&Note) -> bool) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.told.iter().find(|(at, note)| *at >= from && is(note));
            if let Some((at, _)) = found {
                return *at;
            }
            assert!(Instant::now() < deadline, "{} is not told {what}", self.name);
            self.read_until(deadline);
        }
    }

    /// The connection has held from a moment until now.
    #[track_caller]
    pub(crate) fn was_not_cut(&mut self, from: Instant) {
        self.read_until(Instant::now());
        let cut = self.told.iter().find(|(at, note)| *at >= from && matches!(note, Note::Cut { .. }));
        assert!(cut.is_none(), "{} was cut: {cut:?}", self.name);
    }
}
