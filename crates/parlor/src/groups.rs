//! Groups: which consumers handle an event together, and the event.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_proto::codes::{Code, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::pipe::Pipe;

/// Something that a group is told. Its type says which part of the handler it is for, as in Channels' `"xxx.ooo"`.
#[derive(Clone)]
pub struct GroupEvent(Arc<Inner>);

struct Inner {
    kind: Box<str>,
    /// JSON text of one value.
    data: Box<str>,
}

impl GroupEvent {
    pub(crate) fn new<T: Serialize + ?Sized>(kind: &str, value: &T) -> Result<GroupEvent, Refusal> {
        let data = serde_json::to_string(value)
            .map_err(|error| Refusal::new(Code::BadMessage, format!("this is not sent: {error}")))?;
        Ok(GroupEvent(Arc::new(Inner { kind: kind.into(), data: data.into() })))
    }

    /// Its type, as it was sent.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// What it carries, as JSON text.
    pub fn json(&self) -> &str {
        &self.0.data
    }

    /// What it carries, as `T`.
    ///
    /// # Errors
    /// It is no `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json())
    }

    /// Bytes that count for whoever is behind.
    pub(crate) fn weight(&self) -> usize {
        self.0.data.len()
    }
}

impl fmt::Debug for GroupEvent {
    /// Without what it carries: private messages do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupEvent").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Who is in which group. The lock is held while an event is put into the members' queues, so all of them have one
/// order.
///
/// **Lock order:** the groups, then a pipe.
#[derive(Default)]
pub(crate) struct Groups {
    members: Mutex<HashMap<Box<str>, Members>>,
    /// Somebody has come, or has taken so much that there is room again.
    ready: Arc<Notify>,
}

/// By their pipes' addresses, which differ while the pipes are held here.
type Members = HashMap<usize, Arc<Pipe>>;

impl Groups {
    pub(crate) fn add(&self, group: &str, pipe: &Arc<Pipe>) {
        pipe.tell_when_ready(&self.ready);
        self.lock().entry(group.into()).or_default().insert(key(pipe), Arc::clone(pipe));
        self.ready.notify_waiters();
    }

    pub(crate) fn discard(&self, group: &str, pipe: &Arc<Pipe>) {
        let mut groups = self.lock();
        if let Some(members) = groups.get_mut(group) {
            members.remove(&key(pipe));
            if members.is_empty() {
                groups.remove(group);
            }
        }
    }

    pub(crate) fn count(&self, group: &str) -> usize {
        self.lock().get(group).map_or(0, HashMap::len)
    }

    pub(crate) fn send(&self, group: &str, event: &GroupEvent) {
        push(self.lock().get(group), event);
    }

    /// Sends once a member is ready.
    pub(crate) async fn feed(&self, group: &str, event: GroupEvent) {
        loop {
            // Before the look, so that nothing that happens after it is missed.
            let changed = self.ready.notified();
            {
                let groups = self.lock();
                let members = groups.get(group);
                if members.is_some_and(|members| members.values().any(|pipe| pipe.is_ready())) {
                    return push(members, &event);
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Members>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(members: Option<&Members>, event: &GroupEvent) {
    members.into_iter().flat_map(HashMap::values).for_each(|pipe| pipe.push_event(event.clone()));
}

fn key(pipe: &Arc<Pipe>) -> usize {
    Arc::as_ptr(pipe) as usize
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;
    use crate::pipe::{AHEAD, Input};

    #[track_caller]
    fn check(data: &str, enough: usize) {
        let (groups, pipe, other) = (Groups::default(), Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        groups.add("g", &pipe);
        groups.add("h", &other);
        let close = || pipe.take_outgoing(0).close;
        let event = GroupEvent::new("kind", data).unwrap();
        (0..enough).for_each(|_| groups.send("g", &event));
        assert_eq!(close(), None);
        groups.send("g", &event);
        assert_eq!(close(), Some((4008, "slow".to_owned())));
        assert_eq!(other.take_outgoing(0).close, None);
    }

    #[test]
    fn as_many_events_wait_as_may_wait_for_a_socket_and_as_many_bytes() {
        check("", 4096);
        // With its quotes a quarter of the limit; one alone may be larger.
        check(&"x".repeat(256 * 1024 - 2), 4);
        check(&"x".repeat(2 * 1024 * 1024), 1);
    }

    #[test]
    fn who_leaves_is_forgotten_and_so_is_a_group_without_members() {
        let (groups, pipe) = (Groups::default(), Arc::new(Pipe::default()));
        groups.add("g", &pipe);
        groups.add("g", &pipe);
        assert_eq!(Arc::strong_count(&pipe), 2);
        groups.discard("g", &pipe);
        groups.discard("never", &pipe);
        assert_eq!((Arc::strong_count(&pipe), groups.lock().len()), (1, 0));
    }

    /// Takes one event, as a handler does.
    async fn take(pipe: &Pipe) {
        assert!(matches!(poll_fn(|cx| pipe.poll_recv(cx)).await, Some(Input::Event(_))));
    }

    #[tokio::test]
    async fn who_feeds_waits_for_a_first_member_and_for_the_quickest() {
        let (groups, quick, slow) = (Groups::default(), Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let event = GroupEvent::new("kind", "").unwrap();
        tokio::join!(groups.feed("g", event.clone()), async { groups.add("g", &slow) });
        take(&slow).await;
        groups.add("g", &quick);
        for _ in 0..AHEAD {
            groups.feed("g", event.clone()).await;
        }
        assert!(groups.feed("g", event.clone()).now_or_never().is_none());
        // Whoever has room is the quickest.
        tokio::join!(groups.feed("g", event.clone()), take(&slow));
        // The one that takes sets the pace; the other one is let go in time.
        take(&quick).await;
        take(&quick).await;
        for _ in 0..4096 {
            take(&quick).await;
            groups.feed("g", event.clone()).await;
        }
        assert!(slow.take_outgoing(0).close.is_some());
        assert!(quick.take_outgoing(0).close.is_none());
    }

    #[tokio::test]
    async fn who_is_leaving_takes_nothing_more() {
        let (groups, pipe) = (Groups::default(), Arc::new(Pipe::default()));
        groups.add("g", &pipe);
        pipe.leave();
        let feed = groups.feed("g", GroupEvent::new("kind", "").unwrap());
        assert!(feed.now_or_never().is_none());
    }
}
