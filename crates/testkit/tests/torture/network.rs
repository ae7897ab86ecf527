//! `Network`: the ways to the nodes, bad ones for the crowd and straight ones, and which life of the store it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use parlor_testkit::dice::Dice;
use parlor_testkit::proxy::Proxy;

pub(crate) struct Network {
    nodes: Vec<(Proxy, Mutex<SocketAddr>)>,
    life: AtomicUsize,
}

impl Network {
    pub(crate) fn new(nodes: &[SocketAddr], dice: &mut Dice) -> Network {
        let node = |address: &SocketAddr| (Proxy::start(*address, dice.fork()), Mutex::new(*address));
        Network { nodes: nodes.iter().map(node).collect(), life: AtomicUsize::new(0) }
    }

    /// The bad way to a node, whichever it is.
    pub(crate) fn somewhere(&self, dice: &mut Dice) -> SocketAddr {
        dice.pick(&self.nodes).0.address()
    }

    /// Where a node listens.
    pub(crate) fn straight(&self, node: usize) -> SocketAddr {
        *self.nodes[node].1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node was started again, and listens there.
    pub(crate) fn moved(&self, node: usize, address: SocketAddr) {
        *self.nodes[node].1.lock().unwrap_or_else(PoisonError::into_inner) = address;
        self.nodes[node].0.lead_to(address);
    }

    /// The store's life now: what begins now is in this one or in a later one.
    pub(crate) fn life(&self) -> usize {
        self.life.load(Ordering::SeqCst)
    }

    /// What was there is there no more; to be said when nobody can be answered by it any more.
    pub(crate) fn next_life(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn be_kind(&self) {
        self.nodes.iter().for_each(|(proxy, _)| proxy.be_kind());
    }

    /// Connections so far, and directions that were ended.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.nodes.iter().map(|(proxy, _)| proxy.counts());
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }
}
