//! What was written since the last sync. Opening the file again undoes it, and what comes back by that is old: an entry
//! that somebody removed, or the one that stood in the place of a newer one.

use std::collections::HashSet;

use crate::store::redb::{
    change::{Change, Purge},
    schema::{KeyBytes, TagDigest},
    shared::Command,
};

/// The keys whose entries were written or removed, and the tags that were purged. How many there are is bounded by how
/// much is written between two syncs.
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

    /// What has expired is of no use to anybody when it comes back, and goes with the next purge.
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

    /// Removes from the state of the last sync what was touched after it.
    pub(super) fn remove(&self, change: &mut Change<'_>) -> Result<(), redb::Error> {
        // Whether there was anything is nobody's question.
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
