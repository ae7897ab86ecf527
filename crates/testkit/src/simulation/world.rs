//! `World`: who is there, and which move comes next.

mod mishaps;
mod rest;

use std::collections::HashMap;
use std::sync::Arc;

use parlor_hub::engine::Engine;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::policy::{Log, Policies, Policy, Presence, Retention};
use parlor_hub::{ConnectionId, Hub, Shard};

use super::client::Follower;
use super::disk::Disk;
use super::poller::Poller;
use super::publisher::Publisher;
use super::server::{Speech, Wire, author};
use super::store::{Shared, Store};
use super::{Counts, Run};
use crate::dice::Dice;
use crate::torture::{Note, Truth};

const START: u64 = 1_790_000_000_000;
const ROOMS: [&str; 6] = ["a", "b", "recent:a", "memory:a", "memory:b", "live:a"];
/// Rounds in which everything that is there is carried out; more than this in a row is not rest.
const ROUNDS: usize = 20_000;

pub(super) struct World {
    seed: u64,
    dice: Dice,
    now: u64,
    store: Arc<Store>,
    hub: Arc<Hub>,
    shards: Vec<Shard>,
    wires: Vec<Wire>,
    by_id: HashMap<ConnectionId, usize>,
    followers: Vec<Follower>,
    pollers: Vec<Poller>,
    publishers: Vec<Publisher>,
    /// The store's lives that are over.
    lives: Vec<Truth>,
    backup: Option<Disk>,
    plan: Plan,
    counts: Counts,
}

/// What kind of run it is.
struct Plan {
    workers: u64,
    moves: u64,
    /// Bytes of a message, at most.
    filling: u64,
    /// Messages that somebody writes in one go, at most.
    burst: u64,
    ring_bytes: Option<usize>,
    /// What is read may be ahead of what is spread: then nobody has a cursor.
    is_early: bool,
    /// The server is killed, and a backup is put back, once in so many moves.
    crash: u64,
    /// A client is cut once in so many moves.
    cut: u64,
    /// How eagerly clients read.
    reads: u64,
}

impl Plan {
    /// Behind a cursor a ring that had no room may go on as another one, of which nothing is missing either: the notes
    /// do not say which of both it is.
    fn has_cursors(&self) -> bool {
        !self.is_early && self.ring_bytes.is_none()
    }
}

