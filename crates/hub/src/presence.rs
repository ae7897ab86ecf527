//! Who is in a room: members by account, changes gathered into pushes, a grace for those who come right back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parlor_proto::limits::{MEMBERS_LISTED, PRESENCE_GRACE, PRESENCE_INTERVAL, PRESENCE_MEMBERS};
use parlor_proto::name::RoomName;

use crate::command::Members;
use crate::encode::Encodings;
use crate::engine::Elsewhere;
use crate::policy::Presence;
use crate::publication::Author;

/// One push: who came and went since the last one.
#[derive(Debug)]
pub struct PresenceChange {
    pub room: RoomName,
    pub version: u64,
    /// Empty, like `left`, in rooms that tell counts only.
    pub joined: Vec<Author>,
    pub left: Vec<Author>,
    pub count: usize,
    pub(crate) encodings: Encodings,
}

/// The members of one room and what has not been told about them yet.
///
/// Invariant: a member with no subscribers here and no node elsewhere has `leaves_at`, and the room is due no later than
/// that.
#[derive(Debug)]
pub(crate) struct RoomPresence {
    kind: Presence,
    version: u64,
    members: HashMap<Arc<str>, Member>,
    /// Subscribers without an account to count by, in rooms that tell counts.
    anonymous: usize,
    /// Accounts whose coming or going is not told yet; what it was told as is in `Member::told`.
    changed: Vec<Arc<str>>,
    gone: Vec<Author>,
    told_count: usize,
    last_push: u64,
    due: Option<u64>,
}

#[derive(Debug)]
struct Member {
    name: Arc<str>,
    subscribers: u32,
    /// Other nodes on which it is.
    elsewhere: Vec<u64>,
    leaves_at: Option<u64>,
    /// Others know that this member is here.
    told: bool,
}

const INTERVAL_MS: u64 = PRESENCE_INTERVAL.as_millis() as u64;
const GRACE_MS: u64 = PRESENCE_GRACE.as_millis() as u64;

impl RoomPresence {
    pub(crate) fn new(kind: Presence) -> RoomPresence {
        RoomPresence {
            kind,
            version: 0,
            members: HashMap::new(),
            anonymous: 0,
            changed: Vec::new(),
            gone: Vec::new(),
            told_count: 0,
            last_push: 0,
            due: None,
        }
    }

    /// A connection of `author` came in. Returns when the room is due, if that is earlier than it was.
    pub(crate) fn join(&mut self, author: Option<&Author>, now: u64) -> Option<u64> {
        if self.kind == Presence::Off {
            return None;
        }
        let Some(author) = author else {
            self.anonymous += 1;
            return self.soon(now);
        };
        let member = self.member(author);
        member.subscribers += 1;
        self.came(author, now)
    }

    fn member(&mut self, author: &Author) -> &mut Member {
        self.members.entry(Arc::clone(&author.user)).or_insert_with(|| Member {
            name: Arc::clone(&author.name),
            subscribers: 0,
            elsewhere: Vec::new(),
            leaves_at: None,
            told: false,
        })
    }

    fn came(&mut self, author: &Author, now: u64) -> Option<u64> {
        let member = self.member(author);
        member.leaves_at = None;
        if member.told {
            return None;
        }
        // Whoever is noted twice is told once.
        if member.subscribers as usize + member.elsewhere.len() == 1 {
            self.changed.push(Arc::clone(&author.user));
        }
        self.soon(now)
    }

    /// A connection of `author` ended; the member stays for the grace. Returns when the room is due, if earlier.
    pub(crate) fn leave(&mut self, author: Option<&Author>, now: u64) -> Option<u64> {
        if self.kind == Presence::Off {
            return None;
        }
        let Some(author) = author else {
            self.anonymous = self.anonymous.saturating_sub(1);
            return self.soon(now);
        };
        let member = self.members.get_mut(&author.user)?;
        member.subscribers = member.subscribers.saturating_sub(1);
        self.went(&author.user, now)
    }

    fn went(&mut self, user: &str, now: u64) -> Option<u64> {
        let member = self.members.get_mut(user)?;
        if member.subscribers > 0 || !member.elsewhere.is_empty() || member.leaves_at.is_some() {
            return None;
        }
        member.leaves_at = Some(now + GRACE_MS);
        self.due_at(now + GRACE_MS)
    }

