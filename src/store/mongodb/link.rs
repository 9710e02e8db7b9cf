//! The way to the server: whatever is asked is answered, or an error, within a limit; and while no server answers, at
//! once.
//!
//! Each command runs in a task of its own, to its end or the limit. A caller that goes away amid it breaks no connection,
//! as the driver would, and one that pauses finds the answer, not a limit that passed while nobody looked. What changes an
//! entry keeps its server in the order nevertheless: see `order`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mongodb::{Database, bson::doc, error::Result as MongoResult};

use super::fault;
use crate::store::{Error, ErrorKind, Result, needs_runtime};

/// For how long no new attempt is made after one has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// To be shared by cloning.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    database: Database,
    /// The server as messages name it.
    server: String,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why no server can be asked, while none can.
    down: Option<String>,
    /// Whether a task is finding out.
    probing: bool,
    /// When the last one did.
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

    /// As [`ask`](Self::ask), with what the driver says left to the caller to judge.
    pub(super) async fn try_ask<T: Send + 'static>(
        &self,
        asking: impl Future<Output = MongoResult<T>> + Send + 'static,
    ) -> Result<MongoResult<T>> {
        self.check_reachable()?;
        let link = self.clone();
        // Not ended where the caller goes away: that would cost the connection.
        let task = tokio::spawn(async move { link.attempt(asking).await });
        task.await.map_err(fault::ended)?
    }

    async fn attempt<T>(
        &self,
        asking: impl Future<Output = MongoResult<T>>,
    ) -> Result<MongoResult<T>> {
        let Ok(answer) = tokio::time::timeout(self.limit(), asking).await else {
            // One command may be slow, and the server still there.
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

    /// Refuses at once while no server answers, and sees to it that somebody finds out when one does again.
    pub(super) fn check_reachable(&self) -> Result<()> {
        needs_runtime::when_used(fault::STORE)?;
        let Some(why) = self.state().down.clone() else { return Ok(()) };
        self.probe();
        let message = format!("{} cannot be reached: {why}", self.server());
        Err(Error::new(ErrorKind::Unavailable, fault::STORE, message))
    }

    /// Finds out in the background whether the server answers, unless somebody is at it.
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
                // It answers, if only with a refusal.
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
