//! Which policy is at work, and what is set of it: the only place where it is chosen.

use http::HeaderName;

use super::Rules;
use crate::policy::{Policy, Scope};

impl Rules {
    /// Lets the HTTP rules decide. Where they do already, what has been set of them stays.
    pub(crate) fn use_http(&mut self) {
        if matches!(self.policy, Policy::Fixed) {
            let targets = match self.scope {
                Scope::Shared => vec![HeaderName::from_static("cdn-cache-control")],
                Scope::Private => Vec::new(),
            };
            self.policy = Policy::Http { targets, no_vary_search: false };
        }
    }

    /// Lets the HTTP rules go by these fields, in their order, before `Cache-Control` and `Expires`.
    pub(crate) fn set_targets(&mut self, names: Vec<HeaderName>) {
        self.use_http();
        if let Policy::Http { targets, .. } = &mut self.policy {
            *targets = names;
        }
    }

    /// Whether the HTTP rules let responses say what of a query does not matter.
    pub(crate) fn set_no_vary_search(&mut self, heed: bool) {
        self.use_http();
        if let Policy::Http { no_vary_search, .. } = &mut self.policy {
            *no_vary_search = heed;
        }
    }

    /// Whether responses may say what of a query does not matter.
    pub(crate) fn heeds_no_vary_search(&self) -> bool {
        matches!(self.policy, Policy::Http { no_vary_search: true, .. })
    }
}
