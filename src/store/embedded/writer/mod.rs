//! The writer thread: all commands that wait go into one transaction, and are answered when it is
//! committed.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    unsynced::Unsynced,
    work::{Done, Job, Work},
};
use super::{
    Envelope, QUEUE, Reply,
    command::{Command, JobKind},
    database::{Database, Outcome, Step},
    hidden::Hidden,
    shared::Shared,
    write_budget::Permit,
};
use crate::{
    Key, event,
    store::{Error, ErrorKind, Result},
    time::{Clock, SystemClock},
};

mod bodies;
mod sync;
mod unsynced;
mod work;

/// How many commands go into one transaction.
const GROUP: usize = 1_024;

/// How long an entry that is visible already waits for others to be committed with it. A command
/// that somebody waits for, or half of the queue, ends the wait.
const LINGER: Duration = Duration::from_millis(5);

/// How long to wait after a failed transaction or sync until the next one in the background.
const RETRY: Duration = Duration::from_secs(1);

/// How long a removal of many entries waits for other processes. Requests wait for a shorter time.
pub(in crate::store) const PATIENCE: Duration = Duration::from_secs(10);

/// After writing for this long without a pause, the thread leaves the file to other processes for a
/// moment. They try every millisecond or so, and the time between two transactions is too short for
/// that.
const BUSY_LIMIT: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(2);

pub(super) struct Thread<D: Database> {
    shared: Arc<Shared<D>>,
    commands: Receiver<Envelope>,
    connection: D::Connection,
    work: Work,
    /// The last transaction failed: nothing is done in the background before this.
    rests_until: Option<Instant>,
    /// Since when there was no pause.
    busy: Option<Instant>,
    unsynced: Option<Unsynced>,
    /// Why the last transaction failed, if it did. `close` returns it.
    failure: Option<Error>,
}

impl<D: Database> Thread<D> {
    pub(super) fn new(
        shared: Arc<Shared<D>>,
        commands: Receiver<Envelope>,
        connection: D::Connection,
    ) -> Self {
        let work = Work::new(shared.settings.max_bytes);
        let (rests_until, busy, unsynced, failure) = (None, None, None, None);
        Self { shared, commands, connection, work, rests_until, busy, unsynced, failure }
    }

    pub(super) fn run(mut self) {
        loop {
            let mut group = self.group();
            let closing = match group.last() {
                Some(Envelope { command: Command::Close { .. }, .. }) => group.pop(),
                _ => None,
            };
            if closing.is_some() {
                // Nothing is acknowledged from now on but what this takes.
                self.shared.overlay.refuse();
                self.failure = None;
                group.extend(self.commands.try_iter());
            }
            if self.shared.settings.is_read_only {
                self.recover_if_asked();
            } else if !group.is_empty() || self.has_background() || self.must_commit(&closing) {
                self.commit(group);
            }
            if let Some(envelope) = closing {
                let has_time = matches!(envelope.command, Command::Close { has_time: true });
                let result = self.close(has_time);
                drop(self);
                answer(envelope.reply, result.map(|()| 0));
                return;
            }
            if self.sync_is_due() {
                drop(self.sync());
            }
            self.pause_for_others();
        }
    }

    /// Whether something must be removed from the file before it is closed.
    fn must_commit(&self, closing: &Option<Envelope>) -> bool {
        closing.is_some() && self.shared.overlay.hidden().is_some()
    }

    /// Whether there is something to do without a command.
    fn is_left(&self) -> bool {
        !self.shared.settings.is_read_only
            && (self.work.is_left() || self.shared.overlay.hidden().is_some())
    }

    fn has_background(&self) -> bool {
        self.rests_until.is_none_or(|until| until <= Instant::now()) && self.is_left()
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
        let begun = Instant::now();
        let (mut bytes, mut may_linger) = (0, !self.has_background());
        while let Some(envelope) = next {
            bytes += envelope.permit.as_ref().map_or(0, |permit| permit.bytes());
            may_linger &= matches!(envelope.command, Command::Put { pending: Some(_), .. });
            let is_last = matches!(envelope.command, Command::Close { .. });
            group.push(envelope);
            if is_last || group.len() == GROUP || bytes >= QUEUE / 2 {
                break;
            }
            next = self.commands.try_recv().ok();
            if next.is_none() && may_linger {
                next = self.commands.recv_timeout(LINGER.saturating_sub(begun.elapsed())).ok();
            }
        }
        group
    }

