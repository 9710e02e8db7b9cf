//! Bodies in memory of their own: how they are gathered, and how they are handed out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_LENGTH;

use super::super::{Result, StoredBody};
use crate::entry::Head;

/// How much of a body is gathered in one piece. Large enough that most bodies are one piece and that handing out the
/// next costs nothing in comparison; small enough that what is reserved on the word of a `Content-Length`, and what is
/// copied when a body of unknown length ends, does not matter.
pub(super) const SEGMENT: usize = 256 << 10;

/// What a piece takes beside its bytes: a handle, a count with an owner, and two allocations.
const SEGMENT_OVERHEAD: u64 = size_of::<Bytes>() as u64 + 64;

/// A body that is kept.
#[derive(Clone)]
pub(super) enum Body {
    /// In one piece, which is handed out as it is.
    Whole(Bytes),
    Segments(Arc<[Bytes]>),
}

impl Body {
    pub(super) const EMPTY: Self = Self::Whole(Bytes::new());

    /// What the body takes, with all that holds it together.
    pub(super) fn size(&self) -> u64 {
        let segments = match self {
            Self::Whole(bytes) => std::slice::from_ref(bytes),
            Self::Segments(segments) => segments,
        };
        segments.iter().map(|segment| segment.len() as u64 + SEGMENT_OVERHEAD).sum()
    }

    pub(super) fn into_stored(self, len: u64) -> StoredBody {
        match self {
            Self::Whole(bytes) => bytes.into(),
            Self::Segments(segments) => {
                StoredBody::from_stream(len, Segments { segments, next: 0 })
            }
        }
    }
}

struct Segments {
    segments: Arc<[Bytes]>,
    next: usize,
}

impl Stream for Segments {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let segment = self.segments.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(segment.map(Ok))
    }
}

/// A body that is being written.
///
/// It is never concatenated: that would hold all of it twice. Chunks are copied into segments, so that many small ones
/// do not keep a network buffer each, and full segments are left alone.
#[derive(Default)]
pub(super) struct Gather {
    full: Vec<Bytes>,
    open: Vec<u8>,
    /// What is still to come by the head's `Content-Length`, or nothing. The network may lie, so it is only ever a
    /// hint for a reservation of at most one segment.
    expected: u64,
}

impl Gather {
    pub(super) fn new(head: &Head) -> Self {
        let length = head.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let expected = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        Self { expected, ..Self::default() }
    }

    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            if self.open.is_empty() && chunk.len() >= SEGMENT {
                // Its length is known, and the caller had no trouble with that much in one piece either.
                self.expected = self.expected.saturating_sub(chunk.len() as u64);
                self.full.push(exact(chunk.into()));
                return;
            }
            let (now, later) = chunk.split_at(chunk.len().min(SEGMENT - self.open.len()));
            self.reserve(now.len());
            self.open.extend_from_slice(now);
            self.expected = self.expected.saturating_sub(now.len() as u64);
            if self.open.len() == SEGMENT {
                self.close();
            }
            chunk = later;
        }
    }

    /// Makes room for `additional` bytes in the open segment: all that is expected, else twice what there is, and never
    /// more than a segment takes.
    fn reserve(&mut self, additional: usize) {
        let needed = self.open.len() + additional;
        if needed <= self.open.capacity() {
            return;
        }
        let expected = usize::try_from(self.expected).unwrap_or(usize::MAX);
        let wanted = if expected >= additional {
            self.open.len().saturating_add(expected)
        } else {
            needed.max(2 * self.open.len())
        };
        self.open.reserve_exact(wanted.min(SEGMENT) - self.open.len());
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push(exact(std::mem::take(&mut self.open).into()));
        }
    }

    pub(super) fn finish(mut self) -> Body {
        self.close();
        match self.full.len() {
            0 => Body::EMPTY,
            1 => Body::Whole(self.full.remove(0)),
            _ => Body::Segments(self.full.into()),
        }
    }
}

/// Memory of exactly this size. Not `Bytes::from`: that would allocate its count at the first clone, which is a hit.
pub(super) fn exact(bytes: Box<[u8]>) -> Bytes {
    Bytes::from_owner(bytes)
}
