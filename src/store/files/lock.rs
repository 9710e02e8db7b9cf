//! The lock among processes, and the folder for what a process has not finished.
//!
//! Whoever changes the folder holds the lock for that moment. The file of the lock says where in
//! the log a change begins that is not done yet, so that the next holder can complete it if the
//! process dies.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{fault, stale};
use crate::store::{Error, ErrorKind, Result};

/// How long a process waits for the lock.
const WAIT: Duration = Duration::from_secs(10);

/// The file of a lock, which is not held by itself.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        stale::check_plain(&path)?;
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create(true).truncate(false).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(fault::io("open", &path, error)),
        }
    }

    /// The same for a reader, which may have no file to lock.
    pub(super) fn open_to_read(path: PathBuf) -> Option<Self> {
        stale::check_plain(&path).ok()?;
        File::open(&path).ok().map(|file| Self { path, file })
    }

    /// Whether others lock this file, too. They do not if it was removed or replaced.
    pub(super) fn is_in_place(&self) -> bool {
        stale::is_at(&self.file, &self.path)
    }

    fn fail(&self, doing: &str, error: io::Error) -> Error {
        fault::io(doing, &self.path, error)
    }

    /// Waits for the lock. Returns where a change begins that is not done, or 0.
    pub(super) fn lock(&mut self) -> Result<u64> {
        self.wait(File::try_lock, WAIT)?;
        match self.incomplete_at()? {
            Some(incomplete_at) => Ok(incomplete_at),
            // It is new. The bytes are reserved now, so that a full disk has them later.
            None => self.mark(0).map(|()| 0),
        }
    }

    /// Waits until nobody changes the folder. Returns the same.
    pub(super) fn lock_to_read(&mut self) -> Result<u64> {
        self.wait(File::try_lock_shared, WAIT)?;
        Ok(self.incomplete_at()?.unwrap_or(0))
    }

    #[cfg(test)]
    pub(super) fn is_marked(&mut self) -> bool {
        self.incomplete_at().unwrap().unwrap_or(0) != 0
    }

    fn incomplete_at(&mut self) -> Result<Option<u64>> {
        let mut incomplete_at = [0; 8];
        let read =
            self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read(&mut incomplete_at));
        let len = read.map_err(|error| self.fail("read", error))?;
        Ok((len == incomplete_at.len()).then(|| u64::from_le_bytes(incomplete_at)))
    }

    /// Waits for the lock. The system has no limit for that, so it is tried again and again.
    fn wait(
        &self,
        attempt: impl Fn(&File) -> Result<(), TryLockError>,
        limit: Duration,
    ) -> Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(50);
        loop {
            match attempt(&self.file) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if start.elapsed() < limit => {
                    thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!(
                        "another process has held {} for {} seconds; end it if it is stopped",
                        self.path.display(),
                        limit.as_secs()
                    );
                    return Err(Error::new(ErrorKind::Unavailable, fault::STORE, message));
                }
                Err(TryLockError::Error(error)) => return Err(self.fail("lock", error)),
            }
        }
    }

    /// Notes where a change begins, or 0 after its end. The caller has the lock.
    pub(super) fn mark(&mut self, from: u64) -> Result<()> {
        let bytes = from.to_le_bytes();
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&bytes));
        written.map_err(|error| self.fail("write", error))
    }

    pub(super) fn unlock(&self) {
        // The lock ends with the file in any case.
        drop(self.file.unlock());
    }
}

/// A folder for the unfinished files of one opening. It holds a lock of its own, by which others
/// know that the process lives.
#[derive(Debug)]
pub(super) struct Staging {
    /// The path below the hidden folder.
    pub(super) path: Box<str>,
    full: PathBuf,
    _lock: File,
}

/// The name of the lock in a folder for unfinished files.
const ALIVE: &str = "alive";

impl Staging {
    /// Creates the folder in `folder`, which is there.
    pub(super) fn create(hidden: &Path, folder: &str, number: u64) -> Result<Self> {
        let path = format!("{folder}/{number:016x}");
        let full = hidden.join(&path);
        let alive = full.join(ALIVE);
        let create = || {
            fs::create_dir(&full)?;
            let lock = File::create_new(&alive)?;
            lock.lock()?;
            Ok(lock)
        };
        loop {
            match create() {
                // Another process may have removed the folder before it was locked.
                Ok(_) if !alive.exists() => drop(fs::remove_dir_all(&full)),
                Ok(lock) => return Ok(Self { path: path.into(), full, _lock: lock }),
                Err(error) => {
                    drop(fs::remove_dir_all(&full));
                    return Err(fault::io("write", &full, error));
                }
            }
        }
    }

    /// Whether the folder is still there. A program that removes old temporary files may have
    /// removed it.
    pub(super) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.full).is_ok_and(|it| it.is_dir())
    }

    /// Removes the folders of processes that have died.
    pub(super) fn clean(folder: &Path) {
        for dead in fs::read_dir(folder).into_iter().flatten().flatten() {
            let dead = dead.path();
            // A folder without a lock is being made, or has nothing in it.
            let alive = dead.join(ALIVE);
            // Opening a pipe would wait for ever.
            if stale::check_plain(&alive).is_err() {
                continue;
            }
            let Ok(lock) = File::open(alive) else { continue };
            if lock.try_lock().is_ok() {
                drop(fs::remove_dir_all(dead));
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.full));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_lock_that_another_holds_is_waited_for_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut holder = LockFile::open(path.clone()).unwrap();
        assert_eq!(holder.lock().unwrap(), 0);
        let other = LockFile::open(path).unwrap();
        for attempt in [File::try_lock, File::try_lock_shared] {
            let error = other.wait(attempt, Duration::from_millis(20)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("another process has held"), "{error}");
        }
        let (tried, attempts) = mpsc::channel();
        let waiting = thread::spawn(move || {
            let attempt = |file: &File| {
                let locked = file.try_lock();
                tried.send(()).unwrap();
                locked
            };
            other.wait(attempt, Duration::from_secs(60))
        });
        // It has failed once.
        attempts.recv().unwrap();
        holder.unlock();
        waiting.join().unwrap().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let outside = directory.path().join("outside");
        fs::write(&outside, "something that is kept").unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        assert_eq!(LockFile::open(path.clone()).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(LockFile::open_to_read(path).is_none());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "something that is kept");
    }
}