    fn wait(&mut self) -> Option<Envelope> {
        let close = || Envelope::new(Command::Close { has_time: false });
        let ripens = self.work.ripens.map(|ripens| ripens.saturating_since(SystemClock.now()));
        let now = Instant::now();
        let rests = self.rests_until.filter(|_| self.is_left());
        let rests = rests.map(|until| until.saturating_duration_since(now));
        let Some(left) = self.until_sync().into_iter().chain(ripens).chain(rests).min() else {
            // The thread holds a sender itself, so this waits for a command; `Close` ends the
            // thread.
            return Some(self.commands.recv().unwrap_or_else(|_| close()));
        };
        match self.commands.recv_timeout(left) {
            Ok(envelope) => Some(envelope),
            Err(RecvTimeoutError::Disconnected) => Some(close()),
            Err(RecvTimeoutError::Timeout) => {
                if ripens.is_some_and(|left| left.is_zero()) {
                    self.work.ripens = None;
                    self.work.has_garbage = true;
                }
                None
            }
        }
    }

    fn pause_for_others(&mut self) {
        if self.shared.settings.is_shared
            && self.busy.is_some_and(|since| since.elapsed() >= BUSY_LIMIT)
        {
            thread::sleep(PAUSE);
            self.busy = None;
        }
    }

    /// Runs a group of commands in one transaction, together with a step of background work.
    fn commit(&mut self, mut group: Vec<Envelope>) {
        self.recover_if_asked();
        let is_asked = group.iter().any(|each| matches!(each.command, Command::Recover));
        group.retain(|each| !matches!(each.command, Command::Recover));
        if is_asked && group.is_empty() && !self.has_background() {
            return;
        }
        self.rests_until = None;
        let mut replies: Vec<Reply> = group.iter_mut().map(|each| each.reply.take()).collect();
        let mut permits: Vec<_> = group.iter_mut().filter_map(|each| each.permit.take()).collect();
        let bytes: usize = permits.iter().map(|permit| permit.bytes()).sum();
        let mut flushes = Vec::new();
        for (envelope, reply) in group.iter().zip(&mut replies) {
            match &envelope.command {
                Command::Flush => flushes.extend(reply.take()),
                command => self.work.jobs.extend(Job::of(command, reply)),
            }
        }
        let pending: Vec<(Key, u64)> = group.iter().filter_map(pending).collect();
        let (result, done) = self.try_twice(&group);
        // Waiting commands may continue before the replies are sent.
        Permit::return_all(&mut permits);
        match result {
            Ok(is_edited) => {
                self.work.committed(&done);
                self.shared.overlay.committed(&pending, is_edited, done.lifted.is_some());
                self.note_unsynced(is_edited, bytes, &group, &done);
                self.failure = None;
                self.shared.evictions.add(D::STORE, done.evicted);
                for (reply, outcome) in replies.into_iter().zip(done.outcomes) {
                    answer(reply, outcome);
                }
                if let Some(step) = done.step {
                    self.stepped(step);
                }
                self.answer_flushes(flushes);
            }
            Err(error) => self.failed(error, &group, &pending, replies, flushes),
        }
    }

    /// Runs the group in a transaction, and once more if a failure was mended. Returns whether
    /// anything was changed.
    fn try_twice(&mut self, group: &[Envelope]) -> (Result<bool>, Done) {
        let mut may_retry = true;
        loop {
            let mut done = Done::default();
            let result = self.transact(group, &mut done);
            let Err(error) = &result else { return (result, done) };
            self.work.bodies.rolled_back();
            let is_mended = !D::is_busy(error) && self.recover(error);
            if !(is_mended && may_retry) {
                return (result, done);
            }
            may_retry = false;
        }
    }

    fn transact(&mut self, group: &[Envelope], done: &mut Done) -> Result<bool> {
        let Self { shared, connection, work, .. } = self;
        let is_synced = shared.settings.syncs_each_commit();
        let transact = || {
            shared
                .db
                .transact(connection, is_synced, |txn| work.apply::<D>(txn, shared, group, done))
        };
        shared.db.guard(transact)
    }

    /// Nothing of the transaction remains.
    fn failed(
        &mut self,
        error: Error,
        group: &[Envelope],
        pending: &[(Key, u64)],
        replies: Vec<Reply>,
        flushes: Vec<oneshot::Sender<Result<u64>>>,
    ) {
        let failure = error.repeat();
        self.failure = Some(error.repeat());
        let is_busy = D::is_busy(&error);
        self.rests_until = Some(Instant::now() + RETRY);
        self.lose(pending, &failure);
        for envelope in group {
            if let Some(body) = envelope.command.body() {
                self.work.bodies.fail(body, &failure);
            }
        }
        let mut error = Some(error);
        let mut refuse = |reply: Reply| {
            if reply.is_some() {
                answer(reply, Err(error.take().unwrap_or_else(|| failure.repeat())));
            }
        };
        for (envelope, reply) in group.iter().zip(replies) {
            if reply.is_none() {
                continue;
            }
            match if is_busy { None } else { self.hide_instead(&envelope.command) } {
                Some(outcome) => answer(reply, outcome),
                None => refuse(reply),
            }
        }
        for job in std::mem::take(&mut self.work.jobs) {
            if is_busy && job.since.elapsed() < PATIENCE {
                // Others were in the way. They may be gone soon.
                self.rests_until = Some(Instant::now() + PAUSE);
                self.work.jobs.push_back(job);
                continue;
            }
            match if is_busy { None } else { self.hide_job(&job) } {
                Some(outcome) => answer(job.reply, outcome),
                None => refuse(job.reply),
            }
        }
        flushes.into_iter().for_each(|reply| refuse(Some(reply)));
    }

