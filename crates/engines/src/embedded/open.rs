//! Opening a data directory: what must hold before a store is trusted with anything.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::disk::network_filesystem;
use super::schema::{self, APPLICATION_ID};
use super::settings::Settings;

/// The oldest SQLite that is safe with several connections (its notes on the WAL-reset bug, 3.7.0 to 3.51.2).
const OLDEST_SQLITE: i32 = 3_051_003;

/// Sequence numbers that a process takes for itself at a time: those of a million stored messages. A restart skips
/// what is left of them, and 2^27 restarts fit.
pub(super) const SEQ_AHEAD: u64 = 1 << 36;

/// Why a data directory could not be opened. The sentences say what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    // Whoever starts the server has to choose something else.
    #[error("another process{} uses {dir}; stop it, or choose another data directory", of(*pid))]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error(
        "{dir} lies on a network filesystem ({kind}), where locks and syncs cannot be trusted; \
         choose a directory on a local disk"
    )]
    Network { dir: PathBuf, kind: &'static str },
    #[error(
        "{path} was written by a newer version of this program (store version {found}, this one knows \
         {known}); run that version, or choose another data directory"
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("{path} is a database, but not one of this program; choose another data directory")]
    Foreign { path: PathBuf },
    #[error("cannot use {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    // The disk or the file is damaged.
    #[error("cannot open {path}: {error}; if the file is damaged, restore a backup")]
    Store { path: PathBuf, error: rusqlite::Error },
    // Whoever built the program has to build it again.
    #[error(
        "this program runs with SQLite {found}; it needs the one that it is built with ({needed}), because older \
         and altered ones can damage a store: build it with rusqlite's `bundled` feature"
    )]
    Sqlite { found: String, needed: String },
}

fn of(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// An open store that nothing has been done with yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
    /// Held as long as the store is open; the system lets go of it when the process dies.
    pub(super) lock: File,
    pub(super) life: [u8; 16],
    pub(super) secret: [u8; 16],
    /// What makes the epochs of rings: they have another life at each start, also at one on an older copy of the store.
    pub(super) ring_secret: [u8; 16],
    /// The store was closed by the last process that had it open.
    pub(super) clean: bool,
    /// Every sequence number up to it may have been used.
    pub(super) last_seq: u64,
    /// Up to it they belong to this process.
    pub(super) seq_floor: u64,
}

pub(super) fn open(settings: &Settings, readers: usize) -> Result<Opened, OpenError> {
    check_sqlite()?;
    let dir = &settings.dir;
    make_private_dir(dir).map_err(|error| OpenError::Io { path: dir.clone(), error })?;
    if let Some(kind) = network_filesystem(dir) {
        return Err(OpenError::Network { dir: dir.clone(), kind });
    }
    let lock = lock(dir)?;
    let path = dir.join("parlor.db");
    open_store(settings, &path, lock, readers).map_err(|failure| match failure {
        Failure::Open(error) => error,
        Failure::Store(error) => OpenError::Store { path, error },
    })
}

enum Failure {
    Open(OpenError),
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Store(error)
    }
}

/// Beyond all numbers that were given out before this time, in milliseconds since 1970. They begin with 2026, grow by 2^33
/// a second, which are 131,072 messages, and stay below 2^62 until 2043; then the floor counts alone.
fn seq_at(time: u64) -> u64 {
    const BEGIN: u64 = 1_767_225_600;
    (time / 1000).saturating_sub(BEGIN).min(1 << 29) << 33
}

