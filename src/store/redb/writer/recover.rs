//! When the writer thread syncs, and how it recovers when redb refuses to continue.

use std::{
    hash::RandomState,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use redb::Database;

use super::{Thread, answer, fail, touched::Touched};
use crate::{
    event,
    store::{
        Result,
        embedded::{Durability, Failure},
        redb::{
            change::Change,
            fault::{self, STORE},
            open,
            shared::{Envelope, Open},
        },
    },
};

/// How many bytes may be written without a sync. Pages of a synced state are reusable only after
/// the next sync, so a busy store that does not sync would make its file grow.
const UNSYNCED: usize = 64 << 20;

/// How long to wait before another attempt to open the file.
const PEACE: Duration = Duration::from_millis(100);

impl Thread {
    pub(super) fn syncs_each_commit(&self) -> bool {
        let config = &self.shared.config;
        config.multi_process || config.durability == Durability::EachCommit
    }

    /// How long until the next sync; `None` if nothing is unsynced.
    pub(super) fn until_sync(&self) -> Option<Duration> {
        let unsynced = self.unsynced.as_ref()?;
        match self.shared.config.durability {
            Durability::Every(_) if unsynced.bytes >= UNSYNCED => Some(Duration::ZERO),
            Durability::Every(every) => Some(every.saturating_sub(unsynced.since.elapsed())),
            Durability::EachCommit => Some(Duration::ZERO),
        }
    }

    pub(super) fn sync_is_due(&self) -> bool {
        self.until_sync().is_some_and(|left| left.is_zero())
    }

    /// Makes everything so far durable.
    pub(super) fn sync(&mut self) {
        let shared = self.shared.clone();
        let path = &shared.config.path;
        let result = catch_unwind(AssertUnwindSafe(|| match &shared.slot().state {
            Open::Yes(db) => sync(db).map_err(|error| fault::error("cannot write to", path, error)),
            Open::Down(_) | Open::Closed => Ok(()),
        }));
        match result.unwrap_or_else(|panic| Err(fault::panicked(path, panic.as_ref()))) {
            Ok(()) => self.unsynced = None,
            Err(error) => self.reopen(&Failure::of(&error)),
        }
    }

    /// Closes the file and opens it again, which redb requires after an I/O error. That undoes
    /// unsynced writes, except that removed and replaced entries stay away. Writers of bodies get
    /// an error.
    pub(super) fn reopen(&mut self, why: &Failure) {
        if let Some(unsynced) = self.unsynced.take() {
            self.undone.extend(unsynced.touched);
        }
        let down = Open::Down(why.clone());
        let open = std::mem::replace(&mut self.shared.slot_mut().state, down);
        self.shared.changed();
        if let Open::Yes(db) = open {
            event::restarted(STORE, why.message());
            // Closing may fail for the same reason. The locks are released nevertheless.
            drop(catch_unwind(AssertUnwindSafe(|| db.close().ok())));
            self.open_again();
        }
        // Last, so that whoever gets the error finds the store working again.
        for (_, body) in self.bodies.drain() {
            fail(&body.incoming, why.clone());
        }
    }

    /// Does nothing if the last attempt failed just now.
    pub(super) fn open_again(&mut self) {
        if self.failed_at.is_some_and(|at| at.elapsed() < PEACE) {
            return;
        }
        self.versions = RandomState::new();
        // Before anybody can read the file.
        let opened = open::open(&self.shared.config)
            .and_then(|(db, left)| self.remove_undone(&db).map(|()| (db, left)));
        let mut slot = self.shared.slot_mut();
        slot.opening += 1;
        slot.state = match opened {
            Ok((db, left)) => {
                self.unfinished = left.unfinished;
                // The undone writes may have had bodies.
                self.garbage = true;
                self.failed_at = None;
                Open::Yes(db)
            }
            Err(error) => {
                self.failed_at = Some(Instant::now());
                Open::Down(Failure::of(&error))
            }
        };
    }

    /// Removes again what reopening the file has brought back. If that fails, nothing of the file
    /// may be read.
    fn remove_undone(&mut self, db: &Database) -> Result<()> {
        if self.undone.is_empty() {
            return Ok(());
        }
        let config = &self.shared.config;
        let result = catch_unwind(AssertUnwindSafe(|| {
            open::write(db, |txn| {
                let mut change = Change::begin(txn, &self.versions, config.max_bytes)?;
                self.undone.remove(&mut change)?;
                change.finish().map(drop)
            })
        }));
        match result {
            Ok(Ok(())) => {
                self.undone = Touched::default();
                Ok(())
            }
            Ok(Err(error)) => Err(fault::error("cannot write to", &config.path, error)),
            Err(panic) => Err(fault::panicked(&config.path, panic.as_ref())),
        }
    }

    pub(super) fn close(&mut self, envelope: Envelope) {
        let open = std::mem::replace(&mut self.shared.slot_mut().state, Open::Closed);
        self.shared.changed();
        let result = match open {
            Open::Yes(db) => {
                let path = &self.shared.config.path;
                let wrong = |error| fault::error("cannot write to", path, error);
                catch_unwind(AssertUnwindSafe(|| {
                    sync(&db).map_err(wrong)?;
                    db.close().map_err(|error| wrong(error.into()))
                }))
                .unwrap_or_else(|panic| Err(fault::panicked(path, panic.as_ref())))
            }
            Open::Down(failure) => Err(failure.error()),
            Open::Closed => Ok(()),
        };
        for ongoing in self.purges.drain(..) {
            answer(ongoing.reply, Err(fault::closed(&self.shared.config.path)));
        }
        answer(envelope.reply, result.map(|()| 0));
    }
}

/// An empty synced commit includes all unsynced ones before it.
fn sync(db: &Database) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    Ok(txn.commit()?)
}
