//! What the readers of a body have done for them: the work, and what it brings.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

/// Reads a body and stores it, step by step, for whoever asks.
pub(crate) trait Work: Send + 'static {
    /// The stored body, for a reader that has fallen behind.
    type Copy: Send + 'static;

    /// Goes on. `behind` is how many readers will need a copy, as far as is known: the store's part is not over before it
    /// has as many.
    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<Self::Copy>>;

    /// How things stand between two steps.
    fn shape(&self) -> Shape;
}

/// What a step has brought; nothing, where the store's part alone has come further.
pub(crate) struct Step<C> {
    pub(crate) chunk: Option<Bytes>,
    pub(crate) end: Option<End>,
    pub(crate) copies: Vec<C>,
}

impl<C> Default for Step<C> {
    fn default() -> Self {
        Self { chunk: None, end: None, copies: Vec::new() }
    }
}

/// How a body ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// With these trailers.
    Whole(Option<HeaderMap>),
    /// In an error, which is not the readers' to share.
    Failed,
}

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// What the origin says is still to come.
    pub(crate) rest: SizeHint,
    /// Whether the store may yet publish the body.
    pub(crate) is_storing: bool,
    /// Whether every promised byte has come, so that the end may be there as well.
    pub(crate) is_complete: bool,
    /// Whether its length is known, so that a newcomer can wait for the end.
    pub(crate) has_length: bool,
    /// How many bytes may be held, for readers of all bodies together that are behind, where no copy will come.
    pub(crate) limit: u64,
}
