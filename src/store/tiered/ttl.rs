//! [`NearTtl`]: how long a copy is used.

use std::{sync::Arc, time::Duration};

use super::annotation::Annotation;
use crate::time::{Clock, SystemClock};

/// The limit of [`Tiered::near_ttl`](super::Tiered::near_ttl), and the clock that measures it.
#[derive(Clone)]
pub(super) struct NearTtl {
    pub(super) limit: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for NearTtl {
    fn default() -> Self {
        Self { limit: None, clock: Arc::new(SystemClock) }
    }
}

impl NearTtl {
    /// Whether the near entry is used without asking the far tier.
    pub(super) fn allows(&self, annotation: Option<&Annotation>) -> bool {
        let Some(limit) = self.limit else { return true };
        let now = self.clock.now();
        // A copy from the future was made before the clock was set back.
        annotation.is_some_and(|annotation| {
            annotation.at <= now && now.saturating_since(annotation.at) < limit
        })
    }
}
