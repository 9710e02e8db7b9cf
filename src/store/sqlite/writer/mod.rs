//! The writer thread: all commands that wait go into one transaction, and are answered when it is
//! committed.

use std::{
    ops::Deref,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    bodies::Bodies,
    unsynced::Unsynced,
    work::{Done, Job, What, Work},
};
use super::{
    change::{Change, ChangeResult, Step},
    fault::{self, STORE},
    link::Link,
    lock_file::LockFile,
    pool::Lent,
    shared::{Command, Envelope, Shared},
};
use crate::{
    store::{
        ErrorKind, Result,
        embedded::{Failure, QUEUE},
    },
    time::{Clock, SystemClock},
};

mod bodies;
mod log;
mod unsynced;
mod work;

/// How many commands go into one transaction.
const GROUP: usize = 1_024;

/// After writing for this long without a pause, the thread leaves the file to other processes for a
/// moment. They try every millisecond or so, and the time between two transactions is too short for
/// that.
const BUSY_LIMIT: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(2);

pub(super) struct Thread {
    shared: Arc<Shared>,
    commands: Receiver<Envelope>,
    link: Option<Link>,
    work: Work,
    /// The last transaction failed: nothing is done in the background until the next command.
    resting: bool,
    /// Since when there was no pause.
    busy: Option<Instant>,
    unsynced: Option<Unsynced>,
}

