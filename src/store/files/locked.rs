//! [`Locked`]: the lock, and how a change is made under it so that it can be completed if the
//! process dies.

use std::{
    fs, slice,
    sync::{Arc, MutexGuard, PoisonError},
};

use super::{
    folder::Folder,
    index::Row,
    lock::LockFile,
    log::{Frame, Log},
    shared::{LOCK, Shared},
    view::{INDEX, View},
};
use crate::{Key, store::Result};

/// How often the lock file is opened again. Some file systems change the numbers of their files,
/// and the file would always look replaced.
const TRIES: usize = 3;

/// The lock, held.
pub(super) struct Locked<'a> {
    pub(super) shared: &'a Shared,
    lock: MutexGuard<'a, Option<LockFile>>,
    /// Where a change began that nobody has completed, or 0.
    incomplete_at: u64,
}

impl Shared {
    /// Waits for the lock, and completes what its last holder has left. A folder that is only read
    /// is locked against changes, if there is a lock.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 0;
        let incomplete_at = loop {
            tries += 1;
            if lock.is_none() {
                *lock = self.open_lock()?;
            }
            let Some(held) = &mut *lock else { break 0 };
            let incomplete_at = if self.read_only { held.lock_to_read()? } else { held.lock()? };
            if held.is_in_place() || tries == TRIES {
                break incomplete_at;
            }
            // Somebody has removed the file. Others lock the one that is there by now.
            *lock = None;
        };
        let mut locked = Locked { shared: self, lock, incomplete_at };
        if !self.read_only {
            locked.recover(incomplete_at)?;
        }
        Ok(locked)
    }

    /// The file of the lock. A folder that is only read may have none, until a process opens it for
    /// writing.
    fn open_lock(&self) -> Result<Option<LockFile>> {
        let path = self.folder.hidden(LOCK);
        if self.read_only {
            return Ok(LockFile::open_to_read(path));
        }
        self.folder.create_hidden()?;
        LockFile::open(path).map(Some)
    }
}

impl Locked<'_> {
    #[cfg(test)]
    fn is_pending(&mut self) -> bool {
        self.lock.as_mut().is_some_and(|lock| lock.is_marked())
    }

    /// Whether a change is not completed. That is so only if the folder is only read.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete_at != 0 && self.shared.read_only
    }

    /// Reads what others have changed, and completes the change that begins at `incomplete_at`.
    fn recover(&mut self, incomplete_at: u64) -> Result<()> {
        let shared = self.shared;
        let mut view = shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        let (has_rest, has_no_successor) = view.follow_in_place(&shared.folder)?;
        if let Some(log) = &mut view.log {
            if has_rest {
                log.cut()?;
            }
            let frames = if incomplete_at == 0 { Vec::new() } else { log.since(incomplete_at)? };
            if !frames.is_empty() {
                let files = view.files();
                let is_current = |frame: &Frame| match frame {
                    Frame::Put { key, row, .. } => view
                        .index
                        .get(&Key::from_bytes(*key))
                        .is_some_and(|current| current.version == row.version),
                    _ => true,
                };
                let current: Vec<_> = frames.into_iter().filter(is_current).collect();
                for frame in &current {
                    // A file that another entry has by now stays.
                    let may_go = |path: &str| !files.contains(path);
                    let done = redo(&shared.folder, frame, may_go, true);
                    if done.is_err() {
                        // Nobody could do anything until it is possible. As if its process had
                        // lived, the entry is gone.
                        undo(&shared.folder, &mut view, slice::from_ref(frame));
                    }
                }
            }
        }
        if has_no_successor {
            self.rewrite_log(&mut view)?;
        }
        drop(view);
        if incomplete_at == 0 { Ok(()) } else { self.mark(0) }
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
        let old: Vec<_> = frames.iter().map(|frame| view.removed_by(frame)).collect();
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
        // A file that cannot be removed keeps no other from being removed.
        let done = frames.iter().map(|frame| redo(&shared.folder, frame, |_| true, false));
        let done: Vec<_> = done.collect();
        let mut view = shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        if is_removal {
            let kept = done.iter().zip(old).filter(|(done, _)| done.is_err());
            kept.for_each(|(_, old)| restore(&shared.folder, &mut view, old));
        } else if done.iter().any(Result::is_err) {
            undo(&shared.folder, &mut view, frames);
        }
        drop(view);
        if is_marked {
            drop(self.mark(0));
        }
        shared.changed(frames.iter().flat_map(Frame::files));
        done.into_iter().collect()
    }

    /// Writes the log anew if most of it is outdated.
    pub(super) fn compact(&mut self) {
        let mut view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        let frames = view.log.as_ref().map_or(0, |log| log.frames);
        if frames > 1024 + 3 * view.index.len() {
            // Without room on the disk, it stays as it is.
            drop(self.rewrite_log(&mut view));
        }
    }

    fn rewrite_log(&self, view: &mut View) -> Result<()> {
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

/// Removes the entries of a change that failed.
fn undo(folder: &Folder, view: &mut View, frames: &[Frame]) {
    for frame in frames {
        let Frame::Put { key, row, head, body, .. } = frame else { continue };
        view.record(Frame::Remove { key: *key, stale: Vec::new() });
        for stale in row.own_files().iter().filter_map(|path| folder.stale(path)) {
            drop(folder.remove(&stale));
        }
        for staged in [head, body].into_iter().flatten() {
            drop(fs::remove_file(folder.hidden(staged)));
        }
    }
}

/// Puts an entry back whose head could not be removed: it would be back when the folder is opened
/// the next time.
fn restore(folder: &Folder, view: &mut View, old: Option<(Key, Arc<Row>)>) {
    let Some((key, row)) = old.filter(|(_, row)| folder.stale(&row.path).is_some()) else { return };
    let (key, row) = (*key.as_bytes(), (*row).clone());
    view.record(Frame::Put { key, row, head: None, body: None, stale: Vec::new() });
}

/// Changes the files as a frame says. If `is_repeated`, it may have been done in part already.
fn redo(
    folder: &Folder,
    frame: &Frame,
    may_go: impl Fn(&str) -> bool,
    is_repeated: bool,
) -> Result<()> {
    let (Frame::Put { stale, .. } | Frame::Remove { stale, .. }) = frame else { return Ok(()) };
    stale.iter().filter(|it| may_go(&it.path)).try_for_each(|stale| folder.remove(stale))?;
    let Frame::Put { row, head, body, .. } = frame else { return Ok(()) };
    if head.is_some() {
        // The removal of a stale file may have removed its folder.
        folder.create_above(&row.path)?;
    }
    let publish = |staged: &str, path: &str| match folder.publish(staged, path) {
        // It was moved before.
        Err(_) if is_repeated && !folder.hidden(staged).exists() => Ok(()),
        published => published,
    };
    if let (Some(staged), Some(path)) = (body, row.body_path()) {
        publish(staged, &path)?;
    }
    match head {
        Some(staged) => publish(staged, &row.path),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
