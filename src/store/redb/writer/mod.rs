//! The writer thread: all commands that wait go into one transaction, and are answered when it is
//! committed.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{touched::Touched, unsynced::Unsynced};
use super::{
    change::{Change, ChangeResult, GARBAGE_CHUNKS, Purge, abandoned},
    fault::{self, STORE},
    open::Leftovers,
    shared::{Command, Envelope, Incoming, Open, Shared},
};
use crate::{
    store::{
        Error, ErrorKind, Evicted, Result,
        embedded::{Failure, QUEUE},
    },
    time::{Clock, SystemClock, Timestamp},
};

/// How many commands go into one transaction.
const GROUP: usize = 1_024;

/// How often the writer of a body reports that it is alive. Its row is too old after an hour.
const HEARTBEAT: Duration = Duration::from_secs(60);

mod recover;
mod touched;
mod unsynced;

pub(super) struct Thread {
    shared: Arc<Shared>,
    commands: Receiver<Envelope>,
    /// This process's name for itself in the table of unfinished bodies.
    writer_id: u64,
    versions: RandomState,
    bodies: HashMap<u64, OpenBody>,
    purges: VecDeque<Ongoing>,
    /// There were unfinished bodies when the file was opened. Those whose writers are gone are to
    /// be abandoned.
    unfinished: bool,
    /// There are bodies to remove.
    garbage: bool,
    /// The entries take more than they may.
    over: bool,
    /// The last transaction failed: nothing is done in the background until the next command.
    resting: bool,
    unsynced: Option<Unsynced>,
    /// Changes that reopening the file would undo, and that must be redone.
    undone: Touched,
    /// When the file could not be reopened.
    failed_at: Option<Instant>,
}

struct OpenBody {
    incoming: Arc<Incoming>,
    id: u64,
    touched: Timestamp,
}

struct Ongoing {
    purge: Purge,
    removed: u64,
    reply: Option<oneshot::Sender<Result<u64>>>,
}

/// The results of a transaction, to be reported when it is committed.
#[derive(Default)]
struct Done {
    outcomes: Vec<Option<ChangeResult>>,
    step: Option<super::change::Step>,
    touched: Touched,
    garbage: bool,
    over: bool,
    evicted: Evicted,
    /// There is something to commit.
    edited: bool,
}

pub(super) fn writer_id() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

