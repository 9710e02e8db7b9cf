//! [`BodyError`]: why the body of a response broke off.

use std::{error::Error, fmt};

use crate::{error::BoxError, store};

/// Why the body of a response broke off.
///
/// The error behind it, such as that of the inner service's body or a [`store::Error`], is its
/// [`source`](Error::source).
#[derive(Debug)]
pub struct BodyError {
    kind: BodyErrorKind,
    source: Option<BoxError>,
}

/// The kind of a [`BodyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyErrorKind {
    /// The body of the inner service failed.
    Inner,
    /// The stored body could not be read to its end.
    Store,
    /// The response was [shared](crate::CacheLayer::coalesce) with the request that fetched it, and
    /// its body failed. That request alone receives the error itself.
    Coalesced,
    /// The response was [shared](crate::CacheLayer::coalesce) with faster readers. What this one
    /// would have read next had left memory, and the response was not stored, so that it could not
    /// continue from there.
    Lagged,
}

impl BodyError {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> BodyErrorKind {
        self.kind
    }

    /// The error behind it, if there is one.
    #[must_use]
    pub fn into_source(self) -> Option<BoxError> {
        self.source
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            BodyErrorKind::Inner => "the body of the inner service's response failed",
            BodyErrorKind::Store => "the stored body could not be read to its end",
            BodyErrorKind::Coalesced => {
                "the response was shared with another request, and its body failed"
            }
            BodyErrorKind::Lagged => {
                "the response was shared with faster readers; this one fell too far behind them, \
                 and the response was not stored"
            }
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}

/// A [`BodyError`] whose source has the type of the inner service's error.
#[derive(Debug)]
pub(crate) enum BrokenBody<E> {
    Inner(E),
    Store(store::Error),
    Coalesced,
    Lagged,
}

impl BodyError {
    /// `into_box` boxes the error of the inner service's body. A body that has none needs none.
    pub(super) fn new<E>(broken: BrokenBody<E>, into_box: Option<fn(E) -> BoxError>) -> Self {
        let (kind, source) = match broken {
            BrokenBody::Inner(error) => {
                (BodyErrorKind::Inner, into_box.map(|into_box| into_box(error)))
            }
            BrokenBody::Store(error) => (BodyErrorKind::Store, Some(error.into())),
            BrokenBody::Coalesced => (BodyErrorKind::Coalesced, None),
            BrokenBody::Lagged => (BodyErrorKind::Lagged, None),
        };
        Self { kind, source }
    }
}
