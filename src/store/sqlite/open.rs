//! Opens the file: creates it, and refuses files that are not ours.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, TransactionBehavior, config::DbConfig};

use super::{
    builder::Config,
    fault::{self, Raw, STORE},
    link::{Link, Role},
    pool::READERS,
    schema::{APPLICATION, ENTRY_REMOVED, FORMAT, OBJECTS, TABLES},
    sharing::{Sharing, private_file},
};
use crate::store::{
    Error, ErrorKind, Result, disk,
    embedded::{Content, PATIENCE, not_ours},
};

/// What is open.
pub(super) struct Opened {
    /// `None` in memory, where the readers' one connection writes as well, and on a disk without
    /// room for the log.
    pub(super) writer: Option<Link>,
    pub(super) readers: Vec<Link>,
    /// Held as long as the file is open.
    pub(super) sharing: Option<Sharing>,
    /// The real path of the file, whatever happens to the current directory and to links.
    pub(super) path: PathBuf,
}

pub(super) fn open(config: &Config) -> Result<Opened> {
    if config.in_memory {
        let wrong = |error| fault::error("cannot create", &config.path, error);
        let mut link = Link::open(config, &config.path, Role::Only, 1).map_err(wrong)?;
        prepare_pages(&link.conn).map_err(wrong)?;
        settle(&mut link, config)?;
        let path = config.path.clone();
        return Ok(Opened { writer: None, readers: vec![link], sharing: None, path });
    }
    if config.read_only {
        return open_to_read(config);
    }
    let path = prepare(config)?;
    let sharing = Sharing::new(&path, &config.path, config.exclusive)?;
    let opened = match open_for_writing(config, &path) {
        Err(error) if error.kind() == ErrorKind::Full && has_empty_log(&path) => {
            open_unchanged(config, path).map_err(|_| error)
        }
        opened => opened,
    };
    Ok(Opened { sharing, ..opened? })
}

/// Opens the existing file at `path`.
pub(super) fn open_for_writing(config: &Config, path: &Path) -> Result<Opened> {
    let connect = |role, share| {
        Link::open(config, path, role, share)
            .map_err(|error| not_a_database(config, "cannot open", error))
    };
    let mut writer = connect(Role::Write, 2)?;
    // No request waits. In a file of this process alone, none does later either: what is written
    // is visible before it is committed, and would be lost.
    writer.set_patience(config.busy_timeout.max(PATIENCE));
    settle(&mut writer, config)?;
    if !config.exclusive {
        writer.set_patience(config.busy_timeout);
    }
    let readers = (0..READERS).map(|_| connect(Role::Read, 2 * READERS)).collect::<Result<_>>()?;
    Ok(Opened { writer: Some(writer), readers, sharing: None, path: path.to_owned() })
}

/// The length of the log. `None` if there is no log: the last process to have the database open has
/// closed it.
fn log_len(path: &Path) -> Option<u64> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(log) {
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(u64::MAX),
    }
}

/// Whether nothing of the database is in the log.
pub(super) fn has_empty_log(path: &Path) -> bool {
    log_len(path).is_none_or(|len| len == 0)
}

/// Opens a file that is only read, and writes nothing.
fn open_to_read(config: &Config) -> Result<Opened> {
    let path = fs::canonicalize(&config.path).map_err(|error| {
        let message = format!("cannot open {} to read it", config.path.display());
        Error::new(disk::io_kind(error.kind()), STORE, message).with_source(error)
    })?;
    if log_len(&path).is_none() {
        return open_unchanged(config, path);
    }
    match open_readers(config, path.clone(), Role::Read) {
        // A log that nobody has open can lie beside the file on a medium that cannot be written.
        Err(error) if has_empty_log(&path) => open_unchanged(config, path).map_err(|_| error),
        opened => opened,
    }
}

/// Opens a file that was closed, to be read as it is. SQLite needs no other file for that.
fn open_unchanged(config: &Config, path: PathBuf) -> Result<Opened> {
    open_readers(config, path, Role::ReadUnchanged)
}

fn open_readers(config: &Config, path: PathBuf, role: Role) -> Result<Opened> {
    let wrong = |error| not_a_database(config, "cannot read", error);
    let connect = || Link::open(config, &path, role, 2 * READERS).map_err(wrong);
    let readers = (0..READERS).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    if let Some(link) = readers.first() {
        link.patiently(inspect).map_err(wrong)?.check(STORE, &config.path, FORMAT)?;
    }
    Ok(Opened { writer: None, readers, sharing: None, path })
}

