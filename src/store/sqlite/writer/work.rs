//! What is done in one transaction: commands, and a step of background work.

use std::collections::VecDeque;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::bodies::Bodies;
use crate::{
    store::{
        Evicted, Result,
        sqlite::{
            change::{Change, ChangeResult, GARBAGE_CHUNKS, Grace, Purge, Raw, Step, Versions},
            shared::{Command, Envelope, Shared},
        },
    },
    time::{Clock, SystemClock, Timestamp},
};

/// How many pages are released from the file in one transaction.
const PAGES: i64 = 1_024;

/// The pending work, and the state that a transaction changes.
pub(super) struct Work {
    pub(super) bodies: Bodies,
    pub(super) versions: Versions,
    pub(super) jobs: VecDeque<Job>,
    /// There are bodies to remove.
    pub(super) garbage: bool,
    /// When there will be.
    pub(super) ripens: Option<Timestamp>,
    /// The entries take more than they may.
    pub(super) over: bool,
    /// The file is to become smaller.
    pub(super) slack: bool,
}

/// Work that takes several transactions.
pub(super) struct Job {
    pub(super) what: What,
    pub(super) done: u64,
    pub(super) reply: Option<oneshot::Sender<Result<u64>>>,
}

pub(super) enum What {
    Purge(Purge),
    Vacuum,
}

/// The results of a transaction, to be reported when it is committed.
#[derive(Default)]
pub(super) struct Done {
    pub(super) outcomes: Vec<Option<ChangeResult>>,
    pub(super) step: Option<Step>,
    pub(super) evicted: Evicted,
    /// There was something to commit.
    pub(super) edited: bool,
}

impl Work {
    pub(super) fn new(bodies: Bodies) -> Self {
        Self {
            bodies,
            versions: Versions::new(),
            jobs: VecDeque::new(),
            // What the last opening may have left.
            garbage: true,
            ripens: None,
            over: false,
            slack: false,
        }
    }

    /// Whether there is background work.
    pub(super) fn is_left(&self) -> bool {
        self.garbage || self.over || self.slack || !self.jobs.is_empty()
    }

    /// Runs a group of commands and a step of background work. `conn` is in a transaction.
    pub(super) fn apply(
        &mut self,
        conn: &Connection,
        shared: &Shared,
        group: Vec<Envelope>,
    ) -> Raw<Done> {
        let config = &shared.config;
        let before = conn.total_changes();
        let lock_id = self.bodies.lock_id();
        let mut change = Change::new(conn, &mut self.versions, lock_id, config.max_bytes);
        let mut done = Done::default();
        let vacuuming = matches!(self.jobs.front(), Some(Job { what: What::Vacuum, .. }));
        let grace = if vacuuming { Grace::NONE } else { change.grace(SystemClock.now())? };
        // Removal must keep up with writing.
        let chunks = |each: &&Envelope| matches!(each.command, Command::Chunk { .. });
        let limit = GARBAGE_CHUNKS + 2 * group.iter().filter(chunks).count() as u32;
        change.collect(limit, grace, &shared.leases)?;
        self.bodies.abandon_orphans(&mut change)?;
        let fresh = change.next_entry()?;
        for envelope in group {
            let bodies = &mut self.bodies;
            done.outcomes.push(match envelope.command {
                Command::Chunk { body, number, data } => {
                    bodies.chunk(&mut change, &body, number, &data)?;
                    None
                }
                Command::Abandon(body) => {
                    bodies.abandon(&mut change, &body)?;
                    None
                }
                Command::Put { key, entry, body } => {
                    Some(bodies.put(&mut change, &key, &entry, body.as_ref())?)
                }
                Command::Update { key, seen, head } => Some(change.update(&key, seen, *head)?),
                Command::Remove { key, seen } => Some(change.remove(&key, seen)?),
                Command::Clear => Some(change.clear()?),
                Command::Purge(_) | Command::Vacuum | Command::Collect | Command::Close => None,
            });
        }
        if let Some(Job { what: What::Purge(purge), .. }) = self.jobs.front() {
            done.step = Some(change.purge(purge)?);
        }
        self.over = !change.evict(&shared.visited, fresh)?;
        done.evicted = change.evicted;
        self.garbage = change.has_garbage(grace, &shared.leases)?;
        self.ripens = change.next_garbage(grace)?;
        if vacuuming {
            done.step = Some(vacuum(&mut change, self.garbage)?);
        }
        if config.incremental_vacuum {
            self.slack = give_back(&mut change)?;
        }
        done.edited = conn.total_changes() != before || done.step.is_some() || self.slack;
        Ok(done)
    }
}

/// One step of making the file as small as possible. `removed` is in bytes.
fn vacuum(change: &mut Change<'_>, garbage: bool) -> Raw<Step> {
    let pages = change.pages()?;
    change.shrink(PAGES)?;
    let removed = (pages - change.pages()?).max(0) * change.page_size()?;
    // If a step removes nothing, none will: the file cannot be made smaller.
    let done = !garbage && (change.unused_pages()? == 0 || removed == 0);
    Ok(Step { removed: removed as u64, done })
}

/// Makes the file smaller if much of it is unused. Returns whether more is to be done.
fn give_back(change: &mut Change<'_>) -> Raw<bool> {
    let too_many = |change: &Change<'_>| -> Raw<i64> {
        Ok(change.unused_pages()? - change.pages()? / 8 - PAGES / 4)
    };
    let extra = too_many(change)?;
    if extra <= 0 {
        return Ok(false);
    }
    change.shrink(extra.min(PAGES))?;
    let left = too_many(change)?;
    Ok(left > 0 && left < extra)
}
