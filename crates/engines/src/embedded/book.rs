//! `Book`: what the writer knows of rooms without asking the store; `Heads`: what callers may know of it.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use parlor_hub::engine::Head;
use parlor_hub::memory::epoch_of;
use parlor_hub::policy::Retention;
use parlor_proto::name::RoomName;
use rusqlite::{Connection, params};

use super::job::int;
use super::read::{self, StoredRoom};
use super::schema::OFFSET_BITS;
use super::settings::ROOMS_CACHED;

/// The rooms that were written to last, as they stand in the open transaction.
#[derive(Debug)]
pub(super) struct Book {
    rooms: LruCache<RoomName, StoredRoom>,
    secret: [u8; 16],
}

impl Book {
    pub(super) fn new(secret: [u8; 16]) -> Book {
        Book { rooms: LruCache::new(capacity()), secret }
    }

    /// The room's entry, read from the store or made there if need be.
    pub(super) fn enter(
        &mut self,
        db: &Connection,
        name: &RoomName,
        keep: Retention,
    ) -> rusqlite::Result<&mut StoredRoom> {
        if !self.rooms.contains(name) {
            let room = match read::room(db, name.as_str())? {
                Some(room) => room,
                None => self.make(db, name)?,
            };
            self.rooms.put(name.clone(), room);
        }
        // It was just put there; a cache that holds one is never empty.
        let room = self.rooms.get_mut(name).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if room.keep != keep {
            db.prepare_cached(
                "UPDATE rooms SET keep_messages = ?2, keep_bytes = ?3, keep_age = ?4 WHERE no = ?1",
            )?
            .execute(params![
                room.no,
                keep.messages.map(int),
                keep.bytes.map(int),
                keep.age_ms.map(int)
            ])?;
            room.keep = keep;
        }
        Ok(room)
    }

    /// The room's entry if it is at hand.
    pub(super) fn at_hand(&mut self, name: &RoomName) -> Option<&mut StoredRoom> {
        self.rooms.peek_mut(name)
    }

    /// Forgets everything: the transaction that it described was taken back.
    pub(super) fn clear(&mut self) {
        self.rooms.clear();
    }

    fn make(&self, db: &Connection, name: &RoomName) -> rusqlite::Result<StoredRoom> {
        let epoch = epoch_of(&self.secret, 0, name);
        db.prepare_cached(
            "INSERT INTO rooms (name, epoch, first, gone_id, gone_seq, gone_weight) VALUES (?1, ?2, 1, ?3, 0, 0)",
        )?
        .execute((name.as_str(), epoch.0 as i64, [0u8; 16]))?;
        if db.last_insert_rowid() >> (63 - OFFSET_BITS) != 0 {
            // There is no number left for the room's messages.
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, db.last_insert_rowid()));
        }
        read::room(db, name.as_str())?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

/// Heads and first offsets of the rooms that were written to last, as they are committed. Only the writer puts
/// them here: a reader's answer may be older than what the writer has done since.
#[derive(Debug)]
pub(super) struct Heads {
    rooms: Mutex<LruCache<RoomName, (Head, u64)>>,
}

impl Heads {
    pub(super) fn new() -> Heads {
        Heads { rooms: Mutex::new(LruCache::new(capacity())) }
    }

    pub(super) fn get(&self, room: &RoomName) -> Option<(Head, u64)> {
        self.rooms().get(room).copied()
    }

    /// What the writer has committed.
    pub(super) fn set(&self, room: &RoomName, head: Head, first: u64) {
        let mut rooms = self.rooms();
        match rooms.get_mut(room) {
            Some(known) => *known = (head, first),
            None => drop(rooms.put(room.clone(), (head, first))),
        }
    }

    /// The same for a room that may not be known here.
    pub(super) fn set_first(&self, room: &RoomName, first: u64) {
        if let Some(known) = self.rooms().peek_mut(room) {
            known.1 = first;
        }
    }

    fn rooms(&self) -> MutexGuard<'_, LruCache<RoomName, (Head, u64)>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn capacity() -> NonZeroUsize {
    NonZeroUsize::new(ROOMS_CACHED).unwrap_or(NonZeroUsize::MIN)
}
