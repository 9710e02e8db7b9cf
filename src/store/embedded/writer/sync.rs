//! When the writer thread syncs, and how it makes a failed database work again.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{PATIENCE, RETRY, Thread, answer, unsynced::Unsynced, work::Done};
use crate::store::{
    Error, ErrorKind, Result,
    embedded::{
        Durability, Envelope, Recovery,
        command::{Command, JobKind},
        database::Database,
        hidden::Hidden,
    },
};

/// How long a flush waits for others at a time.
const RETRY_SYNC: Duration = Duration::from_millis(5);

impl<D: Database> Thread<D> {
    /// The changes of this group are committed.
    pub(super) fn note_unsynced(
        &mut self,
        is_edited: bool,
        bytes: usize,
        group: &[Envelope],
        done: &Done,
    ) {
        let is_synced = self.shared.settings.syncs_each_commit();
        if is_synced && D::LEISURE.is_none() {
            return;
        }
        // A removal that found nothing counts as well: recovery may undo an eviction before it.
        if !is_edited && self.unsynced.is_none() {
            return;
        }
        let unsynced = self.unsynced.get_or_insert_with(|| Unsynced::begin(None));
        let removed = done.step.as_ref().map_or(0, |step| step.removed);
        let changed = group.len() as u64 + done.evicted.entries + removed;
        unsynced.bytes += bytes + D::REPLACED * changed as usize;
        if is_synced || !D::LOSES_UNSYNCED {
            return;
        }
        for (envelope, outcome) in group.iter().zip(&done.outcomes) {
            let is_put = matches!(envelope.command, Command::Put { .. });
            unsynced.entries += u64::from(is_put && outcome.is_ok());
            match &envelope.command {
                Command::Put { key, .. }
                | Command::Update { key, .. }
                | Command::Remove { key, .. } => unsynced.touched.add_key(*key),
                _ => {}
            }
        }
        match self.work.jobs.front().map(|job| &job.kind) {
            Some(JobKind::Purge(purge)) => unsynced.touched.add_purge(purge),
            Some(JobKind::Clear) => unsynced.touched.add_all(),
            Some(JobKind::Vacuum) | None => {}
        }
        if let Some(lifted) = &done.lifted {
            unsynced.touched.extend(Hidden::clone(lifted));
        }
    }

    /// How long until the next sync; `None` if nothing is unsynced.
    pub(super) fn until_sync(&self) -> Option<Duration> {
        let unsynced = self.unsynced.as_ref()?;
        if let Some(again) = unsynced.again {
            return Some(again.saturating_sub(unsynced.since.elapsed()));
        }
        if unsynced.bytes >= D::UNSYNCED {
            return Some(Duration::ZERO);
        }
        let every = match self.shared.settings.durability {
            Durability::Every(every) => every,
            Durability::EachCommit => D::LEISURE?,
        };
        Some(every.saturating_sub(unsynced.since.elapsed()))
    }

    pub(super) fn sync_is_due(&self) -> bool {
        self.until_sync().is_some_and(|left| left.is_zero())
    }

    /// Makes everything so far durable. If that fails, it is tried again after a while.
    pub(super) fn sync(&mut self) -> Result<()> {
        let Self { shared, connection, .. } = self;
        match shared.db.guard(|| shared.db.sync(connection)) {
            Ok(None) => {
                self.unsynced = None;
                Ok(())
            }
            Ok(again) => {
                self.unsynced = Some(Unsynced::begin(again));
                Ok(())
            }
            Err(error) if D::LOSES_UNSYNCED => {
                self.recover(&error);
                Err(error)
            }
            Err(error) => {
                self.unsynced = Some(Unsynced::begin(Some(RETRY)));
                Err(error)
            }
        }
    }

    /// Syncs, and waits for others that are in the way.
    fn sync_wholly(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.sync()?;
            let Some(again) = self.unsynced.as_ref().and_then(|unsynced| unsynced.again) else {
                return Ok(());
            };
            if begun.elapsed() >= PATIENCE {
                let path = self.shared.settings.path.display();
                let message = format!("cannot sync {path}: another process is in the way");
                return Err(Error::new(ErrorKind::Unavailable, D::STORE, message));
            }
            thread::sleep(again.min(RETRY_SYNC));
        }
    }

    pub(super) fn answer_flushes(&mut self, flushes: Vec<oneshot::Sender<Result<u64>>>) {
        if flushes.is_empty() {
            return;
        }
        let synced = self.sync_wholly();
        for reply in flushes {
            let outcome = synced.as_ref().map_or_else(|error| Err(error.repeat()), |()| Ok(0));
            answer(Some(reply), outcome);
        }
    }

    /// A reader may have found what only this thread can mend.
    pub(super) fn recover_if_asked(&mut self) {
        self.shared.poked();
        if self.shared.db.needs_recovery() {
            let message =
                format!("{} was reopened after an error", self.shared.settings.path.display());
            self.recover(&Error::new(ErrorKind::Unavailable, D::STORE, message));
        }
    }

    /// Makes the database work again. What that undoes stays away. Returns whether the failed
    /// transaction is worth another attempt.
    pub(super) fn recover(&mut self, why: &Error) -> bool {
        if D::LOSES_UNSYNCED {
            if let Some(unsynced) = self.unsynced.take() {
                // Before anybody can read the file again.
                self.shared.overlay.failed(&[], unsynced.touched);
                self.count_unwritten(unsynced.entries, why);
            }
            self.work.has_dead_bodies = true;
            self.work.has_garbage = true;
            self.work.bodies.fail_all(why);
        }
        let Self { shared, connection, .. } = self;
        // After a panic, the next command tries again.
        let recover = |db: &D| db.guard(|| Ok(db.recover(connection, why)));
        let recovery = shared.recovering(recover).unwrap_or(Recovery::Tried);
        if recovery == Recovery::Emptied {
            self.work.bodies.fail_all(why);
        }
        recovery != Recovery::Tried
    }
}
