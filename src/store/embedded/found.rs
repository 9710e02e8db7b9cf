//! [`Found`]: an entry that was found, with its body in memory or the rest of it to be read.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    entry::Head,
    store::{
        Hit, StoredBody, Version,
        disk::{Page, ReadAhead, Task},
    },
};

/// An entry that was found, with its body in memory or the rest of it to be read.
pub(in crate::store) struct Found<R> {
    pub(in crate::store) head: Arc<Head>,
    pub(in crate::store) version: Version,
    pub(in crate::store) body: FoundBody<R>,
}

pub(in crate::store) enum FoundBody<R> {
    Here(Bytes),
    Chunks { first: Bytes, rest: R, len: u64 },
}

impl<R: Unpin + Send + 'static> Found<R> {
    /// Returns the result of the lookup. `reader` makes what reads the chunks of a large body.
    pub(super) fn into_hit<F>(self, reader: impl FnOnce() -> F) -> Hit
    where
        F: FnMut(R) -> Task<Page<R, Bytes>> + Unpin + Send + 'static,
    {
        let body = match self.body {
            FoundBody::Here(bytes) => bytes.into(),
            FoundBody::Chunks { first, rest, len } => {
                StoredBody::from_stream(len, ReadAhead::new([Ok(first)].into(), rest, reader()))
            }
        };
        Hit::new(self.head, self.version, body)
    }
}
