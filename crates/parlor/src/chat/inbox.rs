//! Direct conversations: which ones an account has, and what of them it has not read.

use std::sync::Arc;

use parlor_hub::engine::{Engine, Head, Page, Range, Record};
use parlor_hub::{Author, Hub};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::PAGE_MESSAGES;
use serde::{Deserialize, Serialize};

use super::accounts::Login;
use super::store;

const TALK: &str = "talk";
/// Conversations that are looked through for something unread when an account connects.
pub(crate) const TALKS: u32 = 200;

/// The other side of a conversation, as it is stored under (account, other account).
#[derive(Debug, Serialize, Deserialize)]
struct Talk {
    user: String,
    name: String,
}

/// A conversation with something unread.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) with: Author,
    pub(crate) head: Head,
    /// The newest page of it.
    pub(crate) page: Page,
    pub(crate) count: u64,
}

/// What waits for an account.
pub(crate) async fn unread(hub: &Arc<Hub>, login: &Login, now: u64) -> Result<Vec<Unread>, Refusal> {
    // Asking the store would make every newcomer wait for a disk that has nothing for them.
    if login.fresh {
        return Ok(Vec::new());
    }
    let engine = hub.engine();
    let me = login.author();
    let mut unread = Vec::new();
    for with in talks(hub, me, now).await? {
        let room = Hub::direct_room(me, &with);
        let policy = hub.policy(&room);
        let head = store::wait(|done| engine.head(&room, policy, done)).await?;
        let read = login.account.read_in(&room).unwrap_or(0);
        let count = head.offset.saturating_sub(read);
        if count > 0 {
            let limit = count.min(PAGE_MESSAGES as u64) as u32;
            let page =
                store::wait(|done| engine.history(&room, policy, Range::Before(None), limit, done)).await?;
            unread.push(Unread { with, head, page, count });
        }
    }
    Ok(unread)
}

/// Those with whom an account talks, at most [`TALKS`].
pub(crate) async fn talks(hub: &Arc<Hub>, me: &Author, now: u64) -> Result<Vec<Author>, Refusal> {
    let talks = store::list(hub.engine(), TALK, &format!("{}/", me.user), TALKS, now).await?;
    let read = |record: Record| serde_json::from_slice::<Talk>(&record.value).ok();
    let with = |talk: Talk| Author { user: talk.user.into(), name: talk.name.into() };
    Ok(talks.into_iter().filter_map(read).map(with).collect())
}

/// Notes on both sides that these two talk, before the first message: whoever is away finds it.
pub(crate) async fn note(engine: Arc<dyn Engine>, a: Author, b: Author, now: u64) -> Result<(), Refusal> {
    for (me, other) in [(&a, &b), (&b, &a)] {
        let talk = Talk { user: other.user.to_string(), name: other.name.to_string() };
        store::put(&engine, TALK, &format!("{}/{}", me.user, other.user), &talk, None, now).await?;
    }
    Ok(())
}
