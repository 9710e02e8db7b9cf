//! Who writes a body, and whether that process is still alive: it has a file of its own, beside the database, and a lock
//! on it that ends with the process, however that ends.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
};

/// This opening of the database, as a writer of large bodies.
pub(super) struct Owner {
    /// What stands in the table of unfinished bodies.
    pub(super) id: i64,
    path: PathBuf,
    lock: Option<File>,
}

impl Owner {
    /// `database` is the real path of the file.
    pub(super) fn new(database: &Path) -> Self {
        let id = (RandomState::new().hash_one(std::process::id()) >> 1) as i64;
        Self { id, path: path(database, id), lock: None }
    }

    /// Makes the file and locks it, before the first unfinished body is in the database. In memory there is no other
    /// process to tell.
    pub(super) fn appear(&mut self, in_memory: bool) -> io::Result<()> {
        if self.lock.is_some() || in_memory {
            return Ok(());
        }
        let file = File::create(&self.path)?;
        file.lock()?;
        self.lock = Some(file);
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.lock.take().is_some() {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn path(database: &Path, id: i64) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!("-writer-{id:016x}"));
    name.into()
}

/// Whether the opening `id` has ended.
pub(super) fn is_gone(database: &Path, id: i64) -> bool {
    match File::open(path(database, id)) {
        // Where there are no locks to be had, nobody can be said to be dead.
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Removes what a dead one has left.
pub(super) fn bury(database: &Path, id: i64) {
    drop(fs::remove_file(path(database, id)));
}
