//! `Gap`: what lies behind a place in several rooms, read page by page in the order in which it was stored.

use std::collections::VecDeque;
use std::sync::Arc;

use parlor_hub::engine::{Begin, Frontier, Lost, Page, Range};
use parlor_hub::policy::{Log, Policy};
use parlor_hub::resume::prove;
use parlor_hub::{Hub, Publication};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::{OUTBOX_BYTES, PAGE_BYTES, PAGE_MESSAGES, RESUME_MAX};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position, Since};

use super::place::Place;
use super::stand::stand;
use super::store::wait;

/// Rooms that are read up to one place of the store, so that nothing turns up later before what was given.
#[derive(Debug)]
pub struct Gap {
    hub: Arc<Hub>,
    rooms: Vec<Room>,
    until: u64,
}

#[derive(Debug)]
struct Room {
    name: RoomName,
    policy: Policy,
    /// Everything up to here was given, or is not wanted.
    at: Position,
    waiting: VecDeque<Arc<Publication>>,
    /// There is more behind what waits.
    more: bool,
    /// Where the client said that it is, until something behind that was given: others may be further behind.
    said: Option<Since>,
}

/// Why a page cannot be given.
#[derive(Debug)]
pub enum Torn {
    /// It was there when the gap was opened.
    Lost,
    /// The store cannot be read now.
    Refused(Refusal),
}

impl From<Refusal> for Torn {
    fn from(refusal: Refusal) -> Torn {
        Torn::Refused(refusal)
    }
}

/// A gap, and the rooms of which it cannot be given.
#[derive(Debug)]
pub struct Opened {
    /// Of all the others.
    pub gap: Gap,
    /// And why.
    pub lost: Vec<(RoomName, Lost)>,
}

impl Opened {
    /// Whether a place in the gap speaks for all rooms. What is lost is told behind it: a client that does not hear that
    /// must not come back with a place behind which the room seems to be whole again.
    pub fn is_whole(&self) -> bool {
        self.lost.iter().all(|(_, reason)| *reason == Lost::NoLog) && self.gap.ahead().next().is_none()
    }

    /// These rooms begin where the client said, whatever is behind that in the others.
    fn beginning(mut self, said: &[(RoomName, Since)]) -> Opened {
        for room in &mut self.gap.rooms {
            room.said = said.iter().find(|(name, _)| *name == room.name).map(|(_, since)| *since);
        }
        self
    }
}

/// Up to where a gap that is opened now is to be read.
///
/// # Errors
/// The store cannot be read now.
pub async fn frontier(hub: &Hub) -> Result<Frontier, Refusal> {
    wait(|done| hub.engine().frontier(done)).await
}

/// Opens the gap behind a place.
///
/// # Errors
/// The store cannot be read now.
pub async fn open(
    hub: &Arc<Hub>,
    rooms: Vec<RoomName>,
    place: &Place,
    frontier: Frontier,
) -> Result<Opened, Refusal> {
    let cursor = place.cursor;
    let (mut ahead, mut level, mut stands) = (Vec::new(), Vec::new(), Vec::new());
    for room in rooms {
        // Such a place proves itself.
        if let Some(since) = place.ahead(&room) {
            ahead.push((room, since));
            continue;
        }
        stands.push(match hub.policy(&room).log {
            Log::None => Err(Lost::NoLog),
            _ if cursor.life != hub.engine().life() => Err(Lost::EpochChanged),
            _ if cursor.seq > frontier.last => Err(Lost::Diverged),
            _ => stand(hub, &room, cursor.seq, None).await?,
        });
        level.push(room);
    }
    prove(cursor, &mut stands);
    let begins =
        stands.into_iter().map(|stand| stand.map(|stand| Begin::Since(Since::Position(stand.position))));
    let further = ahead.iter().map(|(room, since)| (room.clone(), Ok(Begin::Since(*since))));
    let opened = open_rooms(hub, level.into_iter().zip(begins).chain(further), frontier).await?;
    Ok(opened.beginning(&ahead))
}

/// A room of which everything behind a place in the store is wanted.
pub(super) struct Behind {
    pub(super) room: RoomName,
    pub(super) seq: u64,
    /// The log that the place is in, if that is known.
    pub(super) epoch: Option<Epoch>,
}

/// Opens the gap behind places that need no proof.
///
/// # Errors
/// The store cannot be read now.
pub(super) async fn open_behind(
    hub: &Arc<Hub>,
    places: Vec<Behind>,
    frontier: Frontier,
) -> Result<Opened, Refusal> {
    let mut begins = Vec::new();
    for Behind { room, seq, epoch } in places {
        let found = match hub.policy(&room).log {
            Log::None => Err(Lost::NoLog),
            _ => stand(hub, &room, seq, epoch).await?.map(|stand| stand.position),
        };
        let is_other = |position: &Position| epoch.is_some_and(|epoch| epoch != position.epoch);
        let begin = match found {
            Ok(position) if is_other(&position) => Err(Lost::EpochChanged),
            found => found.map(|position| Begin::Since(Since::Position(position))),
        };
        begins.push((room, begin));
    }
    open_rooms(hub, begins.into_iter(), frontier).await
}

