//! Leases on bodies that are being read. The chunks of a body are not removed before its last
//! reader is gone.
//!
//! Holding a snapshot of the file for each reader would do as well, but then no freed page could be
//! reused: one client that stops reading would make the file grow by everything that is written.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The leases of all readers of a file.
pub(in crate::store) struct Leases {
    state: Mutex<State>,
    /// Reports that a body that could not be collected can be collected now.
    collect: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// The number of readers of each body.
    held: HashMap<u64, usize>,
    /// Bodies that were not collected because of their readers.
    waiting: HashSet<u64>,
    /// Bodies whose chunks the last transaction removed. It may not be committed yet.
    collecting: HashSet<u64>,
}

impl Leases {
    pub(in crate::store) fn new(collect: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), collect: Box::new(collect) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the chunks of body `id`. Returns `None` if they are being removed already.
    pub(in crate::store) fn take(self: &Arc<Self>, id: u64) -> Option<Lease> {
        let mut state = self.lock();
        if state.collecting.contains(&id) {
            return None;
        }
        *state.held.entry(id).or_default() += 1;
        Some(Lease { leases: self.clone(), id })
    }

    /// A transaction begins to collect. All earlier ones have ended.
    pub(in crate::store) fn begin_collecting(&self) {
        self.lock().collecting.clear();
    }

    /// Whether the chunks of body `id` may be removed. If so, nobody can take a lease on it any
    /// more.
    pub(in crate::store) fn may_collect(&self, id: u64) -> bool {
        let mut state = self.lock();
        if state.held.contains_key(&id) {
            state.waiting.insert(id);
            return false;
        }
        state.collecting.insert(id);
        true
    }

    /// Whether body `id` has no reader. If it has one, the last reader to leave reports it.
    pub(in crate::store) fn is_free(&self, id: u64) -> bool {
        let mut state = self.lock();
        let held = state.held.contains_key(&id);
        if held {
            state.waiting.insert(id);
        }
        !held
    }
}

/// Keeps the chunks of a body while it is read.
pub(in crate::store) struct Lease {
    leases: Arc<Leases>,
    id: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.lock();
        if let Some(readers) = state.held.get_mut(&self.id) {
            *readers -= 1;
            if *readers > 0 {
                return;
            }
        }
        state.held.remove(&self.id);
        if state.waiting.remove(&self.id) {
            // If the writer thread has ended, the next opening of the file collects the body.
            (self.leases.collect)();
        }
    }
}
