//! The choice of the policy and its settings. No other file chooses a policy.

use http::HeaderName;

use super::Rules;
use crate::policy::{Policy, Scope};

impl Rules {
    /// Chooses the HTTP rules. If they are already chosen, their settings do not change.
    pub(crate) fn use_http(&mut self) {
        if matches!(self.policy, Policy::Fixed) {
            let targets = match self.scope {
                Scope::Shared => vec![HeaderName::from_static("cdn-cache-control")],
                Scope::Private => Vec::new(),
            };
            self.policy = Policy::Http { targets, no_vary_search: false };
        }
    }

    /// Chooses the HTTP rules, with these targeted fields before `Cache-Control` and `Expires`, in
    /// this order.
    pub(crate) fn set_targets(&mut self, names: Vec<HeaderName>) {
        self.use_http();
        if let Policy::Http { targets, .. } = &mut self.policy {
            *targets = names;
        }
    }

    /// Chooses the HTTP rules, and sets whether they apply `No-Vary-Search`.
    pub(crate) fn set_no_vary_search(&mut self, apply: bool) {
        self.use_http();
        if let Policy::Http { no_vary_search, .. } = &mut self.policy {
            *no_vary_search = apply;
        }
    }

    /// Whether `No-Vary-Search` in responses applies.
    pub(crate) fn applies_no_vary_search(&self) -> bool {
        matches!(self.policy, Policy::Http { no_vary_search: true, .. })
    }
}