fn open_store(settings: &Settings, path: &Path, lock: File, readers: usize) -> Result<Opened, Failure> {
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let version: i32 = writer.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = writer.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = writer.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(Failure::Open(OpenError::Foreign { path: path.to_owned() }));
    }
    if version > schema::VERSION {
        let path = path.to_owned();
        return Err(Failure::Open(OpenError::Newer { path, found: version, known: schema::VERSION }));
    }
    prepare_writer(&writer, settings.max_bytes)?;
    schema::migrate(&mut writer, version, random()?, random()?)?;
    // The names in the directory must survive a power cut as well: that the store is there, and that the rollback
    // journal of its making is not. Otherwise that journal could come back later and undo everything.
    File::open(&settings.dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| Failure::Open(OpenError::Io { path: settings.dir.clone(), error }))?;

    let (life, secret, clean, floor): ([u8; 16], [u8; 16], bool, i64) =
        writer.query_row("SELECT life, secret, clean, seq_floor FROM header", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    // Between the floor and the one written now, numbers belong to this process alone. A backup that is put back must not
    // give out again what was given out since it was made: cursors from then would seem to be good.
    let last_seq = (floor as u64).max(seq_at((settings.clock)()));
    let seq_floor = last_seq + SEQ_AHEAD;
    writer.execute("UPDATE header SET clean = 0, seq_floor = ?1", [seq_floor as i64])?;
    let readers = (0..readers)
        .map(|_| {
            let reader = connect(path, OpenFlags::empty())?;
            reader.pragma_update(None, "query_only", true)?;
            reader.pragma_update(None, "cache_size", -4_000)?;
            Ok(reader)
        })
        .collect::<Result<_, Failure>>()?;
    let ring_secret = random()?;
    Ok(Opened { writer, readers, lock, life, secret, ring_secret, clean, last_seq, seq_floor })
}

fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    // One thread has a connection at a time, so SQLite need not lock it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let db = Connection::open_with_flags(path, flags)?;
    // Only another program, such as a backup, can hold a lock that we wait for.
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    // A mapped file turns a disk error into a signal that ends the process without a word.
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // One plan for whatever values: else SQLite parses a cached statement again for each new value that it could plan by.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

fn prepare_writer(writer: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    let _: String = writer.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    writer.pragma_update(None, "synchronous", "full")?;
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Space for the tails of many rooms.
    writer.pragma_update(None, "cache_size", -16_000)?;
    if let Some(bytes) = max_bytes {
        let page: i64 = writer.pragma_query_value(None, "page_size", |row| row.get(0))?;
        writer.pragma_update(None, "max_page_count", (bytes as i64 / page).max(1))?;
    }
    Ok(())
}

fn check_sqlite() -> Result<(), OpenError> {
    let store = |error| OpenError::Store { path: ":memory:".into(), error };
    let db = Connection::open_in_memory().map_err(store)?;
    let found: String = db.query_row("SELECT sqlite_source_id()", [], |row| row.get(0)).map_err(store)?;
    judge_sqlite(&found, rusqlite::version_number())
}

/// The SQLite that is linked must be the very one whose headers were compiled: the bundled one.
fn judge_sqlite(source: &str, version: i32) -> Result<(), OpenError> {
    let needed = rusqlite::ffi::SQLITE_SOURCE_ID.to_string_lossy();
    if source != needed || version < OLDEST_SQLITE {
        let found = format!("version {version} ({source})");
        return Err(OpenError::Sqlite { found, needed: needed.into_owned() });
    }
    Ok(())
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    match dir.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes the directory for this process, and writes down which one it is, for the message to the next.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let io = |error| OpenError::Io { path: path.clone(), error };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(OpenError::Locked { dir: dir.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let error = io::Error::other(error.to_string());
        Failure::Open(OpenError::Io { path: "the system's source of random numbers".into(), error })
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bundled_sqlite_will_do() {
        assert!(check_sqlite().is_ok());
        let bundled = rusqlite::ffi::SQLITE_SOURCE_ID.to_string_lossy();
        let debian = "2023-05-16 12:36:15 831d0fb2836b71c9bc51067c49fee4b8f18047814f2ff22d817d25195cf350b0";
        assert!(judge_sqlite(&bundled, OLDEST_SQLITE).is_ok());
        for (source, version) in [(&*bundled, 3_051_002), (debian, 3_040_001), (debian, 3_054_001)] {
            let error = judge_sqlite(source, version).unwrap_err();
            assert!(error.to_string().contains("rusqlite's `bundled` feature"), "{error}");
        }
    }
}
