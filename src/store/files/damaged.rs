//! [`Damaged`]: the entries that a lookup of this process could not use.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::Key;

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
