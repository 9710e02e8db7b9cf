//! The queue of commands for the writer thread, each with a channel for its reply.

use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::write_budget::{Permit, WriteBudget};
use crate::store::{Error, Result};

/// How many bytes may wait for the writer thread or be in its transaction. Callers with more wait.
pub(in crate::store) const QUEUE: usize = 2 << 20;

/// The minimum that a command counts for, which bounds the number of commands.
const COMMAND: usize = 512;

/// The channel for the reply to a command, if somebody waits for it.
pub(in crate::store) type Reply = Option<oneshot::Sender<Result<u64>>>;

/// A command with the channel for its reply.
pub(in crate::store) struct Envelope<C> {
    pub(in crate::store) command: C,
    pub(in crate::store) reply: Reply,
    /// Returned to the budget when the command has been carried out.
    pub(in crate::store) permit: Option<Permit>,
}

impl<C> Envelope<C> {
    /// Creates a command that nobody waits for.
    pub(in crate::store) fn new(command: C) -> Self {
        Self { command, reply: None, permit: None }
    }
}

/// Sends commands to the writer thread.
pub(in crate::store) struct Queue<C> {
    sender: mpsc::Sender<Envelope<C>>,
    budget: Arc<WriteBudget>,
    /// Makes the error for a thread that has ended.
    closed: Box<dyn Fn() -> Error + Send + Sync>,
}

impl<C> Queue<C> {
    pub(in crate::store) fn new(
        closed: impl Fn() -> Error + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<Envelope<C>>) {
        let (sender, commands) = mpsc::channel();
        (Self { sender, budget: WriteBudget::new(QUEUE), closed: Box::new(closed) }, commands)
    }

    /// A sender for commands without a permit.
    pub(in crate::store) fn sender(&self) -> mpsc::Sender<Envelope<C>> {
        self.sender.clone()
    }

    /// Sends a command that nobody waits for. If the thread has ended, there is nothing to do.
    pub(in crate::store) fn tell(&self, command: C) {
        drop(self.sender.send(Envelope::new(command)));
    }

    /// Waits for a permit for a command that carries `bytes`.
    pub(in crate::store) async fn permit(&self, bytes: usize) -> Permit {
        self.budget.acquire(bytes.clamp(COMMAND, QUEUE)).await
    }

    /// Sends a command that has its permit.
    pub(in crate::store) fn send(
        &self,
        command: C,
        reply: Option<oneshot::Sender<Result<u64>>>,
        permit: Permit,
    ) -> Result<()> {
        self.sender
            .send(Envelope { command, reply, permit: Some(permit) })
            .map_err(|_| (self.closed)())
    }

    /// Sends a command and waits for its outcome.
    pub(in crate::store) async fn ask(&self, command: C, bytes: usize) -> Result<u64> {
        let permit = self.permit(bytes).await;
        self.ask_with(command, permit).await
    }

    /// Like [`ask`](Queue::ask), for a command that has its permit.
    pub(in crate::store) async fn ask_with(&self, command: C, permit: Permit) -> Result<u64> {
        let (reply, outcome) = oneshot::channel();
        self.send(command, Some(reply), permit)?;
        outcome.await.unwrap_or_else(|_| Err((self.closed)()))
    }

    /// Sends a command without waiting for a permit. Returns `None` if the thread has ended
    /// already.
    pub(in crate::store) fn send_now(&self, command: C) -> Option<oneshot::Receiver<Result<u64>>> {
        let (reply, outcome) = oneshot::channel();
        let envelope = Envelope { command, reply: Some(reply), permit: None };
        self.sender.send(envelope).is_ok().then_some(outcome)
    }
}
