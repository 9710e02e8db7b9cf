//! Opens the file: creates it, refuses files that are not ours, and finds damage.

use std::{io, path::Path};

use redb::{
    ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TableHandle,
    TransactionError, WriteTransaction,
};

use super::{
    builder::Config,
    fault::{self, STORE},
    quiet::{self, quietly},
    schema::{
        CHUNKS, ENTRIES, FORMAT, GARBAGE, INDEX, META, META_FORMAT, META_STATE, PENDING, PREFIX,
        State,
    },
};
use crate::store::{
    Error, ErrorKind, Result, disk,
    embedded::{Content, not_ours},
};

/// An open database.
pub(super) enum Opened {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
}

impl Opened {
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, TransactionError> {
        match self {
            Self::Writable(db) => db.begin_read(),
            Self::ReadOnly(db) => db.begin_read(),
        }
    }

    /// The database, if it may be written.
    pub(super) fn writable(&self) -> Option<&Database> {
        match self {
            Self::Writable(db) => Some(db),
            Self::ReadOnly(_) => None,
        }
    }

    pub(super) fn close(self) -> Result<(), redb::Error> {
        match self {
            Self::Writable(db) => Ok(db.close()?),
            Self::ReadOnly(db) => Ok(db.close()?),
        }
    }
}

/// Opens or creates the file.
pub(super) fn open(config: &Config) -> Result<Opened> {
    let path = &config.path;
    quiet::wrap_hook();
    quietly(|| {
        let wrong = |error| fault::error("cannot read", path, error);
        if config.read_only {
            let db = redb_builder(config).open_read_only(&config.file);
            let db = db.map_err(|error| refused(config, error.into()))?;
            inspect(&db).map_err(wrong)?.check(STORE, path, FORMAT)?;
            return Ok(Opened::ReadOnly(db));
        }
        prepare(config)?;
        let db = open_file(config, &config.file)?;
        settle(&db, config, inspect(&db).map_err(wrong)?)?;
        Ok(Opened::Writable(db))
    })
    .unwrap_or_else(|panic| Err(fault::panicked(path, panic.as_ref())))
}

/// Whether redb finds damage when it checks the whole file, or the row of counters is damaged.
pub(super) fn is_damaged(config: &Config) -> bool {
    let check = || -> Result<bool, redb::Error> {
        let db = redb_builder(config).set_check_integrity_on_open(true).open(&config.file)?;
        let meta = db.begin_read()?.open_table(META)?;
        let state = meta.get(META_STATE)?;
        Ok(state.is_some_and(|row| State::decode(row.value()).is_some()))
    };
    match quietly(check) {
        Ok(Ok(is_sound)) => !is_sound,
        Ok(Err(error)) => fault::kind(&error) == ErrorKind::Corrupt,
        Err(_) => true,
    }
}

fn redb_builder(config: &Config) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes);
    builder.set_concurrency_mode(if config.multi_process {
        ConcurrencyMode::MultiWriter
    } else {
        ConcurrencyMode::ExclusiveWriter
    });
    builder
}

/// Creates the directories and, if there is no file, the file.
///
/// It is created under another name and then renamed. redb writes its magic number last, so a
/// process that dies while it creates the file would leave one that cannot be told from a foreign
/// file.
fn prepare(config: &Config) -> Result<()> {
    let path = &config.file;
    if disk::prepare(STORE, path)? {
        return Ok(());
    }
    let failed = |error| disk::cannot_create(STORE, path, error);
    let fresh = tempfile::Builder::new()
        .prefix(".larder-")
        .suffix(".new")
        .tempfile_in(disk::directory_of(path))
        .map_err(failed)?
        .into_temp_path();
    let db = open_file(config, &fresh)?;
    let wrong = |error: redb::Error| fault::error("cannot create", path, error);
    write(&db, initialise).map_err(wrong)?;
    db.close().map_err(|error| wrong(error.into()))?;
    match fresh.persist_noclobber(path) {
        Ok(()) => Ok(()),
        // Another process was faster, and its file is as good.
        Err(_) if path.exists() => Ok(()),
        Err(refused) => Err(failed(refused.error)),
    }
}

fn open_file(config: &Config, path: &Path) -> Result<Database> {
    redb_builder(config).create(path).map_err(|error| refused(config, error.into()))
}

/// Why a file cannot be opened, and what to do.
fn refused(config: &Config, error: redb::Error) -> Error {
    let path = config.path.display();
    let (kind, message) = match error {
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            return not_ours(STORE, &config.path).with_source(error);
        }
        redb::Error::DatabaseAlreadyOpen => (
            ErrorKind::Unavailable,
            format!(
                "{path} is in use by another process, or by another handle of this one; clone \
                 that handle, or set multi_process(true) in every process"
            ),
        ),
        redb::Error::LockProtocolMismatch => (
            ErrorKind::Unavailable,
            format!("{path} is in use by a process with another version of redb"),
        ),
        redb::Error::UpgradeRequired(_) => (
            ErrorKind::Incompatible,
            format!(
                "{path} was written by an old version of redb; remove it and the cache starts empty"
            ),
        ),
        redb::Error::RepairAborted => (
            ErrorKind::Unavailable,
            format!(
                "{path} was not closed; open it once without read_only(true), or wait until the \
                 process that writes it has closed it"
            ),
        ),
        error => return fault::error("cannot open", &config.path, error),
    };
    Error::new(kind, STORE, message).with_source(error)
}

fn inspect(db: &impl ReadableDatabase) -> Result<Content, redb::Error> {
    let txn = db.begin_read()?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            let empty =
                txn.list_tables()?.next().is_none() && txn.list_multimap_tables()?.next().is_none();
            return Ok(if empty { Content::Nothing } else { Content::Foreign });
        }
        Err(error) => return Err(error.into()),
    };
    let Some(format) = meta.get(META_FORMAT)? else { return Ok(Content::Older) };
    let Ok(number) = <[u8; 4]>::try_from(format.value()) else { return Ok(Content::Older) };
    let number = u32::from_le_bytes(number);
    Ok(match number {
        FORMAT => Content::Ours,
        newer if newer > FORMAT => Content::Newer(newer),
        _ => Content::Older,
    })
}

fn settle(db: &Database, config: &Config, content: Content) -> Result<()> {
    let wrong = |error| fault::error("cannot write to", &config.path, error);
    match content {
        Content::Nothing => write(db, initialise).map_err(wrong),
        Content::Older if config.start_anew => write(db, |txn| {
            let ours: Vec<_> =
                txn.list_tables()?.filter(|table| table.name().starts_with(PREFIX)).collect();
            for table in ours {
                txn.delete_table(table)?;
            }
            initialise(txn)
        })
        .map_err(wrong),
        content => content.check(STORE, &config.path, FORMAT),
    }
}

/// Creates every table, so that no reader meets a missing one.
fn initialise(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(ENTRIES)?;
    txn.open_table(CHUNKS)?;
    txn.open_table(INDEX)?;
    txn.open_table(PENDING)?;
    txn.open_table(GARBAGE)?;
    let mut meta = txn.open_table(META)?;
    meta.insert(META_STATE, State::begin().encode().as_slice())?;
    meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    Ok(())
}

/// Runs a transaction of its own, synced.
pub(super) fn write(
    db: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    work(&txn)?;
    Ok(txn.commit()?)
}
