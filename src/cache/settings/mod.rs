//! The settings of a layer, each set in one way; a file for each section of them. Those that can make no sense are
//! refused when they are given.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::CacheLayer;
use crate::{
    error::ConfigError,
    event::Observer,
    key::Recipe,
    policy::{Rules, Scope},
    time::{Clock, SystemClock},
};

// In the order in which the documentation shows them.
mod kept;
mod key;

mod expiry;
mod grpc;
mod policy;
mod tags;

mod calls;
mod seen;

/// Everything that is set on a layer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) recipe: Recipe,
    pub(crate) max_body: u64,
    pub(crate) max_request_body: u64,
    pub(crate) max_request_bodies: u64,
    pub(crate) invalidate: bool,
    pub(crate) calls: CallSettings,
    /// The cache's name as an sf-item.
    pub(crate) cache_status: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whom what is done is told to.
    pub(crate) observer: Arc<Observer>,
}

/// What is set on calls to the inner service.
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
            max_request_body: 1024 * 1024,
            max_request_bodies: 64 * 1024 * 1024,
            invalidate: true,
            calls: CallSettings::default(),
            cache_status: None,
            clock: Arc::new(SystemClock),
            observer: Arc::default(),
        }
    }

    /// Lets the HTTP rules decide, and makes keys as they ask for it. What has been set of them stays.
    fn use_http(&mut self) {
        self.rules.use_http();
        self.recipe.languages_by_weight = true;
        if self.rules.scope == Scope::Shared {
            self.recipe.without_credentials();
        }
    }

    /// Whether responses may say what of a query does not matter: not where keys are not made from URLs.
    pub(crate) fn heeds_no_vary_search(&self) -> bool {
        self.rules.heeds_no_vary_search() && self.recipe.is_by_url()
    }
}

impl<B> CacheLayer<B> {
    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

/// Whether responses of this status can be kept at all.
fn check_status(setting: &'static str, status: StatusCode) -> Result<(), ConfigError> {
    let why = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => "is no whole response",
        _ if status.is_informational() => "is no final status",
        _ => return Ok(()),
    };
    let message = format!("{} {why} and cannot be replayed; leave it out", status.as_u16());
    Err(ConfigError::new(setting, message))
}
