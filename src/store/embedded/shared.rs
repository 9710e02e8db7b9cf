//! What all handles, readers and the writer thread share.

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    COMMAND, Durability, Envelope, Leases, QUEUE, ReadMode, Reply, Visited,
    command::{Command, Incoming},
    database::Database,
    failure::closed,
    overlay::Overlay,
    write_budget::{Permit, WriteBudget},
};
use crate::store::{Error, ErrorKind, Result, Version, disk::too_large, evictions::Evictions};

/// How long a read waits for the recovery of the database.
const RECOVERY: Duration = Duration::from_secs(3);
/// How long it waits at a time.
const PAUSE: Duration = Duration::from_millis(2);

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
    sender: mpsc::Sender<Envelope>,
    budget: Arc<WriteBudget>,
    tokens: AtomicU64,
    /// The thread was told that the database needs recovery, and has not begun it.
    is_poked: AtomicBool,
    /// How often the thread has recovered the database.
    recoveries: AtomicU64,
    is_recovering: AtomicBool,
}

impl<D: Database> Shared<D> {
    pub(super) fn new(db: D, settings: Settings) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        let (sender, commands) = mpsc::channel();
        let collector = sender.clone();
        // A commit collects what it can.
        let leases = Leases::new(move || drop(collector.send(Envelope::new(Command::Settle))));
        let shared = Self {
            db,
            settings,
            visited: Visited::new(),
            evictions: Evictions::default(),
            unwritten: AtomicU64::new(0),
            overlay: Overlay::default(),
            leases,
            sender,
            budget: WriteBudget::new(QUEUE),
            tokens: AtomicU64::new(0),
            is_poked: AtomicBool::new(false),
            recoveries: AtomicU64::new(0),
            is_recovering: AtomicBool::new(false),
        };
        (Arc::new(shared), commands)
    }

    /// Creates a version. It is random: no other process creates the same one, and it does not
    /// return after a crash has undone its first use.
    pub(super) fn next_version(&self) -> Version {
        Version::new(RandomState::new().hash_one(()))
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

    // ----- commands for the writer thread -----

    /// Sends a command that nobody waits for. If the thread has ended, there is nothing to do.
    pub(super) fn tell(&self, command: Command) {
        drop(self.sender.send(Envelope::new(command)));
    }

    /// Waits for a permit for a command that carries `bytes`.
    pub(super) async fn permit(&self, bytes: usize) -> Permit {
        self.budget.acquire(bytes.clamp(COMMAND, QUEUE)).await
    }

    /// Sends a command that has its permit.
    pub(super) fn send(&self, command: Command, reply: Reply, permit: Permit) -> Result<()> {
        self.sender
            .send(Envelope { command, reply, permit: Some(permit) })
            .map_err(|_| self.closed())
    }

    /// Sends a command and waits for its outcome.
    pub(super) async fn ask(&self, command: Command, bytes: usize) -> Result<u64> {
        let permit = self.permit(bytes).await;
        self.ask_with(command, permit).await
    }

    /// Like [`ask`](Self::ask), for a command that has its permit.
    pub(super) async fn ask_with(&self, command: Command, permit: Permit) -> Result<u64> {
        let (reply, outcome) = oneshot::channel();
        self.send(command, Some(reply), permit)?;
        outcome.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Sends a command without waiting for a permit. Returns `None` if the thread has ended
    /// already.
    pub(super) fn send_now(&self, command: Command) -> Option<oneshot::Receiver<Result<u64>>> {
        let (reply, outcome) = oneshot::channel();
        let envelope = Envelope { command, reply: Some(reply), permit: None };
        self.sender.send(envelope).is_ok().then_some(outcome)
    }

    // ----- reads, and the recovery of the database -----

    /// Runs a read, and turns a panic of the database into an error. If the database then needs
    /// recovery, tells the thread.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let result = self.db.guard(|| read(self));
        if result.is_err()
            && self.db.needs_recovery()
            && !self.is_poked.swap(true, Ordering::Relaxed)
        {
            self.tell(Command::Recover);
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
            while self.recoveries() == seen && begun.elapsed() < RECOVERY {
                thread::sleep(PAUSE);
            }
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

    /// The thread recovers the database by `recover`, or tries to.
    pub(super) fn recovering<T>(&self, recover: impl FnOnce(&D) -> T) -> T {
        self.is_recovering.store(true, Ordering::Release);
        let result = recover(&self.db);
        self.recoveries.fetch_add(1, Ordering::Release);
        self.is_recovering.store(false, Ordering::Release);
        result
    }

    /// The thread looks now whether the database needs recovery.
    pub(super) fn poked(&self) {
        self.is_poked.store(false, Ordering::Relaxed);
    }
}
