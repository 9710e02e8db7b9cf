//! An [`Arc`] of a store is that store.

use std::sync::Arc;

use super::{Store, forward::forward};

impl<S: Store> Store for Arc<S> {
    type Writer = S::Writer;

    forward!(as_ref: get, put, update, remove, remove_if, remove_expired, remove_tagged);
    forward!(as_ref: clear, flush, scan<S>, len, size_bytes);

    fn read_off_thread(self) -> Self {
        Arc::new(Arc::unwrap_or_clone(self).read_off_thread())
    }
}
