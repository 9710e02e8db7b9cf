//! What was written since the last sync. Reopening the file undoes it, and what that brings back is
//! outdated: an entry that was removed, or the older version of an entry.

use std::collections::HashSet;

use crate::store::redb::{
    change::{Change, Purge},
    schema::{KeyBytes, TagDigest},
    shared::Command,
};

/// The keys of entries that were written or removed, and the purged tags. Their number is bounded
/// by how much is written between two syncs.
#[derive(Debug, Default)]
pub(super) struct Touched {
    keys: HashSet<KeyBytes>,
    tags: HashSet<TagDigest>,
    all: bool,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty() && !self.all
    }

    pub(super) fn add(&mut self, command: &Command) {
        match command {
            Command::Put { key, .. }
            | Command::Update { key, .. }
            | Command::Remove { key, .. } => {
                self.keys.insert(*key.as_bytes());
            }
            Command::Clear => *self = Self { all: true, ..Self::default() },
            Command::Purge(_)
            | Command::Chunk { .. }
            | Command::Abandon(_)
            | Command::Collect
            | Command::Reopen(_)
            | Command::Close => {}
        }
    }

    /// An expired entry that comes back does no harm, and is removed by the next purge.
    pub(super) fn add_purge(&mut self, purge: Purge) {
        match purge {
            Purge::Tagged(tag) => {
                self.tags.insert(tag);
            }
            Purge::Expired(_) => {}
        }
    }

    pub(super) fn extend(&mut self, later: Self) {
        if later.all {
            *self = later;
        } else {
            self.keys.extend(later.keys);
            self.tags.extend(later.tags);
        }
    }

    /// Removes from the state of the last sync what was changed after it.
    pub(super) fn remove(&self, change: &mut Change<'_>) -> Result<(), redb::Error> {
        // The number of removed entries does not matter.
        if self.all {
            return change.clear().map(drop);
        }
        for key in &self.keys {
            change.remove(key, None).map(drop)?;
        }
        for tag in &self.tags {
            while !change.purge(Purge::Tagged(*tag))?.done {}
        }
        Ok(())
    }
}
