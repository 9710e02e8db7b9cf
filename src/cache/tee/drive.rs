//! [`Drive`]: what the readers of a body drive, step by step, and what a step brings.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

/// Reads a body and stores it, step by step, for the reader that asks.
pub(crate) trait Drive: Send + 'static {
    /// The stored body, for a reader that has fallen behind.
    type Copy: Send + 'static;

    /// Takes a step. `behind` is how many readers need a copy as far as is known: the store is not
    /// done before it has given as many.
    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<Self::Copy>>;

    /// The state between two steps.
    fn state(&self) -> SourceState;
}

/// The result of a step. It is empty if only the store made progress.
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
    /// With an error, which the leader alone receives.
    Failed,
}

#[derive(Clone, Debug)]
pub(crate) struct SourceState {
    /// What the origin says is still to come.
    pub(crate) rest: SizeHint,
    /// Whether the store may yet publish the body.
    pub(crate) is_storing: bool,
    /// Whether every promised byte has come, so that the end may be known as well.
    pub(crate) is_complete: bool,
    /// Whether its length is known, so that a newcomer can wait for the end.
    pub(crate) has_length: bool,
}
