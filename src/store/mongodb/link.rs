//! The connection to the server. Every request ends in an answer or an error within a limit, and in
//! an error at once while no server answers.
//!
//! Each command runs in a task of its own, to its end or the limit. A caller that goes away
//! therefore breaks no connection, as it would with the driver alone, and a caller that pauses
//! finds the answer, and not a time limit that passed meanwhile. Changes of an entry keep their
//! order nevertheless: see `order`.
//!
//! After a request without an answer, no other is sent until the server has answered a `ping`. A
//! server that is up, and was slow with one command, answers it at once.

use std::{
    future::IntoFuture,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mongodb::{
    Database,
    bson::doc,
    error::{Error as MongoError, Result as MongoResult},
};
use tokio::task::AbortHandle;

use super::fault::{self, STORE};
use crate::store::{
    ErrorKind, Result,
    server::{Circuit, PAUSE, needs_runtime},
};

/// A pause that ends when a check succeeds.
const UNTIL_CLOSED: Duration = Duration::MAX;

/// A shared handle.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    database: Database,
    circuit: Circuit,
    /// The last check whether the server answers.
    probe: Mutex<Option<AbortHandle>>,
}

impl Link {
    pub(super) fn new(database: Database, circuit: Circuit) -> Self {
        Self(Arc::new(Inner { database, circuit, probe: Mutex::default() }))
    }

    pub(super) fn circuit(&self) -> &Circuit {
        &self.0.circuit
    }

    pub(super) fn server(&self) -> &str {
        &self.circuit().server
    }

    pub(super) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        asking: impl Future<Output = MongoResult<T>> + Send + 'static,
    ) -> Result<T> {
        self.try_ask(asking).await?.map_err(|error| fault::error(self.server(), error))
    }

    /// Like [`ask`](Self::ask), but returns the driver's error unchanged.
    pub(super) async fn try_ask<T: Send + 'static>(
        &self,
        asking: impl Future<Output = MongoResult<T>> + Send + 'static,
    ) -> Result<MongoResult<T>> {
        self.check_reachable()?;
        let link = self.clone();
        // A task, since dropping the command would cost the connection.
        let task = tokio::spawn(async move { link.attempt(asking).await });
        task.await.map_err(fault::ended)?
    }

    async fn attempt<T>(
        &self,
        asking: impl Future<Output = MongoResult<T>>,
    ) -> Result<MongoResult<T>> {
        let answer = self.circuit().within(asking, UNTIL_CLOSED).await;
        match &answer {
            Err(_) => self.probe(),
            Ok(Err(error)) if fault::is_no_server(error) => {
                self.pause(error);
                self.probe();
            }
            Ok(Err(error)) if fault::is_broken(error) => self.probe(),
            Ok(_) => {}
        }
        answer
    }

    /// Fails at once while no server answers, and starts a check whether one does again.
    pub(super) fn check_reachable(&self) -> Result<()> {
        needs_runtime::when_used(STORE)?;
        self.circuit().check().inspect_err(|_| self.probe())
    }

    fn pause(&self, why: &MongoError) {
        self.circuit().pause(UNTIL_CLOSED, ErrorKind::Unavailable, why.to_string());
    }

    /// Checks in the background whether the server answers, unless a check is running.
    fn probe(&self) {
        let mut probe = self.0.probe.lock().unwrap_or_else(PoisonError::into_inner);
        // A check ends with its runtime too, which need not be the only one that uses the store.
        if probe.as_ref().is_some_and(|probe| !probe.is_finished()) {
            return;
        }
        let link = self.clone();
        let check = tokio::spawn(async move {
            let ping = link.database().run_command(doc! { "ping": 1 });
            match link.circuit().within(ping.into_future(), UNTIL_CLOSED).await {
                Err(_) => {}
                Ok(Err(error)) if fault::is_no_server(&error) || fault::is_broken(&error) => {
                    link.pause(&error);
                }
                // The server answers, even if only with a refusal.
                Ok(_) => link.circuit().close(),
            }
            tokio::time::sleep(PAUSE).await;
        });
        *probe = Some(check.abort_handle());
    }
}
