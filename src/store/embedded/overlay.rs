//! The overlay: what readers see of writes that are not committed yet, and what they must not see
//! of the file after a commit has failed.
//!
//! A small entry is visible as soon as it is in the overlay. The writer thread commits it a few
//! milliseconds later, together with others. Only a file that this process has for itself has an
//! overlay: another process could remove an entry before it is in the file, and the commit would
//! bring it back.

use std::{
    collections::{HashMap, hash_map},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::hidden::Hidden;
use crate::{
    Key,
    entry::Head,
    store::{Hit, Version},
};

#[derive(Default)]
pub(super) struct Overlay {
    state: RwLock<State>,
    /// Whether there is anything in the state that readers must know. A reader of an idle store
    /// takes no lock.
    is_used: AtomicBool,
    /// A commit has failed, and none that changed anything has succeeded since.
    is_failing: AtomicBool,
    /// How often something was hidden.
    hidings: AtomicU64,
}

#[derive(Default)]
struct State {
    pending: HashMap<Key, Pending>,
    /// The number of the last pending entry.
    last: u64,
    hidden: Option<Arc<Hidden>>,
    is_closed: bool,
}

/// An entry that is visible and not committed.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) head: Arc<Head>,
    pub(super) version: Version,
    pub(super) body: Bytes,
    pub(super) number: u64,
}

/// Where a reader finds the entry of a key.
pub(super) enum Look {
    Here(Hit),
    Hidden,
    /// In the file, unless it is hidden.
    InFile(Seen),
}

/// What was hidden when a reader began. The reader begins again if something was hidden since: it
/// may have read what must not be seen, and that may have been removed and shown again since.
pub(super) struct Seen {
    hidden: Option<Arc<Hidden>>,
    hidings: u64,
}

impl Seen {
    pub(super) fn hides(&self, key: &Key, head: &Head) -> bool {
        self.hidden.as_ref().is_some_and(|hidden| hidden.hides(key, head))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_none()
    }
}

impl Overlay {
    // Nothing panics while it holds the lock.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    fn note_use(&self, state: &State) {
        let is_used = !state.pending.is_empty() || state.hidden.is_some();
        self.is_used.store(is_used, Ordering::Release);
    }

    // ----- readers -----

    pub(super) fn look(&self, key: &Key) -> Look {
        let hidings = self.hidings();
        if !self.is_used() {
            return Look::InFile(Seen { hidden: None, hidings });
        }
        let state = self.read();
        if let Some(Pending { head, version, body, .. }) = state.pending.get(key) {
            return Look::Here(Hit::new(head.clone(), *version, body.clone().into()));
        }
        match &state.hidden {
            Some(hidden) if hidden.hides_key(key) => Look::Hidden,
            hidden => Look::InFile(Seen { hidden: hidden.clone(), hidings }),
        }
    }

    /// What is hidden now.
    pub(super) fn seen(&self) -> Seen {
        let hidings = self.hidings();
        Seen { hidden: self.hidden(), hidings }
    }

    /// Whether nothing was hidden since.
    pub(super) fn is_current(&self, seen: &Seen) -> bool {
        self.hidings() == seen.hidings
    }

    fn hidings(&self) -> u64 {
        self.hidings.load(Ordering::Acquire)
    }

    pub(super) fn hidden(&self) -> Option<Arc<Hidden>> {
        if self.is_used() { self.read().hidden.clone() } else { None }
    }

    /// Whether entries are visible that are not committed.
    pub(super) fn has_pending(&self) -> bool {
        self.is_used() && !self.read().pending.is_empty()
    }

    // ----- writers -----

    /// Whether the file is closed, or about to be.
    pub(super) fn is_closed(&self) -> bool {
        self.read().is_closed
    }

    /// Whether commits fail. Writes then wait for their commit.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// Makes an entry visible, and sends it to the writer thread by `send`. The thread receives
    /// entries in the order in which they became visible. Fails with `closed` if the thread has
    /// ended.
    pub(super) fn add<E>(
        &self,
        key: Key,
        mut entry: Pending,
        closed: impl FnOnce() -> E,
        send: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.write();
        if state.is_closed {
            return Err(closed());
        }
        state.last += 1;
        entry.number = state.last;
        send(entry.number)?;
        state.pending.insert(key, entry);
        self.is_used.store(true, Ordering::Release);
        Ok(())
    }

    // ----- the writer thread -----

    /// The entries of these keys and numbers are committed, and the file shows them. If what was
    /// hidden was removed from the file, nothing is hidden any more.
    pub(super) fn committed(&self, entries: &[(Key, u64)], is_edited: bool, is_lifted: bool) {
        if is_edited {
            self.is_failing.store(false, Ordering::Release);
        }
        if entries.is_empty() && !is_lifted {
            return;
        }
        let mut state = self.write();
        state.forget(entries);
        if is_lifted {
            state.hidden = None;
        }
        self.note_use(&state);
    }

    /// The entries of these keys and numbers could not be committed, and `hidden` is outdated.
    pub(super) fn failed(&self, entries: &[(Key, u64)], mut hidden: Hidden) {
        self.is_failing.store(true, Ordering::Release);
        if entries.is_empty() && hidden.is_empty() {
            return;
        }
        let mut state = self.write();
        // A key stays hidden even if a later entry of it is pending: that may fail as well.
        entries.iter().for_each(|(key, _)| hidden.add_key(*key));
        state.hide(hidden);
        state.forget(entries);
        self.note_use(&state);
        self.hidings.fetch_add(1, Ordering::Release);
    }

    /// Hides what could not be removed from the file. Returns `false`, and hides nothing, if too
    /// much is hidden already.
    pub(super) fn hide(&self, hidden: Hidden) -> bool {
        let mut state = self.write();
        let is_full = state.hidden.as_ref().is_some_and(|hidden| hidden.is_full());
        if is_full && !hidden.is_all() {
            return false;
        }
        state.hide(hidden);
        self.note_use(&state);
        self.hidings.fetch_add(1, Ordering::Release);
        true
    }

    /// No entry becomes visible any more.
    pub(super) fn refuse(&self) {
        self.write().is_closed = true;
    }

    /// The file is closed. Returns how many entries were visible and not committed.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.write();
        let pending = std::mem::take(&mut state.pending).len() as u64;
        self.note_use(&state);
        pending
    }
}

impl State {
    fn hide(&mut self, hidden: Hidden) {
        if !hidden.is_empty() {
            Arc::make_mut(self.hidden.get_or_insert_default()).extend(hidden);
        }
    }

    fn forget(&mut self, entries: &[(Key, u64)]) {
        for (key, number) in entries {
            if let hash_map::Entry::Occupied(pending) = self.pending.entry(*key)
                && pending.get().number <= *number
            {
                pending.remove();
            }
        }
    }
}
