//! [`Event`]: what a cache tells of its work, made in one place and told to all: the counters of [`Stats`](crate::Stats),
//! the hooks of [`CacheLayer::on_event`](crate::CacheLayer::on_event), and the crates `tracing` and `metrics`.
//!
//! - `observer`: whom a layer tells, and the time that its store takes;
//! - `log`: events as `tracing` has them, and `span` the one of each call;
//! - `meter`: events as `metrics` has them.
//!
//! Nothing else knows whether the features `tracing` and `metrics` are on. What they are given holds names, numbers and
//! the beginnings of keys; never a URL, a header or a body, which may be secret.

use std::{fmt, time::Duration};

use crate::{
    RefreshFailure,
    key::Key,
    status::{CacheStatus, Miss, Outcome, Refusal},
    store::Error,
};

#[cfg(feature = "tracing")]
mod log;
#[cfg(feature = "metrics")]
mod meter;
#[cfg(feature = "tracing")]
mod names;
mod observer;
mod span;
#[cfg(feature = "tracing")]
mod store_time;
mod stores;

#[cfg(any(feature = "memory", feature = "redb", feature = "sqlite"))]
pub(crate) use self::stores::evicted;
#[cfg(feature = "redb")]
pub(crate) use self::stores::restarted;
pub(crate) use self::{
    observer::{CallGauge, Observer},
    span::Spanned,
    stores::tier_failed,
};

/// Something that a cache has done, for [`CacheLayer::on_event`](crate::CacheLayer::on_event).
///
/// [`Stats`](crate::Stats) counts these very events. Evictions are none of them: they are a store's own, and it counts them
/// (`Memory::evicted`, and so on).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was answered; its body, where it has one, is yet to be read.
    #[non_exhaustive]
    Answered {
        /// What was done and why, as in the response's extensions.
        status: &'a CacheStatus,
    },
    /// The inner service failed, nothing stood in, and its error went to the caller. Every request that is not dropped first
    /// ends in exactly one `Answered` or `Failed`.
    #[non_exhaustive]
    Failed {
        /// The key of the response that was not to come; `None` where the request went past the cache.
        key: Option<&'a Key>,
        /// What the outcome would have been: a miss or a bypass.
        outcome: Outcome,
    },
    /// A call to the inner service begins, for a response that may be stored. Calls past the cache are not told of.
    #[non_exhaustive]
    Called {
        /// The key of the response to come.
        key: &'a Key,
        /// Why what is stored does not do, or soon will not.
        reason: Miss,
        /// Whether a refresh in the background begins with it. One whose first call brought a 304 that speaks of nothing
        /// that is stored makes a second call, with which none begins.
        is_refresh: bool,
    },
    /// A response was stored whole.
    #[non_exhaustive]
    Stored {
        /// The key that it is stored under.
        key: &'a Key,
        /// The length of its body.
        bytes: u64,
    },
    /// A response was not stored, or what is stored was confirmed and could not be renewed.
    #[non_exhaustive]
    NotStored {
        /// The key that it would have been stored under.
        key: &'a Key,
        /// Why not.
        refusal: Refusal,
    },
    /// The store has answered, well or not.
    #[non_exhaustive]
    StoreDone {
        /// What it was asked for.
        operation: StoreOperation,
        /// How long that took, by the machine's clock.
        elapsed: Duration,
    },
    /// The store failed, and the request goes on without it.
    #[non_exhaustive]
    StoreFailed {
        /// What it was asked for.
        operation: StoreOperation,
        /// The key of the entry; `None` where there are several.
        key: Option<&'a Key>,
        /// Why it failed.
        error: &'a Error,
    },
    /// A damaged entry was found. It is removed, unless the cache is read-only.
    #[non_exhaustive]
    Corrupt {
        /// The entry's key.
        key: &'a Key,
        /// What is wrong with it.
        error: &'a Error,
    },
    /// A successful unsafe method removed what was stored for a URL, or in a group.
    #[non_exhaustive]
    Invalidated {
        /// How many entries that were; there may have been none.
        entries: u64,
    },
    /// A refresh in the background failed.
    #[non_exhaustive]
    RefreshFailed {
        /// Of what, and why. It has the URL: mind who reads what is made of it.
        failure: &'a RefreshFailure,
    },
    /// A body broke off: its reader was far behind the others of a shared response, which could not be stored.
    #[non_exhaustive]
    ReaderLost {
        /// The key of the response.
        key: &'a Key,
    },
}

/// What a cache asks of its store: for requests, and to remove what its [`Entries`](crate::Entries) are told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// To find an entry.
    Get,
    /// To read on in a body. Only its failures are told of: its time is that of whoever reads.
    Read,
    /// To begin an entry.
    Put,
    /// To take a chunk of a body.
    Write,
    /// To publish an entry.
    Finish,
    /// To renew the head of an entry.
    Update,
    /// To remove entries.
    Remove,
}

impl StoreOperation {
    /// The operation in a word, as logs and metrics have it: a name that stays.
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
