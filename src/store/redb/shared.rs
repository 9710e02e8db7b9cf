//! What every handle, every reader and the writer thread have in common: the open database and the way to the thread.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc,
};

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};
use tokio::sync::oneshot;

use super::{
    change::{Entry, Purge},
    fault,
    open::Config,
    schema::{ENTRIES, KeyBytes, TagDigest},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Error, Result, Version,
        embedded::{self, Failure, Leases, Queue, Visited},
        evictions::Evictions,
    },
};

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) visited: Visited,
    pub(super) evictions: Evictions,
    slot: RwLock<Slot>,
    snapshot: RwLock<Latest>,
    pub(super) queue: Queue<Command>,
    pub(super) leases: Arc<Leases>,
    tokens: AtomicU64,
    poked: AtomicBool,
}

/// The database, which an I/O error makes the writer thread open anew.
pub(super) struct Slot {
    pub(super) state: Open,
    /// Which opening this is.
    pub(super) opening: u64,
}

pub(super) enum Open {
    Yes(Database),
    /// It could not be opened again; the next command tries.
    Down(Failure),
    Closed,
}

/// The state of the file after the last commit, kept open between look-ups: beginning a transaction and finding the
/// table takes as long as the look-up itself.
#[derive(Default)]
struct Latest {
    /// How many commits and openings there were. A reader that began before the last of them does not leave its
    /// snapshot here.
    changes: u64,
    snapshot: Option<Arc<Snapshot>>,
}

/// A read transaction with the table that every look-up begins with.
pub(super) struct Snapshot {
    pub(super) txn: ReadTransaction,
    pub(super) entries: ReadOnlyTable<&'static KeyBytes, &'static [u8]>,
    /// In which opening of the file it was begun.
    pub(super) opening: u64,
}

pub(super) type Envelope = embedded::Envelope<Command>;

pub(super) enum Command {
    /// A full chunk of a body that is being written.
    Chunk {
        body: Arc<Incoming>,
        index: u32,
        payload: Bytes,
    },
    /// The body will not be finished.
    Abandon(Arc<Incoming>),
    Put {
        key: Key,
        entry: Box<Entry>,
        body: Option<Arc<Incoming>>,
    },
    Update {
        key: Key,
        seen: Version,
        head: Box<Head>,
        tags: Vec<TagDigest>,
    },
    Remove {
        key: Key,
        seen: Option<Version>,
    },
    Purge(Purge),
    Clear,
    /// A body that could not be collected, since it was being read, can be now.
    Collect,
    /// A reader met an error that only opening anew can end, in this opening.
    Reopen(u64),
    Close,
}

/// A body that is being written, as its writer and the thread know it.
pub(super) struct Incoming {
    pub(super) token: u64,
    /// Why it cannot be finished any more.
    pub(super) failed: OnceLock<Failure>,
}

impl Shared {
    pub(super) fn new(config: Config, db: Database) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        let path = config.path.clone();
        let (queue, commands) = Queue::new(move || fault::closed(&path));
        let sender = queue.sender();
        let leases = Leases::new(move || drop(sender.send(Envelope::new(Command::Collect))));
        let shared = Self {
            config,
            visited: Visited::new(),
            evictions: Evictions::default(),
            slot: RwLock::new(Slot { state: Open::Yes(db), opening: 0 }),
            snapshot: RwLock::default(),
            queue,
            leases,
            tokens: AtomicU64::new(0),
            poked: AtomicBool::new(false),
        };
        (Arc::new(shared), commands)
    }

    // Nothing panics while it holds the lock, and a poisoned one would still guard a whole value.
    pub(super) fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which opening of the file this is.
    pub(super) fn opening(&self) -> u64 {
        self.slot().opening
    }

    pub(super) fn incoming(&self) -> Arc<Incoming> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        Arc::new(Incoming { token, failed: OnceLock::new() })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.slot().state, Open::Yes(_))
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match self.slot().state {
            Open::Closed => Err(fault::closed(&self.config.path)),
            Open::Yes(_) | Open::Down(_) => Ok(()),
        }
    }

    /// Begins a read transaction; says in which opening.
    pub(super) fn begin_read(&self) -> Result<(ReadTransaction, u64)> {
        let (result, opening) = {
            let slot = self.slot();
            let result = match &slot.state {
                Open::Yes(db) => db.begin_read(),
                Open::Closed => return Err(fault::closed(&self.config.path)),
                Open::Down(failure) => {
                    let error = failure.as_unavailable();
                    self.poke(slot.opening);
                    return Err(error);
                }
            };
            (result, slot.opening)
        };
        match result {
            Ok(txn) => Ok((txn, opening)),
            Err(error) => Err(self.read_fault(error.into(), opening)),
        }
    }

    /// The state of the file after the last commit.
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
        // What other processes commit is not known here.
        if !self.config.multi_process {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            if latest.changes == changes {
                latest.snapshot = Some(snapshot.clone());
            }
        }
        Ok(snapshot)
    }

    /// The file has changed, or is about to be closed: what was kept open is let go, so that it holds no page back.
    pub(super) fn changed(&self) {
        let snapshot = {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            latest.changes += 1;
            latest.snapshot.take()
        };
        // Outside the lock: the last reference ends a transaction.
        drop(snapshot);
    }

    /// What a reader's error from redb is to the caller. Where only opening anew helps, the thread is told to.
    pub(super) fn read_fault(&self, error: redb::Error, opening: u64) -> Error {
        if fault::needs_reopening(&error) {
            let slot = self.slot();
            if matches!(slot.state, Open::Closed) {
                return fault::closed(&self.config.path);
            }
            if slot.opening == opening {
                self.poke(opening);
            }
        }
        fault::error("cannot read", &self.config.path, error)
    }

    pub(super) fn poke(&self, opening: u64) {
        if !self.poked.swap(true, Ordering::Relaxed) {
            self.queue.tell(Command::Reopen(opening));
        }
    }

    /// The thread has seen to what it was told last.
    pub(super) fn poked(&self) {
        self.poked.store(false, Ordering::Relaxed);
    }

    /// Asks the thread to sync, close the file and end; `None` where it has ended already.
    pub(super) fn close(&self) -> Option<oneshot::Receiver<Result<u64>>> {
        self.queue.close(Command::Close)
    }
}
