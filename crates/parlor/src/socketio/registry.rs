//! `Registry`: the namespaces of a server, and what all of them share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use parlor_hub::policy::{Log, Policy, Retention};
use parlor_hub::{Hub, socketio};

use super::namespace::Namespace;
use super::recovery::tend_every;
use super::server_side::{self, Nodes};

/// The namespaces of a server. Shared with every connection and every handle that the application keeps.
#[derive(Default)]
pub(crate) struct Registry {
    hub: OnceLock<Arc<Hub>>,
    namespaces: RwLock<HashMap<String, Namespace>>,
    patterns: RwLock<Vec<Pattern>>,
    state: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    pub(super) nodes: Nodes,
}

struct Pattern {
    matches: Box<dyn Fn(&str) -> bool + Send + Sync>,
    template: Namespace,
}

/// What the log of a namespace that recovers keeps, besides its age: one recovery (at most 1,000 messages) always fits.
const LOG_MESSAGES: u64 = 2_000;
const LOG_BYTES: u64 = 16 * 1024 * 1024;

impl Registry {
    /// Called once, when the server listens.
    pub(crate) fn start(self: &Arc<Self>, hub: Arc<Hub>) {
        let registry = Arc::downgrade(self);
        hub.listen_to_nodes(Box::new(move |node, bytes| server_side::hear(&registry, node, bytes)));
        let _ = self.hub.set(hub);
    }

    /// `None` before the server listens: then nobody is connected.
    pub(super) fn hub(&self) -> Option<&Arc<Hub>> {
        self.hub.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        read(&self.namespaces).is_empty() && read(&self.patterns).is_empty()
    }

    /// The namespace of this name, made if there is none.
    pub(crate) fn namespace(self: &Arc<Self>, name: &str) -> Namespace {
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Namespace::new(name.clone(), Arc::clone(self));
        namespaces.entry(name.clone()).or_insert_with(new).clone()
    }

    /// Namespaces that come to be when a client enters one whose name fits.
    pub(crate) fn pattern(
        self: &Arc<Self>,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Namespace {
        let template = Namespace::new(String::new(), Arc::clone(self));
        let pattern = Pattern { matches: Box::new(matches), template: template.clone() };
        self.patterns.write().unwrap_or_else(PoisonError::into_inner).push(pattern);
        template
    }

    /// The namespace of this name, if there is one.
    pub(super) fn known(&self, name: &str) -> Option<Namespace> {
        read(&self.namespaces).get(name).cloned()
    }

    /// The namespace that a client wants to enter.
    pub(super) fn find(&self, name: &str) -> Option<Namespace> {
        if let Some(found) = self.known(name) {
            return Some(found);
        }
        let patterns = read(&self.patterns);
        let pattern = patterns.iter().find(|pattern| (pattern.matches)(name))?;
        let child = pattern.template.child(name);
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        Some(namespaces.entry(name.to_owned()).or_insert(child).clone())
    }

    /// Forgets a namespace that a pattern made and that nobody is in any more.
    pub(super) fn forget(&self, name: &str) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if namespaces.get(name).is_some_and(|namespace| namespace.is_unused()) {
            namespaces.remove(name);
        }
    }

    pub(crate) fn set_state<T: Send + Sync + 'static>(&self, value: T) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(super) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = Arc::clone(read(&self.state).get(&TypeId::of::<T>())?);
        found.downcast().ok()
    }

    /// What is kept in a hub room of a namespace; `None`: it is not one.
    pub(crate) fn policy(&self, room: &str) -> Option<Policy> {
        if !socketio::is_everybody(room) {
            return room.starts_with('/').then_some(Policy::BARE);
        }
        let window = read(&self.namespaces).get(socketio::namespace_of(room)).and_then(Namespace::window);
        Some(window.map_or(Policy::BARE, |window| Policy { log: log(window), ..Policy::BARE }))
    }
}

/// Durable where the engine is, so that clients can come back to another process.
fn log(window: Duration) -> Log {
    let age = window + 2 * tend_every(window);
    let age_ms = Some(age.as_millis() as u64);
    Log::Stored(Retention { messages: Some(LOG_MESSAGES), bytes: Some(LOG_BYTES), age_ms })
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
