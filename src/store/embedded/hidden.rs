//! What the file holds and readers must not see.
//!
//! If a commit fails, the entries that it had made visible are gone, and so are removals that were
//! acknowledged. What they replaced or removed is still in the file, and is outdated. It is hidden
//! until a transaction can remove it.

use std::collections::HashSet;

use super::database::{Purge, Transaction};
use crate::{Key, entry::Head, time::Timestamp};

/// How many keys and tags are hidden by removals at most. Further removals are refused until the
/// disk works again.
const LIMIT: usize = 65_536;

/// The keys and tags of outdated entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    keys: HashSet<Key>,
    tags: HashSet<Box<str>>,
    /// Entries to be kept until this time at the latest.
    expired: Option<Timestamp>,
    all: bool,
}

impl Hidden {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty() && self.expired.is_none() && !self.all
    }

    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() + self.tags.len() >= LIMIT
    }

    pub(super) fn add_key(&mut self, key: Key) {
        if !self.all {
            self.keys.insert(key);
        }
    }

    pub(super) fn add_purge(&mut self, purge: &Purge) {
        match purge {
            _ if self.all => {}
            Purge::Tagged(tag) => drop(self.tags.insert(tag.clone())),
            Purge::Expired(now) => self.expired = self.expired.max(Some(*now)),
        }
    }

    pub(super) fn add_all(&mut self) {
        *self = Self { all: true, ..Self::default() };
    }

    pub(super) fn extend(&mut self, later: Self) {
        if later.all {
            self.add_all();
        } else if !self.all {
            self.keys.extend(later.keys);
            self.tags.extend(later.tags);
            self.expired = self.expired.max(later.expired);
        }
    }

    pub(super) fn hides_key(&self, key: &Key) -> bool {
        self.all || self.keys.contains(key)
    }

    pub(super) fn hides(&self, key: &Key, head: &Head) -> bool {
        let has_expired = |now: Timestamp| head.keep_until().is_some_and(|until| until <= now);
        self.hides_key(key)
            || self.expired.is_some_and(has_expired)
            || head.tags().iter().any(|tag| self.tags.contains(tag))
    }

    /// Removes what is hidden from the file.
    pub(super) fn remove<T: Transaction>(&self, txn: &mut T) -> Result<(), T::Fault> {
        if self.all {
            return txn.clear();
        }
        for key in &self.keys {
            txn.remove(key, None)?;
        }
        let tagged = self.tags.iter().map(|tag| Purge::Tagged(tag.clone()));
        for purge in tagged.chain(self.expired.map(Purge::Expired)) {
            while !txn.purge(&purge, usize::MAX)?.is_done {}
        }
        Ok(())
    }
}
