//! How the world comes to rest at its end, so that everybody can be asked whether something is missing.

use super::{ROUNDS, World};
use crate::simulation::poller::Poller;
use crate::simulation::server::Speech;

impl World {
    /// Everything is well again; nobody writes anything new. Until nothing is on its way to anybody.
    pub(super) fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS {
            // Some moves at once, so that a long queue does not take long.
            let mut worked = self.store.is_writing();
            let stepped = (0..50).filter(|_| self.store.step()).count() > 0;
            worked |= self.find_out();
            self.wires.iter_mut().for_each(|wire| wire.capacity = usize::MAX);
            for worker in 0..self.shards.len() {
                worked |= self.turn(worker, true);
            }
            for index in 0..self.publishers.len() {
                worked |= self.talk(index, u64::MAX);
            }
            for index in 0..self.followers.len() {
                let follower = &mut self.followers[index];
                match follower.wire {
                    Some(wire) => {
                        let wire = &mut self.wires[wire];
                        worked |= !wire.pipe.is_empty();
                        follower.read(wire, usize::MAX);
                        if wire.over {
                            follower.over(1006);
                            worked = true;
                        } else if !wire.is_leaving() && follower.speech != Speech::Events {
                            worked |= follower.join_rooms(wire, &mut self.dice);
                        }
                    }
                    None => {
                        self.follow(index);
                        worked = true;
                    }
                }
            }
            // What is read for them is nothing that they have to be told.
            if worked {
                self.pollers.iter_mut().for_each(Poller::disturb);
            }
            worked |= stepped;
            for index in 0..self.pollers.len() {
                if !self.pollers[index].rested {
                    self.poll(index);
                    worked = true;
                }
            }
            if worked {
                continue;
            }
            // A stream that was refused a room comes again.
            let unsettled = self.followers.iter().position(|follower| !follower.is_settled());
            match unsettled {
                Some(index) if self.followers[index].speech == Speech::Events => {
                    let wire = self.followers[index].wire.expect("it is connected");
                    self.wires[wire].cut = true;
                    self.followers[index].over(1006);
                }
                Some(index) => panic!("seed {}: f{index} was not answered", self.seed),
                None => {
                    let waits = self.publishers.iter().position(|publisher| !publisher.is_done());
                    return assert_eq!(waits, None, "seed {}: a publisher was not answered", self.seed);
                }
            }
        }
        let waiting = self.pollers.iter().filter(|poller| !poller.rested).count();
        let unsettled = self.followers.iter().filter(|follower| !follower.is_settled());
        let unsettled: Vec<_> = unsettled.map(|follower| (&follower.log.who, follower.speech)).collect();
        panic!(
            "seed {}: the world does not come to rest, {waiting} pollers and {unsettled:?} wait",
            self.seed
        );
    }
}
