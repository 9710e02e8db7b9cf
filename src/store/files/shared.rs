//! What all handles of an opening share: the index, the lock, the settings and the thread that
//! writes.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tempfile::TempDir;

use super::{
    fault::{self, STORE},
    folder::{self, Folder},
    lock::{LockFile, Staging},
    name::STAGING,
    view::View,
};
use crate::{
    Key,
    store::{Result, disk::Worker, evictions::Evictions},
};

/// The name of the lock below the hidden folder.
pub(super) const LOCK: &str = "lock";

/// How many paths are noted for a [`flush`](crate::store::Store::flush). After more changes, it
/// syncs all files.
const UNSYNCED: usize = 1 << 16;

/// What all handles and writers share. It ends with the last of them.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    /// The thread that does all changes, in the order of the calls.
    pub(super) worker: Worker,
    /// Removed with the last handle.
    _directory: Option<TempDir>,
}

impl Inner {
    pub(super) fn new(shared: Arc<Shared>, directory: Option<TempDir>) -> Self {
        Self { shared, worker: Worker::new(STORE, "write"), _directory: directory }
    }
}

/// What a flush is to sync.
#[derive(Debug)]
enum Unsynced {
    Paths(HashSet<Box<str>>),
    All,
}

impl Default for Unsynced {
    fn default() -> Self {
        Self::Paths(HashSet::new())
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) max_bytes: u64,
    pub(super) read_only: bool,
    pub(super) evictions: Evictions,
    pub(super) damaged: Arc<Damaged>,
    pub(super) view: Mutex<View>,
    pub(super) lock: Mutex<Option<LockFile>>,
    /// Created with the first unfinished file.
    staging: Mutex<Option<Staging>>,
    /// The number of the next unfinished file.
    next: AtomicU64,
    /// The files that were written and removed since the last flush.
    unsynced: Mutex<Unsynced>,
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
            damaged: Arc::default(),
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
            Some(staging) if staging.is_there() => &staging.path,
            _ => {
                self.folder.create_hidden()?;
                let new = Staging::create(&self.folder.hidden(""), STAGING, random_id())?;
                &staging.insert(new).path
            }
        };
        Ok(format!("{folder}/{number:x}").into())
    }

    /// Notes files that were written or removed, which a flush is to sync.
    pub(super) fn changed(&self, paths: impl IntoIterator<Item = Box<str>>) {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        if let Unsynced::Paths(noted) = &mut *unsynced {
            noted.extend(paths);
            if noted.len() >= UNSYNCED {
                *unsynced = Unsynced::All;
            }
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        let take = || {
            let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *unsynced)
        };
        let synced = match take() {
            Unsynced::Paths(paths) => {
                let paths: Vec<_> = paths.into_iter().collect();
                self.folder.sync(&paths).inspect_err(|_| self.changed(paths))
            }
            Unsynced::All => self.sync_all().inspect_err(|_| {
                *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner) = Unsynced::All;
            }),
        };
        synced?;
        match &self.view()?.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }

    fn sync_all(&self) -> Result<()> {
        let paths: Vec<_> = self.view()?.files().into_iter().collect();
        self.folder.sync(&paths)?;
        // Files were removed from these too.
        folder::sync_folders(self.folder.list()?.folders);
        Ok(())
    }
}

/// The entries that a lookup of this process could not use, with their versions. A removal leaves
/// their files in the folder: somebody may have edited them.
#[derive(Debug, Default)]
pub(super) struct Damaged(Mutex<HashMap<Key, u64>>);

impl Damaged {
    pub(super) fn note(&self, key: &Key, version: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, version);
    }

    /// Takes the note of an entry that is removed or replaced. Returns whether there was one of
    /// this version.
    pub(super) fn take(&self, key: &Key, version: u64) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        noted == Some(version)
    }
}

/// A number that is not drawn twice, for versions and families.
pub(super) fn random_id() -> u64 {
    RandomState::new().hash_one(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_knows_what_was_changed_since_the_last_one() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder { root: directory.path().to_owned() };
        let shared = Shared::new(folder, (1, false), None, View::default());
        let paths = || match &*shared.unsynced.lock().unwrap() {
            Unsynced::Paths(paths) => Some(paths.len()),
            Unsynced::All => None,
        };
        // It is gone, and its folder is to be synced.
        shared.changed(["a/b~01234567.json".into()]);
        assert_eq!(paths(), Some(1));
        shared.sync().unwrap();
        assert_eq!(paths(), Some(0));
        shared.changed((0..UNSYNCED).map(|number| number.to_string().into()));
        assert_eq!(paths(), None);
        shared.changed(["a".into()]);
        assert_eq!(paths(), None);
        shared.sync().unwrap();
        assert_eq!(paths(), Some(0));
    }
}
