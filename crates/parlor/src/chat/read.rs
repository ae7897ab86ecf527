//! `Read`: what the logs have for a poll, and the cursor behind it.

use std::sync::Arc;

use parlor_hub::engine::{Begin, Frontier, Lost, Range};
use parlor_hub::policy::Log;
use parlor_hub::{Hub, Publication};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::{OUTBOX_BYTES, PAGE_MESSAGES};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Cursor, MessageId};

use super::gap::{self, Torn};
use super::place::Place;
use super::stand::{is_in_memory, stand};
use super::store::wait;

/// A page of all rooms.
#[derive(Debug)]
pub struct Read {
    /// In the order of the store.
    pub messages: Vec<Arc<Publication>>,
    /// Behind all of them, and behind all that there was if there are none.
    pub place: Place,
    /// Rooms of which what was missed cannot be given, and why.
    pub lost: Vec<(RoomName, Lost)>,
}

/// Reads what is behind a place, or where each room says to begin, up to a frontier.
///
/// # Errors
/// The store cannot be read now.
pub async fn read(
    hub: Arc<Hub>,
    rooms: Vec<(RoomName, Option<Begin>)>,
    place: Option<Place>,
    frontier: Frontier,
) -> Result<Read, Refusal> {
    let names: Vec<_> = rooms.iter().map(|(room, _)| room.clone()).collect();
    let since = rooms.iter().any(|(_, begin)| matches!(begin, Some(Begin::Since(_))));
    let opened = match &place {
        Some(place) => gap::open(&hub, names.clone(), place, frontier).await?,
        None if since => {
            let rooms = rooms.into_iter().map(|(room, begin)| (room, begin.unwrap_or(Begin::Last(0))));
            gap::open_at(&hub, rooms.collect(), frontier).await?
        }
        None => {
            let count = rooms.iter().find_map(|(_, begin)| match begin {
                Some(Begin::Last(count)) => Some(*count as usize),
                _ => None,
            });
            let count = count.unwrap_or(0).min(PAGE_MESSAGES);
            let messages = latest(&hub, &names, count, frontier).await?;
            let cursor = cursor_at(&hub, &names, frontier.last).await?;
            return Ok(Read { messages, place: cursor.into(), lost: Vec::new() });
        }
    };
    let gap::Opened { mut gap, mut lost } = opened;
    let messages = match gap.page().await {
        Ok(messages) => messages,
        Err(Torn::Refused(refusal)) => return Err(refusal),
        Err(Torn::Lost) => {
            lost = names.iter().map(|room| (room.clone(), Lost::Trimmed)).collect();
            Vec::new()
        }
    };
    // What has no log is not read, but waits.
    lost.retain(|(_, reason)| *reason != Lost::NoLog);
    let mut ahead: Vec<_> = gap.ahead().collect();
    let passes_all = !ahead.is_empty() && (messages.is_empty() || gap.is_over());
    if passes_all {
        ahead.clear();
    }
    let last = messages.last().and_then(|message| Some((message, message.place?.seq)));
    let cursor = match (last, place) {
        // The newest message may be older than where another room was from the start.
        _ if passes_all => cursor_at(&hub, &names, frontier.last).await?,
        (Some((message, seq)), _) if !is_in_memory(&hub, &message.room) => {
            Cursor { life: hub.engine().life(), seq, id: message.id }
        }
        (Some((_, seq)), _) => {
            let is_level = |room: &&RoomName| ahead.iter().all(|(other, _)| other != *room);
            let level: Vec<_> = names.iter().filter(is_level).cloned().collect();
            cursor_at(&hub, &level, seq).await?
        }
        (None, Some(place)) if lost.is_empty() => Cursor { seq: frontier.last, ..place.cursor },
        (None, _) => cursor_at(&hub, &names, frontier.last).await?,
    };
    Ok(Read { messages, place: Place::new(cursor, ahead.into_iter()), lost })
}

/// The cursor at a place of the store. A log in memory proves nothing when its process is gone: so it is proven by the
/// newest message of a room that lasts, if there is any.
async fn cursor_at(hub: &Arc<Hub>, rooms: &[RoomName], seq: u64) -> Result<Cursor, Refusal> {
    let mut proof = (false, 0, MessageId::NIL);
    for room in rooms.iter().filter(|room| hub.policy(room).log != Log::None) {
        if let Ok(found) = stand(hub, room, seq, None).await? {
            proof = proof.max((!found.in_memory, found.seq, found.position.id));
        }
    }
    Ok(Cursor { life: hub.engine().life(), seq, id: proof.2 })
}

/// The newest messages of each room up to a frontier, at most `count` of each.
async fn latest(
    hub: &Arc<Hub>,
    rooms: &[RoomName],
    count: usize,
    frontier: Frontier,
) -> Result<Vec<Arc<Publication>>, Refusal> {
    let mut all = Vec::new();
    for room in rooms.iter().filter(|_| count > 0) {
        let policy = hub.policy(room);
        if policy.log == Log::None {
            continue;
        }
        let (mut before, mut wanted) = (None, count);
        while wanted > 0 {
            let range = Range::Before(before);
            let limit = if before.is_none() { wanted as u32 } else { PAGE_MESSAGES as u32 };
            let page = wait(|done| hub.engine().history(room, policy, range, limit, done)).await?;
            for message in page.messages.iter().rev() {
                let Some(place) = message.place.filter(|place| place.seq <= frontier.last) else { continue };
                if wanted > 0 {
                    wanted -= 1;
                    all.push((place.seq, Arc::clone(message)));
                }
            }
            match page.messages.first().and_then(|message| message.place) {
                Some(oldest) if page.more => before = Some(oldest.offset),
                _ => break,
            }
        }
    }
    all.sort_unstable_by_key(|(seq, _)| *seq);
    let mut bytes = 0;
    let fits = |(_, message): &&(u64, Arc<Publication>)| {
        bytes += message.weight();
        bytes <= OUTBOX_BYTES
    };
    let kept = all.iter().rev().take_while(fits).count();
    Ok(all.split_off(all.len() - kept).into_iter().map(|(_, message)| message).collect())
}
