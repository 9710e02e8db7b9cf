//! The error that every store returns.

use std::{error::Error as StdError, fmt};

use crate::{error::BoxError, key::Key};

/// The result of a store's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of a store failed: a [kind](Error::kind) to decide by, and a sentence to read.
///
/// The sentence names the key, the path or the server, and says what to do. The error of the
/// database driver, if there is one, is the [`source`](StdError::source). It can be downcast, but
/// its type is not part of this crate's promises.
///
/// # Display
///
/// `{}` prints the error without its source, so that a reporter that prints the whole chain prints
/// nothing twice. `{:#}` prints the error and every source, separated by colons.
///
/// ```
/// use larder::store::{Error, ErrorKind};
///
/// let source = std::io::Error::other("the disk is on fire");
/// let error = Error::new(ErrorKind::Other, "files", "cannot read a.cache").with_source(source);
/// assert_eq!(error.to_string(), "files: cannot read a.cache");
/// assert_eq!(format!("{error:#}"), "files: cannot read a.cache: the disk is on fire");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    store: &'static str,
    message: String,
    key: Option<Box<Key>>,
    source: Option<BoxError>,
}

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached or does not answer now. The same call may succeed later.
    Unavailable,
    /// Stored data does not decode or does not match its checksum. The cache treats the entry as a
    /// miss and removes it.
    Corrupt,
    /// The file or server holds data of a newer version of this crate, or of another program.
    Incompatible,
    /// The entry does not fit into the store.
    TooLarge,
    /// The disk or the server's memory is full.
    Full,
    /// The store refused access: file permissions, a read-only file system, a failed login, or a
    /// login that lacks the rights for the command.
    Denied,
    /// An argument or a setting makes no sense: an invalid URL, a number out of range.
    Invalid,
    /// The store does not implement the operation.
    Unsupported,
    /// Anything else.
    Other,
}

impl Error {
    /// Creates an error of `store`, the store's name as users know it, such as `"redb"`. `message`
    /// says what happened, to which key, path or server, and what to do.
    pub fn new(kind: ErrorKind, store: &'static str, message: impl Into<String>) -> Self {
        Self { kind, store, message: message.into(), key: None, source: None }
    }

    /// Creates the error of a store that does not implement `method`.
    pub(crate) fn unsupported(method: &str) -> Self {
        let message = format!("the store does not implement `{method}`");
        Self::new(ErrorKind::Unsupported, "store", message)
    }

    /// Returns the same error with the driver's error as its source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the same error with the key of the entry that it is about.
    #[must_use]
    pub fn with_key(mut self, key: &Key) -> Self {
        self.key = Some(Box::new(*key));
        self
    }

    /// The sentence, with those of all sources.
    pub(crate) fn message(&self) -> String {
        let sources = std::iter::successors(self.source(), |error| (*error).source());
        sources.fold(self.message.clone(), |message, source| format!("{message}: {source}"))
    }

    /// The same error for another caller, with its sources in the sentence: they cannot be cloned.
    #[cfg(any(feature = "redb", feature = "sqlite"))]
    pub(crate) fn repeat(&self) -> Self {
        Self::new(self.kind, self.store, self.message())
    }

    /// What the error means for the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the error is about one entry, so that a [scan](super::Store::scan) goes on with the
    /// others: the entry is damaged, or another version of this crate has written it.
    #[must_use]
    pub fn is_of_one_entry(&self) -> bool {
        match self.kind {
            ErrorKind::Corrupt => true,
            // Without a key, the whole store is of another version.
            ErrorKind::Incompatible => self.key().is_some(),
            _ => false,
        }
    }

    /// The key of the entry that cannot be read, if the store knows it: the entry is damaged
    /// ([`ErrorKind::Corrupt`]), or another version of this crate has written it
    /// ([`ErrorKind::Incompatible`]). A caller that finds the error in a
    /// [scan](super::Store::scan) can [remove](super::Store::remove) the entry by it. `None` for
    /// all other errors.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }

    /// The name of the store that failed.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.store
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            write!(f, "{}: {}", self.store, self.message())
        } else {
            write!(f, "{}: {}", self.store, self.message)
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
