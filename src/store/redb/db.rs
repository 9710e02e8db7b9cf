//! redb as the database of the engine: the open file, its snapshot for readers, and how it is
//! reopened after an I/O error.

use std::{
    any::Any,
    fs,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction};

use super::{
    change::{Change, Owner},
    fault::{self, STORE},
    open::{self, Config, Opened},
    quiet::quietly,
    read::{self, Chunks, Cursor},
    record::{self, Location, record_len},
    schema::{CHUNK, ENTRIES, KeyBytes, digests},
};
use crate::{
    Key, event,
    store::{
        Error, ErrorKind, Result, Scanned,
        embedded::{Body, Database, Entry, Failure, Leases, Lookup, Page, Recovery, closed},
    },
};

/// How long to wait before another attempt to open the file.
const PEACE: Duration = Duration::from_millis(100);

pub(super) struct Db {
    pub(super) config: Config,
    owner: Owner,
    slot: RwLock<Slot>,
    snapshot: RwLock<Latest>,
    /// A reader met an error that only reopening can end.
    is_broken: AtomicBool,
}

/// The database, which the writer thread reopens after an I/O error.
struct Slot {
    state: Open,
    /// The number of this opening.
    opening: u64,
    /// When the file could not be reopened.
    failed_at: Option<Instant>,
}

