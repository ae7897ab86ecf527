//! Cleaning up: messages that a room no longer keeps, keys and records that are too old. In small steps.

use parlor_proto::name::RoomName;
use rusqlite::{Connection, OptionalExtension};

use super::job::int;
use super::read::{self, StoredRoom, id};
use super::schema::{offset_of, row_of};
use super::settings::{SWEEP_ROOMS, SWEEP_ROWS};
use super::writer::Writer;

impl Writer {
    /// One transaction after the other, until nothing is left to do or somebody waits.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<()> {
        while self.sweep_step()? && self.shared.writes.is_empty() {}
        Ok(())
    }

    /// One transaction of a few milliseconds; whether there is more to do.
    fn sweep_step(&mut self) -> rusqlite::Result<bool> {
        self.begin()?;
        self.raise_floor(self.shared.order.last())?;
        let mut more = self.forget_keys(SWEEP_ROWS)? == SWEEP_ROWS;
        more |= self.forget_records()? == SWEEP_ROWS;
        let trimmed = self.trim_rooms(&mut more)?;
        self.commit()?;
        for (room, first) in trimmed {
            self.shared.heads.set_first(&room, first);
        }
        Ok(more)
    }

    /// Drops the oldest keys that no repeat can ask for any more, at most so many.
    pub(super) fn forget_keys(&self, most: usize) -> rusqlite::Result<usize> {
        let horizon = int(self.window.horizon(self.shared.now()));
        let mut oldest = self.db.prepare_cached("SELECT time FROM recent ORDER BY seq LIMIT 1")?;
        let oldest: Option<i64> = oldest.query_row([], |row| row.get(0)).optional()?;
        if most == 0 || oldest.is_none_or(|time| time > horizon) {
            return Ok(0);
        }
        self.db
            .prepare_cached(
                "DELETE FROM recent WHERE time <= ?1 AND seq IN (SELECT seq FROM recent ORDER BY seq LIMIT ?2)",
            )?
            .execute((horizon, most))
    }

    fn forget_records(&self) -> rusqlite::Result<usize> {
        self.db
            .prepare_cached(
                "DELETE FROM records WHERE (kind, key) IN
                 (SELECT kind, key FROM records WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
            )?
            .execute((int(self.shared.now()), SWEEP_ROWS))
    }

    /// Looks at some rooms that do not keep everything; the next step goes on behind them.
    fn trim_rooms(&mut self, more: &mut bool) -> rusqlite::Result<Vec<(RoomName, u64)>> {
        let rooms: Vec<(i64, String)> = self
            .db
            .prepare_cached(
                "SELECT no, name FROM rooms
                 WHERE coalesce(keep_messages, keep_bytes, keep_age) IS NOT NULL AND no > ?1 ORDER BY no LIMIT ?2",
            )?
            .query_map((self.sweep_after, SWEEP_ROOMS), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let now = self.shared.now();
        let mut trimmed = Vec::new();
        let mut rows = SWEEP_ROWS;
        self.sweep_after = if rooms.len() < SWEEP_ROOMS { 0 } else { self.sweep_after };
        for (no, name) in rooms {
            let name = RoomName::internal(name);
            let gone = match self.book.at_hand(&name) {
                Some(room) => trim(&self.db, room, now, rows)?,
                None => match read::room(&self.db, name.as_str())? {
                    Some(mut room) => trim(&self.db, &mut room, now, rows)?,
                    None => 0,
                },
            };
            if gone > 0 {
                rows -= gone;
                if let Some(room) = read::room(&self.db, name.as_str())? {
                    trimmed.push((name, room.first));
                }
            }
            if rows == 0 {
                *more = true;
                break;
            }
            if self.sweep_after != 0 || no > self.sweep_after {
                self.sweep_after = no;
            }
        }
        Ok(trimmed)
    }
}

/// Deletes messages from the front of a room that keeps less, at most so many; how many went.
pub(super) fn trim(db: &Connection, room: &mut StoredRoom, now: u64, most: usize) -> rusqlite::Result<usize> {
    let mut statement = db.prepare_cached(
        "SELECT row, weight, time, id, seq FROM messages WHERE row BETWEEN ?1 AND ?2 ORDER BY row LIMIT ?3",
    )?;
    let (oldest, newest) = (row_of(room.no, room.first), row_of(room.no, room.head.offset));
    let mut rows = statement.query((oldest, newest, most))?;
    let (mut kept, mut gone) = (*room, 0);
    while let Some(row) = rows.next()? {
        let (offset, weight, time) = (offset_of(row.get(0)?), row.get(1)?, row.get::<_, u64>(2)?);
        let too_old = kept.keep.age_ms.is_some_and(|age| time.saturating_add(age) < now);
        if !too_old && !kept.is_over() {
            break;
        }
        kept.first = offset + 1;
        kept.gone_id = id(row, 3)?;
        kept.gone_weight = weight;
        gone += 1;
        if gone == most || kept.first > kept.head.offset {
            break;
        }
    }
    if gone == 0 {
        return Ok(0);
    }
    drop(rows);
    let last = row_of(room.no, kept.first - 1);
    db.prepare_cached(
        "UPDATE rooms SET first = ?2, gone_id = ?3, gone_weight = ?4,
                gone_seq = (SELECT seq FROM messages WHERE row = ?5) WHERE no = ?1",
    )?
    .execute((kept.no, kept.first, kept.gone_id.0.to_be_bytes(), kept.gone_weight, last))?;
    db.prepare_cached("DELETE FROM messages WHERE row BETWEEN ?1 AND ?2")?.execute((oldest, last))?;
    *room = kept;
    Ok(gone)
}