impl Thread {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: Receiver<Envelope>,
        link: Option<Link>,
        lock_file: LockFile,
    ) -> Self {
        let work = Work::new(Bodies::new(lock_file, shared.config.in_memory));
        Self { shared, commands, link, work, resting: false, busy: None, unsynced: None }
    }

    pub(super) fn run(mut self) {
        loop {
            let mut group = self.group();
            let closing = match group.last() {
                Some(Envelope { command: Command::Close, .. }) => group.pop(),
                _ => None,
            };
            if !group.is_empty() || self.has_background() {
                self.commit(group);
            }
            if let Some(envelope) = closing {
                self.close(envelope);
                return;
            }
            if self.sync_is_due() {
                self.sync();
            }
            self.pause_for_others();
        }
    }

    fn has_background(&self) -> bool {
        !self.resting && self.work.is_left()
    }

    /// Waits for a command, unless there is something else to do, and takes all others that are
    /// waiting.
    fn group(&mut self) -> Vec<Envelope> {
        let mut group = Vec::new();
        let mut next = self.commands.try_recv().ok();
        if next.is_none() && !self.has_background() {
            self.busy = None;
            next = self.wait();
        }
        self.busy.get_or_insert_with(Instant::now);
        let mut bytes = 0;
        while let Some(envelope) = next {
            bytes += envelope.permit.as_ref().map_or(0, |permit| permit.bytes());
            let closing = matches!(envelope.command, Command::Close);
            group.push(envelope);
            if closing || group.len() == GROUP || bytes >= QUEUE / 2 {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        group
    }

    fn wait(&mut self) -> Option<Envelope> {
        let ripens = self.work.ripens.map(|ripens| ripens.saturating_since(SystemClock.now()));
        let Some(left) = self.until_sync().into_iter().chain(ripens).min() else {
            // The thread holds a sender itself, so this waits for a command; `Close` ends the
            // thread.
            return Some(self.commands.recv().unwrap_or_else(|_| Envelope::new(Command::Close)));
        };
        match self.commands.recv_timeout(left) {
            Ok(envelope) => Some(envelope),
            Err(RecvTimeoutError::Disconnected) => Some(Envelope::new(Command::Close)),
            Err(RecvTimeoutError::Timeout) => {
                if ripens.is_some_and(|left| left.is_zero()) {
                    self.work.ripens = None;
                    self.work.garbage = true;
                }
                None
            }
        }
    }

    fn pause_for_others(&mut self) {
        if self.link.is_some() && self.busy.is_some_and(|since| since.elapsed() >= BUSY_LIMIT) {
            thread::sleep(PAUSE);
            self.busy = None;
        }
    }

    /// Runs a group of commands in one transaction, together with a step of background work.
    fn commit(&mut self, mut group: Vec<Envelope>) {
        self.resting = false;
        let mut replies: Vec<_> = group.iter_mut().map(|envelope| envelope.reply.take()).collect();
        let mut permits: Vec<_> = group.iter_mut().filter_map(|each| each.permit.take()).collect();
        let bytes: usize = permits.iter().map(|permit| permit.bytes()).sum();
        for (envelope, reply) in group.iter_mut().zip(&mut replies) {
            let what = match &envelope.command {
                Command::Purge(purge) => What::Purge(purge.clone()),
                Command::Vacuum => What::Vacuum,
                _ => continue,
            };
            self.work.jobs.push_back(Job { what, done: 0, reply: reply.take() });
        }
        let result = self.transact(group);
        // Waiting commands may continue before the replies are sent.
        permits.clear();
        match result {
            Ok(done) => {
                if done.edited {
                    self.unsynced(bytes);
                }
                self.shared.evictions.add(STORE, done.evicted);
                for (reply, outcome) in replies.into_iter().zip(done.outcomes) {
                    if let Some(outcome) = outcome {
                        answer(reply, outcome);
                    }
                }
                if let Some(step) = done.step {
                    self.stepped(step);
                }
            }
            Err(error) => {
                let failure = Failure::of(&error);
                self.resting = true;
                self.work.bodies.rolled_back(&failure);
                if failure.kind() == ErrorKind::Full {
                    // The log may hold the space that is missing.
                    self.shorten_log();
                }
                let mut error = Some(error);
                let jobs = std::mem::take(&mut self.work.jobs);
                let waiting = replies.into_iter().chain(jobs.into_iter().map(|job| job.reply));
                for reply in waiting.filter(Option::is_some) {
                    answer(reply, Err(error.take().unwrap_or_else(|| failure.error())));
                }
            }
        }
    }

    /// The first job has advanced by one step.
    fn stepped(&mut self, step: Step) {
        let Some(mut job) = self.work.jobs.pop_front() else { return };
        job.done += step.removed;
        if !step.done {
            self.work.jobs.push_back(job);
            return;
        }
        if matches!(job.what, What::Vacuum) {
            // Pages are released when the file is written, not when the log is.
            self.shorten_log();
        }
        answer(job.reply, Ok(job.done));
    }

    fn transact(&mut self, group: Vec<Envelope>) -> Result<Done> {
        let shared = self.shared.clone();
        let lent = lend(&self.link, &shared)?;
        let work = &mut self.work;
        let result = lent.patiently(|conn| conn.execute_batch("BEGIN IMMEDIATE")).and_then(|()| {
            let done = work.apply(&lent.conn, &shared, group)?;
            lent.conn.execute_batch("COMMIT")?;
            Ok(done)
        });
        match result {
            Ok(done) => {
                work.bodies.committed();
                Ok(done)
            }
            Err(error) => {
                // Some errors have ended the transaction already.
                if !lent.conn.is_autocommit() {
                    drop(lent.conn.execute_batch("ROLLBACK"));
                }
                Err(fault::error("cannot write to", &shared.config.path, error))
            }
        }
    }

    fn close(mut self, envelope: Envelope) {
        let shared = self.shared.clone();
        let result = self.give_up();
        let closed = fault::closed(&shared.config.path);
        self.work.bodies.fail_all(&Failure::of(&closed));
        for job in self.work.jobs.drain(..) {
            answer(job.reply, Err(fault::closed(&shared.config.path)));
        }
        // Before the log is written a last time, so that nobody reads from it.
        shared.pool.close();
        let result = result.and(self.end());
        drop(self);
        answer(envelope.reply, result.map(|()| 0));
    }

    /// Abandons the bodies that are being written.
    fn give_up(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let work = &mut self.work;
        if work.bodies.is_empty() {
            return Ok(());
        }
        let lent = lend(&self.link, &shared)?;
        let result = lent.patiently(|conn| {
            let txn = conn.unchecked_transaction()?;
            let lock_id = work.bodies.lock_id();
            Change::new(&txn, &mut work.versions, lock_id, u64::MAX).abandon_all()?;
            txn.commit()
        });
        result.map_err(|error| fault::error("cannot write to", &shared.config.path, error))
    }
}

/// The connection that writes: the thread's own, or in memory the only one.
enum Writing<'t> {
    Own(&'t Link),
    Shared(Lent),
}

impl Deref for Writing<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        match self {
            Self::Own(link) => link,
            Self::Shared(lent) => lent,
        }
    }
}

fn lend<'t>(own: &'t Option<Link>, shared: &Shared) -> Result<Writing<'t>> {
    match own {
        Some(link) => Ok(Writing::Own(link)),
        None => shared.link().map(Writing::Shared),
    }
}

/// The caller may be gone; its command is done nevertheless.
fn answer(reply: Option<oneshot::Sender<Result<u64>>>, outcome: ChangeResult) {
    if let Some(reply) = reply {
        drop(reply.send(outcome));
    }
}
