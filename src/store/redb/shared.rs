//! What all handles, readers and the writer thread share: the open database and the queue.

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

/// The database, which the writer thread reopens after an I/O error.
pub(super) struct Slot {
    pub(super) state: Open,
    /// The number of this opening.
    pub(super) opening: u64,
}

pub(super) enum Open {
    Yes(Database),
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
    /// A body that could not be collected because of a reader can be collected now.
    Collect,
    /// A reader met an error, in this opening, that only reopening can end.
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

    // Nothing panics while it holds the lock, so a poisoned lock guards a consistent value.
    pub(super) fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot_mut(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the current opening of the file.
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

    /// Begins a read transaction. Returns it with the number of the opening.
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
    pub(super) fn changed(&self) {
        let snapshot = {
            let mut latest = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            latest.changes += 1;
            latest.snapshot.take()
        };
        // Outside of the lock: dropping the last reference ends a transaction.
        drop(snapshot);
    }

    /// Turns a reader's error from redb into an error of the store. If only reopening helps, tells
    /// the thread.
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

    /// The thread has handled what it was told last.
    pub(super) fn poked(&self) {
        self.poked.store(false, Ordering::Relaxed);
    }

    /// Asks the thread to sync, close the file and end. Returns `None` if it has ended already.
    pub(super) fn close(&self) -> Option<oneshot::Receiver<Result<u64>>> {
        self.queue.close(Command::Close)
    }
}
