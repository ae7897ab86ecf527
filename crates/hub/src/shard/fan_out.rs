//! The fan-out: what waits in a worker's mailbox becomes bytes in the outboxes of its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use parlor_proto::codes::CloseCode;
use parlor_proto::name::RoomName;
use parlor_proto::position::MessageId;

use super::{Entry, Event, Quiet, Shard, mark};
use crate::encode::{self, WireFormat};
use crate::mailbox::Mail;
use crate::publication::Publication;
use crate::rooms::RoomKey;
use crate::selector::Selector;
use crate::slots::Slots;

/// Publications joined into one write, at most: a turn's bytes of one room stay within a page.
const RUN_MESSAGES: usize = 64;
const RUN_BYTES: usize = 64 * 1024;

impl Shard {
    /// Carries out what waits in the mailbox, in order, and hands `handle` what the worker has to do before the next
    /// mail is looked at: a reply to a join must be queued before what is published after it. Returns whether there
    /// was anything.
    pub fn receive_mail(&mut self, now: u64, mut handle: impl FnMut(&mut Shard, Event)) -> bool {
        let mut events = Vec::new();
        let mut mails = std::mem::take(&mut self.mails);
        self.hub.mailboxes[usize::from(self.worker)].swap(&mut mails);
        let any = !mails.is_empty();
        let mut run_room = None;
        let mut run_bytes = 0;
        for mail in mails.drain(..) {
            match mail {
                // Publications of one room that come together leave in one write.
                Mail::Publication(key, publication) => {
                    let is_for_all = publication.is_for_all();
                    let joins = run_room == Some(key)
                        && is_for_all
                        && self.run.len() < RUN_MESSAGES
                        && run_bytes < RUN_BYTES;
                    if !joins {
                        self.flush_run(run_room, now, &mut events);
                        events.drain(..).for_each(|event| handle(self, event));
                        run_bytes = 0;
                    }
                    run_bytes += publication.weight();
                    // One that leaves somebody out goes alone.
                    run_room = is_for_all.then_some(key);
                    self.run.push(publication);
                    if run_room.is_none() {
                        self.flush_run(Some(key), now, &mut events);
                    }
                }
                // Answers to publishes come between the publications: they wait for the end of the run.
                reply @ Mail::Reply { .. } if run_room.is_some() => self.replies.push(reply),
                other => {
                    self.flush_run(run_room.take(), now, &mut events);
                    self.receive_one(other, now, &mut events);
                    events.drain(..).for_each(|event| handle(self, event));
                }
            }
        }
        self.flush_run(run_room, now, &mut events);
        events.drain(..).for_each(|event| handle(self, event));
        self.mails = mails;
        any
    }

    fn receive_one(&mut self, mail: Mail, now: u64, events: &mut Vec<Event>) {
        match mail {
            Mail::Publication(..) => unreachable!("publications are taken in runs"),
            Mail::Send { connection, frames, volatile } => {
                let Some(entry) = self.entry(connection) else { return };
                if !volatile || entry.outbox.is_empty() {
                    self.queue(connection.slot(), frames, events);
                }
            }
            Mail::Enter { connection, room, key, format } => {
                self.enter(connection, &room, key, format, now);
            }
            Mail::Exit { connection, room } => {
                self.leave(connection, &room, now);
            }
            Mail::Direct(publication, pair) => self.fan_out_direct(&publication, &pair, events),
            Mail::Presence(key, change) => {
                let Some(room) = self.rooms.get(&key) else { return };
                let live = room.live.iter().map(|subscriber| subscriber.slot);
                let slots: Vec<u32> = live.chain(room.catching_up.iter().map(|entry| entry.slot)).collect();
                for slot in slots {
                    self.push_encoded(slot, |format| encode::presence(&change, format), events);
                }
            }
            Mail::Read { user, notice } => {
                for slot in self.users.get(&user).cloned().unwrap_or_default() {
                    self.push_encoded(slot, |format| encode::read(&notice, format), events);
                }
            }
            Mail::Live { connection, room, after, ticket } => {
                self.go_live(connection, room, after, ticket, events);
            }
            Mail::Resumed { connection, room, ticket, result } => {
                self.resumed(connection, room, ticket, result, now, events);
            }
            Mail::Page { connection, room, after, result } => {
                self.next_page(connection, room, after, result, events);
            }
            Mail::Reply { connection, ticket, result } => {
                self.outstanding = self.outstanding.saturating_sub(1);
                if self.contains(connection) {
                    events.push(Event::Reply { connection, ticket, result });
                }
            }
            Mail::EpochChanged(key) => {
                let Some(room) = self.rooms.get(&key) else { return };
                let mut slots: Vec<u32> = room.live.iter().map(|subscriber| subscriber.slot).collect();
                slots.extend(self.readers(key));
                slots.into_iter().for_each(|slot| self.cut(slot, CloseCode::POSITION_LOST, events));
            }
            Mail::Kick { connection, code } => {
                if self.contains(connection) {
                    self.cut(connection.slot(), CloseCode(code), events);
                }
            }
        }
    }

