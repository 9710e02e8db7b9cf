//! Bodies that are being read: their chunks are not collected before the last reader has gone.
//!
//! Were a snapshot of the file held open for a reader instead, no page that is freed meanwhile could be used again: one
//! client that stops reading would make the file grow by all that is written.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(in crate::store) struct Leases {
    state: Mutex<State>,
    /// Says that what could not be collected can be now.
    collect: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// How many readers a body has.
    held: HashMap<u64, usize>,
    /// Bodies that were passed over for their readers.
    waiting: HashSet<u64>,
    /// Bodies of which chunks were removed in the last transaction, which may not be committed yet.
    collecting: HashSet<u64>,
}

impl Leases {
    pub(in crate::store) fn new(collect: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), collect: Box::new(collect) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the chunks of body `id`; `None` where they are being removed already.
    pub(in crate::store) fn take(self: &Arc<Self>, id: u64) -> Option<Lease> {
        let mut state = self.lock();
        if state.collecting.contains(&id) {
            return None;
        }
        *state.held.entry(id).or_default() += 1;
        Some(Lease { leases: self.clone(), id })
    }

    /// A transaction begins to collect; those before it have ended.
    pub(in crate::store) fn begin_collecting(&self) {
        self.lock().collecting.clear();
    }

    /// Whether the chunks of body `id` may be removed; nobody can take a lease on it from then on.
    pub(in crate::store) fn may_collect(&self, id: u64) -> bool {
        let mut state = self.lock();
        if state.held.contains_key(&id) {
            state.waiting.insert(id);
            return false;
        }
        state.collecting.insert(id);
        true
    }

    /// Whether nobody reads body `id`. Where somebody does, the last to go says so.
    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn is_free(&self, id: u64) -> bool {
        let mut state = self.lock();
        let held = state.held.contains_key(&id);
        if held {
            state.waiting.insert(id);
        }
        !held
    }
}

/// A reader's hold on the chunks of a body.
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
            // Where the writer thread has ended, the next opening of the file collects.
            (self.leases.collect)();
        }
    }
}
