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
    /// Why the inner service was asked to confirm what is stored, where it did.
    asked: Option<Miss>,
    is_coalesced: bool,
    key: Option<Key>,
    now: Timestamp,
    times: Option<(Timestamp, Option<Timestamp>)>,
    storing: Storing,
}

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// From the store, fresh; the inner service was not touched.
    Hit,
    /// From the inner service, since the store had nothing to answer with.
    Miss(Miss),
    /// From the store, though it has expired, or should have been confirmed and could not be.
    Stale(Stale),
    /// From the store, after the inner service confirmed it.
    Revalidated,
    /// From the inner service, through the call that another request made, since the store had nothing to answer with.
    Coalesced(Miss),
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
    /// The request asked for the origin's word ([`refresh`](crate::CacheOptions::refresh),
    /// [`force_refresh`](crate::CacheOptions::force_refresh)), or its `Cache-Control` for a fresher response.
    Refresh,
    /// What is stored is damaged. It is removed, unless the cache is read-only.
    Corrupt,
    /// What is stored was kept by another layer, and the rules of this one forbid to answer with it.
    NotAllowed,
    /// The store failed.
    StoreFailed(ErrorKind),
}

/// Why a response was answered with that is no longer fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stale {
    /// It is refreshed in the background (`stale_while_revalidate`); where the last refresh has failed, after a pause.
    WhileRevalidate,
    /// The origin failed ([`stale_if_error`](crate::CacheOptions::stale_if_error)).
    IfError,
    /// The request forbade to ask the origin ([`only_if_cached`](crate::CacheOptions::only_if_cached)), and one of the
    /// two limits above lets the response stand.
    OnlyIfCached,
    /// The request said that a stale response will do (`Cache-Control: max-stale`).
    MaxStale,
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
    /// The request asks for a part (`Range`), and no fresh response is stored to take it from; or for several parts.
    Range,
    /// The request asks for another protocol (`Upgrade`).
    Upgrade,
    /// The request makes a condition that only the origin can judge: `If-Match`, `If-Unmodified-Since`, and
    /// `If-None-Match` of a method other than `GET` and `HEAD`.
    Precondition,
    /// The request carries credentials, and the cache is [shared](crate::CacheLayer::shared).
    Credentials,
    /// The request names no URL: an invalid `Host` or several, or a target that is neither a path nor an absolute URL.
    InvalidTarget,
    /// The request's body is larger than what is [buffered](crate::CacheLayer::max_request_body) for the key.
    RequestBodyTooLarge,
    /// The request's body broke off.
    RequestBodyFailed,
    /// The cache is for [gRPC](crate::CacheLayer::grpc), and the request is none: it is no `POST`, or its content type is
    /// not `application/grpc`.
    NotGrpc,
    /// The gRPC method is none of those that are [cached](crate::CacheLayer::grpc).
    GrpcMethod,
    /// The [gRPC](crate::CacheLayer::grpc) request is not one whole message: it has several, or none, or pauses for a second
    /// before it ends. So do streams.
    NotUnary,
}

/// Why a response was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request went past the cache.
    Bypassed,
    /// The request [forbade to ask](crate::CacheOptions::only_if_cached) the inner service.
    NotFetched,
    /// The request [asked for it](crate::CacheOptions::no_store), or its `Cache-Control: no-store` did.
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
    /// The response says `Cache-Control: no-store`.
    NoStoreDirective,
    /// The response says `Cache-Control: no-cache`, and has no validator by which the origin could confirm it.
    NoCache,
    /// The response is for one user (`Cache-Control: private`), and the cache is [shared](crate::CacheLayer::shared).
    Private,
    /// The response says `Cache-Control: must-understand`, and its status is none that this cache knows.
    MustUnderstand,
    /// The request carries credentials, the cache is [shared](crate::CacheLayer::shared), and the response does not allow
    /// it to be kept for others (`Cache-Control: public`, `must-revalidate` or `s-maxage`).
    Authorization,
    /// The response does not say for how long it is fresh, and neither its status and its `Last-Modified` let that be
    /// guessed, nor has it a validator by which the origin could confirm it.
    NoFreshness,
    /// The response sets a cookie, and the cache is [shared](crate::CacheLayer::shared).
    SetCookie,
    /// The response varies by more than request headers (`Vary: *`).
    Vary,
    /// It has more or longer tags than an [entry can have](crate::CacheLayer#tags), or some that are no text. Without all
    /// of its tags it would be served on after a removal by one of them.
    Tags,
    /// The body is larger than the [largest that is kept](crate::CacheLayer::max_body), or than the store takes.
    TooLarge,
    /// The body ended before, or after, the length that its `Content-Length` says.
    Length,
    /// The body ended in an error.
    BodyFailed,
    /// The response is a stream of events or of pictures (`text/event-stream`, `multipart/x-mixed-replace`) in answer to
    /// a `GET`: it goes on for as long as anybody listens, and is no one's but the listener's.
    EventStream,
    /// The [gRPC](crate::CacheLayer::grpc) call failed, or its response ended without a status: no `grpc-status` in its
    /// head or trailers, or another than 0.
    GrpcStatus,
    /// The response to the [gRPC](crate::CacheLayer::grpc) call is not one whole message: it is a stream of several, or has
    /// none.
    NotUnary,
    /// The body was dropped before its end, by everybody who read it.
    Dropped,
    /// It was removed, cleared or invalidated while it was on its way.
    Removed,
    /// A response that was asked for later has taken its place; or, of one that was being confirmed, a removal.
    Superseded,
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