    /// Takes in who is here on other nodes. Returns when the room is due, if that is earlier than it was.
    pub(crate) fn elsewhere(&mut self, elsewhere: Elsewhere, now: u64) -> Option<u64> {
        if self.kind == Presence::Off {
            return None;
        }
        match elsewhere {
            Elsewhere::Came(node, author) => {
                let member = self.member(&author);
                if member.elsewhere.contains(&node) {
                    return None;
                }
                member.elsewhere.push(node);
                self.came(&author, now)
            }
            Elsewhere::Went(node, user) => {
                let member = self.members.get_mut(&user)?;
                let before = member.elsewhere.len();
                member.elsewhere.retain(|other| *other != node);
                if before == member.elsewhere.len() { None } else { self.went(&user, now) }
            }
            Elsewhere::Are(all) => {
                let still: HashSet<(u64, &str)> = all.iter().map(|(node, who)| (*node, &*who.user)).collect();
                let nodes = self.members.iter().flat_map(|(user, member)| {
                    member.elsewhere.iter().map(move |node| (*node, Arc::clone(user)))
                });
                let gone: Vec<_> = nodes.filter(|(node, user)| !still.contains(&(*node, user))).collect();
                let mut due = None;
                for (node, user) in gone {
                    due = self.elsewhere(Elsewhere::Went(node, user), now).or(due);
                }
                for (node, author) in all {
                    due = self.elsewhere(Elsewhere::Came(node, author), now).or(due);
                }
                due
            }
        }
    }

    /// Whether the account has a subscriber on this node.
    pub(crate) fn is_here(&self, user: &str) -> bool {
        self.members.get(user).is_some_and(|member| member.subscribers > 0)
    }

    /// Whether it has exactly one.
    pub(crate) fn is_here_once(&self, user: &str) -> bool {
        self.members.get(user).is_some_and(|member| member.subscribers == 1)
    }

    /// Whether there is anybody who is not only on other nodes.
    pub(crate) fn has_own(&self) -> bool {
        let own = |member: &Member| member.subscribers > 0 || member.elsewhere.is_empty();
        self.anonymous > 0 || self.members.values().any(own)
    }

    /// What others should be told now, if anything, and when to look again.
    pub(crate) fn tick(&mut self, room: &RoomName, now: u64) -> (Option<PresenceChange>, Option<u64>) {
        let mut next: Option<u64> = None;
        let gone = &mut self.gone;
        self.members.retain(|user, member| match member.leaves_at {
            Some(at) if at <= now => {
                if member.told {
                    gone.push(Author { user: Arc::clone(user), name: Arc::clone(&member.name) });
                }
                false
            }
            Some(at) => {
                next = Some(next.map_or(at, |next| next.min(at)));
                true
            }
            None => true,
        });
        self.due = next;
        let count = self.count();
        let mut joined = Vec::new();
        for user in self.changed.drain(..) {
            if let Some(member) = self.members.get_mut(&user)
                && !member.told
            {
                member.told = true;
                joined.push(Author { user, name: Arc::clone(&member.name) });
            }
        }
        let mut left = std::mem::take(&mut self.gone);
        if joined.is_empty() && left.is_empty() && count == self.told_count {
            return (None, next);
        }
        if self.counts_only() {
            joined.clear();
            left.clear();
        }
        self.version += 1;
        self.told_count = count;
        self.last_push = now;
        let change = PresenceChange {
            room: room.clone(),
            version: self.version,
            joined,
            left,
            count,
            encodings: Encodings::default(),
        };
        (Some(change), next)
    }

    pub(crate) fn members(&self) -> Members {
        let list = (self.kind == Presence::Members).then(|| {
            let listed = self.members.iter().take(MEMBERS_LISTED);
            listed
                .map(|(user, member)| Author { user: Arc::clone(user), name: Arc::clone(&member.name) })
                .collect()
        });
        Members { list, count: self.count(), version: self.version }
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len() + self.anonymous
    }

    fn counts_only(&self) -> bool {
        self.kind == Presence::Counts || self.members.len() > PRESENCE_MEMBERS
    }

    fn soon(&mut self, now: u64) -> Option<u64> {
        self.due_at(now.max(self.last_push + INTERVAL_MS))
    }

