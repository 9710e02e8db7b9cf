//! [`ReplayBuffer`]: what is in memory of a body in flight. That is the chunks that some reader has
//! not read yet, and the first chunks for readers that join.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::sync::{AtomicU64, Ordering};

/// How much of a body is kept for slow readers and for new ones, in bytes.
pub(crate) const REPLAY: u64 = 256 * 1024;

/// Chunks up to this length are copied: a chunk may be a slice of a read buffer many times its
/// size, which would be held with it. A body that is one chunk is not copied: without the cache,
/// its reader would hold that buffer too.
const SMALL: usize = 4 * 1024;

/// What a chunk costs in addition to its bytes.
const OVERHEAD: u64 = 64;

/// The memory beyond the replay buffers, for the slow readers of all bodies together.
#[derive(Clone, Debug)]
pub(crate) struct OverflowBudget {
    /// How many bytes are in use. The bodies of a layer and its clones share it.
    pub(crate) held: Arc<AtomicU64>,
    /// How many bytes may be in use.
    pub(crate) limit: u64,
}

impl OverflowBudget {
    /// Takes `bytes`. `false` if that is more than is left.
    fn take(&self, bytes: u64) -> bool {
        let taken = self.held.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        if taken > self.limit {
            self.give_back(bytes);
        }
        taken <= self.limit
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    overflow: OverflowBudget,
    /// How much of the overflow budget this buffer has taken.
    taken: u64,
    chunks: VecDeque<Held>,
    /// The number of the first chunk that is held, counted from the start of the body.
    first: u64,
    /// What the chunks that are held cost.
    cost: u64,
    /// How many bytes have arrived in all.
    received: u64,
    /// The number of the last chunk that is not empty.
    last: u64,
}

#[derive(Debug)]
struct Held {
    chunk: Bytes,
    /// How many readers have not read it yet.
    wanted: usize,
}

impl ReplayBuffer {
    pub(crate) fn new(overflow: OverflowBudget) -> Self {
        let chunks = VecDeque::new();
        Self { overflow, taken: 0, chunks, first: 0, cost: 0, received: 0, last: 0 }
    }

    /// Appends a chunk that so many `readers` have not read yet. `is_end` says that no other
    /// follows.
    pub(crate) fn push(&mut self, chunk: Bytes, readers: usize, is_end: bool) {
        self.received = self.received.saturating_add(chunk.len() as u64);
        if !chunk.is_empty() {
            self.last = self.end();
        }
        let is_whole = is_end && self.end() == 0;
        let is_copied = chunk.len() <= SMALL && !is_whole;
        let chunk = if is_copied { Bytes::copy_from_slice(&chunk) } else { chunk };
        self.cost += chunk.len() as u64 + OVERHEAD;
        self.chunks.push_back(Held { chunk, wanted: readers });
    }

    /// Drops the chunks that no reader wants. While the body is `open` to new readers and its start
    /// is whole, the start stays. If the rest is larger than a replay buffer and nothing is left of
    /// the overflow budget, chunks that readers want are dropped too. The newest chunk stays.
    /// Returns `true` if such chunks were dropped: the caller has to [remove](Self::remove_reader)
    /// their readers.
    pub(crate) fn trim(&mut self, open: bool) -> bool {
        let mut has_lost = false;
        let keeps_beginning = open && self.is_whole() && self.cost <= REPLAY;
        while let Some(oldest) = self.chunks.front() {
            let (is_wanted, cost) = (oldest.wanted > 0, oldest.chunk.len() as u64 + OVERHEAD);
            if keeps_beginning || (is_wanted && (self.chunks.len() == 1 || self.fits())) {
                break;
            }
            has_lost |= is_wanted;
            self.cost -= cost;
            self.first += 1;
            self.chunks.pop_front();
        }
        let surplus = self.taken.saturating_sub(self.cost.saturating_sub(REPLAY));
        self.overflow.give_back(surplus);
        self.taken -= surplus;
        has_lost
    }

    /// Whether what is held fits into the replay buffer and what is left of the overflow budget.
    fn fits(&mut self) -> bool {
        let missing = self.cost.saturating_sub(REPLAY).saturating_sub(self.taken);
        if missing > 0 && !self.overflow.take(missing) {
            return false;
        }
        self.taken += missing;
        true
    }

    /// Whether the first chunk is still there.
    pub(crate) fn is_whole(&self) -> bool {
        self.first == 0
    }

    /// The number of the next chunk.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// Whether the chunk of this number has been dropped.
    pub(crate) fn is_past(&self, number: u64) -> bool {
        number < self.first
    }

    /// The chunk of this number. Its reader does not come back to it.
    pub(crate) fn read(&mut self, number: u64) -> Option<Bytes> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let held = self.chunks.get_mut(index)?;
        held.wanted = held.wanted.saturating_sub(1);
        Some(held.chunk.clone())
    }

    /// Whether only empty chunks follow the one of this number.
    pub(crate) fn is_last(&self, number: u64) -> bool {
        number >= self.last
    }

    /// Adds a reader at the start.
    pub(crate) fn add_reader(&mut self) {
        self.chunks.iter_mut().for_each(|held| held.wanted += 1);
    }

    /// Removes the reader that would have read the chunk of this number next.
    pub(crate) fn remove_reader(&mut self, number: u64) {
        let read = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.chunks.iter_mut().skip(read).for_each(|held| held.wanted -= 1);
    }

    /// How many bytes have arrived in all.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

impl Drop for ReplayBuffer {
    fn drop(&mut self) {
        self.overflow.give_back(self.taken);
    }
}
