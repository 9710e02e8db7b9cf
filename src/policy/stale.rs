//! [`StaleLimit`]: how long an expired response may still be served.

use std::time::Duration;

use crate::{entry::Head, time::Timestamp};

/// How long after its expiry a stored response may be served.
///
/// Every setting that takes a limit also takes a `Duration`.
///
/// ```
/// use std::time::Duration;
/// use larder::StaleLimit;
///
/// let minute = Duration::from_secs(60);
/// assert_eq!(StaleLimit::from(minute), StaleLimit::Within(minute));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StaleLimit {
    /// The response may not be served stale.
    #[default]
    None,
    /// The response may be served stale until this long after its expiry, exclusive.
    Within(Duration),
    /// The response may be served for as long as the store holds it.
    Unlimited,
}

impl StaleLimit {
    /// Whether the response may be served stale at `now`. Any limit except `None` also allows a
    /// response that has not expired.
    pub(crate) fn allows(self, head: &Head, now: Timestamp) -> bool {
        match (self, head.expires_at()) {
            (Self::None, _) => false,
            (Self::Unlimited, _) | (_, None) => true,
            // The end is exclusive, since a store may have removed the entry by then.
            (Self::Within(duration), Some(end)) => now < end || now < end.saturating_add(duration),
        }
    }

    /// When a response that expires at `expires_at` stops being usable under this limit. `None` is
    /// never.
    pub(crate) fn end(self, expires_at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::None => Some(expires_at),
            Self::Within(duration) => Some(expires_at.saturating_add(duration)),
            Self::Unlimited => None,
        }
    }
}

impl From<Duration> for StaleLimit {
    fn from(duration: Duration) -> Self {
        Self::Within(duration)
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;

    fn expiring(millis: Option<u64>) -> Head {
        let parts = Response::new(()).into_parts().0;
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
            .with_expires_at(millis.map(Timestamp::from_millis))
    }

    #[test]
    fn limits_count_from_the_expiry_and_exclude_their_end() {
        let second = StaleLimit::Within(Duration::from_secs(1));
        for (limit, expires, now, expected) in [
            (StaleLimit::None, Some(10), 9, false),
            (StaleLimit::None, Some(10), 10, false),
            (StaleLimit::None, None, 10, false),
            (StaleLimit::Within(Duration::ZERO), Some(10), 9, true),
            (StaleLimit::Within(Duration::ZERO), Some(10), 10, false),
            (second, Some(10), 9, true),
            (second, Some(10), 10, true),
            (second, Some(10), 1_009, true),
            (second, Some(10), 1_010, false),
            (second, None, u64::MAX, true),
            (StaleLimit::Within(Duration::MAX), Some(10), u64::MAX - 1, true),
            (StaleLimit::Unlimited, Some(10), u64::MAX, true),
            (StaleLimit::Unlimited, None, 10, true),
        ] {
            let allowed = limit.allows(&expiring(expires), Timestamp::from_millis(now));
            assert_eq!(allowed, expected, "{limit:?} {expires:?} {now}");
        }
    }

    #[test]
    fn the_end_of_a_limit_is_the_first_time_it_does_not_allow() {
        let expires_at = Timestamp::from_millis(10);
        let head = expiring(Some(10));
        for limit in [Duration::from_millis(1), Duration::from_secs(9), Duration::MAX] {
            let limit = StaleLimit::from(limit);
            let end = limit.end(expires_at).unwrap();
            assert!(!limit.allows(&head, end), "{limit:?}");
            assert!(limit.allows(&head, Timestamp::from_millis(end.as_millis() - 1)), "{limit:?}");
        }
        assert_eq!(StaleLimit::None.end(expires_at), Some(expires_at));
        assert_eq!(StaleLimit::Unlimited.end(expires_at), None);
    }
}
