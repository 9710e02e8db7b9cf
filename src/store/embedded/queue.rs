//! What waits in the queue of the writer thread: commands, each with a channel for its reply.

use tokio::sync::oneshot;

use super::{command::Command, write_budget::Permit};
use crate::store::Result;

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
