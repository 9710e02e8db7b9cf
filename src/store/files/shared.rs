//! What all handles of an opening share: the index, the lock and the settings.

use std::{
    collections::HashSet,
    fs,
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
    index::Index,
    lock::{LockFile, Staging},
    log::{Frame, Log},
};
use crate::{
    Key,
    store::{Result, evictions::Evictions},
};

/// The name of the index below the hidden folder.
pub(super) const INDEX: &str = "index";

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
    view: Mutex<View>,
    lock: Mutex<Option<LockFile>>,
    /// Created with the first unfinished file.
    staging: Mutex<Option<Staging>>,
    /// The number of the next unfinished file.
    next: AtomicU64,
    /// The files that were written since the last flush.
    unsynced: Mutex<HashSet<Box<str>>>,
}

/// The entries as this process knows them.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) index: Index,
    /// `None` if the folder is only read.
    pub(super) log: Option<Log>,
}

/// The lock, held.
pub(super) struct Locked<'a> {
    pub(super) shared: &'a Shared,
    lock: MutexGuard<'a, Option<LockFile>>,
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

    /// Waits for the lock, and completes what its last holder has left. A folder that is only read
    /// is locked against changes, if there is a lock.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begun = 0;
        if let Some(lock) = &mut *lock {
            if self.read_only {
                lock.lock_to_read()?;
            } else {
                begun = lock.lock()?;
            }
        }
        let mut locked = Locked { shared: self, lock };
        if !self.read_only {
            locked.catch_up(begun)?;
        }
        Ok(locked)
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
    pub(super) fn written(&self, paths: impl IntoIterator<Item = Box<str>>) -> Result<()> {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        unsynced.extend(paths);
        if unsynced.len() < UNSYNCED {
            return Ok(());
        }
        drop(unsynced);
        self.sync()
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

impl View {
    /// Reads what was appended to the log since.
    fn follow(&mut self, folder: &Folder) -> Result<()> {
        self.follow_all(folder).map(drop)
    }

    /// The same. Returns whether something follows the last frame, and whether the log says that
    /// there is another one, but there is none.
    fn follow_all(&mut self, folder: &Folder) -> Result<(bool, bool)> {
        let Some(log) = &mut self.log else { return Ok((false, false)) };
        let mut news = log.follow()?;
        let mut has_no_successor = log.is_ended;
        if log.is_ended
            && let Some(mut other) = Log::open(&folder.hidden(INDEX))?
        {
            // It may be the same file: the new one is not in its place yet.
            news = other.follow()?;
            has_no_successor = other.is_ended;
            *self = Self { index: Index::default(), log: Some(other) };
        }
        news.frames.iter().for_each(|frame| self.apply(frame));
        Ok((news.has_rest, has_no_successor))
    }

    pub(super) fn apply(&mut self, frame: &Frame) {
        match frame {
            Frame::Put { key, row, .. } => self.index.insert(Key::from_bytes(*key), row.clone()),
            Frame::Remove { key, .. } => drop(self.index.remove(&Key::from_bytes(*key))),
            Frame::Moved => {}
        }
    }

    /// The paths of all files of entries.
    pub(super) fn files(&self) -> HashSet<Box<str>> {
        let rows = self.index.keys().into_iter().filter_map(|key| self.index.get(&key).cloned());
        rows.flat_map(|row| row.files()).collect()
    }
}

impl Locked<'_> {
    /// Reads what others have changed, and completes the change that begins at `begun`.
    fn catch_up(&mut self, begun: u64) -> Result<()> {
        let shared = self.shared;
        let mut view = shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        let (has_rest, has_no_successor) = view.follow_all(&shared.folder)?;
        if let Some(log) = &mut view.log {
            if has_rest {
                log.cut()?;
            }
            let frames = if begun == 0 { Vec::new() } else { log.since(begun)? };
            if !frames.is_empty() {
                let files = view.files();
                let is_current = |frame: &Frame| match frame {
                    Frame::Put { key, row, .. } => view
                        .index
                        .get(&Key::from_bytes(*key))
                        .is_some_and(|current| current.version == row.version),
                    _ => true,
                };
                for frame in frames.iter().filter(|frame| is_current(frame)) {
                    // A file that another entry has by now stays.
                    carry_out(&shared.folder, frame, |path| !files.contains(path))?;
                }
            }
        }
        if has_no_successor {
            self.write_anew(&mut view)?;
        }
        drop(view);
        if begun == 0 { Ok(()) } else { self.mark(0) }
    }

    pub(super) fn mark(&mut self, from: u64) -> Result<()> {
        match &mut *self.lock {
            Some(lock) => lock.mark(from),
            None => Ok(()),
        }
    }

    /// Changes the log, the index and the files, in this order.
    ///
    /// Readers notice that the log has grown before a file is another one, so they never take the
    /// head of one version and the body of another. If the process dies, whoever has the lock next
    /// completes the change. If a file cannot be changed, the entries of the change are gone.
    pub(super) fn commit(&mut self, frames: &[Frame]) -> Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let shared = self.shared;
        // A removal needs no room: without it, the log leads to a file that is not there.
        let is_removal = frames.iter().all(|frame| matches!(frame, Frame::Remove { .. }));
        let mut view = shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_marked = false;
        if let Some(log) = &mut view.log {
            let logged = self.mark(log.end).and_then(|()| {
                is_marked = true;
                log.append(frames)
            });
            if let Err(error) = logged
                && !is_removal
            {
                drop(self.mark(0));
                return Err(error);
            }
        }
        frames.iter().for_each(|frame| view.apply(frame));
        drop(view);
        let done = frames.iter().try_for_each(|frame| carry_out(&shared.folder, frame, |_| true));
        if done.is_err() && !is_removal {
            self.undo(frames);
        }
        if is_marked {
            drop(self.mark(0));
        }
        done
    }

    /// Removes the entries of a change that failed.
    fn undo(&mut self, frames: &[Frame]) {
        let mut view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in frames {
            let Frame::Put { key, row, head, body, .. } = frame else { continue };
            let gone = Frame::Remove { key: *key, stale: Vec::new() };
            view.apply(&gone);
            if let Some(log) = &mut view.log {
                drop(log.append(&[gone]));
            }
            for path in row.files().iter() {
                drop(self.shared.folder.remove(path));
            }
            for staged in [head, body].into_iter().flatten() {
                drop(fs::remove_file(self.shared.folder.hidden(staged)));
            }
        }
    }

    /// Writes the log anew if most of it is outdated.
    pub(super) fn compact(&mut self) {
        let mut view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        let frames = view.log.as_ref().map_or(0, |log| log.frames);
        if frames > 1024 + 3 * view.index.len() {
            // Without room on the disk, it stays as it is.
            drop(self.write_anew(&mut view));
        }
    }

    fn write_anew(&self, view: &mut View) -> Result<()> {
        let shared = self.shared;
        let staged = shared.folder.hidden(&shared.unfinished()?);
        let frames: Vec<_> = view
            .index
            .keys()
            .into_iter()
            .filter_map(|key| {
                let row = (**view.index.get(&key)?).clone();
                let key = *key.as_bytes();
                Some(Frame::Put { key, row, head: None, body: None, stale: Vec::new() })
            })
            .collect();
        let path = shared.folder.hidden(INDEX);
        let announce = || match &mut view.log {
            Some(old) => old.append(&[Frame::Moved]),
            None => Ok(()),
        };
        view.log = Some(Log::create(&path, &staged, &frames, announce)?);
        Ok(())
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(lock) = &*self.lock {
            lock.unlock();
        }
    }
}

/// Changes the files as a frame says. It may have been done in part already.
fn carry_out(folder: &Folder, frame: &Frame, may_go: impl Fn(&str) -> bool) -> Result<()> {
    let (Frame::Put { stale, .. } | Frame::Remove { stale, .. }) = frame else { return Ok(()) };
    stale.iter().filter(|path| may_go(path)).try_for_each(|path| folder.remove(path))?;
    let Frame::Put { row, head, body, .. } = frame else { return Ok(()) };
    if head.is_some() {
        // The removal of a stale file may have removed its folder.
        folder.create_above(&row.path)?;
    }
    if let (Some(staged), Some(path)) = (body, row.body_path()) {
        folder.publish(staged, &path)?;
    }
    match head {
        Some(staged) => folder.publish(staged, &row.path),
        None => Ok(()),
    }
}

/// A number that is not drawn twice, for versions and families.
pub(super) fn draw() -> u64 {
    RandomState::new().hash_one(SystemTime::now())
}