    fn due_at(&mut self, at: u64) -> Option<u64> {
        if self.due.is_some_and(|due| due <= at) {
            return None;
        }
        self.due = Some(at);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(name: &str) -> Author {
        Author { user: format!("g-{name}").into(), name: name.into() }
    }

    /// A push as `version: +joined -left =count`.
    fn tick(presence: &mut RoomPresence, now: u64) -> String {
        let (change, next) = presence.tick(&RoomName::internal("room"), now);
        let next = next.map_or(String::new(), |next| format!(" next {next}"));
        let Some(change) = change else { return format!("nothing{next}") };
        let mut text = format!("{}:", change.version);
        change.joined.iter().for_each(|author| text += &format!(" +{}", author.name));
        change.left.iter().for_each(|author| text += &format!(" -{}", author.name));
        text + &format!(" ={}{next}", change.count)
    }

    #[test]
    fn a_user_joins_once_and_leaves_after_the_last_tab_and_the_grace() {
        let mut presence = RoomPresence::new(Presence::Members);
        let ann = author("ann");
        assert_eq!(presence.join(Some(&ann), 1_000), Some(1_000));
        assert_eq!(presence.join(Some(&ann), 1_000), None);
        assert_eq!(tick(&mut presence, 1_000), "1: +ann =1");
        assert_eq!(presence.leave(Some(&ann), 2_000), None);
        assert_eq!(tick(&mut presence, 60_000), "nothing");
        assert_eq!(presence.leave(Some(&ann), 60_000), Some(70_000));
        assert_eq!(tick(&mut presence, 69_999), "nothing next 70000");
        assert_eq!(tick(&mut presence, 70_000), "2: -ann =0");
    }

    #[test]
    fn a_reload_is_not_a_leave() {
        let mut presence = RoomPresence::new(Presence::Members);
        let ann = author("ann");
        presence.join(Some(&ann), 0);
        tick(&mut presence, 0);
        presence.leave(Some(&ann), 1_000);
        presence.join(Some(&ann), 9_000);
        assert_eq!(tick(&mut presence, 11_000), "nothing");
        assert_eq!(presence.count(), 1);
    }

    #[test]
    fn a_crowd_that_arrives_is_one_push() {
        let mut presence = RoomPresence::new(Presence::Members);
        assert_eq!(presence.join(Some(&author("a")), 1_000), Some(1_000));
        tick(&mut presence, 1_000);
        assert_eq!(presence.join(Some(&author("b")), 1_010), Some(1_250));
        assert_eq!(presence.join(Some(&author("c")), 1_020), None);
        assert_eq!(tick(&mut presence, 1_250), "2: +b +c =3");
    }

    #[test]
    fn large_rooms_and_live_rooms_tell_counts_only() {
        let mut presence = RoomPresence::new(Presence::Members);
        for n in 0..=PRESENCE_MEMBERS {
            presence.join(Some(&author(&n.to_string())), 0);
        }
        assert_eq!(tick(&mut presence, 0), "1: =501");
        assert_eq!(presence.members().list.map(|list| list.len()), Some(MEMBERS_LISTED));

        let mut presence = RoomPresence::new(Presence::Counts);
        presence.join(Some(&author("ann")), 0);
        presence.join(None, 0);
        assert_eq!(tick(&mut presence, 0), "1: =2");
        assert!(presence.members().list.is_none());
    }

    #[test]
    fn who_is_on_several_nodes_came_once_and_leaves_after_the_last() {
        let mut presence = RoomPresence::new(Presence::Members);
        let (ann, bob) = (author("ann"), author("bob"));
        assert_eq!(presence.elsewhere(Elsewhere::Came(7, ann.clone()), 1_000), Some(1_000));
        assert_eq!(presence.elsewhere(Elsewhere::Came(7, ann.clone()), 1_000), None);
        assert_eq!(presence.join(Some(&ann), 1_000), None);
        assert_eq!(tick(&mut presence, 1_000), "1: +ann =1");
        assert_eq!(presence.elsewhere(Elsewhere::Are(vec![(8, bob.clone())]), 2_000), Some(2_000));
        assert_eq!(tick(&mut presence, 2_000), "2: +bob =2");
        assert!(presence.has_own() && presence.is_here(&ann.user) && !presence.is_here(&bob.user));
        presence.leave(Some(&ann), 3_000);
        assert_eq!(tick(&mut presence, 13_000), "3: -ann =1");
        assert!(!presence.has_own());
        // From which it is not does not count, and twice is once.
        assert_eq!(presence.elsewhere(Elsewhere::Went(7, Arc::clone(&bob.user)), 14_000), None);
        assert_eq!(presence.elsewhere(Elsewhere::Went(8, Arc::clone(&bob.user)), 14_000), Some(24_000));
        assert_eq!(presence.elsewhere(Elsewhere::Went(8, Arc::clone(&bob.user)), 15_000), None);
        assert_eq!(tick(&mut presence, 24_000), "4: -bob =0");
    }

    #[test]
    fn a_node_that_is_taken_for_dead_and_comes_back_is_no_leave() {
        let mut presence = RoomPresence::new(Presence::Members);
        let ann = author("ann");
        presence.elsewhere(Elsewhere::Came(7, ann.clone()), 0);
        tick(&mut presence, 0);
        presence.elsewhere(Elsewhere::Went(7, Arc::clone(&ann.user)), 1_000);
        presence.elsewhere(Elsewhere::Came(7, ann), 9_000);
        assert_eq!(tick(&mut presence, 11_000), "nothing");
    }

    #[test]
    fn who_came_and_went_between_two_pushes_is_not_told() {
        let mut presence = RoomPresence::new(Presence::Members);
        presence.join(Some(&author("ann")), 0);
        presence.leave(Some(&author("ann")), 10);
        assert_eq!(tick(&mut presence, 20_000), "nothing");
    }
}
