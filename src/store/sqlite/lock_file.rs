//! Lock files: who writes a body, and whether that process is alive. A process has a file of its
//! own beside the database, and a lock on it that ends with the process, however that ends. A row
//! with a time in it would have to be renewed, and others would have to wait before they can
//! consider its writer dead.

use std::{
    ffi::OsStr,
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
};

const SUFFIX: &str = "-writer-";

/// The lock file of this opening of the database, as a writer of large bodies.
pub(super) struct LockFile {
    /// The id in the table of unfinished bodies.
    pub(super) id: i64,
    path: PathBuf,
    lock: Option<File>,
}

impl LockFile {
    /// `database` is the real path of the file.
    pub(super) fn new(database: &Path) -> Self {
        let id = (RandomState::new().hash_one(std::process::id()) >> 1) as i64;
        Self { id, path: path(database, id), lock: None }
    }

    /// Creates and locks the file, before the first unfinished body is in the database. In memory,
    /// no other process needs it.
    pub(super) fn create(&mut self, in_memory: bool) -> io::Result<()> {
        while self.lock.is_none() && !in_memory {
            let file = File::create(&self.path)?;
            file.lock()?;
            // Before it was locked, it looked stale and may have been removed.
            if self.path.try_exists()? {
                self.lock = Some(file);
            }
        }
        Ok(())
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            drop(fs::remove_file(&self.path));
            drop(lock);
        }
    }
}

fn path(database: &Path, id: i64) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!("{SUFFIX}{id:016x}"));
    name.into()
}

/// Whether the opening `id` has left no file, which means that it has ended.
pub(super) fn is_gone(database: &Path, id: i64) -> bool {
    path(database, id).try_exists().is_ok_and(|exists| !exists)
}

/// The file of an opening that has ended and could not remove it, locked by us.
pub(super) struct StaleLock {
    pub(super) id: i64,
    path: PathBuf,
    lock: File,
}

impl StaleLock {
    /// Removes the file, when nothing in the database refers to it any more.
    pub(super) fn close(self) {
        drop(fs::remove_file(&self.path));
        drop(self.lock);
    }
}

/// The files of openings that have ended. If the file system has no locks, none is known to have
/// ended.
pub(super) fn stale_locks(database: &Path) -> Vec<StaleLock> {
    let (Some(directory), Some(name)) = (database.parent(), database.file_name()) else {
        return Vec::new();
    };
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    let stale_lock = |file: io::Result<fs::DirEntry>| {
        let file = file.ok()?;
        let id = id_of(name, &file.file_name())?;
        let lock = File::open(file.path()).ok()?;
        lock.try_lock().ok()?;
        Some(StaleLock { id, path: file.path(), lock })
    };
    files.filter_map(stale_lock).collect()
}

fn id_of(database: &OsStr, file: &OsStr) -> Option<i64> {
    let rest = file.as_encoded_bytes().strip_prefix(database.as_encoded_bytes())?;
    let id = rest.strip_prefix(SUFFIX.as_bytes())?;
    i64::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_locks_are_told_from_live_ones() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("a.db");
        let ids = || {
            stale_locks(&database).into_iter().map(|stale_lock| stale_lock.id).collect::<Vec<_>>()
        };
        let mut alive = LockFile::new(&database);
        assert!(is_gone(&database, alive.id));
        alive.create(false).unwrap();
        assert!(ids().is_empty() && !is_gone(&database, alive.id));

        let mut dead = LockFile::new(&database);
        dead.create(false).unwrap();
        // A process that dies leaves it so.
        drop(dead.lock.take());
        assert_eq!(ids(), [dead.id]);
        assert!(stale_locks(&directory.path().join("b.db")).is_empty());
        stale_locks(&database).into_iter().for_each(StaleLock::close);
        assert!(ids().is_empty() && is_gone(&database, dead.id));

        let id = alive.id;
        drop(alive);
        assert!(is_gone(&database, id));
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
