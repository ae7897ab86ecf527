//! The tables of a store, and how an older one becomes the current one.

use rusqlite::Connection;

/// "Parl": SQLite's application id, by which `file` and we know our files.
pub(super) const APPLICATION_ID: i32 = 0x5061_726C;

/// The version of the store that this program writes.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Step n leads from version n to n + 1.
const MIGRATIONS: [&str; 3] = [V1, V2, V3];

/// Bits of a message's row that hold its offset; those above hold the number of its room. 2^27 rooms with 2^36
/// messages each, and a room's log is one range of one tree.
pub(super) const OFFSET_BITS: u32 = 36;

const V1: &str = "
-- One row about the whole store.
CREATE TABLE header (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    life BLOB NOT NULL,          -- 16 random bytes: this store and no other
    secret BLOB NOT NULL,        -- 16 random bytes: the key of all hashes
    clean INTEGER NOT NULL,      -- 1 if the last process that had it open closed it
    seq_floor INTEGER NOT NULL   -- no sequence number beyond it was ever used
) STRICT;

CREATE TABLE rooms (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,      -- the oldest offset that is held; that of the next message if none is
    gone_id BLOB NOT NULL,       -- of the newest message that was trimmed: its id,
    gone_seq INTEGER NOT NULL,   -- its sequence number,
    gone_weight INTEGER NOT NULL,-- and its `weight`
    keep_messages INTEGER,       -- what the policy said when somebody last published
    keep_bytes INTEGER,
    keep_age INTEGER             -- milliseconds
) STRICT;

CREATE INDEX rooms_trimmed ON rooms (no) WHERE coalesce(keep_messages, keep_bytes, keep_age) IS NOT NULL;

CREATE TABLE messages (
    row INTEGER PRIMARY KEY,     -- room number << 36 | offset
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    weight INTEGER NOT NULL,     -- of this message and of all before it in the room
    event TEXT NOT NULL,
    data TEXT NOT NULL,
    user TEXT,                   -- author, NULL for a backend
    name TEXT,
    to_user TEXT,                -- the other side of a direct message
    to_name TEXT
) STRICT;

-- Messages with a key, in the order in which they came; old ones are dropped from the front.
CREATE TABLE recent (
    seq INTEGER PRIMARY KEY,
    row INTEGER NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    key BLOB NOT NULL,
    body INTEGER NOT NULL
) STRICT;

CREATE TABLE records (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX records_expiring ON records (expires) WHERE expires IS NOT NULL;
";

/// What Socket.IO's events have beyond one value: how many arguments, and attachments. `NULL` is one value.
const V2: &str = "ALTER TABLE messages ADD COLUMN form BLOB;";

/// Whom a message is for, if not for all of its room. `NULL` is everybody.
const V3: &str = "ALTER TABLE messages ADD COLUMN selector BLOB;";

/// The number of the message at this place.
pub(super) fn row_of(room: u64, offset: u64) -> i64 {
    (room << OFFSET_BITS | offset) as i64
}

/// The offset within its room of the message with this number.
pub(super) fn offset_of(row: i64) -> u64 {
    row as u64 & ((1 << OFFSET_BITS) - 1)
}

/// Brings the store from version `from` to the current one, wholly or not at all.
pub(super) fn migrate(
    db: &mut Connection,
    from: i32,
    life: [u8; 16],
    secret: [u8; 16],
) -> rusqlite::Result<()> {
    let steps = MIGRATIONS.get(from as usize..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    if from == 0 {
        transaction.execute("INSERT INTO header VALUES (1, ?1, ?2, 1, 0)", (life, secret))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