impl Thread {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: Receiver<Envelope>,
        writer_id: u64,
        left: Leftovers,
    ) -> Self {
        Self {
            shared,
            commands,
            writer_id,
            versions: RandomState::new(),
            bodies: HashMap::new(),
            purges: VecDeque::new(),
            unfinished: left.unfinished,
            garbage: left.garbage,
            over: false,
            resting: false,
            unsynced: None,
            undone: Touched::default(),
            failed_at: None,
        }
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
        }
    }

    fn has_background(&self) -> bool {
        !self.resting && (self.unfinished || self.garbage || self.over || !self.purges.is_empty())
    }

    /// Waits for a command, unless there is something else to do, and takes all others that are
    /// waiting.
    fn group(&mut self) -> Vec<Envelope> {
        let mut group = Vec::new();
        let first = if self.has_background() {
            self.commands.try_recv().ok()
        } else if let Some(left) = self.until_sync() {
            match self.commands.recv_timeout(left) {
                Ok(envelope) => Some(envelope),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(close()),
            }
        } else {
            // The thread holds a sender itself, so this waits for a command; `Close` ends the
            // thread.
            Some(self.commands.recv().unwrap_or_else(|_| close()))
        };
        let Some(first) = first else { return group };
        let mut bytes = 0;
        let mut next = Some(first);
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

    /// Runs a group of commands in one transaction, together with a step of background work.
    fn commit(&mut self, mut group: Vec<Envelope>) {
        self.resting = false;
        let mut replies: Vec<_> = group.iter_mut().map(|envelope| envelope.reply.take()).collect();
        let bytes: usize =
            group.iter().filter_map(|e| e.permit.as_ref()).map(|permit| permit.bytes()).sum();
        let mut permits: Vec<_> = group.iter_mut().map(|envelope| envelope.permit.take()).collect();
        let mut purges = Vec::new();
        for (envelope, reply) in group.iter().zip(&mut replies) {
            if let Command::Purge(purge) = envelope.command {
                purges.push(Ongoing { purge, removed: 0, reply: reply.take() });
            }
        }
        self.purges.extend(purges);
        let shared = self.shared.clone();
        let path = &shared.config.path;
        let result = catch_unwind(AssertUnwindSafe(|| self.transact(group)));
        let result = result.unwrap_or_else(|panic| Err(fault::panicked(path, panic.as_ref())));
        // Waiting commands may continue before the replies are sent.
        permits.clear();
        match result {
            Ok(done) => {
                if done.edited && !self.syncs_each_commit() {
                    let unsynced = self.unsynced.get_or_insert_with(Unsynced::begin);
                    unsynced.bytes += bytes;
                    unsynced.touched.extend(done.touched);
                }
                self.unfinished = false;
                self.garbage = done.garbage;
                self.over = done.over;
                shared.evictions.add(STORE, done.evicted);
                for (reply, outcome) in replies.into_iter().zip(done.outcomes) {
                    if let Some(outcome) = outcome {
                        answer(reply, outcome);
                    }
                }
                if let Some(step) = done.step
                    && let Some(mut ongoing) = self.purges.pop_front()
                {
                    ongoing.removed += step.removed;
                    if step.done {
                        answer(ongoing.reply, Ok(ongoing.removed));
                    } else {
                        self.purges.push_back(ongoing);
                    }
                }
            }
            Err(error) => {
                let failure = Failure::of(&error);
                self.resting = true;
                // Before the replies: whoever gets one finds the store working again.
                self.reopen(&failure);
                let mut error = Some(error);
                let ongoing = std::mem::take(&mut self.purges);
                let waiting = replies.into_iter().chain(ongoing.into_iter().map(|o| o.reply));
                for reply in waiting.filter(Option::is_some) {
                    answer(reply, Err(error.take().unwrap_or_else(|| failure.error())));
                }
            }
        }
    }

    fn transact(&mut self, group: Vec<Envelope>) -> Result<Done> {
        let shared = self.shared.clone();
        let config = &shared.config;
        shared.poked();
        let opening = shared.opening();
        let asked =
            |envelope: &Envelope| matches!(envelope.command, Command::Reopen(o) if o == opening);
        if group.iter().any(asked) && shared.is_open() {
            let message = format!("{} was reopened after an error", config.path.display());
            self.reopen(&Failure::new(ErrorKind::Unavailable, STORE, message));
        } else if !shared.is_open() {
            self.open_again();
        }
        let wrong = |error: redb::Error| fault::error("cannot write to", &config.path, error);
        let mut txn = match &shared.slot().state {
            Open::Yes(db) => db.begin_write().map_err(|error| wrong(error.into()))?,
            Open::Down(failure) => return Err(failure.error()),
            Open::Closed => return Err(fault::closed(&config.path)),
        };
        let sync = self.syncs_each_commit();
        if sync {
            // With the allocator's state saved, a crash needs no repair, which would read the whole
            // file.
            txn.set_quick_repair(true);
        } else {
            txn.set_durability(redb::Durability::None).map_err(|error| wrong(error.into()))?;
        }
        let done = self.apply(&txn, group).map_err(wrong)?;
        if done.edited {
            txn.commit().map_err(|error| wrong(error.into()))?;
            shared.changed();
        } else {
            txn.abort().map_err(|error| wrong(error.into()))?;
        }
        Ok(done)
    }

    fn apply(
        &mut self,
        txn: &redb::WriteTransaction,
        group: Vec<Envelope>,
    ) -> Result<Done, redb::Error> {
        let shared = self.shared.clone();
        let versions = self.versions.clone();
        let mut change = Change::begin(txn, &versions, shared.config.max_bytes)?;
        let fresh = change.state.next + 1;
        let mut done = Done::default();
        let mut collect = GARBAGE_CHUNKS;
        if self.unfinished {
            let alone = !shared.config.multi_process;
            change.abandon_dead(self.writer_id, alone, SystemClock.now())?;
        }
        for envelope in group {
            done.touched.add(&envelope.command);
            let outcome = match envelope.command {
                Command::Chunk { body, index, payload } => {
                    // Removal must keep up with writing.
                    collect += 2;
                    self.chunk(&mut change, &body, index, &payload)?;
                    None
                }
                Command::Abandon(body) => {
                    if let Some(body) = self.bodies.remove(&body.token) {
                        change.abandon(body.id)?;
                    }
                    None
                }
                Command::Put { key, entry, body } => {
                    Some(self.put(&mut change, key.as_bytes(), &entry, body.as_deref())?)
                }
                Command::Update { key, seen, head, tags } => {
                    Some(change.update(key.as_bytes(), seen, *head, &tags)?)
                }
                Command::Remove { key, seen } => Some(change.remove(key.as_bytes(), seen)?),
                Command::Clear => Some(change.clear()?),
                Command::Collect => {
                    self.garbage = true;
                    None
                }
                Command::Purge(_) | Command::Reopen(_) | Command::Close => None,
            };
            done.outcomes.push(outcome);
        }
        if let Some(ongoing) = self.purges.front() {
            done.touched.add_purge(ongoing.purge);
            done.step = Some(change.purge(ongoing.purge)?);
        }
        done.over = !change.evict(&shared.visited, fresh)?;
        done.evicted = change.evicted;
        if self.garbage || change.makes_garbage() {
            done.garbage = change.collect(collect, &shared.leases)?;
        }
        done.edited = change.finish()?;
        Ok(done)
    }

    fn chunk(
        &mut self,
        change: &mut Change<'_>,
        incoming: &Arc<Incoming>,
        index: u32,
        payload: &[u8],
    ) -> Result<(), redb::Error> {
        if incoming.failed.get().is_some() {
            return Ok(());
        }
        let now = SystemClock.now();
        let id = match self.bodies.get_mut(&incoming.token) {
            Some(body) => {
                let silent = now.saturating_since(body.touched) >= HEARTBEAT;
                if silent {
                    body.touched = now;
                }
                if !change.touch_body(body.id, self.writer_id, silent.then_some(now))? {
                    self.bodies.remove(&incoming.token);
                    fail(incoming, Failure::of(&abandoned()));
                    return Ok(());
                }
                body.id
            }
            None => {
                let id = change.begin_body(self.writer_id, now)?;
                let body = OpenBody { incoming: incoming.clone(), id, touched: now };
                self.bodies.insert(incoming.token, body);
                id
            }
        };
        change.chunk(id, index, payload)
    }

    fn put(
        &mut self,
        change: &mut Change<'_>,
        key: &[u8; 32],
        entry: &super::change::Entry,
        incoming: Option<&Incoming>,
    ) -> Result<ChangeResult, redb::Error> {
        let Some(incoming) = incoming else { return change.put(key, entry, None) };
        if let Some(failure) = incoming.failed.get() {
            return Ok(Err(failure.error()));
        }
        match self.bodies.remove(&incoming.token) {
            Some(body) => change.put(key, entry, Some(body.id)),
            None => Ok(Err(abandoned())),
        }
    }
}

fn close() -> Envelope {
    Envelope::new(Command::Close)
}

/// The caller may be gone; its command is done nevertheless.
fn answer(reply: Option<oneshot::Sender<Result<u64, Error>>>, outcome: ChangeResult) {
    if let Some(reply) = reply {
        drop(reply.send(outcome));
    }
}

/// Only the first reason counts.
fn fail(incoming: &Incoming, why: Failure) {
    drop(incoming.failed.set(why));
}
