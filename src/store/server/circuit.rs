//! How long a request may wait for the server, and the pause after a failure, in which requests
//! fail at once. A server that is silent thus holds a request for the time limit once, and not with
//! each operation.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

// The clock that the limits use.
use tokio::time::Instant;

use crate::{
    Key,
    store::{Error, ErrorKind, Result},
};

/// How long a store waits before it tries to connect again.
pub(in crate::store) const PAUSE: Duration = Duration::from_millis(100);

/// The time limit of the requests to a server, and whether they are sent at all.
pub(in crate::store) struct Circuit {
    store: &'static str,
    /// The name of the server in messages, without credentials.
    pub(in crate::store) server: String,
    pub(in crate::store) limit: Duration,
    pause: Mutex<Option<Pause>>,
}

struct Pause {
    /// `None` if the pause does not end by itself.
    until: Option<Instant>,
    kind: ErrorKind,
    why: String,
}

impl Circuit {
    pub(in crate::store) fn new(store: &'static str, server: String, limit: Duration) -> Self {
        Self { store, server, limit, pause: Mutex::default() }
    }

    /// Fails during a pause.
    pub(in crate::store) fn check(&self) -> Result<()> {
        let mut pause = self.state();
        match &*pause {
            Some(Pause { until, kind, why })
                if until.is_none_or(|until| Instant::now() < until) =>
            {
                let message = format!("{} is unavailable: {why}", self.server);
                Err(Error::new(*kind, self.store, message))
            }
            _ => {
                *pause = None;
                Ok(())
            }
        }
    }

    /// Waits for an answer up to the limit. If none has come, a pause begins.
    pub(in crate::store) async fn within<T>(
        &self,
        asking: impl Future<Output = T>,
        pause: Duration,
    ) -> Result<T> {
        tokio::time::timeout(self.limit, asking).await.map_err(|_| {
            let why = format!("no answer within {:?}", self.limit);
            self.pause(pause, ErrorKind::Unavailable, why);
            self.slow()
        })
    }

    /// Lets requests fail at once for a while, or until the circuit is [closed](Self::close) if the
    /// time is too long for the clock.
    pub(in crate::store) fn pause(&self, time: Duration, kind: ErrorKind, why: String) {
        let until = Instant::now().checked_add(time);
        let mut pause = self.state();
        let ends_later = |pause: &Pause| {
            pause.until.is_none_or(|current| until.is_some_and(|until| until <= current))
        };
        if !pause.as_ref().is_some_and(ends_later) {
            *pause = Some(Pause { until, kind, why });
        }
    }

    /// Ends the pause.
    #[cfg(feature = "mongodb")]
    pub(in crate::store) fn close(&self) {
        *self.state() = None;
    }

    /// The error of a request that the server did not answer in time.
    pub(in crate::store) fn slow(&self) -> Error {
        self.error(ErrorKind::Unavailable, &format!("did not answer within {:?}", self.limit))
    }

    /// The error of an answer that is not one to the request.
    pub(in crate::store) fn strange(&self) -> Error {
        let what = format!("sent an unexpected answer; is it a server for {}?", self.store);
        self.error(ErrorKind::Other, &what)
    }

    /// The error of an entry whose body is gone before it was published.
    pub(in crate::store) fn lost_body(&self, key: &Key) -> Error {
        let what = "while it was being written; the entry is not stored";
        self.error(ErrorKind::Unavailable, &format!("removed the body of key {key} {what}"))
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, self.store, format!("{} {what}", self.server))
    }

    fn state(&self) -> MutexGuard<'_, Option<Pause>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_fail_at_once_after_a_silence_until_the_limit_has_passed() {
        let limit = Duration::from_secs(2);
        let circuit = Circuit::new("store", "the server".to_owned(), limit);
        let pause = |time, why: &str| circuit.pause(time, ErrorKind::Denied, why.to_owned());
        assert_eq!(circuit.within(async { 7 }, limit).await.unwrap(), 7);
        circuit.check().unwrap();
        let silent = circuit.within(std::future::pending::<()>(), limit).await.unwrap_err();
        assert_eq!(silent.to_string(), "store: the server did not answer within 2s");
        // A shorter pause does not end this one.
        pause(PAUSE, "a refusal");
        tokio::time::advance(limit - PAUSE).await;
        assert_eq!(circuit.check().unwrap_err().kind(), ErrorKind::Unavailable);
        tokio::time::advance(PAUSE).await;
        circuit.check().unwrap();
        pause(Duration::MAX, "a refusal");
        pause(PAUSE, "another");
        tokio::time::advance(PAUSE * 1000).await;
        let refused = circuit.check().unwrap_err();
        assert_eq!(refused.to_string(), "store: the server is unavailable: a refusal");
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }
}
