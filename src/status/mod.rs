//! What the cache did with a request, and why.
//!
//! Every response has a [`CacheStatus`] in its extensions: its [`Outcome`], and whether it is
//! [`Stored`]. Each question has an enum of reasons for its answer:
//!
//! | question | reasons |
//! |---|---|
//! | Why did no stored response answer? | [`Miss`] |
//! | Why was a stale response served? | [`Stale`] |
//! | Why did the request bypass the cache? | [`Bypass`] |
//! | Why was the response not stored? | [`Refusal`] |
//! | Why did a background refresh fail? | [`RefreshError`], in a [`RefreshFailure`] |
//!
//! [`CacheStatus`], [`Outcome`] and [`Stored`] are also at the root of the crate. The reasons are
//! here only.

// The reasons are in `reason.rs`, and the `Cache-Status` field is in `field.rs`.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use crate::{entry::Head, key::Key, time::Timestamp};

mod failure;
mod field;
mod reason;

pub(crate) use self::field::cache_name;
pub use self::{
    failure::{RefreshError, RefreshFailure},
    reason::{Bypass, Miss, Refusal, Stale},
};

/// What the cache did with a request. It is in the extensions of the response.
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
    /// Why the cache revalidated the stored response, if it did.
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
    /// From the store, fresh. The inner service was not called.
    Hit,
    /// From the inner service: no stored response could answer.
    Miss(Miss),
    /// From the store, although it is stale, or had to be revalidated and could not be.
    Stale(Stale),
    /// From the store, after a 304 of the inner service freshened it.
    Revalidated,
    /// From the inner service, by another request's call: no stored response could answer.
    Coalesced(Miss),
    /// From the inner service. The request bypassed the cache.
    Bypass(Bypass),
    /// From the cache itself, with status 504:
    /// [`only_if_cached`](crate::CacheOptions::only_if_cached) forbade a call to the inner service.
    OnlyIfCached,
}

/// Whether a response is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stored {
    /// It is stored: the store has acknowledged it, and every request of this process finds it. A
    /// store may lose it all the same, by eviction, by the end of the process, or because a write
    /// that it does later fails ([`store`](crate::store#what-a-store-promises), promise 6).
    Yes,
    /// It is being stored while its body is read.
    Pending,
    /// It is not stored.
    No(Refusal),
}

