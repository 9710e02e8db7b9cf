//! What is in memory of a body on its way: the chunks that somebody has yet to read, and the first ones for those who
//! join.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::sync::{AtomicU64, Ordering};

/// How much of a body is kept for readers that are behind, and for those to come, in bytes.
pub(crate) const WINDOW: u64 = 256 * 1024;

/// How much more all bodies together may keep for readers that are behind, in bytes.
pub(crate) const SPARE: u64 = 16 * 1024 * 1024;

/// Chunks up to this length are copied: each may be a slice of a read buffer many times as large, which would be held
/// for it.
const SMALL: usize = 4 * 1024;

/// What a chunk costs beside its bytes.
const OVERHEAD: u64 = 64;

/// What is in use of the memory that bodies share, for readers that are further behind than a window.
#[derive(Debug, Default)]
pub(crate) struct Spare(AtomicU64);

impl Spare {
    /// Takes `bytes`; `false` where that is more than is left of `all`.
    fn take(&self, bytes: u64, all: u64) -> bool {
        let taken = self.0.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        if taken > all {
            self.give_back(bytes);
        }
        taken <= all
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[derive(Debug)]
pub(crate) struct Window {
    spare: Arc<Spare>,
    /// How much of the spare memory this one has taken.
    taken: u64,
    chunks: VecDeque<Held>,
    /// The number of the first chunk that is held, counted from the beginning of the body.
    first: u64,
    /// What the chunks that are held cost.
    cost: u64,
    /// How many bytes have come in all.
    received: u64,
    /// The number of the last chunk that is not empty.
    last: u64,
}

#[derive(Debug)]
struct Held {
    chunk: Bytes,
    /// How many readers have yet to come here.
    wanted: usize,
}

impl Window {
    pub(crate) fn new(spare: Arc<Spare>) -> Self {
        let chunks = VecDeque::new();
        Self { spare, taken: 0, chunks, first: 0, cost: 0, received: 0, last: 0 }
    }

    /// Appends a chunk that `readers` have yet to read.
    pub(crate) fn push(&mut self, chunk: Bytes, readers: usize) {
        self.received = self.received.saturating_add(chunk.len() as u64);
        if !chunk.is_empty() {
            self.last = self.end();
        }
        let chunk = if chunk.len() <= SMALL { Bytes::copy_from_slice(&chunk) } else { chunk };
        self.cost += chunk.len() as u64 + OVERHEAD;
        self.chunks.push_back(Held { chunk, wanted: readers });
    }

    /// Forgets what nobody wants any more, save the beginning while it is `open` to newcomers and whole; and what is
    /// wanted as well where the rest is more than a window and nothing is left of `all` that may be spared. The newest
    /// chunk stays. `true` where something has gone that was wanted: there are readers who have to be
    /// [removed](Self::remove_reader).
    pub(crate) fn trim(&mut self, open: bool, all: u64) -> bool {
        let mut has_lost = false;
        let keeps_beginning = open && self.is_whole() && self.cost <= WINDOW;
        while let Some(oldest) = self.chunks.front() {
            let (is_wanted, cost) = (oldest.wanted > 0, oldest.chunk.len() as u64 + OVERHEAD);
            if keeps_beginning || (is_wanted && (self.chunks.len() == 1 || self.fits(all))) {
                break;
            }
            has_lost |= is_wanted;
            self.cost -= cost;
            self.first += 1;
            self.chunks.pop_front();
        }
        let surplus = self.taken.saturating_sub(self.cost.saturating_sub(WINDOW));
        self.spare.give_back(surplus);
        self.taken -= surplus;
        has_lost
    }

    /// Whether what is held is within the window and what can be had of the spare memory.
    fn fits(&mut self, all: u64) -> bool {
        let missing = self.cost.saturating_sub(WINDOW).saturating_sub(self.taken);
        if missing > 0 && !self.spare.take(missing, all) {
            return false;
        }
        self.taken += missing;
        true
    }

    /// Whether everything is there, from the first chunk on.
    pub(crate) fn is_whole(&self) -> bool {
        self.first == 0
    }

    /// The number of the chunk to come.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// Whether the chunk of this number has been forgotten.
    pub(crate) fn is_past(&self, number: u64) -> bool {
        number < self.first
    }

    /// The chunk of this number, for good: its reader goes on to the next.
    pub(crate) fn read(&mut self, number: u64) -> Option<Bytes> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let held = self.chunks.get_mut(index)?;
        held.wanted = held.wanted.saturating_sub(1);
        Some(held.chunk.clone())
    }

    /// Whether nothing but empty chunks stands behind the one of this number.
    pub(crate) fn is_last(&self, number: u64) -> bool {
        number >= self.last
    }

    /// One more reader, at the beginning.
    pub(crate) fn add_reader(&mut self) {
        self.chunks.iter_mut().for_each(|held| held.wanted += 1);
    }

    /// The reader that was to read the chunk of this number next has gone.
    pub(crate) fn remove_reader(&mut self, number: u64) {
        let read = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.chunks.iter_mut().skip(read).for_each(|held| held.wanted -= 1);
    }

    /// How many bytes have come in all.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.spare.give_back(self.taken);
    }
}
