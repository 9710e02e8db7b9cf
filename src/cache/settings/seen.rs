//! What the caller sees, and where the time is read.

use std::sync::Arc;

use crate::{CacheLayer, ConfigError, status, time::Clock};

/// # What is seen, and the time
impl<B> CacheLayer<B> {
    /// Writes a `Cache-Status` field (RFC 9211) into every response, under this name. Default: none.
    ///
    /// # Errors
    ///
    /// Where the name is empty or not printable ASCII.
    pub fn cache_status_header(self, name: &str) -> Result<Self, ConfigError> {
        let name = status::cache_name(name)?;
        Ok(self.set(|settings| settings.cache_status = Some(name)))
    }

    /// Where the time is read. Default: [`SystemClock`](crate::time::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }
}