    /// Ends a run: its publications, then the answers that waited for it.
    fn flush_run(&mut self, key: Option<RoomKey>, now: u64, events: &mut Vec<Event>) {
        let mut run = std::mem::take(&mut self.run);
        if let Some(key) = key.filter(|_| !run.is_empty()) {
            match &run[..] {
                [one] if one.delivery.is_some() => self.fan_out_selected(key, one, events),
                _ => self.fan_out(key, &run, events),
            }
        }
        run.clear();
        self.run = run;
        let mut replies = std::mem::take(&mut self.replies);
        replies.drain(..).for_each(|reply| self.receive_one(reply, now, events));
        self.replies = replies;
    }

    /// Queues a run of publications for every subscriber of the room: the bytes once per wire format, then a
    /// reference to them per subscriber, no lock and no allocation.
    fn fan_out(&mut self, key: RoomKey, run: &[Arc<Publication>], events: &mut Vec<Event>) {
        let Some(room) = self.rooms.get_mut(&key) else { return };
        let mut encoded = encode::Run::new(run, self.hub.mailboxes.len() > 1, self.hub.engine().life());
        let first =
            run.first().and_then(|publication| publication.place).map_or(u64::MAX, |place| place.offset);
        // Behind it may stand what has no place.
        let last = run.iter().rev().find(|publication| publication.place.is_some());
        let last = last.and_then(|last| Some((newest(last), last.position()?)));
        if let Some((newest, last)) = last {
            room.newest = newest;
            room.quiet = Quiet::ended(room.given, room.passed).or(room.quiet);
            (room.passed, room.given) = (Some(last), last.offset);
        }
        let except = run.first().and_then(|publication| publication.except);
        let mut slow = false;
        for subscriber in &room.live {
            let Some(entry) = self.entries.get_mut(subscriber.slot) else { continue };
            let (bytes, messages) = if first > subscriber.after {
                if except == Some(entry.id) {
                    continue;
                }
                (encoded.whole(subscriber.format), run.len() as u32)
            } else {
                match encoded.after(subscriber.format, subscriber.after) {
                    Some(part) if except != Some(entry.id) => part,
                    _ => continue,
                }
            };
            self.delivered += u64::from(messages);
            if entry.outbox.push(bytes, messages).is_err() {
                slow = true;
                entry.cut = Some(CloseCode::SLOW);
            } else {
                mark(entry, &mut self.dirty, subscriber.slot);
            }
        }
        // Rare, so the list is walked again rather than carried through the loop above.
        if slow {
            let slots = room.live.iter().map(|subscriber| subscriber.slot);
            let slots: Vec<u32> = slots.filter(|&slot| is_cut(&self.entries, slot)).collect();
            slots.into_iter().for_each(|slot| self.cut(slot, CloseCode::SLOW, events));
        }
        self.hold_back_run(key, run, events);
        if let Some((_, last)) = last {
            self.reached(key, last.offset, events);
        }
    }

