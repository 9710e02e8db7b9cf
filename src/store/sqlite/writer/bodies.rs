//! The bodies that this opening of the file is writing.

use std::{collections::HashMap, mem, sync::Arc};

use crate::{
    Key,
    store::{
        Error,
        embedded::{Failure, io_kind},
        sqlite::{
            change::{Change, ChangeResult, Entry, Raw, abandoned},
            fault::STORE,
            lock_file::LockFile,
            shared::Incoming,
        },
    },
};

pub(super) struct Bodies {
    lock_file: LockFile,
    in_memory: bool,
    open: HashMap<u64, OpenBody>,
    /// Bodies that the transaction has changed.
    touched: Vec<Arc<Incoming>>,
    /// Bodies of failed transactions, to be removed from the file.
    orphans: Vec<i64>,
}

struct OpenBody {
    incoming: Arc<Incoming>,
    number: i64,
}

impl Bodies {
    pub(super) fn new(lock_file: LockFile, in_memory: bool) -> Self {
        let (open, touched, orphans) = (HashMap::new(), Vec::new(), Vec::new());
        Self { lock_file, in_memory, open, touched, orphans }
    }

    pub(super) fn chunk(
        &mut self,
        change: &mut Change<'_>,
        incoming: &Arc<Incoming>,
        number: u32,
        data: &[u8],
    ) -> Raw<()> {
        if incoming.failed.get().is_some() {
            return Ok(());
        }
        self.touched.push(incoming.clone());
        let body = match self.open.get(&incoming.token) {
            Some(body) if change.is_unfinished(body.number)? => body.number,
            Some(_) => {
                self.open.remove(&incoming.token);
                fail(incoming, Failure::of(&abandoned()));
                return Ok(());
            }
            None => {
                if let Err(error) = self.lock_file.create(self.in_memory) {
                    let message =
                        "cannot create the lock file beside the database, which large bodies need";
                    let kind = io_kind(error.kind());
                    let error = Error::new(kind, STORE, message).with_source(error);
                    fail(incoming, Failure::of(&error));
                    return Ok(());
                }
                let body = change.begin_body()?;
                let open = OpenBody { incoming: incoming.clone(), number: body };
                self.open.insert(incoming.token, open);
                body
            }
        };
        change.chunk(body, number, data)
    }

    pub(super) fn put(
        &mut self,
        change: &mut Change<'_>,
        key: &Key,
        entry: &Entry,
        incoming: Option<&Arc<Incoming>>,
    ) -> Raw<ChangeResult> {
        let Some(incoming) = incoming else { return change.put(key, entry, None) };
        if let Some(failure) = incoming.failed.get() {
            return Ok(Err(failure.error()));
        }
        let Some(body) = self.open.remove(&incoming.token) else { return Ok(Err(abandoned())) };
        let number = body.number;
        // Until the transaction is committed: if it fails, the chunks of earlier ones must be
        // removed.
        self.touched.push(incoming.clone());
        self.orphans.push(number);
        change.put(key, entry, Some(number))
    }

    pub(super) fn abandon(&mut self, change: &mut Change<'_>, incoming: &Incoming) -> Raw<()> {
        let Some(body) = self.open.remove(&incoming.token) else { return Ok(()) };
        self.orphans.push(body.number);
        change.abandon(body.number)
    }

    /// Abandons what failed transactions have left.
    pub(super) fn abandon_orphans(&mut self, change: &mut Change<'_>) -> Raw<()> {
        self.orphans.iter().try_for_each(|body| change.abandon(*body))
    }

    /// This opening's id in the table of unfinished bodies.
    pub(super) fn lock_id(&self) -> i64 {
        self.lock_file.id
    }

    /// Whether that table has nothing of ours.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.orphans.is_empty()
    }

    pub(super) fn committed(&mut self) {
        self.touched.clear();
        self.orphans.clear();
    }

    /// The transaction has failed for this reason: the bodies that it changed lack a chunk now.
    pub(super) fn rolled_back(&mut self, why: &Failure) {
        for incoming in mem::take(&mut self.touched) {
            fail(&incoming, why.clone());
            if let Some(body) = self.open.remove(&incoming.token) {
                self.orphans.push(body.number);
            }
        }
    }

    /// Nothing can be written any more.
    pub(super) fn fail_all(&mut self, why: &Failure) {
        for (_, body) in self.open.drain() {
            fail(&body.incoming, why.clone());
        }
    }
}

/// Only the first reason counts.
fn fail(incoming: &Incoming, why: Failure) {
    drop(incoming.failed.set(why));
}
