//! The settings that the stores on servers have in common.

use std::time::Duration;

use super::fault::invalid;
use crate::store::Result;

/// The common settings. The builders document them.
#[derive(Clone, Debug)]
pub(in crate::store) struct Settings {
    pub(in crate::store) namespace: String,
    pub(in crate::store) inline_limit: usize,
    pub(in crate::store) chunk_size: usize,
    /// How long the server may take to answer.
    pub(in crate::store) timeout: Duration,
    pub(in crate::store) grace: Duration,
    pub(in crate::store) linger: Duration,
}

impl Settings {
    pub(in crate::store) fn new(namespace: &str, inline_limit: usize, chunk_size: usize) -> Self {
        Self {
            namespace: namespace.to_owned(),
            inline_limit,
            chunk_size,
            timeout: Duration::from_secs(2),
            grace: Duration::ZERO,
            linger: Duration::from_secs(60),
        }
    }

    /// Refuses settings that make no sense to `store`, and sizes over these limits in MiB.
    pub(in crate::store) fn check(
        &self,
        store: &'static str,
        max_inline: usize,
        max_chunk: usize,
    ) -> Result<()> {
        if !(1 << 10..=max_chunk << 20).contains(&self.chunk_size) {
            return Err(invalid(
                store,
                format!("chunk_size must be from 1 KiB to {max_chunk} MiB"),
            ));
        }
        if self.inline_limit > max_inline << 20 {
            return Err(invalid(store, format!("inline_limit must be at most {max_inline} MiB")));
        }
        if self.timeout.is_zero() {
            return Err(invalid(store, "the timeout must not be zero"));
        }
        Ok(())
    }
}
