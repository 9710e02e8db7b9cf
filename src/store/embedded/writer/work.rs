//! What is done in one transaction: commands, and a step of background work.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::bodies::Bodies;
use crate::{
    entry::Head,
    store::{
        Evicted,
        embedded::{
            Envelope, Reply,
            command::{Command, JobKind},
            database::{Database, Garbage, Outcome, Step, Transaction, key_start},
            evict::{self, Eviction},
            ghost::Ghost,
            hidden::Hidden,
            shared::Shared,
        },
    },
    time::Timestamp,
};

/// How many chunks of garbage are removed in one transaction, in addition to twice those that it
/// writes.
const GARBAGE_CHUNKS: u32 = 32;

/// The pending work, and the state that a transaction changes.
pub(super) struct Work {
    pub(super) bodies: Bodies,
    pub(super) jobs: VecDeque<Job>,
    /// There may be unfinished bodies whose writers are gone.
    pub(super) has_dead_bodies: bool,
    /// There are bodies to remove.
    pub(super) has_garbage: bool,
    /// When there will be.
    pub(super) ripens: Option<Timestamp>,
    /// The entries take more than they may.
    is_over: bool,
    /// The file is to become smaller.
    has_slack: bool,
    /// The keys of entries that were evicted lately.
    ghost: Ghost,
}

/// Work that takes several transactions.
pub(super) struct Job {
    pub(super) kind: JobKind,
    pub(super) done: u64,
    pub(super) since: Instant,
    pub(super) reply: Reply,
}

/// The results of a transaction, to be reported when it is committed.
#[derive(Default)]
pub(super) struct Done {
    /// The outcome of each command.
    pub(super) outcomes: Vec<Outcome>,
    /// What the first job did.
    pub(super) step: Option<Step>,
    pub(super) evicted: Evicted,
    /// What was hidden, and is removed from the file.
    pub(super) lifted: Option<Arc<Hidden>>,
    is_over: bool,
    has_slack: bool,
    garbage: Garbage,
}

impl Work {
    /// The last opening may have left unfinished bodies and garbage.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            bodies: Bodies::default(),
            jobs: VecDeque::new(),
            has_dead_bodies: true,
            has_garbage: true,
            ripens: None,
            is_over: false,
            has_slack: false,
            ghost: Ghost::new(max_bytes),
        }
    }
}

impl Job {
    /// The job that this command begins, if it does.
    pub(super) fn of(command: &Command, reply: &mut Reply) -> Option<Self> {
        let Command::Job(kind) = command else { return None };
        Some(Self { kind: kind.clone(), done: 0, since: Instant::now(), reply: reply.take() })
    }
}

impl Work {
    /// Whether there is background work.
    pub(super) fn is_left(&self) -> bool {
        self.has_dead_bodies
            || self.has_garbage
            || self.is_over
            || self.has_slack
            || !self.jobs.is_empty()
    }

    pub(super) fn committed(&mut self, done: &Done) {
        self.bodies.committed();
        self.has_dead_bodies = false;
        self.has_garbage = done.garbage.is_there;
        self.ripens = done.garbage.ripens;
        self.is_over = done.is_over;
        self.has_slack = done.has_slack;
    }

    /// Runs a group of commands and a step of background work.
    pub(super) fn apply<D: Database>(
        &mut self,
        txn: &mut D::Transaction<'_>,
        shared: &Shared<D>,
        group: &[Envelope],
        done: &mut Done,
    ) -> Result<(), D::Fault> {
        let is_vacuuming = matches!(self.jobs.front(), Some(Job { kind: JobKind::Vacuum, .. }));
        if self.has_garbage {
            // Removal must keep up with writing.
            let chunks = group.iter().filter(|each| matches!(each.command, Command::Chunk { .. }));
            let limit = GARBAGE_CHUNKS + 2 * chunks.count() as u32;
            txn.collect(limit, is_vacuuming, &shared.leases)?;
        }
        if self.has_dead_bodies {
            txn.abandon_dead()?;
        }
        self.bodies.abandon_orphans::<D>(txn)?;
        // Before any command, so that it removes nothing that is written now.
        if let Some(hidden) = shared.overlay.hidden() {
            hidden.remove(txn)?;
            done.lifted = Some(hidden);
        }
        let before = txn.queue()?;
        let mut newest = None;
        for envelope in group {
            let outcome = self.run::<D>(txn, shared, &envelope.command, &mut newest)?;
            done.outcomes.push(outcome);
        }
        match self.jobs.front().map(|job| &job.kind) {
            Some(JobKind::Purge(purge)) => {
                done.step = Some(txn.purge(purge, evict::ENTRIES)?);
            }
            Some(JobKind::Clear) => {
                txn.clear()?;
                done.step = Some(Step { removed: 0, is_done: true });
            }
            Some(JobKind::Vacuum) | None => {}
        }
        let max_bytes = shared.settings.max_bytes;
        let (visited, ghost, evicted) = (&shared.visited, &mut self.ghost, Evicted::default());
        let mut eviction = Eviction { txn, visited, ghost, max_bytes, before, newest, evicted };
        done.is_over = !eviction.run()?;
        done.evicted = eviction.evicted;
        done.garbage = txn.garbage(is_vacuuming, &shared.leases)?;
        if is_vacuuming {
            done.step = Some(txn.vacuum(done.garbage.is_there)?);
        }
        done.has_slack = txn.give_back()?;
        Ok(())
    }

    fn run<D: Database>(
        &mut self,
        txn: &mut D::Transaction<'_>,
        shared: &Shared<D>,
        command: &Command,
        newest: &mut Option<u64>,
    ) -> Result<Outcome, D::Fault> {
        let nothing = Ok(Ok(0));
        match command {
            Command::Chunk { body, index, payload } => {
                self.bodies.chunk::<D>(txn, body, *index, payload)?;
                nothing
            }
            Command::Abandon(body) => {
                self.bodies.abandon::<D>(txn, body)?;
                nothing
            }
            Command::Put { key, entry, body, .. } => {
                let placed = match self.bodies.put::<D>(txn, key, entry, body.as_ref())? {
                    Ok(placed) => placed,
                    Err(error) => return Ok(Err(error)),
                };
                *newest = Some(placed.place);
                let start = key_start(key);
                if placed.is_new && self.ghost.knows(start) {
                    shared.visited.add(start);
                }
                nothing
            }
            Command::Update { key, seen, head } => {
                txn.update(key, *seen, Head::clone(head), shared.next_version())
            }
            Command::Remove { key, seen } => Ok(Ok(txn.remove(key, *seen)?.into())),
            Command::Job(_)
            | Command::Settle
            | Command::Flush
            | Command::Recover
            | Command::Close { .. } => nothing,
        }
    }
}
