//! Bodies in memory: how they are collected, and how they are read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_LENGTH;
use smallvec::SmallVec;

use super::super::{Result, StoredBody};
use crate::entry::Head;

/// The size of a segment of a body. It is large enough that most bodies are one segment and that
/// the cost of the next one does not matter. It is small enough that the reservation for a
/// `Content-Length`, and the copy at the end of a body of unknown length, do not matter.
pub(super) const SEGMENT: usize = 256 << 10;

/// What a kept chunk counts as at least, and what it counts beyond its size. It may be a part of a
/// larger buffer, whose size nobody can ask for. The first is what hyper reserves for a read at
/// most, and the second is room for the head of a message before the chunk.
const KEPT_AT_LEAST: u64 = 408 << 10;
const KEPT_BEYOND: u64 = 64 << 10;

/// What a segment takes beside its bytes: a handle, a counter with an owner, and two allocations.
const SEGMENT_OVERHEAD: u64 = size_of::<Bytes>() as u64 + 64;

/// A stored body.
#[derive(Clone)]
pub(super) enum Body {
    /// In one segment, which a hit returns without a copy.
    Whole(Bytes),
    Segments(Arc<[Bytes]>),
}

impl Body {
    pub(super) const EMPTY: Self = Self::Whole(Bytes::new());

    /// The memory that the segments take.
    pub(super) fn size(&self) -> u64 {
        let segments = match self {
            Self::Whole(bytes) => std::slice::from_ref(bytes),
            Self::Segments(segments) => segments,
        };
        let own: u64 = segments.iter().map(|segment| segment.len() as u64 + SEGMENT_OVERHEAD).sum();
        own + Kept::of(segments).beyond()
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

/// Whether a segment is a chunk that was kept. No segment of copies is that large.
fn is_kept(segment: &Bytes) -> bool {
    segment.len() > SEGMENT
}

/// What kept chunks count beyond their size. Chunks that adjoin are counted as parts of one buffer.
/// Two buffers seldom adjoin.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// Of the buffers before the last one.
    before: u64,
    /// The length of the chunks of the last buffer.
    last: u64,
}

impl Kept {
    fn of(segments: &[Bytes]) -> Self {
        let mut kept = Self::default();
        let mut previous = None;
        for segment in segments {
            kept.add(previous, segment);
            previous = Some(segment);
        }
        kept
    }

    /// Adds a segment, which comes after `previous`.
    fn add(&mut self, previous: Option<&Bytes>, segment: &Bytes) {
        if !is_kept(segment) {
            return;
        }
        let adjoins = previous
            .is_some_and(|last| is_kept(last) && last.as_ptr_range().end == segment.as_ptr());
        if !adjoins {
            *self = Self { before: self.beyond(), last: 0 };
        }
        self.last += segment.len() as u64;
    }

    fn beyond(self) -> u64 {
        let last = match self.last {
            0 => 0,
            len => KEPT_BEYOND.max(KEPT_AT_LEAST.saturating_sub(len)),
        };
        self.before + last
    }
}

/// A body that is being written.
///
/// It is never concatenated, which would hold all of it twice. Chunks are copied into segments, so
/// that many small ones do not keep a network buffer each. A chunk that is larger than a segment is
/// kept as it is, unless that is forbidden. Full segments are not touched again.
#[derive(Default)]
pub(super) struct Gather {
    keeps_chunks: bool,
    /// Most bodies have one segment.
    full: SmallVec<[Bytes; 1]>,
    kept: Kept,
    open: Vec<u8>,
    /// The rest of the `Content-Length`, or zero. The header may be wrong, so it is only a hint for
    /// reserving at most one segment.
    expected: u64,
}

impl Gather {
    pub(super) fn new(head: &Head, keeps_chunks: bool) -> Self {
        let length = head.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let expected = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        Self { keeps_chunks, expected, ..Self::default() }
    }

    pub(super) fn push(&mut self, mut chunk: Bytes) {
        while !chunk.is_empty() {
            if self.keeps_chunks && self.open.is_empty() && is_kept(&chunk) {
                self.expected = self.expected.saturating_sub(chunk.len() as u64);
                self.kept.add(self.full.last(), &chunk);
                self.full.push(chunk);
                return;
            }
            let now = chunk.split_to(chunk.len().min(SEGMENT - self.open.len()));
            self.reserve(now.len());
            self.open.extend_from_slice(&now);
            self.expected = self.expected.saturating_sub(now.len() as u64);
            if self.open.len() == SEGMENT {
                self.close();
            }
        }
    }

    /// Reserves `additional` bytes in the open segment: all that is expected, else twice the
    /// current size, and never more than a segment.
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

    /// What the chunks that were kept count beyond their size.
    pub(super) fn beyond(&self) -> u64 {
        self.kept.beyond()
    }

    pub(super) fn finish(mut self) -> Body {
        self.close();
        match self.full.len() {
            0 => Body::EMPTY,
            1 => Body::Whole(self.full.remove(0)),
            _ => Body::Segments(self.full.into_vec().into()),
        }
    }
}

/// Memory of exactly this size. `Bytes::from` would allocate its counter at the first clone, which
/// is a hit.
pub(super) fn exact(bytes: Box<[u8]>) -> Bytes {
    Bytes::from_owner(bytes)
}