enum Open {
    Yes(Opened),
    /// It could not be reopened; the next command tries again.
    Down(Failure),
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
        let state = Open::Yes(db);
        Ok(Self {
            config,
            owner,
            slot: RwLock::new(Slot { state, opening: 0, failed_at: None }),
            snapshot: RwLock::default(),
            is_broken: AtomicBool::new(false),
        })
    }

    // Nothing panics while it holds the lock, so a poisoned lock guards a consistent value.
    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> Error {
        closed(STORE, &self.config.path)
    }

    /// Begins a read transaction. Returns it with the number of the opening.
    pub(super) fn begin_read(&self) -> Result<(ReadTransaction, u64)> {
        let (result, opening) = {
            let slot = self.slot();
            let result = match &slot.state {
                Open::Yes(db) => db.begin_read(),
                Open::Closed => return Err(self.closed()),
                Open::Down(failure) => return Err(failure.as_unavailable()),
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
        let snapshot = Arc::new(Snapshot { txn, entries, opening });
        // Commits of other processes are unknown here.
        if !self.config.multi_process {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            if latest.changes == changes {
                latest.snapshot = Some(snapshot.clone());
            }
        }
        Ok(snapshot)
    }

    /// The file has changed, or is about to be closed: releases the snapshot, so that it holds no
    /// page back.
    fn changed(&self) {
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

    fn wrong(&self, error: redb::Error) -> Error {
        fault::error("cannot write to", &self.config.path, error)
    }

    /// Does nothing if the last attempt failed just now.
    fn open_again(&self) {
        if self.slot().failed_at.is_some_and(|at| at.elapsed() < PEACE) {
            return;
        }
        let opened = open::open(&self.config);
        let mut slot = self.slot_mut();
        slot.opening += 1;
        self.is_broken.store(false, Ordering::Release);
        (slot.state, slot.failed_at) = match opened {
            Ok(db) => (Open::Yes(db), None),
            Err(error) => (Open::Down(Failure::of(&error)), Some(Instant::now())),
        };
    }
}

impl Database for Db {
    const STORE: &'static str = STORE;
    const CHUNK: usize = CHUNK;
    /// Pages of a synced state are reusable only after the next sync, so a busy store that does not
    /// sync would make its file grow.
    const UNSYNCED: usize = 64 << 20;
    const LEISURE: Option<Duration> = None;
    /// redb refuses all work after an I/O error, and reopening it undoes what was not synced.
    const LOSES_UNSYNCED: bool = true;

    type Fault = redb::Error;
    type Chunks = Chunks;
    type Cursor = Cursor;
    type Connection = ();
    type Transaction<'t> = Change<'t>;

    fn get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Self>> {
        read::get(self, key, leases)
    }

    fn read_chunks(&self, rest: Box<Chunks>) -> Result<Page<Box<Chunks>, Bytes>> {
        rest.read_some(self)
    }

    fn list(&self, from: Cursor) -> Result<Page<Cursor, Scanned>> {
        read::list(self, from)
    }

    fn len(&self) -> Result<u64> {
        read::len(self)
    }

    fn size(&self) -> Result<u64> {
        read::size(self)
    }

    fn check_open(&self) -> Result<()> {
        match self.slot().state {
            Open::Closed => Err(self.closed()),
            Open::Yes(_) | Open::Down(_) => Ok(()),
        }
    }

    fn needs_recovery(&self) -> bool {
        self.is_broken.load(Ordering::Acquire) || matches!(self.slot().state, Open::Down(_))
    }

    fn catch<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
        quietly(work)
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Error {
        // It may have poisoned redb's locks.
        self.is_broken.store(true, Ordering::Release);
        fault::panicked(&self.config.path, panic)
    }

    fn cost(entry: &Entry) -> u64 {
        let len = entry.head.body_len();
        let (body, inline) = match &entry.body {
            Body::Inline(bytes) => {
                (Location::Inline { len: bytes.len() as u32, checksum: 0 }, bytes.len())
            }
            Body::Chunks { .. } => (Location::Chunks { id: 0, len }, 0),
        };
        let tags = digests(entry.head.tags()).len();
        record::cost(record_len(tags, entry.encoded.len(), inline), body)
    }

    fn body_cost(len: u64) -> u64 {
        record::cost(0, Location::Chunks { id: 0, len })
    }

    fn transact(
        &self,
        (): &mut (),
        is_synced: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), redb::Error>,
    ) -> Result<bool> {
        let wrong = |error: redb::Error| self.wrong(error);
        let mut txn = match &self.slot().state {
            Open::Yes(Opened::Writable(db)) => {
                db.begin_write().map_err(|error| wrong(error.into()))?
            }
            // The engine asks for no change.
            Open::Yes(Opened::ReadOnly(_)) => return Ok(false),
            Open::Down(failure) => return Err(failure.error()),
            Open::Closed => return Err(self.closed()),
        };
        if is_synced {
            // With the allocator's state saved, a crash needs no repair, which would read the whole
            // file.
            txn.set_quick_repair(true);
        } else {
            txn.set_durability(redb::Durability::None).map_err(|error| wrong(error.into()))?;
        }
        let change = || -> Result<bool, redb::Error> {
            let mut change = Change::begin(&txn, self.owner, self.config.max_bytes)?;
            work(&mut change)?;
            change.finish()
        };
        let is_edited = change().map_err(wrong)?;
        if is_edited {
            txn.commit().map_err(|error| wrong(error.into()))?;
            self.changed();
        } else {
            txn.abort().map_err(|error| wrong(error.into()))?;
        }
        Ok(is_edited)
    }

    /// An empty synced commit includes all unsynced ones before it.
    fn sync(&self, (): &mut ()) -> Result<Option<Duration>> {
        if let Open::Yes(db) = &self.slot().state
            && let Some(db) = db.writable()
        {
            open::write(db, |_| Ok(())).map_err(|error| self.wrong(error))?;
        }
        Ok(None)
    }

    /// Closes the file and opens it again. A damaged file that no other process has is replaced by
    /// an empty one. A panic may have another reason than damage, so the whole file is checked
    /// before.
    fn recover(&self, (): &mut (), why: &Failure) -> Recovery {
        let may_be_damaged =
            why.kind() == ErrorKind::Corrupt && self.owner.is_alone && !self.config.read_only;
        let down = Open::Down(why.clone());
        let open = std::mem::replace(&mut self.slot_mut().state, down);
        self.changed();
        match open {
            Open::Yes(db) => {
                event::restarted(STORE, why.message());
                // Closing may fail for the same reason. The locks are released nevertheless.
                drop(quietly(|| db.close().ok()));
                let is_emptied = may_be_damaged
                    && open::is_damaged(&self.config)
                    // If the file cannot be removed, opening it says why it cannot be used.
                    && fs::remove_file(&self.config.file).is_ok();
                self.open_again();
                if is_emptied {
                    return Recovery::Emptied;
                }
            }
            Open::Down(failure) => {
                self.slot_mut().state = Open::Down(failure);
                self.open_again();
            }
            Open::Closed => self.slot_mut().state = Open::Closed,
        }
        Recovery::Tried
    }

    fn close(&self, (): &mut ()) -> Result<()> {
        let open = std::mem::replace(&mut self.slot_mut().state, Open::Closed);
        self.changed();
        match open {
            Open::Yes(db) => {
                if let Some(db) = db.writable() {
                    open::write(db, |_| Ok(())).map_err(|error| self.wrong(error))?;
                }
                db.close().map_err(|error| self.wrong(error))
            }
            Open::Down(failure) => Err(failure.error()),
            Open::Closed => Ok(()),
        }
    }
}