/// Creates the directories and, if there is no file, an empty one, which only its owner can read:
/// responses may be private. SQLite gives its other files the same permissions.
///
/// An existing file is not opened here, since closing it would release the locks that SQLite holds
/// on it in this process.
fn prepare(config: &Config) -> Result<PathBuf> {
    let path = &config.path;
    let failed = |error| disk::cannot_create(STORE, path, error);
    if !disk::prepare(STORE, path)? {
        make(path).map_err(failed)?;
    }
    fs::canonicalize(path).map_err(failed)
}

fn make(path: &Path) -> io::Result<()> {
    match private_file().create_new(true).open(path) {
        // Another process was faster, and its file is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

fn inspect(conn: &Connection) -> Raw<Content> {
    let pragma = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = pragma("PRAGMA application_id")?;
    let format = pragma("PRAGMA user_version")?.try_into().unwrap_or(0);
    let objects: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, format) {
        // Empty as well: one that was damaged, and is about to get its tables.
        (0 | APPLICATION, _) if objects == 0 => Content::Nothing,
        (APPLICATION, FORMAT) if has_all(conn)? => Content::Ours,
        (APPLICATION, FORMAT) => Content::Damaged,
        (APPLICATION, newer) if newer > FORMAT => Content::Newer(newer),
        (APPLICATION, _) => Content::Older,
        _ => Content::Foreign,
    })
}

fn has_all(conn: &Connection) -> Raw<bool> {
    let mut select =
        conn.prepare("SELECT count(*) FROM sqlite_schema WHERE type = ?1 AND name = ?2")?;
    for object in OBJECTS {
        if select.query_row(object, |row| row.get::<_, i64>(0))? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a database that is not ours, and creates or renews the tables.
fn settle(link: &mut Link, config: &Config) -> Result<()> {
    let path = &config.path;
    let content =
        link.patiently(inspect).map_err(|error| not_a_database(config, "cannot read", error))?;
    match content {
        Content::Nothing => {}
        Content::Older if config.start_anew => {}
        content => content.check(STORE, path, FORMAT)?,
    }
    let wrong = |error| fault::error("cannot write to", path, error);
    if !config.in_memory {
        // It needs a lock, and has no effect on a file that has its tables.
        if !matches!(content, Content::Ours) {
            link.patiently(prepare_pages).map_err(wrong)?;
        }
        let mode: String = link
            .patiently(|conn| conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)))
            .map_err(wrong)?;
        if mode != "wal" {
            let message = format!(
                "{} is on a file system where SQLite cannot share its log between processes; \
                 choose a path on a local disk",
                path.display()
            );
            return Err(Error::new(ErrorKind::Invalid, STORE, message));
        }
    }
    match content {
        // No lock is needed.
        Content::Ours => Ok(()),
        _ => renew(&mut link.conn).map_err(wrong),
    }
}

/// Settings that only an empty file accepts. Unused pages can be released, which costs nothing
/// measurable. Pages have twice the usual size, which halves the time to write large bodies and
/// does not slow down small ones.
fn prepare_pages(conn: &Connection) -> Raw<()> {
    conn.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL")
}

/// Creates the tables if they are missing or old. Checks again, since another process may have been
/// faster.
fn renew(conn: &mut Connection) -> Raw<()> {
    let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match inspect(&txn)? {
        Content::Nothing => {}
        Content::Older => {
            for (kind, name) in OBJECTS {
                txn.execute_batch(&format!("DROP {kind} IF EXISTS {name}"))?;
            }
        }
        _ => return Ok(()),
    }
    txn.execute_batch(TABLES)?;
    txn.execute_batch(ENTRY_REMOVED)?;
    txn.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}"
    ))?;
    txn.commit()
}

/// Counts the rows of counters that make sense.
const COUNTERS: &str = "SELECT cast(count(*) AS TEXT) FROM state
    WHERE typeof(last_body) = 'integer' AND last_body BETWEEN 0 AND 1 << 62";

/// Whether SQLite finds damage when it checks the file, or the row of counters is missing.
pub(super) fn is_damaged(conn: &Connection) -> bool {
    let check = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0));
    let is_sound = check("PRAGMA quick_check(1)").is_ok_and(|answer| answer == "ok");
    !is_sound || !has_all(conn).unwrap_or(true) || check(COUNTERS).is_ok_and(|rows| rows != "1")
}

/// Makes a damaged file an empty cache. Other processes that have it open see that.
pub(super) fn empty(link: &mut Link) -> Raw<()> {
    let conn = &mut link.conn;
    conn.flush_prepared_statement_cache();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    let reset = conn.execute_batch("VACUUM");
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)?;
    reset?;
    prepare_pages(conn)?;
    renew(conn)
}

/// A file that is not a database is foreign, not a damaged one of ours.
fn not_a_database(config: &Config, doing: &str, error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
        return not_ours(STORE, &config.path).with_source(error);
    }
    fault::error(doing, &config.path, error)
}
