//! What the writer thread is asked to do.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::database::{Entry, Purge};
use crate::{
    Key,
    entry::Head,
    store::{Error, Version},
};

/// A command for the writer thread.
pub(super) enum Command {
    /// A full chunk of a body that is being written.
    Chunk {
        body: Arc<Incoming>,
        index: u32,
        payload: Bytes,
    },
    /// The body will not be finished.
    Abandon(Arc<Incoming>),
    Put {
        key: Key,
        entry: Entry,
        body: Option<Arc<Incoming>>,
        /// The number of the entry in the overlay, if it is visible already.
        pending: Option<u64>,
    },
    Update {
        key: Key,
        seen: Version,
        head: Box<Head>,
    },
    Remove {
        key: Key,
        seen: Option<Version>,
    },
    Job(JobKind),
    /// Replies when all earlier commands are committed.
    Settle,
    /// Replies when all earlier commands are synced.
    Flush,
    /// A reader found that the database needs recovery.
    Recover,
    /// The last command. `has_time` is whether its caller waits for it.
    Close {
        has_time: bool,
    },
}

/// Work that may take several transactions.
#[derive(Clone)]
pub(super) enum JobKind {
    Purge(Purge),
    Clear,
    /// Makes the file as small as possible.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite does it"))]
    Vacuum,
}

/// A body that is being written, as its writer and the thread know it.
pub(super) struct Incoming {
    pub(super) token: u64,
    /// Why it cannot be finished any more.
    pub(super) failed: OnceLock<Error>,
}

impl Command {
    /// The body that the command is about.
    pub(super) fn body(&self) -> Option<&Incoming> {
        match self {
            Self::Chunk { body, .. } | Self::Abandon(body) => Some(body),
            Self::Put { body, .. } => body.as_deref(),
            _ => None,
        }
    }
}

impl Incoming {
    /// Only the first reason counts.
    pub(super) fn fail(&self, why: &Error) {
        drop(self.failed.set(why.repeat()));
    }
}
