//! Who may open the file: any number of processes that share it, or one that has it alone.
//!
//! SQLite's own locks are taken for each transaction. This one is held as long as the file is open,
//! on an empty file beside it. Whoever leaves last removes that file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::fault::STORE;
use crate::store::{
    Error, ErrorKind, Result,
    disk::{file_id, io_kind},
};

const SUFFIX: &str = "-lock";

/// How long to wait for somebody who is leaving.
const BRIEFLY: Duration = Duration::from_millis(200);

/// The lock of one opening of the file.
#[derive(Debug)]
pub(super) struct Sharing {
    file: File,
    path: PathBuf,
}

impl Sharing {
    /// Takes the lock, shared with others or not. `database` is the real path of the file, and
    /// `given` the path for errors. Returns `None` where no file can be created: nobody can write
    /// to the database there.
    pub(super) fn new(database: &Path, given: &Path, is_exclusive: bool) -> Result<Option<Self>> {
        let mut path = database.as_os_str().to_owned();
        path.push(SUFFIX);
        let (path, begun) = (PathBuf::from(path), Instant::now());
        loop {
            let file = match private_file().create(true).truncate(false).open(&path) {
                Ok(file) => file,
                Err(_) if !is_exclusive => return Ok(None),
                Err(error) => return Err(failed(given, error)),
            };
            let locked = if is_exclusive { file.try_lock() } else { file.try_lock_shared() };
            match locked {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Self { file, path })),
                // Somebody has removed it meanwhile, and the next may have created another.
                Ok(()) => {}
                // Who leaves holds the lock for a moment.
                Err(TryLockError::WouldBlock) if begun.elapsed() < BRIEFLY => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => return Err(in_use(given, is_exclusive)),
                // Some file systems have no locks. SQLite does without them as well.
                Err(TryLockError::Error(_)) if !is_exclusive => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(given, error)),
            }
        }
    }
}

/// To write a file that only its owner can open if it is new.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Drop for Sharing {
    fn drop(&mut self) {
        // Nobody else has it.
        if self.file.try_lock().is_ok() {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn failed(given: &Path, error: io::Error) -> Error {
    let message = format!("cannot create or lock a file beside {}", given.display());
    Error::new(io_kind(error.kind()), STORE, message).with_source(error)
}

fn in_use(given: &Path, is_exclusive: bool) -> Error {
    let path = given.display();
    let message = if is_exclusive {
        format!(
            "{path} is in use by another process, or by another handle of this one; clone that \
             handle, or leave exclusive(true) out"
        )
    } else {
        format!("{path} is in use by a process that has opened it with exclusive(true)")
    };
    Error::new(ErrorKind::Unavailable, STORE, message)
}

/// Whether the path still names this file. Where files have no numbers, an open file cannot be
/// removed.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => file_id(&file) == file_id(&path),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shared_or_exclusive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let open = |is_exclusive| Sharing::new(&path, &path, is_exclusive);
        let (one, other) = (open(false).unwrap(), open(false).unwrap());
        assert_eq!(open(true).unwrap_err().kind(), ErrorKind::Unavailable);
        drop(one);
        assert!(open(true).is_err() && open(false).unwrap().is_some());
        drop(other);
        let alone = open(true).unwrap();
        assert!(open(true).is_err() && open(false).is_err());
        drop(alone);
        assert!(open(false).unwrap().is_some());
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
