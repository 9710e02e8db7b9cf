//! The queue of commands for the writer thread, each with a channel for its reply.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use tokio::sync::oneshot;

use super::{
    command::Command,
    failure::closed,
    write_budget::{Permit, WriteBudget},
};
use crate::store::{Error, Result};

/// How many bytes may wait for the writer thread or be in its transaction. Callers with more wait.
pub(super) const QUEUE: usize = 2 << 20;

/// The minimum that a command counts for, which bounds the number of commands.
const COMMAND: usize = 512;

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

/// Sends commands to the writer thread.
pub(super) struct Queue {
    sender: mpsc::Sender<Envelope>,
    budget: Arc<WriteBudget>,
    /// The store and its path, for the error for a thread that has ended.
    store: &'static str,
    path: PathBuf,
}

impl Queue {
    pub(super) fn new(store: &'static str, path: PathBuf) -> (Self, mpsc::Receiver<Envelope>) {
        let (sender, commands) = mpsc::channel();
        (Self { sender, budget: WriteBudget::new(QUEUE), store, path }, commands)
    }

    fn closed(&self) -> Error {
        closed(self.store, &self.path)
    }

    /// A sender for commands without a permit.
    pub(super) fn sender(&self) -> mpsc::Sender<Envelope> {
        self.sender.clone()
    }

    /// Sends a command that nobody waits for. If the thread has ended, there is nothing to do.
    pub(super) fn tell(&self, command: Command) {
        drop(self.sender.send(Envelope::new(command)));
    }

    /// Waits for a permit for a command that carries `bytes`.
    pub(super) async fn permit(&self, bytes: usize) -> Permit {
        self.budget.acquire(bytes.clamp(COMMAND, QUEUE)).await
    }

    /// Sends a command that has its permit.
    pub(super) fn send(&self, command: Command, reply: Reply, permit: Permit) -> Result<()> {
        self.sender
            .send(Envelope { command, reply, permit: Some(permit) })
            .map_err(|_| self.closed())
    }

    /// Sends a command and waits for its outcome.
    pub(super) async fn ask(&self, command: Command, bytes: usize) -> Result<u64> {
        let permit = self.permit(bytes).await;
        self.ask_with(command, permit).await
    }

    /// Like [`ask`](Queue::ask), for a command that has its permit.
    pub(super) async fn ask_with(&self, command: Command, permit: Permit) -> Result<u64> {
        let (reply, outcome) = oneshot::channel();
        self.send(command, Some(reply), permit)?;
        outcome.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// Sends a command without waiting for a permit. Returns `None` if the thread has ended
    /// already.
    pub(super) fn send_now(&self, command: Command) -> Option<oneshot::Receiver<Result<u64>>> {
        let (reply, outcome) = oneshot::channel();
        let envelope = Envelope { command, reply: Some(reply), permit: None };
        self.sender.send(envelope).is_ok().then_some(outcome)
    }
}
