//! Reading the store: rooms, heads, pages and records, each from one snapshot.

use std::sync::Arc;

use parlor_hub::encode::Encodings;
use parlor_hub::engine::{Begin, Head, Page, Range, Record, Resumed};
use parlor_hub::memory::epoch_of;
use parlor_hub::policy::Retention;
use parlor_hub::publication::{Author, Delivery, Form, Place, Publication};
use parlor_hub::resume::decide;
use parlor_hub::selector::Selector;
use parlor_proto::limits::{PAGE_BYTES, PAGE_MESSAGES};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema::{offset_of, row_of};

/// A room as the store has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredRoom {
    pub(super) no: u64,
    pub(super) head: Head,
    /// The oldest offset that is held; `head.offset + 1` if none is.
    pub(super) first: u64,
    /// The id of the message before `first`: who has seen that one has missed nothing.
    pub(super) gone_id: MessageId,
    /// Of all messages up to the head, and of those that are gone.
    pub(super) weight: u64,
    pub(super) gone_weight: u64,
    /// The time of the newest message; 0 if none is held.
    pub(super) time: u64,
    pub(super) keep: Retention,
}

impl StoredRoom {
    /// Whether it holds more messages or bytes than it keeps.
    pub(super) fn is_over(&self) -> bool {
        let held = self.head.offset + 1 - self.first;
        self.keep.messages.is_some_and(|most| held > most)
            || self.keep.bytes.is_some_and(|most| self.weight - self.gone_weight > most)
    }
}

const ROOM: &str =
    "SELECT no, epoch, first, gone_id, gone_seq, gone_weight, keep_messages, keep_bytes, keep_age
    FROM rooms WHERE name = ?1";

const NEWEST: &str = "SELECT row, id, seq, time, weight FROM messages
    WHERE row BETWEEN ?1 AND ?2 ORDER BY row DESC LIMIT 1";

const MESSAGE: &str =
    "SELECT row, seq, id, time, event, data, user, name, to_user, to_name, form, selector FROM messages";

