//! What all handles, readers and the writer thread share: the readers' connections and the queue.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
    mpsc,
};

use bytes::Bytes;

use super::{
    builder::Config,
    change::{Entry, Purge},
    fault,
    pool::{Lent, Pool},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version,
        embedded::{self, Failure, Leases, Queue, Visited},
        evictions::Evictions,
    },
};

pub(super) type Envelope = embedded::Envelope<Command>;

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) visited: Visited,
    pub(super) evictions: Evictions,
    pub(super) leases: Arc<Leases>,
    pub(super) queue: Queue<Command>,
    pub(super) pool: Arc<Pool>,
    tokens: AtomicU64,
}

pub(super) enum Command {
    /// A full chunk of a body that is being written.
    Chunk {
        body: Arc<Incoming>,
        number: u32,
        data: Bytes,
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
    },
    Remove {
        key: Key,
        seen: Option<Version>,
    },
    Purge(Purge),
    Clear,
    Vacuum,
    /// A body that could not be collected because of a reader can be collected now.
    Collect,
    Close,
}

/// A body that is being written, as its writer and the thread know it.
pub(super) struct Incoming {
    pub(super) token: u64,
    /// Why it cannot be finished any more.
    pub(super) failed: OnceLock<Failure>,
}

impl Shared {
    pub(super) fn new(config: Config, pool: Arc<Pool>) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        let path = config.path.clone();
        let (queue, commands) = Queue::new(move || fault::closed(&path));
        let sender = queue.sender();
        let leases = Leases::new(move || drop(sender.send(Envelope::new(Command::Collect))));
        let (visited, evictions) = (Visited::new(), Evictions::default());
        let tokens = AtomicU64::new(0);
        (Arc::new(Self { config, visited, evictions, leases, queue, pool, tokens }), commands)
    }

    pub(super) fn incoming(&self) -> Arc<Incoming> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        Arc::new(Incoming { token, failed: OnceLock::new() })
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.pool.is_closed() {
            return Err(fault::closed(&self.config.path));
        }
        Ok(())
    }

    /// A connection to read from.
    pub(super) fn link(&self) -> Result<Lent> {
        self.pool.take().ok_or_else(|| fault::closed(&self.config.path))
    }

    /// Turns a reader's error from SQLite into an error of the store.
    pub(super) fn read_fault(&self, error: rusqlite::Error) -> crate::store::Error {
        fault::error("cannot read", &self.config.path, error)
    }

    /// Like [`read_fault`](Self::read_fault) for one entry: a column of the wrong type is damage to
    /// that entry, not to the file.
    pub(super) fn entry_fault(&self, key: &Key, error: rusqlite::Error) -> crate::store::Error {
        match error.sqlite_error_code() {
            None => fault::corrupt_entry(key, "a row that does not decode").with_source(error),
            Some(_) => self.read_fault(error),
        }
    }
}