    /// Queues a publication for those whom its selector names, once each, or who are not busy, and says who they are if
    /// it asks for acks.
    fn fan_out_selected(&mut self, key: RoomKey, publication: &Arc<Publication>, events: &mut Vec<Event>) {
        let Some(delivery) = publication.delivery.as_deref() else { return };
        if let Some(room) = self.rooms.get_mut(&key) {
            room.newest = newest(publication).or(room.newest);
        }
        let slots = self.selected(key, &delivery.selector);
        let offset = publication.place.map_or(u64::MAX, |place| place.offset);
        let elsewhere: Vec<RoomKey> =
            delivery.selector.rooms.iter().filter_map(|room| self.keys.get(room).copied()).collect();
        let own = self.rooms.get(&key);
        let (given_to_all, passed) = own.map_or((0, None), |room| (room.given, room.passed));
        let own = own.map_or(&[][..], |room| &room.live);
        let life = self.hub.engine().life();
        let mut given = Vec::new();
        let mut slow = Vec::new();
        for slot in slots {
            let Some(entry) = self.entries.get_mut(slot) else { continue };
            let format = match entry.rooms.iter_mut().find(|joined| joined.key == key) {
                // Who catches up in the publication's own room finds it in the log.
                Some(joined) => own
                    .get(joined.index as usize)
                    .filter(|subscriber| offset > subscriber.after)
                    .map(|subscriber| {
                        // Noted before it is known whether it fits: what does not fit is missing all the same.
                        if let Some(place) = publication.place {
                            let silence = Quiet::ended(joined.given.max(given_to_all), passed);
                            joined.quiet = silence.map(Box::new).or(joined.quiet.take());
                            joined.given = place.offset;
                        }
                        subscriber.format
                    }),
                // Who is not in it at all gets it where it is live.
                None => entry
                    .rooms
                    .iter()
                    .find(|joined| elsewhere.contains(&joined.key))
                    .map(|joined| joined.format),
            };
            let Some(format) = format else { continue };
            let busy = delivery.volatile && !entry.outbox.is_empty();
            if publication.except == Some(entry.id) || busy {
                continue;
            }
            if entry.outbox.push(encode::publication(publication, format, life), 1).is_err() {
                slow.push(slot);
                continue;
            }
            mark(entry, &mut self.dirty, slot);
            self.delivered += 1;
            if delivery.ack.is_some() {
                given.push(entry.id);
            }
        }
        if let Some(ack) = &delivery.ack {
            ack.recipients.given(given);
        }
        slow.into_iter().for_each(|slot| self.cut(slot, CloseCode::SLOW, events));
        self.hold_back_selected(key, publication, events);
        if let Some(position) = publication.position() {
            if let Some(room) = self.rooms.get_mut(&key) {
                room.passed = Some(position);
            }
            self.reached(key, position.offset, events);
        }
    }

    /// The slots of those whom a selector names, each once.
    fn selected(&self, key: RoomKey, selector: &Selector) -> Vec<u32> {
        let live = |key: &RoomKey| self.rooms.get(key).map_or(&[][..], |room| &room.live);
        let mut slots: Vec<u32> = match selector.is_everybody() {
            true => live(&key).iter().map(|subscriber| subscriber.slot).collect(),
            false => {
                let rooms = selector.rooms.iter().filter_map(|room| self.keys.get(room));
                let listed = selector.connections.iter().filter(|id| self.contains(**id)).map(|id| id.slot());
                rooms
                    .flat_map(|key| live(key).iter().map(|subscriber| subscriber.slot))
                    .chain(listed)
                    .collect()
            }
        };
        if selector.rooms.len() + selector.connections.len() > 1 {
            slots.sort_unstable();
            slots.dedup();
        }
        if !selector.except.is_empty() || !selector.except_connections.is_empty() {
            slots.retain(|&slot| {
                self.entries.get(slot).is_some_and(|entry| !excludes(selector, &self.keys, entry))
            });
        }
        slots
    }

