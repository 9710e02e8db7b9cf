//! The way to the thread that does the writing: commands in their order, each with the way back to who gave it.

use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::write_budget::{Permit, WriteBudget};
use crate::store::{Error, Result};

/// How many bytes may wait for the writer thread or be in its transaction; who has more waits.
pub(in crate::store) const QUEUE: usize = 2 << 20;

/// What a command counts for at least, so that the number of commands is bounded too.
const COMMAND: usize = 512;

/// A command with the way back to who gave it.
pub(in crate::store) struct Envelope<C> {
    pub(in crate::store) command: C,
    pub(in crate::store) reply: Option<oneshot::Sender<Result<u64>>>,
    /// Given back when the command has been carried out.
    pub(in crate::store) permit: Option<Permit>,
}

impl<C> Envelope<C> {
    /// A command whose outcome nobody waits for.
    pub(in crate::store) fn new(command: C) -> Self {
        Self { command, reply: None, permit: None }
    }
}

/// A sender of commands to one thread.
pub(in crate::store) struct Queue<C> {
    sender: mpsc::Sender<Envelope<C>>,
    budget: Arc<WriteBudget>,
    /// What it means that the thread has ended.
    closed: Box<dyn Fn() -> Error + Send + Sync>,
}

impl<C> Queue<C> {
    pub(in crate::store) fn new(
        closed: impl Fn() -> Error + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<Envelope<C>>) {
        let (sender, commands) = mpsc::channel();
        (Self { sender, budget: WriteBudget::new(QUEUE), closed: Box::new(closed) }, commands)
    }

    /// A sender for those who need no room.
    pub(in crate::store) fn sender(&self) -> mpsc::Sender<Envelope<C>> {
        self.sender.clone()
    }

    /// Gives a command whose outcome nobody waits for. Where the thread has ended there is nothing left to do either.
    pub(in crate::store) fn tell(&self, command: C) {
        drop(self.sender.send(Envelope::new(command)));
    }

    /// Waits for room in the queue for a command that carries `bytes`.
    pub(in crate::store) async fn permit(&self, bytes: usize) -> Permit {
        self.budget.acquire(bytes.clamp(COMMAND, QUEUE)).await
    }

    /// Gives a command, having waited for room.
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

    /// Gives a command and waits for its outcome.
    pub(in crate::store) async fn ask(&self, command: C, bytes: usize) -> Result<u64> {
        let permit = self.permit(bytes).await;
        self.ask_with(command, permit).await
    }

    /// As [`ask`](Queue::ask), having waited for room.
    pub(in crate::store) async fn ask_with(&self, command: C, permit: Permit) -> Result<u64> {
        let (reply, outcome) = oneshot::channel();
        self.send(command, Some(reply), permit)?;
        outcome.await.unwrap_or_else(|_| Err((self.closed)()))
    }

    /// Gives the last command, past all that wait for room; `None` where the thread has ended already.
    pub(in crate::store) fn close(&self, command: C) -> Option<oneshot::Receiver<Result<u64>>> {
        let (reply, outcome) = oneshot::channel();
        let envelope = Envelope { command, reply: Some(reply), permit: None };
        self.sender.send(envelope).is_ok().then_some(outcome)
    }
}
