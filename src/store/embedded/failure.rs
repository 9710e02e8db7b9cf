//! Errors of the engine, and failures that are reported later or more than once. An [`Error`]
//! cannot be cloned.

use std::path::Path;

use crate::store::{Error, ErrorKind};

/// What an [`Error`] said, with its sources in the message.
#[derive(Clone, Debug)]
pub(in crate::store) struct Failure {
    kind: ErrorKind,
    store: &'static str,
    message: String,
}

impl Failure {
    pub(in crate::store) fn new(
        kind: ErrorKind,
        store: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, store, message: message.into() }
    }

    pub(in crate::store) fn of(error: &Error) -> Self {
        let text = format!("{error:#}");
        let own = text.strip_prefix(error.store()).and_then(|text| text.strip_prefix(": "));
        Self::new(error.kind(), error.store(), own.unwrap_or(&text))
    }

    pub(in crate::store) fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(in crate::store) fn message(&self) -> &str {
        &self.message
    }

    pub(in crate::store) fn error(&self) -> Error {
        Error::new(self.kind, self.store, self.message.clone())
    }

    /// The same failure, for a reader.
    #[cfg(feature = "redb")]
    pub(in crate::store) fn as_unavailable(&self) -> Error {
        Error::new(ErrorKind::Unavailable, self.store, self.message.clone())
    }
}

/// The error for work on a closed file.
pub(in crate::store) fn closed(store: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::Unavailable, store, format!("{} is closed", path.display()))
}

/// The error for the writer of a body that another process has abandoned.
pub(in crate::store) fn abandoned(store: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, store, "another process removed the unfinished body")
}