fn policy(room: &str) -> Policy {
    let some = |messages| Retention { messages: Some(messages), ..Retention::KEEP };
    let log = match room.split_once(':').map(|(kind, _)| kind) {
        Some("live") => Log::None,
        Some("memory") => Log::Memory(some(40)),
        Some("recent") => Log::Stored(some(25)),
        _ => Log::Stored(Retention::KEEP),
    };
    let presence = if room == "a" { Presence::Members } else { Presence::Off };
    Policy { log, presence, ..Policy::BARE }
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan {
            workers: 1 + dice.roll(3),
            moves: 200 + dice.roll(600),
            filling: if dice.once_in(12) { 60_000 } else { 20 },
            burst: if dice.once_in(10) { 400 } else { 4 },
            ring_bytes: dice.once_in(4).then_some(12_000),
            is_early: dice.once_in(5),
            crash: *dice.pick(&[150, 400, 100_000]),
            cut: *dice.pick(&[15, 60, 200]),
            reads: 1 + dice.roll(4),
        };
        let (fork, truth) = (dice.fork(), Truth::default());
        let store = Store::open(Disk::default(), fork, 0, truth, plan.ring_bytes, plan.is_early);
        let (store, hub, shards) = start(store, plan.workers);
        let followers = (0..2 + dice.roll(5)).map(|n| {
            let speeches = [Speech::Frames, Speech::Lines, Speech::Events];
            let speech = *dice.pick(if plan.is_early { &speeches[..2] } else { &speeches });
            let rooms: Vec<&str> = ROOMS.into_iter().filter(|_| dice.once_in(2)).collect();
            Follower::new(format!("f{n}"), speech, if rooms.is_empty() { &ROOMS[..1] } else { &rooms })
        });
        let followers = followers.collect();
        let pollers = (0..if plan.has_cursors() { dice.roll(4) } else { 0 }).map(|n| {
            let rooms: Vec<&str> = ROOMS[..5].iter().copied().filter(|_| dice.once_in(2)).collect();
            Poller::new(format!("q{n}"), if rooms.is_empty() { &ROOMS[..1] } else { &rooms })
        });
        let pollers = pollers.collect();
        let publishers = (0..1 + dice.roll(4)).map(|n| {
            let backend = dice.once_in(2);
            Publisher::new(format!("p{n}"), *dice.pick(&[Speech::Frames, Speech::Lines]), backend)
        });
        World {
            seed,
            publishers: publishers.collect(),
            dice,
            now: START,
            store,
            hub,
            shards,
            wires: Vec::new(),
            by_id: HashMap::new(),
            followers,
            pollers,
            lives: Vec::new(),
            backup: None,
            plan,
            counts: Counts::default(),
        }
    }

    pub(super) fn play(mut self) -> Run {
        self.store.set_faults(true);
        for _ in 0..self.plan.moves {
            self.step();
        }
        self.store.set_faults(false);
        self.come_to_rest();
        for follower in &mut self.followers {
            follower.note(Note::Quiet);
            self.counts.add(follower.counts);
        }
        for poller in &mut self.pollers {
            poller.log.notes.push((self.lives.len(), Note::Quiet));
            self.counts.add(poller.counts);
        }
        self.counts.acked = self.publishers.iter().map(|publisher| publisher.acked).sum();
        self.lives.push(self.store.truth());
        let found = self.pollers.iter().flat_map(|poller| &poller.faults);
        let found = found.chain(self.followers.iter().flat_map(|follower| &follower.faults));
        let found = found.cloned().collect();
        let logs = self.followers.into_iter().map(|follower| follower.log);
        let logs = logs.chain(self.pollers.into_iter().flat_map(|poller| [poller.log, poller.twin]));
        let logs = logs.chain(self.publishers.into_iter().map(|publisher| publisher.log)).collect();
        Run { logs, lives: self.lives, found, counts: self.counts }
    }

    /// One move of anybody.
    fn step(&mut self) {
        self.now += self.dice.roll(40);
        match self.dice.roll(22) {
            0..5 => drop(self.store.step()),
            5..9 => {
                let worker = self.dice.index(self.shards.len());
                let whole = !self.dice.once_in(3);
                self.turn(worker, whole);
            }
            9..12 => self.publish(),
            12..18 => {
                let follower = self.dice.index(self.followers.len());
                for _ in 0..self.plan.reads {
                    self.follow(follower);
                }
            }
            18 => self.hub.tick(self.now),
            19 | 20 => {
                if !self.pollers.is_empty() {
                    let index = self.dice.index(self.pollers.len());
                    self.poll(index);
                }
            }
            _ => drop(self.find_out()),
        }
        if self.dice.once_in(self.plan.crash) {
            self.crash();
        }
        if self.dice.once_in(self.plan.cut) {
            self.cut();
        }
    }

    /// A worker's loop: what came, its mail, and what is to be written. Not `whole`: only its mail.
    fn turn(&mut self, worker: usize, whole: bool) -> bool {
        let mut worked = false;
        if whole {
            for index in self.wires_of(worker) {
                while self.wires[index].receive(&mut self.shards[worker], self.now) {
                    worked = true;
                    if self.dice.once_in(3) {
                        break;
                    }
                }
            }
        }
        let World { shards, wires, by_id, store, dice, now, .. } = self;
        let shard = &mut shards[worker];
        worked |= shard.receive_mail(*now, |shard, event| {
            // Other threads do not wait for this one.
            if dice.once_in(4) {
                store.step();
            }
            if let Some(index) = by_id.get(&connection(&event)) {
                wires[*index].handle(shard, event, *now);
            }
        });
        if !whole {
            return worked;
        }
        for wire in wires.iter_mut().filter(|wire| !wire.over && wire.id.worker() == worker as u16) {
            worked |= wire.go_on(shard, *now);
        }
        let mut dirty = Vec::new();
        shard.take_dirty(&mut dirty);
        let blocked = wires.iter().filter(|wire| wire.is_blocked() && wire.id.worker() == worker as u16);
        let mut slots: Vec<u32> = blocked.map(|wire| wire.id.slot()).chain(dirty).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let wire = shard.connection(slot).and_then(|id| by_id.get(&id));
            if let Some(index) = wire {
                worked |= wires[*index].flush(shard, *now);
            }
        }
        shard.continue_replays();
        worked
    }

    /// The worker's connections of this life that it still holds.
    fn wires_of(&self, worker: usize) -> Vec<usize> {
        let held = |wire: &Wire| !wire.over && usize::from(wire.id.worker()) == worker;
        (0..self.wires.len()).filter(|&index| held(&self.wires[index])).collect()
    }

    fn connect(&mut self, speech: Speech, who: &str) -> usize {
        let worker = self.dice.index(self.shards.len());
        let last = self.store.last();
        let shard = &mut self.shards[worker];
        let wire = Wire::open(shard, &mut self.dice, speech, author(who), last);
        self.by_id.insert(wire.id, self.wires.len());
        self.wires.push(wire);
        self.wires.len() - 1
    }

    /// A follower does something: connects, joins, reads.
    fn follow(&mut self, index: usize) {
        let Some(wire) = self.followers[index].wire else {
            let (speech, who) = (self.followers[index].speech, self.followers[index].log.who.clone());
            let wire = self.connect(speech, &who);
            let follower = &mut self.followers[index];
            follower.connected(wire, self.lives.len());
            let wire = &mut self.wires[wire];
            // A browser comes back with its last id.
            let by_id = self.plan.has_cursors() && self.dice.once_in(2);
            if !(by_id && follower.go_on_by_id(wire, &self.hub)) {
                follower.join_rooms(wire, &mut self.dice);
            }
            return;
        };
        let (follower, wire) = (&mut self.followers[index], &mut self.wires[wire]);
        let count = 1 + self.dice.index(2 << self.dice.clone().roll(16));
        follower.read(wire, count);
        if wire.over && wire.pipe.is_empty() {
            return follower.over(1006);
        }
        match self.dice.roll(30) {
            0 => follower.move_about(wire, &mut self.dice),
            1 if follower.speech != Speech::Events => drop(follower.join_rooms(wire, &mut self.dice)),
            _ => {}
        }
    }

    fn poll(&mut self, index: usize) {
        self.pollers[index].step(&self.hub, &self.store, self.lives.len(), &mut self.dice);
    }

    /// A publisher does something: connects, writes, says, reads.
    fn publish(&mut self) {
        let index = self.dice.index(self.publishers.len());
        if self.dice.once_in(2) {
            for _ in 0..=self.dice.roll(self.plan.burst) {
                let filling = self.dice.roll(self.plan.filling + 1) as usize;
                self.publishers[index].write(&ROOMS, filling, &mut self.dice);
            }
        }
        let most = 1 + self.dice.roll(self.plan.burst);
        self.talk(index, most);
    }

    fn talk(&mut self, index: usize, most: u64) -> bool {
        let (lives, faults) = (self.lives.len(), most < u64::MAX);
        let publisher = &mut self.publishers[index];
        let mut worked = false;
        if publisher.backend {
            publisher.connected(None, lives);
            let dice = &mut self.dice;
            worked |= publisher.take_answers(|| faults && dice.once_in(10));
        } else if publisher.wire.is_none() {
            let (speech, who) = (publisher.speech, publisher.log.who.clone());
            let wire = self.connect(speech, &who);
            self.publishers[index].connected(Some(wire), lives);
        }
        let World { publishers, wires, hub, now, .. } = self;
        let publisher = &mut publishers[index];
        let mut wire = publisher.wire.map(|wire| &mut wires[wire]);
        for _ in 0..most.min(1000) {
            let said = publisher.say(wire.as_deref_mut(), hub, *now);
            worked |= said;
            if !said {
                break;
            }
        }
        if let Some(wire) = wire {
            worked |= !wire.pipe.is_empty();
            publisher.read(wire, usize::MAX);
            if wire.over {
                publisher.over();
                worked = true;
            }
        }
        worked
    }
}

/// Starts a process over a store.
fn start(store: Store, workers: u64) -> (Arc<Store>, Arc<Hub>, Vec<Shard>) {
    let store = Arc::new(store);
    let mailboxes = (0..workers).map(|_| Arc::new(Mailbox::new(|| {}))).collect();
    let engine: Arc<dyn Engine> = Arc::new(Shared(Arc::clone(&store)));
    let hub = Hub::start(engine, mailboxes, Policies::new(policy), false);
    let shards = (0..workers as u16).map(|worker| Shard::new(Arc::clone(&hub), worker)).collect();
    (store, hub, shards)
}

fn connection(event: &parlor_hub::shard::Event) -> ConnectionId {
    use parlor_hub::shard::Event;
    match event {
        Event::Reply { connection, .. }
        | Event::Settled { connection, .. }
        | Event::Cut { connection, .. } => *connection,
    }
}
