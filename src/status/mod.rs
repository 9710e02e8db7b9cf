//! [`CacheStatus`]: what the cache did with a request and why, in every response's extensions. As a `Cache-Status` field:
//! in `field.rs`.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{entry::Head, key::Key, store::ErrorKind, time::Timestamp};

mod field;

pub(crate) use self::field::cache_name;

/// What the cache did with a request, in the extensions of its response.
///
/// ```
/// # use http::Response;
/// use larder::{CacheStatus, Outcome};
///
/// # fn see<B>(response: Response<B>) {
/// if let Some(status) = response.extensions().get::<CacheStatus>() {
///     match status.outcome() {
///         Outcome::Hit => println!("{:?} old", status.age()),
///         other => println!("{other}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CacheStatus {
    outcome: Outcome,
    key: Option<Key>,
    now: Timestamp,
    times: Option<(Timestamp, Option<Timestamp>)>,
    storing: Storing,
}

/// Where a response came from.
///
/// [`Stale`](Outcome::Stale), [`Revalidated`](Outcome::Revalidated) and [`Coalesced`](Outcome::Coalesced) have their names
/// already, and do not occur yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// From the store, fresh; the inner service was not touched.
    Hit,
    /// From the inner service, since the store had nothing to answer with.
    Miss(Miss),
    /// From the store, though it has expired.
    Stale,
    /// From the store, after the inner service confirmed it.
    Revalidated,
    /// From the inner service, through the call that another request made.
    Coalesced,
    /// From the inner service, past the cache.
    Bypass(Bypass),
    /// From nowhere: [`only_if_cached`](crate::CacheOptions::only_if_cached) forbade to ask the inner service.
    OnlyIfCached,
}

/// Why the store had nothing to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// Nothing is stored for the request.
    Absent,
    /// What is stored has expired.
    Expired,
    /// There are responses for the URL, but none for these request headers (`Vary`).
    Variant,
    /// The request asked for a new response ([`refresh`](crate::CacheOptions::refresh)).
    Refresh,
    /// What is stored is damaged. It is removed, unless the cache is read-only.
    Corrupt,
    /// What is stored was kept by another layer, and the rules of this one forbid to answer with it.
    NotAllowed,
    /// The store failed.
    StoreFailed(ErrorKind),
}

/// Why a request went past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// The cache is [switched off](crate::CacheLayer::set_enabled).
    Disabled,
    /// The request [asked for it](crate::CacheOptions::bypass).
    Requested,
    /// The method is none of those that are [cached](crate::CacheLayer::methods).
    Method,
    /// The request asks for a part (`Range`).
    Range,
    /// The request asks for another protocol (`Upgrade`).
    Upgrade,
    /// The request makes a condition that only the origin can judge (`If-Match`, `If-Unmodified-Since`).
    Precondition,
    /// The request carries credentials, and the cache is [shared](crate::CacheLayer::shared).
    Credentials,
    /// The request names no URL: an invalid `Host` or several, or a target that is neither a path nor an absolute URL.
    InvalidTarget,
    /// The request's body is larger than what is [buffered](crate::CacheLayer::max_request_body) for the key.
    RequestBodyTooLarge,
    /// The request's body broke off.
    RequestBodyFailed,
}

/// Why a response was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request went past the cache.
    Bypassed,
    /// The request [forbade to ask](crate::CacheOptions::only_if_cached) the inner service.
    NotFetched,
    /// The request [asked for it](crate::CacheOptions::no_store).
    NoStore,
    /// The cache is [read-only](crate::CacheLayer::read_only).
    ReadOnly,
    /// The status is none of those that are [kept](crate::CacheLayer::statuses).
    Status,
    /// [`store_if`](crate::CacheLayer::store_if) said no.
    Predicate,
    /// The expiration chosen for the response is [`Expiration::DoNotStore`](crate::Expiration::DoNotStore).
    Expiration,
    /// The cache is [shared](crate::CacheLayer::shared), and no expiration has been chosen.
    NoExpiration,
    /// The response sets a cookie, and the cache is [shared](crate::CacheLayer::shared).
    SetCookie,
    /// The response varies by more than request headers (`Vary: *`).
    Vary,
    /// The body is larger than the [largest that is kept](crate::CacheLayer::max_body), or than the store takes.
    TooLarge,
    /// The body ended before, or after, the length that its `Content-Length` says.
    Length,
    /// The body ended in an error.
    BodyFailed,
    /// The caller dropped the body before its end.
    Dropped,
    /// The store failed.
    StoreFailed(ErrorKind),
}

/// What has become of a response on its way into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stored {
    /// It is stored.
    Yes,
    /// It is being stored while its body is read.
    Pending,
    /// It is not stored.
    No(Refusal),
}

/// The outcome of a body on its way, written once by the side that stores it.
#[derive(Clone, Debug)]
pub(crate) enum Storing {
    Known(Stored),
    Underway(Progress),
}

