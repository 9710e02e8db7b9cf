//! The open file, its snapshot for readers, and how it is reopened after an I/O error.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redb::{ReadOnlyTable, ReadTransaction};

use super::{
    builder::Config,
    change::Owner,
    fault::{self, STORE},
    open::{self, Opened},
    schema::{ENTRIES, KeyBytes},
};
use crate::store::{Error, ErrorKind, Result, disk, embedded::closed};

/// How long to wait before another attempt to open the file.
const PEACE: Duration = Duration::from_millis(100);

pub(super) struct Db {
    pub(super) config: Config,
    pub(super) owner: Owner,
    slot: RwLock<Slot>,
    snapshot: RwLock<Latest>,
    /// A reader met an error that only reopening can end.
    pub(super) is_broken: AtomicBool,
}

/// The database, which the writer thread reopens after an I/O error.
pub(super) struct Slot {
    pub(super) state: Open,
    /// The number of this opening.
    opening: u64,
    /// Which file was opened last.
    file_id: Option<(u64, u64)>,
    /// When the file could not be reopened.
    failed_at: Option<Instant>,
}

pub(super) enum Open {
    Yes(Opened),
    /// It could not be reopened; the next command tries again.
    Down(Error),
    Closed,
}

/// The state of the file after the last commit, kept open between lookups: beginning a transaction
/// and opening the table takes as long as the lookup itself.
#[derive(Default)]
struct Latest {
    /// The number of commits and openings. A reader that began before the last of them does not
    /// leave its snapshot here.
    changes: u64,
    snapshot: Option<Arc<Snapshot>>,
}

/// A read transaction with the table that every lookup begins with.
pub(super) struct Snapshot {
    pub(super) txn: ReadTransaction,
    pub(super) entries: ReadOnlyTable<&'static KeyBytes, &'static [u8]>,
    /// The opening of the file in which it was begun.
    pub(super) opening: u64,
    /// The number of commits and openings before it, or fewer.
    changes: u64,
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().and_then(|file| disk::file_id(&file))
}

impl Db {
    pub(super) fn open(mut config: Config) -> Result<Self> {
        let owner = Owner {
            id: RandomState::new().hash_one(std::process::id()),
            is_alone: !config.multi_process,
        };
        let db = open::open(&config)?;
        // Whatever happens to the current directory and to links.
        if let Ok(file) = fs::canonicalize(&config.path) {
            config.file = file;
        }
        let (state, file_id) = (Open::Yes(db), file_id(&config.file));
        Ok(Self {
            config,
            owner,
            slot: RwLock::new(Slot { state, opening: 0, file_id, failed_at: None }),
            snapshot: RwLock::default(),
            is_broken: AtomicBool::new(false),
        })
    }

    // Nothing panics while it holds the lock, so a poisoned lock guards a consistent value.
    pub(super) fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn closed(&self) -> Error {
        closed(STORE, &self.config.path)
    }

    /// Begins a read transaction. Returns it with the number of the opening.
    pub(super) fn begin_read(&self) -> Result<(ReadTransaction, u64)> {
        let (result, opening) = {
            let slot = self.slot();
            let result = match &slot.state {
                Open::Yes(db) => db.begin_read(),
                Open::Closed => return Err(self.closed()),
                Open::Down(why) => {
                    return Err(Error::new(ErrorKind::Unavailable, STORE, why.message()));
                }
            };
            (result, slot.opening)
        };
        match result {
            Ok(txn) => Ok((txn, opening)),
            Err(error) => Err(self.read_fault(error.into(), opening)),
        }
    }

    /// Returns the state of the file after the last commit.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let changes = {
            let latest = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(snapshot) = &latest.snapshot {
                return Ok(snapshot.clone());
            }
            latest.changes
        };
        let (txn, opening) = self.begin_read()?;
        let entries =
            txn.open_table(ENTRIES).map_err(|error| self.read_fault(error.into(), opening))?;
        let snapshot = Arc::new(Snapshot { txn, entries, opening, changes });
        // Commits of other processes are unknown here.
        if !self.config.multi_process {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            // A reader that began before the last commit may come later than another.
            if latest.changes == changes && latest.snapshot.is_none() {
                latest.snapshot = Some(snapshot.clone());
            }
        }
        Ok(snapshot)
    }

    /// Whether nothing has changed since the snapshot.
    pub(super) fn is_latest(&self, snapshot: &Snapshot) -> bool {
        let latest = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        latest.changes == snapshot.changes
    }

    /// The file has changed, or is about to be closed: releases the snapshot, so that it holds no
    /// page back.
    pub(super) fn changed(&self) {
        let snapshot = {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            latest.changes += 1;
            latest.snapshot.take()
        };
        // Outside of the lock: dropping the last reference ends a transaction.
        drop(snapshot);
    }

    /// Turns a reader's error from redb into an error of the store.
    pub(super) fn read_fault(&self, error: redb::Error, opening: u64) -> Error {
        if fault::needs_reopening(&error) {
            let slot = self.slot();
            if matches!(slot.state, Open::Closed) {
                return self.closed();
            }
            if slot.opening == opening {
                self.is_broken.store(true, Ordering::Release);
            }
        }
        fault::error("cannot read", &self.config.path, error)
    }

    pub(super) fn wrong(&self, error: redb::Error) -> Error {
        fault::error("cannot write to", &self.config.path, error)
    }

    /// Whether the path still names the file that was opened.
    pub(super) fn is_in_place(&self) -> bool {
        self.slot().file_id == file_id(&self.config.file)
    }

    /// Does nothing if the last attempt failed just now.
    pub(super) fn open_again(&self) {
        if self.slot().failed_at.is_some_and(|at| at.elapsed() < PEACE) {
            return;
        }
        let opened = open::open(&self.config);
        let mut slot = self.slot_mut();
        slot.opening += 1;
        self.is_broken.store(false, Ordering::Release);
        (slot.state, slot.failed_at) = match opened {
            Ok(db) => {
                slot.file_id = file_id(&self.config.file);
                (Open::Yes(db), None)
            }
            Err(error) => (Open::Down(error), Some(Instant::now())),
        };
    }
}