/// The room of this name, if anything was ever published there.
pub(super) fn room(db: &Connection, name: &str) -> rusqlite::Result<Option<StoredRoom>> {
    let found = db.prepare_cached(ROOM)?.query_row([name], |row| {
        let gone_seq: u64 = row.get(4)?;
        let first: u64 = row.get(2)?;
        let gone_id = id(row, 3)?;
        let gone_weight = row.get(5)?;
        let head = Head {
            epoch: Epoch(row.get::<_, i64>(1)? as u64),
            offset: first - 1,
            id: gone_id,
            seq: gone_seq,
        };
        let keep = Retention { messages: row.get(6)?, bytes: row.get(7)?, age_ms: row.get(8)? };
        Ok(StoredRoom {
            no: row.get(0)?,
            head,
            first,
            gone_id,
            weight: gone_weight,
            gone_weight,
            time: 0,
            keep,
        })
    });
    let Some(mut room) = found.optional()? else { return Ok(None) };
    let newest = db
        .prepare_cached(NEWEST)?
        .query_row([row_of(room.no, room.first), row_of(room.no + 1, 0) - 1], |row| {
            Ok((offset_of(row.get(0)?), id(row, 1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        });
    if let Some((offset, id, seq, time, weight)) = newest.optional()? {
        room.head = Head { epoch: room.head.epoch, offset, id, seq };
        room.time = time;
        room.weight = weight;
    }
    Ok(Some(room))
}

/// A connection for reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) db: Connection,
    pub(super) secret: [u8; 16],
}

impl Reader {
    pub(super) fn head(&self, name: &RoomName) -> rusqlite::Result<Head> {
        let _snapshot = self.db.unchecked_transaction()?;
        Ok(room(&self.db, name.as_str())?.map_or_else(|| self.empty(name), |room| room.head))
    }

    pub(super) fn history(&self, name: &RoomName, range: Range, limit: u32) -> rusqlite::Result<Page> {
        let _snapshot = self.db.unchecked_transaction()?;
        match room(&self.db, name.as_str())? {
            Some(room) => self.page(name, &room, range, limit),
            None => Ok(Page { head: self.empty(name), messages: Vec::new(), more: false, first: 1 }),
        }
    }

    pub(super) fn resume(&self, name: &RoomName, begin: Begin) -> rusqlite::Result<Resumed> {
        let _snapshot = self.db.unchecked_transaction()?;
        let Some(room) = room(&self.db, name.as_str())? else {
            let head = self.empty(name);
            let page = |_| Page { head, messages: Vec::new(), more: false, first: 1 };
            return Ok(Resumed { head, outcome: decide(begin, head, 1, |_| None).map(page) });
        };
        let mut failure = None;
        let id_at = |offset| match self.id_at(&room, offset) {
            Ok(id) => id,
            Err(error) => {
                failure = Some(error);
                None
            }
        };
        let decision = decide(begin, room.head, room.first, id_at);
        if let Some(error) = failure {
            return Err(error);
        }
        let outcome = match decision {
            Ok(after) => Ok(self.page(name, &room, Range::After(after), PAGE_MESSAGES as u32)?),
            Err(lost) => Err(lost),
        };
        Ok(Resumed { head: room.head, outcome })
    }

    /// Rooms in the order of their names' bytes, which is how SQLite compares text.
    pub(super) fn rooms(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> rusqlite::Result<Vec<(RoomName, Head)>> {
        let _snapshot = self.db.unchecked_transaction()?;
        let mut statement = self.db.prepare_cached(
            "SELECT name FROM rooms WHERE name >= ?1 AND name > ?2 AND (name < '$' OR name >= '%')
             ORDER BY name LIMIT ?3",
        )?;
        let mut rows = statement.query((prefix, after.unwrap_or(""), limit))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str()?;
            if !name.starts_with(prefix) {
                break;
            }
            if let Some(room) = room(&self.db, name)? {
                found.push((RoomName::internal(name), room.head));
            }
        }
        Ok(found)
    }

    pub(super) fn record(&self, kind: &str, key: &str, now: u64) -> rusqlite::Result<Option<Record>> {
        self.db
            .prepare_cached(
                "SELECT key, value, version, expires FROM records
                 WHERE kind = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
            )?
            .query_row((kind, key, now), record)
            .optional()
    }

    pub(super) fn records(
        &self,
        kind: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: u64,
    ) -> rusqlite::Result<Vec<Record>> {
        let mut statement = self.db.prepare_cached(
            "SELECT key, value, version, expires FROM records
             WHERE kind = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) AND (expires IS NULL OR expires > ?4)
             ORDER BY key LIMIT ?5",
        )?;
        let mut rows = statement.query(params![kind, prefix, after, now, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if !row.get_ref(0)?.as_str()?.starts_with(prefix) {
                break;
            }
            found.push(record(row)?);
        }
        Ok(found)
    }

    /// Where a room stands that was never written to; its first message keeps the epoch.
    fn empty(&self, name: &RoomName) -> Head {
        Head { epoch: epoch_of(&self.secret, 0, name), offset: 0, id: MessageId::NIL, seq: 0 }
    }

    fn id_at(&self, room: &StoredRoom, offset: u64) -> rusqlite::Result<Option<MessageId>> {
        if offset + 1 == room.first {
            return Ok(Some(room.gone_id));
        }
        if offset < room.first {
            return Ok(None);
        }
        self.db
            .prepare_cached("SELECT id FROM messages WHERE row = ?1")?
            .query_row([row_of(room.no, offset)], |row| id(row, 0))
            .optional()
    }

    fn page(&self, name: &RoomName, room: &StoredRoom, range: Range, limit: u32) -> rusqlite::Result<Page> {
        let limit = (limit as usize).clamp(1, PAGE_MESSAGES);
        let (first, last) = (room.first, room.head.offset);
        // Offsets first..=last are held, without a gap.
        let (from, to) = match range {
            Range::After(offset) => (offset.saturating_add(1).max(first), last),
            Range::Before(None) => (first, last),
            Range::Before(Some(offset)) => (first, last.min(offset.saturating_sub(1))),
        };
        let mut messages = Vec::new();
        if from <= to {
            let order = if matches!(range, Range::After(_)) { "ASC" } else { "DESC" };
            let sql = format!("{MESSAGE} WHERE row BETWEEN ?1 AND ?2 ORDER BY row {order} LIMIT ?3");
            let mut statement = self.db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![row_of(room.no, from), row_of(room.no, to), limit])?;
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let message = publication(row, name, room.head.epoch)?;
                bytes += message.weight();
                if bytes > PAGE_BYTES && !messages.is_empty() {
                    break;
                }
                messages.push(Arc::new(message));
            }
        }
        let more = messages.len() as u64 != (to + 1).saturating_sub(from);
        if !matches!(range, Range::After(_)) {
            messages.reverse();
        }
        Ok(Page { head: room.head, messages, more, first })
    }
}

fn publication(row: &Row<'_>, room: &RoomName, epoch: Epoch) -> rusqlite::Result<Publication> {
    Ok(Publication {
        room: room.clone(),
        place: Some(Place { epoch, offset: offset_of(row.get(0)?), seq: row.get(1)? }),
        id: id(row, 2)?,
        time: row.get(3)?,
        event: row.get_ref(4)?.as_str()?.into(),
        form: Form::from_stored(row.get_ref(10)?.as_blob_or_null()?, row.get_ref(5)?.as_str()?),
        data: row.get_ref(5)?.as_str()?.into(),
        author: author(row, 6)?,
        to: author(row, 8)?,
        except: None,
        delivery: delivery(row, 11)?,
        encodings: Encodings::default(),
    })
}

/// Whom it is for. A selector that cannot be read is an error: the message must not reach everybody instead.
fn delivery(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Box<Delivery>>> {
    let Some(stored) = row.get_ref(column)?.as_blob_or_null()? else { return Ok(None) };
    let selector = Selector::from_stored(stored).ok_or(FromSqlError::InvalidType)?;
    Ok(Some(Box::new(Delivery::stored(selector))))
}

/// Two columns: the account and what people see.
fn author(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Author>> {
    let user = row.get_ref(column)?.as_str_or_null()?;
    let name = row.get_ref(column + 1)?.as_str_or_null()?;
    Ok(user.map(|user| Author { user: user.into(), name: name.unwrap_or(user).into() }))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        key: row.get(0)?,
        value: row.get(1)?,
        version: row.get::<_, i64>(2)? as u64,
        expires: row.get(3)?,
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageId> {
    row.get(column).map(|bytes| MessageId(u128::from_be_bytes(bytes)))
}