/// Whether a response is stored. The tee that stores a body in flight sets the result once.
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
    /// The status at `now` of a response that is not known to be stored.
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

    /// When the response was returned.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn hit(key: Key, head: &Head, now: Timestamp) -> Self {
        Self::new(Outcome::Hit, Some(key), now, Stored::Yes).of(head)
    }

    pub(crate) fn stale(why: Stale, key: Key, head: &Head, now: Timestamp) -> Self {
        Self::new(Outcome::Stale(why), Some(key), now, Stored::Yes).of(head)
    }

    /// The status of the stored response with the head that it has after a 304. `miss` is the
    /// reason for the revalidation. `stored` says whether that head is stored. `is_coalesced` says
    /// whether another request made the call.
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

    /// The status of the response to another request's call. `head` is the stored head, if the
    /// response is stored or is being stored.
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

    /// The same status, of a response that is not stored under `key`.
    pub(crate) fn refused_at(self, key: Key, refusal: Refusal) -> Self {
        Self { key: Some(key), storing: refusal.into(), ..self }
    }

    /// The same status, of a response that is being stored under `key`.
    pub(crate) fn storing_at(self, key: Key, head: &Head, progress: Progress) -> Self {
        Self { key: Some(key), storing: progress.into(), ..self.of(head) }
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

    /// The reason for the outcome, in a word: why no stored response could answer, or why it was
    /// revalidated; why a stale response was served; why the request bypassed the cache. `None` for
    /// a hit, and if the request forbade a call to the inner service.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.outcome.reason().or_else(|| self.asked.map(Miss::name))
    }

    /// Whether the cache answered without forwarding the request to the inner service, as `hit`
    /// means in a `Cache-Status` field (RFC 9211 §2.1): [`Outcome::is_hit`].
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.outcome.is_hit()
    }

    /// Whether the response came from the store: fresh, stale or freshened by a 304. The inner
    /// service may have been called first: [`Outcome::is_from_store`].
    #[must_use]
    pub fn is_from_store(&self) -> bool {
        self.outcome.is_from_store()
    }

    /// Whether the response was served although it is stale, for whatever reason:
    /// [`Outcome::is_stale`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.outcome.is_stale()
    }

    /// Whether another request's call answered this request: with its response, or with a 304 that
    /// freshened the stored response.
    #[must_use]
    pub fn is_coalesced(&self) -> bool {
        self.is_coalesced
    }

    /// The key under which the response is stored, or would be stored.
    ///
    /// `None` if the request bypassed the cache. Two responses have a key even then, since they may
    /// be stored: a part, and the response to a `POST` that may answer a `GET`.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.key
    }

    /// How long the response had been stored when it was served, counted from the time when it was
    /// last freshened. `None` if it did not come from the store.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let (stored_at, _) = self.times.filter(|_| self.is_from_store())?;
        Some(self.now.saturating_since(stored_at))
    }

    /// When the response arrived or was last freshened. `None` if it is not stored and not being
    /// stored.
    #[must_use]
    pub fn stored_at(&self) -> Option<SystemTime> {
        self.times.map(|(stored_at, _)| stored_at.into())
    }

    /// When the response expires. `None` if it never expires, or is not stored and not being
    /// stored.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.times.and_then(|(_, expires_at)| expires_at).map(Into::into)
    }

    /// Whether the response is stored at the moment. The answer for a response that is being stored
    /// changes when its body has been read to the end, or dropped.
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
    /// Whether the cache answered without forwarding the request to the inner service.
    ///
    /// That is so for [`Hit`](Outcome::Hit), and for a [`Stale`](Outcome::Stale) response that was
    /// served without waiting for the inner service. A stale response that replaces a failure
    /// ([`Stale::IfError`]) and a [revalidated](Outcome::Revalidated) one are no hits: the inner
    /// service was called for them.
    #[must_use]
    pub const fn is_hit(self) -> bool {
        match self {
            Self::Hit
            | Self::Stale(Stale::WhileRevalidate | Stale::OnlyIfCached | Stale::MaxStale) => true,
            Self::Stale(Stale::IfError)
            | Self::Miss(_)
            | Self::Revalidated
            | Self::Coalesced(_)
            | Self::Bypass(_)
            | Self::OnlyIfCached => false,
        }
    }

    /// Whether the response came from the store: fresh, stale or freshened by a 304. Every
    /// [hit](Outcome::is_hit) did.
    #[must_use]
    pub const fn is_from_store(self) -> bool {
        matches!(self, Self::Hit | Self::Stale(_) | Self::Revalidated)
    }

    /// Whether a stale response was served: [`Stale`](Outcome::Stale) with any reason. With
    /// [`Stale::IfError`], it is no [hit](Outcome::is_hit): the inner service was called and
    /// failed.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale(_))
    }

    /// The name of the outcome in logs and metrics: `hit`, `miss`, `stale`, `revalidated`,
    /// `coalesced`, `bypass` or `only-if-cached`. These names do not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
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

    /// The reason in a word, if the outcome has one.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Miss(miss) | Self::Coalesced(miss) => Some(miss.name()),
            Self::Stale(why) => Some(why.name()),
            Self::Bypass(reason) => Some(reason.name()),
            Self::Hit | Self::Revalidated | Self::OnlyIfCached => None,
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
        for (status, is_from_store, expected, is_coalesced, text) in [
            (&stale, true, age, false, "stale (if-error)"),
            (&revalidated, true, age, false, "revalidated"),
            (&coalesced, false, None, true, "coalesced (absent)"),
        ] {
            assert_eq!((status.is_from_store(), status.age()), (is_from_store, expected), "{text}");
            assert_eq!(status.stored_at(), Some(Timestamp::from_millis(1_000).into()), "{text}");
            assert_eq!(status.expires_at(), Some(Timestamp::from_millis(3_000).into()), "{text}");
            assert_eq!(status.is_coalesced(), is_coalesced, "{text}");
            assert_eq!(status.key(), Some(key));
            assert_eq!(status.outcome().to_string(), text);
            assert_eq!(status.is_stale(), text.starts_with("stale"), "{text}");
        }
        assert_eq!((refused.stored_at(), refused.expires_at()), (None, None));
        assert_eq!(refused.stored(), Stored::No(Refusal::Status));
        assert!(refused.is_coalesced());
    }
}
