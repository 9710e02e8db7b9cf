//! Calls that no caller waits for: the refresh of a response that is stale, or about to be.
//!
//! The tasks belong to the layer: [`CacheLayer::idle`] waits for them, and the last handle that is dropped stops them.
//! Nothing else in the crate's `cache` is spawned. Without a tokio runtime there are no such tasks: requests then make
//! such calls themselves.
//!
//! [`CacheLayer::idle`]: super::CacheLayer::idle

mod backoff;
mod refresh;
mod tasks;

pub(super) use self::{backoff::Backoff, refresh::refresh, tasks::Tasks};