/// Opens the gap behind a place of each room.
pub(super) async fn open_at(
    hub: &Arc<Hub>,
    rooms: Vec<(RoomName, Begin)>,
    frontier: Frontier,
) -> Result<Opened, Refusal> {
    let said = rooms.iter().filter_map(|(room, begin)| match begin {
        Begin::Since(since) => Some((room.clone(), *since)),
        Begin::Last(_) => None,
    });
    let said: Vec<_> = said.collect();
    let begins = rooms.into_iter().map(|(room, begin)| {
        let begin = if hub.policy(&room).log == Log::None { Err(Lost::NoLog) } else { Ok(begin) };
        (room, begin)
    });
    Ok(open_rooms(hub, begins, frontier).await?.beginning(&said))
}

async fn open_rooms(
    hub: &Arc<Hub>,
    begins: impl Iterator<Item = (RoomName, Result<Begin, Lost>)>,
    frontier: Frontier,
) -> Result<Opened, Refusal> {
    let mut gap = Gap { hub: Arc::clone(hub), rooms: Vec::new(), until: frontier.last };
    let mut lost = Vec::new();
    let begins: Vec<_> = begins.collect();
    let share = share(begins.len());
    for (name, begin) in begins {
        let policy = hub.policy(&name);
        let opened = match begin {
            Ok(begin) => {
                let resumed = wait(|done| hub.engine().resume(&name, policy, begin, done)).await?;
                resumed.outcome.map(|page| (resumed.head, page))
            }
            Err(reason) => Err(reason),
        };
        match opened {
            Ok((head, page)) => {
                // Without messages the place is the head.
                let first = page.messages.first().and_then(|message| message.place);
                let at = match (begin, first) {
                    (Ok(Begin::Since(Since::Position(position))), _) => position,
                    (_, None) => head.position(),
                    // An id is not needed where nobody will come back to this place.
                    (_, Some(first)) => {
                        Position { epoch: first.epoch, offset: first.offset - 1, id: MessageId::NIL }
                    }
                };
                let mut room = Room { name, policy, at, waiting: VecDeque::new(), more: false, said: None };
                room.take(page, share);
                gap.rooms.push(room);
            }
            Err(reason) => lost.push((name, reason)),
        }
    }
    Ok(Opened { gap, lost })
}

/// Bytes that may wait of each room, so that all together fit into an outbox.
fn share(rooms: usize) -> usize {
    (OUTBOX_BYTES / rooms.max(1)).min(PAGE_BYTES)
}

impl Room {
    fn take(&mut self, page: Page, share: usize) {
        let (count, mut bytes) = (page.messages.len(), 0);
        let fits = |message: &Arc<Publication>| {
            let first = bytes == 0;
            bytes += message.weight();
            first || bytes <= share
        };
        self.waiting.extend(page.messages.into_iter().take_while(fits));
        self.more = page.more || self.waiting.len() < count;
    }

    fn next(&self, until: u64) -> Option<u64> {
        let seq = self.waiting.front()?.place?.seq;
        (seq <= until).then_some(seq)
    }
}

impl Gap {
    /// The next messages of all rooms, in the order of `seq`, at most a page; none at the end.
    ///
    /// # Errors
    /// See [`Torn`].
    pub async fn page(&mut self) -> Result<Vec<Arc<Publication>>, Torn> {
        let share = share(self.rooms.len());
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE_MESSAGES && bytes < PAGE_BYTES {
            for room in self.rooms.iter_mut().filter(|room| room.more && room.waiting.is_empty()) {
                let after = room.at.offset;
                let (range, limit) = (Range::After(after), PAGE_MESSAGES as u32);
                let engine = self.hub.engine();
                let read = wait(|done| engine.history(&room.name, room.policy, range, limit, done)).await?;
                if read.first > after + 1 || read.head.epoch != room.at.epoch {
                    return Err(Torn::Lost);
                }
                room.take(read, share);
            }
            let next = |room: &&mut Room| room.next(self.until);
            let Some(room) = self
                .rooms
                .iter_mut()
                .filter(|room| room.next(self.until).is_some())
                .min_by_key(|room| next(room))
            else {
                break;
            };
            let Some(message) = room.waiting.pop_front() else { break };
            if let Some(position) = message.position() {
                room.at = position;
            }
            room.said = None;
            bytes += message.weight();
            page.push(message);
        }
        Ok(page)
    }

    /// All that is left; `None` if that is too much to be given at once, or not there any more.
    pub async fn rest(mut self) -> Option<Vec<Arc<Publication>>> {
        let (mut rest, mut bytes) = (Vec::new(), 0);
        loop {
            let page = self.page().await.ok()?;
            if page.is_empty() {
                return Some(rest);
            }
            bytes += page.iter().map(|message| message.weight()).sum::<usize>();
            rest.extend(page);
            if rest.len() > RESUME_MAX || bytes > OUTBOX_BYTES {
                return None;
            }
        }
    }

    /// Whether everything was given.
    pub fn is_over(&self) -> bool {
        let has_more = |room: &Room| room.next(self.until).is_some() || room.more && room.waiting.is_empty();
        !self.rooms.iter().any(has_more)
    }

    /// Rooms of which nothing was given that began where the client said, which may be behind what was given of others.
    pub fn ahead(&self) -> impl Iterator<Item = (RoomName, Since)> {
        self.rooms.iter().filter_map(|room| Some((room.name.clone(), room.said?)))
    }

    /// How far each room has been given.
    pub fn places(&self) -> impl Iterator<Item = (RoomName, Position)> {
        self.rooms.iter().map(|room| (room.name.clone(), room.at))
    }
}