impl From<Stored> for Storing {
    fn from(stored: Stored) -> Self {
        Self::Known(stored)
    }
}

impl From<Refusal> for Storing {
    fn from(refusal: Refusal) -> Self {
        Self::Known(Stored::No(refusal))
    }
}

impl From<Progress> for Storing {
    fn from(progress: Progress) -> Self {
        Self::Underway(progress)
    }
}

impl CacheStatus {
    /// A status at `now` of a response that is not known to be stored anywhere.
    fn new(
        outcome: Outcome,
        key: Option<Key>,
        now: Timestamp,
        storing: impl Into<Storing>,
    ) -> Self {
        let storing = storing.into();
        Self { outcome, asked: None, is_coalesced: false, key, now, times: None, storing }
    }

    /// The same status with the times of a stored response.
    fn of(self, head: &Head) -> Self {
        Self { times: Some((head.stored_at(), head.expires_at())), ..self }
    }

    /// When the response was answered with.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn hit(key: Key, head: &Head, now: Timestamp) -> Self {
        Self::new(Outcome::Hit, Some(key), now, Stored::Yes).of(head)
    }

    pub(crate) fn stale(why: Stale, key: Key, head: &Head, now: Timestamp) -> Self {
        Self::new(Outcome::Stale(why), Some(key), now, Stored::Yes).of(head)
    }

    /// The stored response with the head that it has after a 304, which `miss` was the reason to ask for. `stored` is
    /// whether that head is; `is_coalesced`, whether another request asked.
    pub(crate) fn revalidated(
        miss: Miss,
        key: Key,
        head: &Head,
        now: Timestamp,
        is_coalesced: bool,
        stored: impl Into<Storing>,
    ) -> Self {
        let status = Self::new(Outcome::Revalidated, Some(key), now, stored).of(head);
        Self { asked: Some(miss), is_coalesced, ..status }
    }

    /// The response to another request's call. `head` is what is, or is being, stored of it, where that is so.
    pub(crate) fn coalesced(
        miss: Miss,
        key: Key,
        head: Option<&Head>,
        now: Timestamp,
        storing: impl Into<Storing>,
    ) -> Self {
        let status = Self::new(Outcome::Coalesced(miss), Some(key), now, storing);
        let status = Self { is_coalesced: true, ..status };
        match head {
            Some(head) => status.of(head),
            None => status,
        }
    }

    pub(crate) fn bypass(reason: Bypass, now: Timestamp) -> Self {
        Self::new(Outcome::Bypass(reason), None, now, Refusal::Bypassed)
    }

    /// The same, of a response that is kept, or is not, under `key`.
    pub(crate) fn storing_at(self, key: Key, storing: impl Into<Storing>) -> Self {
        Self { key: Some(key), storing: storing.into(), ..self }
    }

    pub(crate) fn only_if_cached(key: Option<Key>, now: Timestamp) -> Self {
        Self::new(Outcome::OnlyIfCached, key, now, Refusal::NotFetched)
    }

    pub(crate) fn refused(miss: Miss, refusal: Refusal, key: Key, now: Timestamp) -> Self {
        Self::new(Outcome::Miss(miss), Some(key), now, refusal)
    }

    pub(crate) fn storing(miss: Miss, key: Key, head: &Head, progress: Progress) -> Self {
        Self::new(Outcome::Miss(miss), Some(key), head.stored_at(), progress).of(head)
    }

    /// Where the response came from.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Why, in a word: why the store had nothing to answer with, or had it confirmed; why a stale response was good enough;
    /// why the request went past the cache. `None` for a hit, and where the request forbade to ask.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.outcome.reason().or_else(|| self.asked.map(Miss::name))
    }

    /// Whether the response came from the store, fresh or not.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self.outcome, Outcome::Hit | Outcome::Stale(_) | Outcome::Revalidated)
    }

    /// Whether another request's call answered this one: with its response, or with the confirmation of what is stored.
    #[must_use]
    pub fn is_coalesced(&self) -> bool {
        self.is_coalesced
    }

    /// Under which key the response is, or would be, stored. `None` where the request went past the cache, unless what
    /// came may be kept all the same: a part, or the response to a `POST` that speaks for a `GET`.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.key
    }

    /// How long the response had been in the store when it was answered with, counted from when it was last confirmed;
    /// `None` where it did not come from the store.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let (stored_at, _) = self.times.filter(|_| self.is_hit())?;
        Some(self.now.saturating_since(stored_at))
    }

    /// When the response arrived or was last confirmed, where it is, or is being, stored.
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