    /// These visible entries are gone, and what they replaced must not come back.
    fn lose(&mut self, pending: &[(Key, u64)], why: &Error) {
        self.shared.overlay.failed(pending, Hidden::default());
        self.count_unwritten(pending.len() as u64, why);
    }

    fn count_unwritten(&self, entries: u64, why: &Error) {
        if entries > 0 {
            self.shared.unwritten.fetch_add(entries, Ordering::Relaxed);
            event::unwritten(D::STORE, entries, &why.message());
        }
    }

    /// Hides what could not be removed from the file, if no other process has the file. Returns the
    /// outcome of the removal, or `None` if the command removes nothing.
    fn hide_instead(&self, command: &Command) -> Option<Outcome> {
        let Command::Remove { key, seen: version } = command else { return None };
        if !self.shared.settings.writes_behind() {
            return None;
        }
        let seen = self.shared.overlay.seen();
        let found = self.shared.read(|shared| shared.db.get(key, &shared.leases));
        let is_there = match found {
            Ok(None) => false,
            Ok(Some(found)) => {
                version.is_none_or(|version| version == found.version)
                    && !seen.hides(key, &found.head)
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => version.is_none(),
            Err(error) => return Some(Err(error)),
        };
        if !is_there {
            return Some(Ok(0));
        }
        let mut hidden = Hidden::default();
        hidden.add_key(*key);
        Some(self.hide(hidden).map(|()| 1))
    }

    fn hide_job(&self, job: &Job) -> Option<Outcome> {
        if !self.shared.settings.writes_behind() {
            return None;
        }
        let mut hidden = Hidden::default();
        match &job.kind {
            JobKind::Clear => hidden.add_all(),
            JobKind::Purge(purge) => hidden.add_purge(purge),
            JobKind::Vacuum => return None,
        }
        let count = match &job.kind {
            JobKind::Purge(_) => self
                .shared
                .count(|item| item.as_ref().is_ok_and(|item| hidden.hides(&item.key, &item.head))),
            JobKind::Clear | JobKind::Vacuum => Ok(0),
        };
        Some(count.and_then(|count| self.hide(hidden).map(|()| job.done + count)))
    }

    fn hide(&self, hidden: Hidden) -> Result<()> {
        if self.shared.overlay.hide(hidden) {
            return Ok(());
        }
        let path = self.shared.settings.path.display();
        let message = format!(
            "cannot write to {path}, and too many changes wait for that; make room on the disk"
        );
        Err(Error::new(ErrorKind::Full, D::STORE, message))
    }

    /// The first job has advanced by one step.
    fn stepped(&mut self, step: Step) {
        let Some(mut job) = self.work.jobs.pop_front() else { return };
        job.done += step.removed;
        if !step.is_done {
            self.work.jobs.push_back(job);
            return;
        }
        if matches!(job.kind, JobKind::Vacuum) {
            self.shared.db.truncate(&mut self.connection);
        }
        answer(job.reply, Ok(job.done));
    }

    fn close(&mut self, has_time: bool) -> Result<()> {
        let shared = self.shared.clone();
        let closed = shared.closed();
        let given_up = self.give_up();
        self.work.bodies.fail_all(&closed);
        for job in self.work.jobs.drain(..) {
            answer(job.reply, Err(shared.closed()));
        }
        let pending = self.shared.overlay.close();
        self.count_unwritten(pending, &closed);
        let result = shared.db.guard(|| shared.db.close(&mut self.connection, has_time));
        // The commit before the close may have lost entries that were acknowledged.
        let committed = self.failure.take().map_or(Ok(()), Err);
        given_up.and(committed).and(result)
    }

    /// Abandons the bodies that are being written.
    fn give_up(&mut self) -> Result<()> {
        if self.work.bodies.is_empty() {
            return Ok(());
        }
        let Self { shared, connection, work, .. } = self;
        let abandon = || {
            shared.db.transact(connection, false, |txn| work.bodies.abandon_all::<D>(txn)).map(drop)
        };
        shared.db.guard(abandon)
    }
}

/// The key and number of an entry that is visible already.
fn pending(envelope: &Envelope) -> Option<(Key, u64)> {
    match &envelope.command {
        Command::Put { key, pending, .. } => Some((*key, (*pending)?)),
        _ => None,
    }
}

/// The caller may be gone; its command is done nevertheless.
fn answer(reply: Reply, outcome: Outcome) {
    if let Some(reply) = reply {
        drop(reply.send(outcome));
    }
}