pub(crate) type Progress = Arc<OnceLock<Result<(), Refusal>>>;

impl CacheStatus {
    pub(crate) fn hit(key: Key, head: &Head, now: Timestamp) -> Self {
        Self {
            outcome: Outcome::Hit,
            key: Some(key),
            now,
            times: Some((head.stored_at(), head.expires_at())),
            storing: Storing::Known(Stored::Yes),
        }
    }

    pub(crate) fn bypass(reason: Bypass, now: Timestamp) -> Self {
        let storing = Storing::Known(Stored::No(Refusal::Bypassed));
        Self { outcome: Outcome::Bypass(reason), key: None, now, times: None, storing }
    }

    pub(crate) fn only_if_cached(key: Option<Key>, now: Timestamp) -> Self {
        let storing = Storing::Known(Stored::No(Refusal::NotFetched));
        Self { outcome: Outcome::OnlyIfCached, key, now, times: None, storing }
    }

    pub(crate) fn refused(miss: Miss, refusal: Refusal, key: Key, now: Timestamp) -> Self {
        let storing = Storing::Known(Stored::No(refusal));
        Self { outcome: Outcome::Miss(miss), key: Some(key), now, times: None, storing }
    }

    pub(crate) fn storing(miss: Miss, key: Key, head: &Head, progress: Progress) -> Self {
        Self {
            outcome: Outcome::Miss(miss),
            key: Some(key),
            now: head.stored_at(),
            times: Some((head.stored_at(), head.expires_at())),
            storing: Storing::Underway(progress),
        }
    }

    /// Where the response came from.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the response came from the store, fresh or not.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self.outcome, Outcome::Hit | Outcome::Stale | Outcome::Revalidated)
    }

    /// Under which key the response is, or would be, stored; `None` where the request went past the cache.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.key
    }

    /// How long the response had been in the store when it was answered with; `None` where it was not.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let (stored_at, _) = self.times.filter(|_| self.is_hit())?;
        Some(self.now.saturating_since(stored_at))
    }

    /// When the response arrived, where it is, or is being, stored.
    #[must_use]
    pub fn stored_at(&self) -> Option<SystemTime> {
        self.times.map(|(stored_at, _)| stored_at.into())
    }

    /// When the response expires, where it is, or is being, stored and does expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.times.and_then(|(_, expires_at)| expires_at).map(Into::into)
    }

    /// Whether the response is stored, by now: the answer for a response that is being stored changes when its body has
    /// been read to the end, or dropped.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match &self.storing {
            Storing::Known(stored) => *stored,
            Storing::Underway(progress) => match progress.get() {
                None => Stored::Pending,
                Some(Ok(())) => Stored::Yes,
                Some(Err(refusal)) => Stored::No(*refusal),
            },
        }
    }
}

impl Miss {
    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Variant => "variant",
            Self::Refresh => "refresh",
            Self::Corrupt => "corrupt",
            Self::NotAllowed => "not-allowed",
            Self::StoreFailed(_) => "store-failed",
        }
    }
}

impl Bypass {
    fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Requested => "requested",
            Self::Method => "method",
            Self::Range => "range",
            Self::Upgrade => "upgrade",
            Self::Precondition => "precondition",
            Self::Credentials => "credentials",
            Self::InvalidTarget => "invalid-target",
            Self::RequestBodyTooLarge => "request-body-too-large",
            Self::RequestBodyFailed => "request-body-failed",
        }
    }
}

impl Refusal {
    fn name(self) -> &'static str {
        match self {
            Self::Bypassed => "bypassed",
            Self::NotFetched => "not-fetched",
            Self::NoStore => "no-store",
            Self::ReadOnly => "read-only",
            Self::Status => "status",
            Self::Predicate => "predicate",
            Self::Expiration => "expiration",
            Self::NoExpiration => "no-expiration",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::TooLarge => "too-large",
            Self::Length => "length",
            Self::BodyFailed => "body-failed",
            Self::Dropped => "dropped",
            Self::StoreFailed(_) => "store-failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit => f.write_str("hit"),
            Self::Miss(miss) => write!(f, "miss ({miss})"),
            Self::Stale => f.write_str("stale"),
            Self::Revalidated => f.write_str("revalidated"),
            Self::Coalesced => f.write_str("coalesced"),
            Self::Bypass(reason) => write!(f, "bypass ({reason})"),
            Self::OnlyIfCached => f.write_str("only if cached"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;

    #[test]
    fn a_status_on_its_way_learns_the_end() {
        let progress = Progress::default();
        let parts = Response::new(()).into_parts().0;
        let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN);
        let status = CacheStatus::storing(Miss::Absent, Key::digest(""), &head, progress.clone());
        assert_eq!(status.stored(), Stored::Pending);
        progress.set(Err(Refusal::Dropped)).unwrap();
        assert_eq!(status.stored(), Stored::No(Refusal::Dropped));
    }
}