impl Outcome {
    /// The outcome in a word, as logs and metrics have it: `hit`, `miss`, `stale`, `revalidated`, `coalesced`, `bypass` or
    /// `only-if-cached`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss(_) => "miss",
            Self::Stale(_) => "stale",
            Self::Revalidated => "revalidated",
            Self::Coalesced(_) => "coalesced",
            Self::Bypass(_) => "bypass",
            Self::OnlyIfCached => "only-if-cached",
        }
    }

    /// Why, in a word, where the outcome says it.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Miss(miss) | Self::Coalesced(miss) => Some(miss.name()),
            Self::Stale(why) => Some(why.name()),
            Self::Bypass(reason) => Some(reason.name()),
            Self::Hit | Self::Revalidated | Self::OnlyIfCached => None,
        }
    }
}

impl Miss {
    pub(crate) fn name(self) -> &'static str {
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

impl Stale {
    fn name(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "while-revalidate",
            Self::IfError => "if-error",
            Self::OnlyIfCached => "only-if-cached",
            Self::MaxStale => "max-stale",
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
            Self::NotGrpc => "not-grpc",
            Self::GrpcMethod => "grpc-method",
            Self::NotUnary => "not-unary",
        }
    }
}

impl Refusal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bypassed => "bypassed",
            Self::NotFetched => "not-fetched",
            Self::NoStore => "no-store",
            Self::ReadOnly => "read-only",
            Self::Status => "status",
            Self::Predicate => "predicate",
            Self::Expiration => "expiration",
            Self::NoExpiration => "no-expiration",
            Self::NoStoreDirective => "no-store-directive",
            Self::NoCache => "no-cache",
            Self::Private => "private",
            Self::MustUnderstand => "must-understand",
            Self::Authorization => "authorization",
            Self::NoFreshness => "no-freshness",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Tags => "tags",
            Self::TooLarge => "too-large",
            Self::Length => "length",
            Self::BodyFailed => "body-failed",
            Self::GrpcStatus => "grpc-status",
            Self::NotUnary => "not-unary",
            Self::Dropped => "dropped",
            Self::EventStream => "event-stream",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::StoreFailed(_) => "store-failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "{} ({reason})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Stale {
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

    /// Stored at 1 s, expired at 3 s.
    fn head() -> Head {
        let parts = Response::new(()).into_parts().0;
        Head::new(Method::GET, "http://a/", parts, Timestamp::from_millis(1_000))
            .with_expires_at(Some(Timestamp::from_millis(3_000)))
    }

    #[test]
    fn a_status_on_its_way_learns_the_end() {
        let progress = Progress::default();
        let (key, now) = (Key::digest(""), Timestamp::from_millis(2_000));
        let of = |outcome: Miss| {
            [
                CacheStatus::storing(outcome, key, &head(), progress.clone()),
                CacheStatus::coalesced(outcome, key, Some(&head()), now, progress.clone()),
                CacheStatus::revalidated(outcome, key, &head(), now, true, progress.clone()),
            ]
        };
        let statuses = of(Miss::Absent);
        assert!(statuses.iter().all(|status| status.stored() == Stored::Pending));
        progress.set(Err(Refusal::Dropped)).unwrap();
        assert!(statuses.iter().all(|status| status.stored() == Stored::No(Refusal::Dropped)));
    }

    #[test]
    fn what_came_from_the_store_has_an_age_and_what_did_not_has_none() {
        let (key, now) = (Key::digest(""), Timestamp::from_millis(5_000));
        let age = Some(Duration::from_secs(4));
        let stale = CacheStatus::stale(Stale::IfError, key, &head(), now);
        let revalidated =
            CacheStatus::revalidated(Miss::Expired, key, &head(), now, false, Stored::Yes);
        let coalesced =
            CacheStatus::coalesced(Miss::Absent, key, Some(&head()), now, Stored::Pending);
        let refused = CacheStatus::coalesced(Miss::Absent, key, None, now, Refusal::Status);
        for (status, is_hit, expected, is_coalesced, text) in [
            (&stale, true, age, false, "stale (if-error)"),
            (&revalidated, true, age, false, "revalidated"),
            (&coalesced, false, None, true, "coalesced (absent)"),
        ] {
            assert_eq!((status.is_hit(), status.age()), (is_hit, expected), "{text}");
            assert_eq!(status.stored_at(), Some(Timestamp::from_millis(1_000).into()), "{text}");
            assert_eq!(status.expires_at(), Some(Timestamp::from_millis(3_000).into()), "{text}");
            assert_eq!(status.is_coalesced(), is_coalesced, "{text}");
            assert_eq!(status.key(), Some(key));
            assert_eq!(status.outcome().to_string(), text);
        }
        assert_eq!((refused.stored_at(), refused.expires_at()), (None, None));
        assert_eq!(refused.stored(), Stored::No(Refusal::Status));
        assert!(refused.is_coalesced());
    }
}