    fn fan_out_direct(
        &mut self,
        publication: &Arc<Publication>,
        pair: &[Arc<str>; 2],
        events: &mut Vec<Event>,
    ) {
        let mut slots = self.users.get(&pair[0]).cloned().unwrap_or_default();
        if pair[0] != pair[1] {
            slots.extend_from_slice(self.users.get(&pair[1]).map_or(&[], Vec::as_slice));
        }
        let life = self.hub.engine().life();
        for slot in slots {
            let entry = self.entries.get(slot);
            if self.is_held(slot) {
                self.hold_back(slot, publication, events);
            } else if entry.is_some_and(|entry| publication.except != Some(entry.id)) {
                self.push_encoded(
                    slot,
                    |format| Some(encode::publication(publication, format, life)),
                    events,
                );
            }
        }
    }

    fn push_encoded(
        &mut self,
        slot: u32,
        bytes: impl FnOnce(WireFormat) -> Option<Bytes>,
        events: &mut Vec<Event>,
    ) {
        let Some(entry) = self.entries.get(slot) else { return };
        let Some(bytes) = bytes(entry.format) else { return };
        self.delivered += 1;
        self.queue(slot, bytes, events);
    }

    /// Queues bytes for one connection, or cuts it as a slow reader.
    fn queue(&mut self, slot: u32, bytes: Bytes, events: &mut Vec<Event>) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        if entry.outbox.push(bytes, 1).is_err() {
            self.cut(slot, CloseCode::SLOW, events);
        } else {
            mark(entry, &mut self.dirty, slot);
        }
    }

    /// Queues publications for one connection in its wire format, as part of a replay: those that are for it.
    pub fn send_publications(&mut self, slot: u32, format: WireFormat, publications: &[Arc<Publication>]) {
        let life = self.hub.engine().life();
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let mut bytes = BytesMut::new();
        let mut count = 0;
        for publication in publications {
            let selector = publication.delivery.as_ref().map(|delivery| &delivery.selector);
            if selector.is_none_or(|selector| selects(selector, &self.keys, entry)) {
                bytes.extend_from_slice(&encode::publication(publication, format, life));
                count += 1;
                let key = self.keys.get(&publication.room);
                let joined = entry.rooms.iter_mut().find(|joined| Some(&joined.key) == key);
                if let (Some(joined), Some(place)) = (joined, publication.place) {
                    joined.given = place.offset;
                }
            }
        }
        if count > 0 {
            if !bytes.is_empty() {
                entry.outbox.push_unlimited(bytes.freeze(), count);
            }
            mark(entry, &mut self.dirty, slot);
        }
    }

    pub(crate) fn cut(&mut self, slot: u32, code: CloseCode, events: &mut Vec<Event>) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        entry.cut = Some(code);
        if code == CloseCode::SLOW {
            self.hub.stats.slow.fetch_add(1, Ordering::Relaxed);
        }
        events.push(Event::Cut { connection: entry.id, code });
    }
}

/// The place of a stored publication in everything that the store holds.
fn newest(publication: &Arc<Publication>) -> Option<(u64, MessageId)> {
    publication.place.map(|place| (place.seq, publication.id))
}

/// Whether a connection is among those whom a selector names, as [`Shard::selected`] finds them.
pub(super) fn selects(selector: &Selector, keys: &HashMap<RoomName, RoomKey>, entry: &Entry) -> bool {
    let named = selector.is_everybody()
        || selector.rooms.iter().any(|room| is_in(keys, entry, room))
        || selector.connections.contains(&entry.id);
    named && !excludes(selector, keys, entry)
}

fn excludes(selector: &Selector, keys: &HashMap<RoomName, RoomKey>, entry: &Entry) -> bool {
    selector.except.iter().any(|room| is_in(keys, entry, room))
        || selector.except_connections.contains(&entry.id)
}

fn is_in(keys: &HashMap<RoomName, RoomKey>, entry: &Entry, room: &RoomName) -> bool {
    keys.get(room).is_some_and(|key| entry.rooms.iter().any(|joined| joined.key == *key))
}

fn is_cut(entries: &Slots<Entry>, slot: u32) -> bool {
    entries.get(slot).is_some_and(|entry| entry.cut == Some(CloseCode::SLOW))
}
