//! What all handles of an opening share: the index, the lock and the settings.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{
    fault,
    folder::Folder,
    lock::{LockFile, Staging},
    view::View,
};
use crate::store::{Result, evictions::Evictions};

/// The name of the lock below the hidden folder.
pub(super) const LOCK: &str = "lock";

/// The folder for unfinished files below the hidden folder.
pub(super) const STAGING: &str = "unfinished";

/// How many paths may wait for a [`flush`](crate::store::Store::flush) before they are synced
/// without one.
const UNSYNCED: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) max_bytes: u64,
    pub(super) read_only: bool,
    pub(super) evictions: Evictions,
    pub(super) view: Mutex<View>,
    pub(super) lock: Mutex<Option<LockFile>>,
    /// Created with the first unfinished file.
    staging: Mutex<Option<Staging>>,
    /// The number of the next unfinished file.
    next: AtomicU64,
    /// The files that were written since the last flush.
    unsynced: Mutex<HashSet<Box<str>>>,
}

impl Shared {
    pub(super) fn new(
        folder: Folder,
        (max_bytes, read_only): (u64, bool),
        lock: Option<LockFile>,
        view: View,
    ) -> Self {
        Self {
            folder,
            max_bytes,
            read_only,
            evictions: Evictions::default(),
            view: Mutex::new(view),
            lock: Mutex::new(lock),
            staging: Mutex::default(),
            next: AtomicU64::new(0),
            unsynced: Mutex::default(),
        }
    }

    /// The index, with what other processes have changed until now.
    pub(super) fn view(&self) -> Result<MutexGuard<'_, View>> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.follow(&self.folder)?;
        Ok(view)
    }

    /// The path of a new unfinished file, below the hidden folder.
    pub(super) fn unfinished(&self) -> Result<Box<str>> {
        if self.read_only {
            return Err(fault::read_only(&self.folder.root));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &*staging {
            Some(staging) => &staging.path,
            None => {
                let new = Staging::create(&self.folder.hidden(""), STAGING, draw())?;
                &staging.insert(new).path
            }
        };
        Ok(format!("{folder}/{number:x}").into())
    }

    /// Notes files that a flush is to sync.
    pub(super) fn written(&self, paths: impl IntoIterator<Item = Box<str>>) {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        unsynced.extend(paths);
        let is_full = unsynced.len() >= UNSYNCED;
        drop(unsynced);
        if is_full {
            // If that fails, the next flush tries again.
            drop(self.sync());
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        let paths: Vec<_> = unsynced.iter().cloned().collect();
        unsynced.clear();
        drop(unsynced);
        if let Err(error) = self.folder.sync(&paths) {
            self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend(paths);
            return Err(error);
        }
        match &self.view()?.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }
}

/// A number that is not drawn twice, for versions and families.
pub(super) fn draw() -> u64 {
    RandomState::new().hash_one(SystemTime::now())
}
