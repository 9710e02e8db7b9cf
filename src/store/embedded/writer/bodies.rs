//! The unfinished bodies that this opening of the file is writing.

use std::{collections::HashMap, sync::Arc};

use crate::{
    Key,
    store::{
        Error, Result,
        embedded::{
            command::Incoming,
            database::{Database, Entry, Placed, Transaction},
            failure::abandoned,
        },
    },
};

#[derive(Default)]
pub(super) struct Bodies {
    open: HashMap<u64, OpenBody>,
    /// The bodies that the running transaction has begun, by their tokens.
    begun: Vec<u64>,
    /// The bodies that it has published or abandoned.
    ended: Vec<u64>,
    /// Bodies of failed transactions, to be removed from the file.
    orphans: Vec<u64>,
}

struct OpenBody {
    incoming: Arc<Incoming>,
    id: u64,
}

type Raw<T, D> = std::result::Result<T, <D as Database>::Fault>;

impl Bodies {
    pub(super) fn chunk<D: Database>(
        &mut self,
        txn: &mut D::Transaction<'_>,
        incoming: &Arc<Incoming>,
        index: u32,
        payload: &[u8],
    ) -> Raw<(), D> {
        if incoming.failed.get().is_some() {
            return Ok(());
        }
        let id = match self.open.get(&incoming.token) {
            Some(body) if txn.is_unfinished(body.id)? => body.id,
            Some(_) => {
                self.open.remove(&incoming.token);
                incoming.fail(&abandoned(D::STORE));
                return Ok(());
            }
            None => match txn.begin_body()? {
                Ok(id) => {
                    self.begun.push(incoming.token);
                    self.open.insert(incoming.token, OpenBody { incoming: incoming.clone(), id });
                    id
                }
                Err(error) => {
                    incoming.fail(&error);
                    return Ok(());
                }
            },
        };
        txn.chunk(id, index, payload)
    }

    pub(super) fn put<D: Database>(
        &mut self,
        txn: &mut D::Transaction<'_>,
        key: &Key,
        entry: &Entry,
        incoming: Option<&Arc<Incoming>>,
    ) -> Raw<Result<Placed>, D> {
        let Some(incoming) = incoming else { return txn.put(key, entry, None).map(Ok) };
        if let Some(failure) = incoming.failed.get() {
            return Ok(Err(failure.repeat()));
        }
        let Some(id) = self.open.get(&incoming.token).map(|body| body.id) else {
            return Ok(Err(abandoned(D::STORE)));
        };
        self.ended.push(incoming.token);
        if !txn.is_unfinished(id)? {
            return Ok(Err(abandoned(D::STORE)));
        }
        txn.put(key, entry, Some(id)).map(Ok)
    }

    pub(super) fn abandon<D: Database>(
        &mut self,
        txn: &mut D::Transaction<'_>,
        incoming: &Incoming,
    ) -> Raw<(), D> {
        let Some(id) = self.open.get(&incoming.token).map(|body| body.id) else { return Ok(()) };
        self.ended.push(incoming.token);
        txn.abandon(id)
    }

    /// Abandons what failed transactions have left.
    pub(super) fn abandon_orphans<D: Database>(&self, txn: &mut D::Transaction<'_>) -> Raw<(), D> {
        self.orphans.iter().try_for_each(|id| txn.abandon(*id))
    }

    /// Abandons every body that is being written.
    pub(super) fn abandon_all<D: Database>(&self, txn: &mut D::Transaction<'_>) -> Raw<(), D> {
        self.open.values().try_for_each(|body| txn.abandon(body.id))?;
        self.abandon_orphans::<D>(txn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.orphans.is_empty()
    }

    pub(super) fn committed(&mut self) {
        self.begun.clear();
        for token in self.ended.drain(..) {
            self.open.remove(&token);
        }
        self.orphans.clear();
    }

    /// Nothing of the transaction remains in the file.
    pub(super) fn rolled_back(&mut self) {
        self.ended.clear();
        for token in self.begun.drain(..) {
            self.open.remove(&token);
        }
    }

    /// A command of this body was lost with its transaction: the body lacks a chunk now.
    pub(super) fn fail(&mut self, incoming: &Incoming, why: &Error) {
        incoming.fail(why);
        if let Some(body) = self.open.remove(&incoming.token) {
            self.orphans.push(body.id);
        }
    }

    /// What was written of any body may be lost, or nothing can be written any more.
    pub(super) fn fail_all(&mut self, why: &Error) {
        for (_, body) in self.open.drain() {
            body.incoming.fail(why);
            self.orphans.push(body.id);
        }
    }
}
