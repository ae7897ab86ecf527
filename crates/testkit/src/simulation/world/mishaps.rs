//! What goes wrong: lines are cut, and the process ends and begins again, perhaps on an older store.

use parlor_proto::codes::CloseCode;

use super::{Plan, START, World, start};
use crate::simulation::poller::Poller;
use crate::simulation::publisher::Publisher;
use crate::simulation::server::Wire;
use crate::simulation::store::Store;

impl World {
    /// The line of somebody is cut; the server does not know yet.
    pub(super) fn cut(&mut self) {
        let index = self.dice.index(self.followers.len() + self.publishers.len());
        let wire = match self.followers.get_mut(index) {
            Some(follower) => {
                let wire = follower.wire;
                if wire.is_some() {
                    follower.over(1006);
                }
                wire
            }
            None => {
                let publisher = &mut self.publishers[index - self.followers.len()];
                let wire = publisher.wire;
                publisher.over();
                wire
            }
        };
        if let Some(wire) = wire {
            self.wires[wire].cut = true;
        }
    }

    /// The server finds out that somebody has gone.
    pub(super) fn find_out(&mut self) -> bool {
        let gone = |wire: &&mut Wire| wire.cut && !wire.over;
        let Some(wire) = self.wires.iter_mut().find(gone) else { return false };
        // What had arrived before the cut may still be carried out.
        let shard = &mut self.shards[usize::from(wire.id.worker())];
        while self.dice.once_in(2) && wire.receive(shard, self.now) {}
        wire.end(shard, self.now);
        true
    }

    /// The process ends at once, or after a word, and another one begins on what it has left; sometimes on what it had
    /// left some time ago.
    pub(super) fn crash(&mut self) {
        self.counts.crashes += 1;
        if self.dice.once_in(2) {
            self.stop();
        }
        let (mut disk, ids, mut truth) = self.store.die();
        if let Some(backup) = self.backup.take() {
            if self.dice.once_in(2) {
                self.counts.restores += 1;
                disk.tell(&mut truth);
                self.lives.push(std::mem::take(&mut truth));
                disk = backup;
            }
        } else if self.dice.once_in(2) {
            self.backup = Some(disk.clone());
        }
        // As the real one does at each start: nothing is given out again, also where a backup is put back.
        self.now += 1000;
        disk.seq_floor = disk.seq_floor.max((self.now - START) << 30);
        let Plan { ring_bytes, is_early, .. } = self.plan;
        let store = Store::open(disk, self.dice.fork(), ids, truth, ring_bytes, is_early);
        store.set_faults(true);
        (self.store, self.hub, self.shards) = start(store, self.plan.workers);
        self.by_id.clear();
        for wire in &mut self.wires {
            wire.over = true;
            // What was sent may be lost with it.
            if self.dice.once_in(2) {
                wire.pipe.clear();
            }
        }
        self.pollers.iter_mut().for_each(Poller::over);
        self.publishers.iter_mut().for_each(Publisher::over);
    }

    /// What was accepted is carried out, and everybody is told.
    fn stop(&mut self) {
        while self.store.step() {}
        for worker in 0..self.shards.len() {
            for index in self.wires_of(worker) {
                self.wires[index].close(&mut self.shards[worker], CloseCode::GOING_AWAY, self.now);
            }
            while self.turn(worker, true) {}
        }
    }
}
