//! What the writer thread is asked to do: the commands in its queue, each with a channel for its
//! reply.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    database::{Entry, Purge},
    write_budget::Permit,
};
use crate::{
    Key,
    entry::Head,
    store::{Error, Result, Version},
};

/// How many bytes may wait for the writer thread or be in its transaction. Callers with more wait.
pub(super) const QUEUE: usize = 2 << 20;

/// The minimum that a command counts for, which bounds the number of commands.
pub(super) const COMMAND: usize = 512;

/// The channel for the reply to a command, if somebody waits for it.
pub(super) type Reply = Option<oneshot::Sender<Result<u64>>>;

/// A command with the channel for its reply.
pub(super) struct Envelope {
    pub(super) command: Command,
    pub(super) reply: Reply,
    /// Returned to the budget when the command has been carried out.
    pub(super) permit: Option<Permit>,
}

impl Envelope {
    /// Creates a command that nobody waits for.
    pub(super) fn new(command: Command) -> Self {
        Self { command, reply: None, permit: None }
    }
}

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
