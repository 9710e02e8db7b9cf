//! The connection to the server. Every request ends in an answer or an error within a limit, and in
//! an error at once while no server answers.
//!
//! Each command runs in a task of its own, to its end or the limit. A caller that goes away
//! therefore breaks no connection, as it would with the driver alone, and a caller that pauses
//! finds the answer, and not a time limit that passed meanwhile. Changes of an entry keep their
//! order nevertheless: see `order`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mongodb::{Database, bson::doc, error::Result as MongoResult};

use super::fault;
use crate::store::{Error, ErrorKind, Result, needs_runtime};

/// For how long no new attempt is made after a failed one.
const PAUSE: Duration = Duration::from_millis(100);

/// A shared handle.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    database: Database,
    /// The name of the server in messages.
    server: String,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why no server can be reached, while that is so.
    down: Option<String>,
    /// Whether a task is checking that.
    probing: bool,
    /// When the last check ended.
    probed: Option<Instant>,
}

impl Link {
    pub(super) fn new(database: Database, server: String, limit: Duration) -> Self {
        Self(Arc::new(Inner { database, server, limit, state: Mutex::default() }))
    }

    pub(super) fn server(&self) -> &str {
        &self.0.server
    }

    pub(super) fn limit(&self) -> Duration {
        self.0.limit
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
        let Ok(answer) = tokio::time::timeout(self.limit(), asking).await else {
            // One command may be slow while the server is up.
            self.probe();
            return Err(fault::slow(self.server(), self.limit()));
        };
        match &answer {
            Err(error) if fault::is_no_server(error) => {
                self.state().down = Some(error.to_string());
                self.probe();
            }
            Err(error) if fault::is_broken(error) => self.probe(),
            _ => {}
        }
        Ok(answer)
    }

    /// Fails at once while no server answers, and starts a check whether one does again.
    pub(super) fn check_reachable(&self) -> Result<()> {
        needs_runtime::when_used(fault::STORE)?;
        let Some(why) = self.state().down.clone() else { return Ok(()) };
        self.probe();
        let message = format!("{} cannot be reached: {why}", self.server());
        Err(Error::new(ErrorKind::Unavailable, fault::STORE, message))
    }

    /// Checks in the background whether the server answers, unless a check is running.
    fn probe(&self) {
        let mut state = self.state();
        if state.probing || state.probed.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        state.probing = true;
        drop(state);
        let link = self.clone();
        tokio::spawn(async move {
            let ping = link.database().run_command(doc! { "ping": 1 });
            let down = match tokio::time::timeout(link.limit(), ping).await {
                Ok(Ok(_)) => None,
                // The server answers, even if only with a refusal.
                Ok(Err(error)) if !fault::is_no_server(&error) && !fault::is_broken(&error) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {:?}", link.limit())),
            };
            *link.state() = State { down, probing: false, probed: Some(Instant::now()) };
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
