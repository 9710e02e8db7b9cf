//! [`Event`]: what a cache reports about its work. Each event is made in one place and goes to the
//! counters of [`Stats`](crate::Stats), to the hooks of
//! [`CacheLayer::add_event_hook`](crate::CacheLayer::add_event_hook), and to the crates `tracing`
//! and `metrics`.
//!
//! - `observer`: the receivers of a layer's events, and the timing of its store;
//! - `log`: events for `tracing`; `span`: the span of each call; `names`: what both have in common;
//! - `meter`: events for `metrics`;
//! - `request_line`: method and URL of a request, for hooks;
//! - `stores`: what stores report about themselves.
//!
//! No other module knows whether the features `tracing` and `metrics` are on. Logs and metrics
//! contain names, numbers and the beginnings of keys. They never contain a URL, a header or a body,
//! which may be secret. Hooks receive the URL.

use std::{fmt, time::Duration};

use http::StatusCode;

use crate::{
    key::Key,
    status::{CacheStatus, Miss, Outcome, RefreshFailure, Refusal},
    store::Error,
};

#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(feature = "tracing")]
mod names;
mod observer;
mod request_line;
mod span;
#[cfg(feature = "tracing")]
mod store_time;
mod stores;

pub use self::request_line::RequestLine;
#[cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite"))]
pub(crate) use self::stores::evicted;
#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(crate) use self::stores::restarted;
#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(crate) use self::stores::unwritten;
pub(crate) use self::{
    observer::{CallGauge, Observer},
    request_line::{SentLine, without_query},
    span::Spanned,
    stores::tier_failed,
};

/// Something that a cache has done, for
/// [`CacheLayer::add_event_hook`](crate::CacheLayer::add_event_hook).
///
/// ```
/// use larder::{CacheLayer, Event, store::Memory};
///
/// // Such as `GET https://example.com/news -> 200 hit`.
/// let layer = CacheLayer::private(Memory::default()).add_event_hook(|event| {
///     if let Event::Answered { request, code, status, .. } = event {
///         println!("{request} -> {} {}", code.as_u16(), status.outcome());
///     }
/// });
/// ```
///
/// [`Stats`](crate::Stats) counts these events. Evictions are not events: a store evicts by itself
/// and counts its evictions (`Memory::evicted` and so on).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The head of a response was returned. Its body, if it has one, has not been read yet.
    #[non_exhaustive]
    Answered {
        /// Method and URL of the request.
        request: RequestLine<'a>,
        /// The status code of the response.
        code: StatusCode,
        /// What was done and why: the value in the response's extensions.
        status: &'a CacheStatus,
    },
    /// The inner service failed, there was no stale response to serve, and the caller got the inner
    /// service's error. Every request ends in exactly one `Answered` or `Failed`, unless its caller
    /// drops it first.
    #[non_exhaustive]
    Failed {
        /// Method and URL of the request.
        request: RequestLine<'a>,
        /// The key of the response that the request waited for; `None` if the request bypassed the
        /// cache.
        key: Option<&'a Key>,
        /// What the outcome would have been: a miss or a bypass.
        outcome: Outcome,
    },
    /// A call to the inner service begins, for a response that may be stored. Calls of requests
    /// that bypass the cache are not events.
    #[non_exhaustive]
    Called {
        /// Method and URL of the request.
        request: RequestLine<'a>,
        /// The key of the expected response.
        key: &'a Key,
        /// Why the stored response cannot be used, or soon cannot be used any more.
        reason: Miss,
        /// Whether this call begins a background refresh. If the first call of a refresh brings a
        /// 304 that matches no stored response, the refresh makes a second call, for which this is
        /// `false`.
        is_refresh: bool,
    },
    /// A response was stored whole.
    #[non_exhaustive]
    Stored {
        /// Method and URL of the request that it answers.
        request: RequestLine<'a>,
        /// The status code of the response.
        code: StatusCode,
        /// The key of the stored response.
        key: &'a Key,
        /// The length of its body in bytes.
        bytes: u64,
    },
    /// A response was not stored, or a 304 could not be written to the stored response.
    #[non_exhaustive]
    NotStored {
        /// Method and URL of the request.
        request: RequestLine<'a>,
        /// The status code of the response.
        code: StatusCode,
        /// The key that the response would have had.
        key: &'a Key,
        /// Why it was not stored.
        refusal: Refusal,
    },
    /// The store answered, with a result or an error.
    #[non_exhaustive]
    StoreDone {
        /// The operation.
        operation: StoreOperation,
        /// How long the operation took, by the machine's monotonic clock.
        elapsed: Duration,
    },
    /// The store failed, and the request goes on without it.
    #[non_exhaustive]
    StoreFailed {
        /// The operation.
        operation: StoreOperation,
        /// The key of the entry; `None` if the operation was about several entries.
        key: Option<&'a Key>,
        /// Why it failed. `{error:#}` prints its sources too.
        error: &'a Error,
    },
    /// The cache found a damaged entry. It removes the entry, unless the cache is read-only.
    #[non_exhaustive]
    Corrupt {
        /// The entry's key.
        key: &'a Key,
        /// What is wrong with the entry. `{error:#}` prints its sources too.
        error: &'a Error,
    },
    /// A successful request with an unsafe method removed the stored responses of a URL or a group.
    #[non_exhaustive]
    Invalidated {
        /// The number of removed entries, which may be zero.
        entries: u64,
    },
    /// A background refresh failed.
    #[non_exhaustive]
    RefreshFailed {
        /// The URL, and why the refresh failed. The URL may be secret: take care where it is
        /// written.
        failure: &'a RefreshFailure,
    },
    /// A body ended in an error: its reader was far behind the other readers of a shared response,
    /// and that response could not be stored.
    #[non_exhaustive]
    ReaderLost {
        /// The key of the response.
        key: &'a Key,
    },
}

/// What a cache asks of its store: operations of requests, and the removals of its
/// [`Entries`](crate::Entries).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// Find an entry.
    Get,
    /// Read the body of an entry. Only failures are reported: the time depends on the body's
    /// reader.
    Read,
    /// Begin an entry.
    Put,
    /// Write a chunk of a body.
    Write,
    /// Publish an entry.
    Finish,
    /// Replace the head of an entry.
    Update,
    /// Remove entries.
    Remove,
}

impl StoreOperation {
    /// The name of the operation in logs and metrics. It does not change between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Read => "read",
            Self::Put => "put",
            Self::Write => "write",
            Self::Finish => "finish",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for StoreOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
