//! [`View`]: the entries as this process knows them.

use std::{collections::HashSet, sync::Arc};

use super::{
    folder::Folder,
    index::{Index, Row},
    log::{Frame, Log},
};
use crate::{Key, store::Result};

/// The name of the index below the hidden folder.
pub(super) const INDEX: &str = "index";

/// The entries as this process knows them.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) index: Index,
    /// `None` if the folder is only read.
    pub(super) log: Option<Log>,
}

impl View {
    /// Reads what was appended to the log since.
    pub(super) fn follow(&mut self, folder: &Folder) -> Result<()> {
        self.follow_all(folder, |_| false).map(drop)
    }

    /// The same. The caller holds the lock, so this also notices that the log was removed or
    /// replaced. Returns whether bytes follow the last whole frame, and whether the log must be
    /// written anew.
    pub(super) fn follow_in_place(&mut self, folder: &Folder) -> Result<(bool, bool)> {
        self.follow_all(folder, |log| !log.is_in_place())
    }

    fn follow_all(
        &mut self,
        folder: &Folder,
        is_gone: impl Fn(&Log) -> bool,
    ) -> Result<(bool, bool)> {
        let Some(log) = &mut self.log else { return Ok((false, false)) };
        let mut new = log.follow()?;
        let mut has_no_successor = log.is_ended || is_gone(log);
        if has_no_successor && let Some(mut other) = Log::open(&folder.hidden(INDEX))? {
            // It may be the same file: the new one is not in its place yet.
            new = other.follow()?;
            has_no_successor = other.is_ended;
            let copies = self.index.take_copies();
            *self = Self { index: Index::default(), log: Some(other) };
            new.frames.iter().for_each(|frame| self.apply(frame));
            copies.into_iter().for_each(|(key, row)| self.index.insert_copy(key, row));
        } else {
            new.frames.iter().for_each(|frame| self.apply(frame));
        }
        Ok((new.has_rest, has_no_successor))
    }

    pub(super) fn apply(&mut self, frame: &Frame) {
        match frame {
            Frame::Put { key, row, .. } => self.index.insert(Key::from_bytes(*key), row.clone()),
            Frame::Remove { key, .. } => drop(self.index.remove(&Key::from_bytes(*key))),
            Frame::Moved => {}
        }
    }

    /// Applies a frame, and notes it in the log if there is room.
    pub(super) fn record(&mut self, frame: Frame) {
        self.apply(&frame);
        if let Some(log) = &mut self.log {
            drop(log.append(&[frame]));
        }
    }

    /// The entry that a frame removes.
    pub(super) fn removed_by(&self, frame: &Frame) -> Option<(Key, Arc<Row>)> {
        let Frame::Remove { key, .. } = frame else { return None };
        let key = Key::from_bytes(*key);
        Some((key, self.index.get(&key)?.clone()))
    }

    /// The paths of all files of entries.
    pub(super) fn files(&self) -> HashSet<Box<str>> {
        let rows = self.index.keys().into_iter().filter_map(|key| self.index.get(&key).cloned());
        rows.flat_map(|row| row.files()).collect()
    }
}
