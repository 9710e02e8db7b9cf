//! Which entries go when the store is full.
//!
//! The entries stand in a queue, in the order in which they were added. A boundary divides it: the
//! newest tenth of the store, by bytes, is the *window*, where an entry has to prove itself, and
//! what is older is the *main part*.
//!
//! * An entry that leaves the window at its old end moves into the main part if it was read, or if
//!   there is room. Only the boundary moves; no row is written for it. Otherwise it is evicted, and
//!   its key is remembered for a while (see [`Ghost`]). An entry that comes back while its key is
//!   remembered counts as read.
//! * If the window has nothing to evict, a hand goes round the main part (as in SIEVE, Zhang et
//!   al., NSDI 2024). It takes one from the count of reads of each entry that it passes, and evicts
//!   the first without any, or the one with the fewest of the first 64.
//!
//! A crawl through many pages therefore passes through the window, and evicts nothing that is in
//! use. Counts of reads and remembered keys are in memory: a read writes nothing, and after a
//! restart the order of the queue decides, until enough was read again.

use std::collections::VecDeque;

use super::{
    Visited,
    database::{KeyStart, QueueState, Transaction},
    ghost::Ghost,
};
use crate::store::Evicted;

/// How many entries are removed in one transaction.
pub(in crate::store) const ENTRIES: usize = 1_000;
/// How many places are looked at in one transaction.
const VISITS: usize = 4_096;
/// How many places of the main part are looked at for one eviction.
const LOOKS: usize = 64;

/// Chooses what is evicted in one transaction.
pub(super) struct Eviction<'e, T> {
    pub(super) txn: &'e mut T,
    pub(super) visited: &'e Visited,
    pub(super) ghost: &'e mut Ghost,
    pub(super) max_bytes: u64,
    /// The state of the queue when the transaction began.
    pub(super) before: QueueState,
    /// The place of the entry that was written last in this transaction. It goes last.
    pub(super) newest: Option<u64>,
    pub(super) evicted: Evicted,
}

type Place = (u64, Option<KeyStart>);

impl<T: Transaction> Eviction<'_, T> {
    fn window_limit(&self) -> u64 {
        self.max_bytes / 10
    }

    fn main_limit(&self) -> u64 {
        self.max_bytes - self.window_limit()
    }

    /// Evicts until the entries fit. Returns whether they do; if not, it takes more transactions.
    pub(super) fn run(&mut self) -> Result<bool, T::Fault> {
        let mut queue = self.txn.queue()?;
        let mut size = self.txn.size()?;
        if self.before.window == 0 && queue.window > 0 && size <= self.main_limit() {
            // The store is filling: there is room in the main part for all.
            let boundary = self.txn.next_place()?;
            self.txn.set_queue(QueueState { boundary, window: 0, ..queue })?;
            return Ok(true);
        }
        let (mut visits, mut main_rows, mut window_rows) = (0, VecDeque::new(), VecDeque::new());
        // Nothing is left in the main part that may go.
        let mut is_spent = false;
        loop {
            let is_over = size > self.max_bytes;
            let is_long = queue.window > self.window_limit();
            if !is_over && !is_long {
                return Ok(true);
            }
            if visits >= VISITS || self.evicted.entries >= ENTRIES as u64 {
                return Ok(!is_over);
            }
            let main = size.saturating_sub(queue.window);
            let oldest = self.next(&mut window_rows, queue.boundary, u64::MAX)?;
            let is_movable = |place: u64| {
                is_long && Some(place) != self.newest || is_over && (main == 0 || is_spent)
            };
            if let Some((place, key)) = oldest
                && is_movable(place)
            {
                visits += 1;
                window_rows.pop_front();
                let bytes = self.txn.cost_at(place, key)?;
                let is_proven = key.is_some_and(|key| self.visited.count(key) > 0);
                let fits = main + bytes <= self.main_limit();
                if bytes > 0 && (fits || is_proven && !(is_over && (main == 0 || is_spent))) {
                    let window = queue.window.saturating_sub(bytes);
                    queue = QueueState { boundary: place + 1, window, ..queue };
                    self.txn.set_queue(queue)?;
                } else if is_over || bytes == 0 {
                    if let Some(key) = key {
                        self.ghost.add(key, bytes);
                    }
                    self.evict(place, key, &mut size)?;
                    queue = self.txn.queue()?;
                } else {
                    return Ok(true);
                }
            } else if !is_over {
                return Ok(true);
            } else if let Some((place, key)) =
                self.least(&mut main_rows, &mut queue, &mut visits)?
            {
                self.txn.set_queue(queue)?;
                self.evict(place, key, &mut size)?;
                queue = self.txn.queue()?;
            } else if oldest.is_some() && !is_spent {
                is_spent = true;
            } else {
                // Nothing is left to evict: damage has made the sum wrong.
                self.txn.recount()?;
                self.txn.set_queue(QueueState { window: 0, ..queue })?;
                return Ok(true);
            }
        }
    }

    /// The next entry of the main part to evict.
    fn least(
        &mut self,
        rows: &mut VecDeque<Place>,
        queue: &mut QueueState,
        visits: &mut usize,
    ) -> Result<Option<Place>, T::Fault> {
        let mut least: Option<(u64, Place)> = None;
        let mut has_turned = false;
        for _ in 0..LOOKS {
            let row = match self.next(rows, queue.hand, queue.boundary)? {
                Some(row) => row,
                None if has_turned => break,
                None => {
                    (queue.hand, has_turned) = (0, true);
                    continue;
                }
            };
            rows.pop_front();
            *visits += 1;
            queue.hand = row.0 + 1;
            if Some(row.0) == self.newest {
                continue;
            }
            let count = row.1.map_or(0, |key| self.visited.take(key));
            if least.is_none_or(|(fewest, _)| count < fewest) {
                least = Some((count, row));
            }
            if count == 0 {
                break;
            }
        }
        let row = least.map(|(_, row)| row);
        if let Some((_, Some(key))) = row {
            self.visited.clear(key);
        }
        Ok(row)
    }

    /// The first entry from place `from` on and before `end`. `rows` has those that were read.
    fn next(
        &mut self,
        rows: &mut VecDeque<Place>,
        from: u64,
        end: u64,
    ) -> Result<Option<Place>, T::Fault> {
        while rows.front().is_some_and(|(place, _)| *place < from) {
            rows.pop_front();
        }
        if rows.is_empty() && from < end {
            rows.extend(self.txn.places(from, end, LOOKS)?);
        }
        Ok(rows.front().copied())
    }

    fn evict(&mut self, place: u64, key: Option<KeyStart>, size: &mut u64) -> Result<(), T::Fault> {
        if self.txn.evict(place, key)? {
            let left = self.txn.size()?;
            self.evicted.entries += 1;
            self.evicted.bytes += size.saturating_sub(left);
            *size = left;
        }
        Ok(())
    }
}
