//! Groups: which consumers handle an event together, and the event.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_proto::codes::{Code, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
}

/// By their pipes' addresses, which differ while the pipes are held here.
type Members = HashMap<usize, Arc<Pipe>>;

impl Groups {
    pub(crate) fn add(&self, group: &str, pipe: &Arc<Pipe>) {
        self.lock().entry(group.into()).or_default().insert(key(pipe), Arc::clone(pipe));
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

    pub(crate) fn send<T: Serialize + ?Sized>(
        &self,
        group: &str,
        kind: &str,
        value: &T,
    ) -> Result<(), Refusal> {
        let data = serde_json::to_string(value)
            .map_err(|error| Refusal::new(Code::BadMessage, format!("this is not sent: {error}")))?;
        let event = GroupEvent(Arc::new(Inner { kind: kind.into(), data: data.into() }));
        for pipe in self.lock().get(group).into_iter().flat_map(HashMap::values) {
            pipe.push_event(event.clone());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Members>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(pipe: &Arc<Pipe>) -> usize {
    Arc::as_ptr(pipe) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, enough: usize) {
        let (groups, pipe, other) = (Groups::default(), Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        groups.add("g", &pipe);
        groups.add("h", &other);
        let close = || pipe.take_outgoing(0).close;
        (0..enough).for_each(|_| groups.send("g", "kind", data).unwrap());
        assert_eq!(close(), None);
        groups.send("g", "kind", data).unwrap();
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
}
