//! [`Expiration`], and the rules that choose one for a response.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, request, response};

use crate::{pattern::UrlPatterns, time::Timestamp};

/// How long a response is fresh, and whether it is stored at all.
///
/// Every setting that takes an expiration also takes a `Duration` or a `SystemTime`.
///
/// ```
/// use std::time::Duration;
/// use larder::Expiration;
///
/// assert_eq!(Expiration::from(Duration::from_secs(60)), Expiration::After(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiration {
    /// The response never expires. The store may still evict it.
    Never,
    /// The response expires this long after its head arrived. With zero, it is stored and expires
    /// at once.
    After(Duration),
    /// The response expires at this time. With a time in the past, it is stored and expires at
    /// once.
    At(SystemTime),
    /// The response is not stored.
    DoNotStore,
}

impl Expiration {
    /// When a response that arrives at `now` expires. `None`: it is not stored. `Some(None)`: it
    /// never expires.
    pub(crate) fn expires_at(self, now: Timestamp) -> Option<Option<Timestamp>> {
        match self {
            Self::Never => Some(None),
            Self::After(duration) => Some(Some(now.saturating_add(duration))),
            Self::At(time) => Some(Some(time.into())),
            Self::DoNotStore => None,
        }
    }
}

impl From<Duration> for Expiration {
    fn from(duration: Duration) -> Self {
        Self::After(duration)
    }
}

impl From<SystemTime> for Expiration {
    fn from(time: SystemTime) -> Self {
        Self::At(time)
    }
}

/// The user's closure, which chooses by request and response. `None` leaves the choice to the rules
/// after it.
pub(crate) type ExpireFn =
    Arc<dyn Fn(&request::Parts, &response::Parts) -> Option<Expiration> + Send + Sync>;

/// The rules that choose an expiration. The first one that returns a value decides, in this order:
/// the options of the request, the closure, the URL, the status, the layer.
#[derive(Clone, Default)]
pub(crate) struct ExpirationRules {
    pub(crate) with: Option<ExpireFn>,
    /// Lists of patterns in order, each with the expirations of its patterns.
    pub(crate) urls: Vec<(UrlPatterns, Vec<Expiration>)>,
    pub(crate) statuses: Vec<(StatusCode, Expiration)>,
    pub(crate) layer: Option<Expiration>,
    /// The longest time that a response is fresh, whatever chooses its expiration.
    pub(crate) max_ttl: Option<Duration>,
}

impl ExpirationRules {
    pub(crate) fn choose(
        &self,
        own: Option<Expiration>,
        url: &str,
        request: &request::Parts,
        response: &response::Parts,
    ) -> Option<Expiration> {
        let by_url = || {
            self.urls.iter().find_map(|(patterns, expirations)| {
                expirations.get(patterns.first_match(url)?).copied()
            })
        };
        let by_status = || {
            let mut rules = self.statuses.iter();
            rules.find(|(status, _)| *status == response.status).map(|(_, expiration)| *expiration)
        };
        own.or_else(|| self.with.as_ref().and_then(|with| with(request, response)))
            .or_else(by_url)
            .or_else(by_status)
            .or(self.layer)
    }

    /// When a response expires that arrived at `from`, if it would expire at `end` without a limit.
    pub(crate) fn limited(&self, end: Option<Timestamp>, from: Timestamp) -> Option<Timestamp> {
        // A limit beyond all times is none.
        let latest = self.max_ttl.map(|max_ttl| from.saturating_add(max_ttl));
        let latest = latest.filter(|latest| *latest < Timestamp::MAX);
        [end, latest].into_iter().flatten().min()
    }

    /// Whether there is a rule for this status. Such a rule also makes the status storable.
    pub(crate) fn names_status(&self, status: StatusCode) -> bool {
        self.statuses.iter().any(|(named, _)| *named == status)
    }
}

impl fmt::Debug for ExpirationRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpirationRules")
            .field("with", &self.with.is_some())
            .field("urls", &self.urls)
            .field("statuses", &self.statuses)
            .field("layer", &self.layer)
            .field("max_ttl", &self.max_ttl)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    const fn secs(secs: u64) -> Expiration {
        Expiration::After(Duration::from_secs(secs))
    }

    /// Request 5, closure 4, URL 3, status 2, layer 1. In every combination, the highest one
    /// present wins.
    #[test]
    fn the_first_rule_with_a_value_decides() {
        let request = Request::get("http://a/x").body(()).unwrap().into_parts().0;
        let response = Response::builder().status(404).body(()).unwrap().into_parts().0;
        for combination in 0..32_u32 {
            let has = |rank: u32| combination & (1 << (rank - 1)) != 0;
            let rules = ExpirationRules {
                layer: has(1).then_some(secs(1)),
                statuses: has(2).then_some((StatusCode::NOT_FOUND, secs(2))).into_iter().collect(),
                urls: has(3)
                    .then(|| (UrlPatterns::new("t", ["a/*"]).unwrap(), vec![secs(3)]))
                    .into_iter()
                    .collect(),
                with: has(4).then(|| -> ExpireFn { Arc::new(|_, _| Some(secs(4))) }),
                max_ttl: None,
            };
            let own = has(5).then_some(secs(5));
            let expected = (1..=5).rev().find(|rank| has(*rank)).map(|rank| secs(rank.into()));
            let chosen = rules.choose(own, "http://a/x", &request, &response);
            assert_eq!(chosen, expected, "{combination:05b}");
        }
    }

    #[test]
    fn closures_and_rules_without_a_value_are_skipped() {
        let request = Request::get("http://a/x").body(()).unwrap().into_parts().0;
        let response = Response::new(()).into_parts().0;
        let rules = ExpirationRules {
            layer: Some(secs(1)),
            statuses: vec![(StatusCode::NOT_FOUND, secs(2))],
            urls: vec![(UrlPatterns::new("t", ["b/**"]).unwrap(), vec![secs(3)])],
            with: Some(Arc::new(|_, _| None)),
            max_ttl: None,
        };
        assert_eq!(rules.choose(None, "http://a/x", &request, &response), Some(secs(1)));
    }

    #[test]
    fn a_limit_shortens_longer_lifetimes_only() {
        let at = Timestamp::from_millis;
        let rules =
            ExpirationRules { max_ttl: Some(Duration::from_secs(2)), ..ExpirationRules::default() };
        assert_eq!(rules.limited(None, at(1_000)), Some(at(3_000)));
        assert_eq!(rules.limited(Some(at(9_000)), at(1_000)), Some(at(3_000)));
        assert_eq!(rules.limited(Some(at(500)), at(1_000)), Some(at(500)));
        let rules = ExpirationRules { max_ttl: Some(Duration::MAX), ..rules };
        assert_eq!(rules.limited(None, at(1_000)), None, "beyond all times");
        let rules = ExpirationRules::default();
        assert_eq!(rules.limited(None, at(1_000)), None);
        assert_eq!(rules.limited(Some(at(9_000)), at(1_000)), Some(at(9_000)));
    }

    #[test]
    fn expirations_become_times() {
        let now = Timestamp::from_millis(1_000);
        assert_eq!(Expiration::Never.expires_at(now), Some(None));
        assert_eq!(secs(2).expires_at(now), Some(Some(Timestamp::from_millis(3_000))));
        assert_eq!(Expiration::DoNotStore.expires_at(now), None);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(5);
        assert_eq!(Expiration::At(at).expires_at(now), Some(Some(Timestamp::from_millis(5))));
    }
}
