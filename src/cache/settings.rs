//! [`Settings`]: everything that is set on a layer, except its store and observer.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;

use crate::{
    key::Recipe,
    policy::{self, Rules, Scope},
    time::{Clock, SystemClock},
};

/// Everything that is set on a layer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) recipe: Recipe,
    pub(crate) max_body: u64,
    pub(crate) max_slow_reader_memory: u64,
    pub(crate) max_request_body: u64,
    pub(crate) max_request_bodies: u64,
    pub(crate) invalidate: bool,
    /// Whether a response without an `ETag` gets one, if all of its body is there.
    pub(crate) generates_etags: bool,
    pub(crate) calls: CallSettings,
    /// The cache's name as an sf-item.
    pub(crate) cache_status: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The settings of calls to the inner service.
#[derive(Clone, Debug)]
pub(crate) struct CallSettings {
    pub(crate) coalesce: bool,
    /// The longest wait for another request's call.
    pub(crate) coalesce_wait: Option<Duration>,
    /// The time limit of one refresh in the background.
    pub(crate) refresh_timeout: Duration,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self { coalesce: true, coalesce_wait: None, refresh_timeout: Duration::from_secs(30) }
    }
}

impl Settings {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            rules: Rules::new(scope),
            recipe: Recipe { as_sent: scope == Scope::Shared, ..Recipe::default() },
            max_body: 64 * 1024 * 1024,
            max_slow_reader_memory: 16 * 1024 * 1024,
            max_request_body: 1024 * 1024,
            max_request_bodies: 64 * 1024 * 1024,
            invalidate: true,
            generates_etags: false,
            calls: CallSettings::default(),
            cache_status: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Lets the HTTP rules decide, and makes keys as they require. Their own settings stay.
    pub(super) fn use_http(&mut self) {
        self.rules.use_http();
        self.recipe.languages_by_weight = true;
        if self.rules.scope == Scope::Shared {
            self.recipe.headers.leave_out_credentials();
        }
    }

    /// Removes what only this cache knows from the header of a request to the origin.
    pub(super) fn remove_own_conditions(&self, headers: &mut HeaderMap) {
        if self.generates_etags {
            policy::remove_generated_etags(headers);
        }
    }

    /// Whether `No-Vary-Search` counts. It does not if keys are not made from URLs.
    pub(crate) fn uses_no_vary_search(&self) -> bool {
        self.rules.applies_no_vary_search() && self.recipe.is_by_url()
    }
}
