//! Runs work that may wait for the disk: on tokio's blocking threads, or in place.

use std::{future::ready, pin::Pin};

use tokio::{runtime::Handle, task::JoinError};

use crate::store::{Error, ErrorKind, Result};

/// Work that runs elsewhere, or its result.
pub(in crate::store) type Task<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Begins `work` on a blocking thread. Outside of a tokio runtime, does it in place.
pub(in crate::store) fn off<T: Send + 'static>(
    store: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Task<T> {
    let Ok(runtime) = Handle::try_current() else { return here(work) };
    let task = runtime.spawn_blocking(work);
    Box::pin(async move { task.await.unwrap_or_else(|error| Err(lost(store, error))) })
}

/// Does `work` in place.
pub(in crate::store) fn here<T: Send + 'static>(work: impl FnOnce() -> Result<T>) -> Task<T> {
    Box::pin(ready(work()))
}

fn lost(store: &'static str, error: JoinError) -> Error {
    if error.is_panic() {
        return panicked(store).with_source(error);
    }
    let message = "the tokio runtime shut down during work on the disk";
    Error::new(ErrorKind::Unavailable, store, message).with_source(error)
}

pub(super) fn panicked(store: &'static str) -> Error {
    Error::new(ErrorKind::Other, store, "a panic during work on the disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_from_the_end_of_the_runtime() {
        let error = off::<()>("files", || panic!("on purpose")).await.unwrap_err();
        assert_eq!(error.to_string(), "files: a panic during work on the disk");
    }
}
