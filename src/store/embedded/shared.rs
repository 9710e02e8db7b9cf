//! What all handles, readers and the writer thread share.

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::{
    Durability, Envelope, Leases, Queue, ReadMode, Visited,
    command::{Command, Incoming},
    database::Database,
    failure::closed,
    overlay::Overlay,
};
use crate::store::{Error, ErrorKind, Result, Version, disk::too_large, evictions::Evictions};

/// How long a read waits for the recovery of the database.
const RECOVERY: Duration = Duration::from_secs(3);

/// The settings that the engine needs.
#[derive(Clone, Debug)]
pub(in crate::store) struct Settings {
    /// The path as it was given, for errors.
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) max_bytes: u64,
    pub(in crate::store) durability: Durability,
    pub(in crate::store) reads: Arc<ReadMode>,
    /// Other processes may have the file open as well.
    pub(in crate::store) is_shared: bool,
    /// Nothing is written.
    pub(in crate::store) is_read_only: bool,
}

impl Settings {
    /// Whether each commit is synced.
    pub(super) fn syncs_each_commit(&self) -> bool {
        self.durability == Durability::EachCommit
    }

    /// Whether small entries are visible before they are committed.
    pub(super) fn writes_behind(&self) -> bool {
        !self.is_shared && !self.syncs_each_commit()
    }
}

pub(in crate::store) struct Shared<D: Database> {
    pub(in crate::store) db: D,
    pub(in crate::store) settings: Settings,
    pub(super) visited: Visited,
    pub(super) evictions: Evictions,
    /// How many visible entries could not be committed.
    pub(super) unwritten: AtomicU64,
    pub(super) overlay: Overlay,
    pub(super) leases: Arc<Leases>,
    pub(super) queue: Queue,
    versions: Versions,
    tokens: AtomicU64,
    /// The thread was told that the database needs recovery, and has not begun it.
    is_poked: AtomicBool,
    /// How often the thread has recovered the database.
    recoveries: AtomicU64,
    is_recovering: AtomicBool,
    /// For readers that wait for a recovery.
    waits: Mutex<()>,
    recovered: Condvar,
}

/// Creates versions. They are random for each opening of the file: no other process creates the
/// same ones, and none returns after a crash has undone its first use.
struct Versions {
    random: RandomState,
    last: AtomicU64,
}

impl<D: Database> Shared<D> {
    pub(super) fn new(db: D, settings: Settings) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        let (queue, commands) = Queue::new(D::STORE, settings.path.clone());
        let sender = queue.sender();
        let leases = Leases::new(move || drop(sender.send(Envelope::new(Command::Collect))));
        let shared = Self {
            db,
            settings,
            visited: Visited::new(),
            evictions: Evictions::default(),
            unwritten: AtomicU64::new(0),
            overlay: Overlay::default(),
            leases,
            queue,
            versions: Versions { random: RandomState::new(), last: AtomicU64::new(0) },
            tokens: AtomicU64::new(0),
            is_poked: AtomicBool::new(false),
            recoveries: AtomicU64::new(0),
            is_recovering: AtomicBool::new(false),
            waits: Mutex::new(()),
            recovered: Condvar::new(),
        };
        (Arc::new(shared), commands)
    }

    pub(super) fn next_version(&self) -> Version {
        let number = self.versions.last.fetch_add(1, Ordering::Relaxed);
        Version::new(self.versions.random.hash_one(number))
    }

    pub(super) fn incoming(&self) -> Arc<Incoming> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        Arc::new(Incoming { token, failed: OnceLock::new() })
    }

    /// The error for an entry that takes more than the whole store may.
    pub(super) fn too_large(&self, bytes: u64) -> Error {
        too_large(D::STORE, bytes, self.settings.max_bytes)
    }

    /// Refuses changes to a file that is only read.
    pub(super) fn check_writable(&self) -> Result<()> {
        if !self.settings.is_read_only {
            return Ok(());
        }
        let path = self.settings.path.display();
        let message = format!("{path} is open to be read only; leave read_only(true) out");
        Err(Error::new(ErrorKind::Denied, D::STORE, message))
    }

    pub(super) fn closed(&self) -> Error {
        closed(D::STORE, &self.settings.path)
    }

    /// Runs a read, and turns a panic of the database into an error. If the database then needs
    /// recovery, tells the thread.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let result = self.db.guard(|| read(self));
        if result.is_err()
            && self.db.needs_recovery()
            && !self.is_poked.swap(true, Ordering::Relaxed)
        {
            self.queue.tell(Command::Recover);
        }
        result
    }

    /// Like [`read`](Self::read), on a thread that may wait: if the database fails and is being
    /// recovered, waits for that and reads again.
    pub(super) fn read_patiently<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            let seen = self.recoveries();
            let result = self.read(&read);
            if result.is_ok() || !self.may_be_recovered(seen) || begun.elapsed() >= RECOVERY {
                return result;
            }
            self.wait_for_recovery(seen);
        }
    }

    /// How often the database was recovered.
    pub(super) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Acquire)
    }

    /// Whether a read that failed, and had begun after `seen` recoveries, may succeed after
    /// another.
    pub(super) fn may_be_recovered(&self, seen: u64) -> bool {
        // In this order: the thread changes the last of them first.
        self.db.needs_recovery()
            || self.is_recovering.load(Ordering::Acquire)
            || self.recoveries() != seen
    }

    fn wait_for_recovery(&self, seen: u64) {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |(): &mut ()| self.recoveries() == seen;
        drop(self.recovered.wait_timeout_while(waits, RECOVERY, is_same));
    }

    /// The thread recovers the database by `recover`, or tries to.
    pub(super) fn recovering<T>(&self, recover: impl FnOnce(&D) -> T) -> T {
        self.is_recovering.store(true, Ordering::Release);
        let result = recover(&self.db);
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        self.recoveries.fetch_add(1, Ordering::Release);
        self.is_recovering.store(false, Ordering::Release);
        drop(waits);
        self.recovered.notify_all();
        result
    }

    /// The thread looks now whether the database needs recovery.
    pub(super) fn poked(&self) {
        self.is_poked.store(false, Ordering::Relaxed);
    }
}
