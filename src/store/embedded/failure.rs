//! What a failure meant, for those to whom it is told later or more than once: an [`Error`] cannot be cloned.

use crate::store::{Error, ErrorKind};

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

    #[cfg(feature = "sqlite")]
    pub(in crate::store) fn kind(&self) -> ErrorKind {
        self.kind
    }

    #[cfg(feature = "redb")]
    pub(in crate::store) fn message(&self) -> &str {
        &self.message
    }

    pub(in crate::store) fn error(&self) -> Error {
        Error::new(self.kind, self.store, self.message.clone())
    }

    /// The same for one who only reads.
    #[cfg(feature = "redb")]
    pub(in crate::store) fn as_unavailable(&self) -> Error {
        Error::new(ErrorKind::Unavailable, self.store, self.message.clone())
    }
}
