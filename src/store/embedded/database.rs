//! The seam between the engine and a database: what the engine asks of redb, SQLite, and the fake
//! database of the tests.
//!
//! The engine decides when something is written, what waits for whom, what readers see, and what is
//! evicted. A database keeps rows. An error of type [`Fault`](Database::Fault) ends a whole
//! transaction; the failure of one command alone is an [`Outcome`] inside the `Ok`.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::Leases;
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Result, Scanned, Version, disk::Page},
    time::Timestamp,
};

/// The outcome of one command: a number (a count, or 0 and 1 for no and yes), or why it was
/// refused.
pub(in crate::store) type Outcome = Result<u64>;

/// An entry that was found, with the beginning of its body.
pub(in crate::store) struct Found<R> {
    pub(in crate::store) head: Arc<Head>,
    pub(in crate::store) version: Version,
    /// The body, or its first chunk if there is a rest.
    pub(in crate::store) first: Bytes,
    pub(in crate::store) rest: Option<R>,
}

/// What a lookup has found.
pub(in crate::store) type Lookup<D> = Option<Found<Box<<D as Read>::Chunks>>>;

/// An entry that is ready to be written.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    pub(in crate::store) head: Arc<Head>,
    /// The bytes of the head.
    pub(in crate::store) encoded: Bytes,
    pub(in crate::store) version: Version,
    pub(in crate::store) body: Body,
}

#[derive(Clone, Debug)]
pub(in crate::store) enum Body {
    /// The whole body, which is kept in the entry's row.
    Inline(Bytes),
    /// The last chunk comes with the entry, and the others before it.
    Chunks { last: u32, tail: Bytes },
}

/// The number of chunks of `chunk` bytes in a body of `len` bytes.
pub(in crate::store) fn chunk_count(len: u64, chunk: usize) -> u64 {
    len.div_ceil(chunk as u64)
}

/// The length of chunk `index` of such a body.
pub(in crate::store) fn chunk_len(len: u64, index: u32, chunk: usize) -> usize {
    let left = len.saturating_sub(u64::from(index) * chunk as u64);
    // At most `chunk`, so it fits.
    left.min(chunk as u64) as usize
}

/// Which entries to remove, by an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Purge {
    Expired(Timestamp),
    Tagged(Box<str>),
}

/// What one step of longer work did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Step {
    /// The number of removed entries, or of bytes by which the file has shrunk.
    pub(in crate::store) removed: u64,
    pub(in crate::store) is_done: bool,
}

/// The chunks of bodies that have lost their entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Garbage {
    /// Some can be removed now.
    pub(in crate::store) is_there: bool,
    /// When more can be removed.
    pub(in crate::store) ripens: Option<Timestamp>,
}

/// The first bytes of a key. Keys are digests, so hardly any two entries share them.
pub(in crate::store) type KeyStart = [u8; 8];

pub(in crate::store) fn key_start(key: &Key) -> KeyStart {
    let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Where a published entry stands in the eviction queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Placed {
    pub(in crate::store) place: u64,
    /// It replaces no other.
    pub(in crate::store) is_new: bool,
}

/// What the recovery of a database has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Recovery {
    /// The reason of the failure may still be there.
    Tried,
    /// The reason is gone, and the failed transaction is worth another attempt.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite does it"))]
    Mended,
    /// The file was damaged, and is empty now. The transaction is worth another attempt.
    Emptied,
}

/// The state of the eviction queue, kept in the file. `evict` says what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct QueueState {
    /// The place at which the hand looks next.
    pub(in crate::store) hand: u64,
    /// The place at which the window begins.
    pub(in crate::store) boundary: u64,
    /// The bytes of the entries from the boundary on. The database keeps it up to date when entries
    /// come and go.
    pub(in crate::store) window: u64,
}

/// What is read from a database, on any thread.
pub(in crate::store) trait Read {
    /// The chunks of a body that are still to be read.
    type Chunks: Send + 'static;
    /// Where a listing continues. The default is its beginning.
    type Cursor: Clone + Default + Send + Unpin + 'static;

    /// Looks an entry up. `leases` keep its body while it is read.
    fn get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Self>>;

    /// Like [`get`](Self::get), but waits for no lock. Returns `None` if it would have to wait.
    fn try_get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Option<Lookup<Self>>> {
        self.get(key, leases).map(Some)
    }

    /// Reads the next few chunks of a body. Returns them, and whether there are more. After an
    /// error, it can be called again.
    fn read_chunks(&self, rest: &mut Self::Chunks) -> Result<(VecDeque<Result<Bytes>>, bool)>;

    /// Reads the heads of the next few entries.
    fn list(&self, from: Self::Cursor) -> Result<Page<Self::Cursor, Scanned>>;

    /// The number of entries.
    fn len(&self) -> Result<u64>;

    /// The bytes of all entries, as [`cost`](Database::cost) counts them.
    fn size(&self) -> Result<u64>;
}

/// A database in one file.
pub(in crate::store) trait Database: Read + Send + Sync + Sized + 'static {
    /// The name of the store, for errors.
    const STORE: &'static str;
    /// The bytes of a body in one chunk.
    const CHUNK: usize;
    /// How many bytes may be written without a sync.
    const UNSYNCED: usize;
    /// How many of these bytes a changed entry counts for, in addition to its own: those of the
    /// page that it replaces, if that cannot be reused before the next sync.
    const REPLACED: usize;
    /// How long the log is kept beside the file, if every commit is synced already.
    const LEISURE: Option<Duration>;
    /// Whether [`recover`](Self::recover) undoes what was committed and not synced.
    const LOSES_UNSYNCED: bool;

    /// An error that ends a transaction.
    type Fault;
    /// What the writer thread alone has.
    type Connection: Send + 'static;
    /// A write transaction.
    type Transaction<'t>: Transaction<Fault = Self::Fault>;

    /// Whether only [`recover`](Self::recover) makes the database work again.
    fn needs_recovery(&self) -> bool {
        false
    }

    /// Runs `work`, and turns a panic inside the database into an error.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let panicked = || Error::new(ErrorKind::Other, Self::STORE, "a panic in the database");
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
    }

    /// How many bytes an entry counts for.
    fn cost(entry: &Entry) -> u64;

    // ----- work of the writer thread -----

    /// Runs `work` in one transaction and commits it. Returns whether anything was changed. After
    /// an error, nothing of the transaction remains. With `is_synced`, the commit is synced.
    fn transact(
        &self,
        connection: &mut Self::Connection,
        is_synced: bool,
        work: impl FnOnce(&mut Self::Transaction<'_>) -> Result<(), Self::Fault>,
    ) -> Result<bool>;

    /// Whether the error says that another process held the lock for too long.
    fn is_busy(_: &Error) -> bool {
        false
    }

    /// Makes everything so far durable. Returns after how long to try again, if others were in the
    /// way.
    fn sync(&self, connection: &mut Self::Connection) -> Result<Option<Duration>>;

    /// Makes the database work again after a failed transaction or sync.
    fn recover(&self, connection: &mut Self::Connection, why: &Error) -> Recovery;

    /// Makes the file shorter after pages were released.
    fn truncate(&self, _: &mut Self::Connection) {}

    /// Closes the file, after a sync. `has_time` is whether somebody asked for it, and waits. If
    /// not, the last handle was dropped, and its thread is held up.
    fn close(&self, connection: &mut Self::Connection, has_time: bool) -> Result<()>;
}

/// What a write transaction does to the rows.
pub(in crate::store) trait Transaction {
    type Fault;

    // ----- entries -----

    /// Publishes an entry. `body` is the number of all chunks but the last, if there are any. The
    /// body that it replaces becomes garbage. Returns its place in the eviction queue; an
    /// entry that replaces another keeps that one's.
    fn put(&mut self, key: &Key, entry: &Entry, body: Option<u64>) -> Result<Placed, Self::Fault>;

    /// Replaces the head of the entry if it has the version `seen`.
    fn update(
        &mut self,
        key: &Key,
        seen: Version,
        head: Head,
        version: Version,
    ) -> Result<Outcome, Self::Fault>;

    /// Removes the entry, if it has the version `seen` or that is `None`. Returns whether it did.
    fn remove(&mut self, key: &Key, seen: Option<Version>) -> Result<bool, Self::Fault>;

    /// Removes at most `limit` entries, and reads in proportion to what it removes.
    fn purge(&mut self, purge: &Purge, limit: usize) -> Result<Step, Self::Fault>;

    /// Removes every entry. Unfinished bodies stay.
    fn clear(&mut self) -> Result<(), Self::Fault>;

    // ----- bodies without an entry -----

    /// Creates the number of a new unfinished body.
    fn begin_body(&mut self) -> Result<Outcome, Self::Fault>;

    /// Whether body `id` is still unfinished, and no other process has abandoned it.
    fn is_unfinished(&mut self, id: u64) -> Result<bool, Self::Fault>;

    /// Writes a chunk.
    fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Result<(), Self::Fault>;

    /// Turns the unfinished body `id` into garbage, if it is there.
    fn abandon(&mut self, id: u64) -> Result<(), Self::Fault>;

    /// Abandons the unfinished bodies whose writers are gone.
    fn abandon_dead(&mut self) -> Result<(), Self::Fault>;

    /// Removes up to `limit` chunks of garbage. Bodies that are being read stay until their readers
    /// are gone.
    ///
    /// It comes first in a transaction: until that is committed, readers can still find what it
    /// turns into garbage.
    fn collect(&mut self, limit: u32, at_once: bool, leases: &Leases) -> Result<(), Self::Fault>;

    /// Whether there is garbage to collect.
    fn garbage(&mut self, at_once: bool, leases: &Leases) -> Result<Garbage, Self::Fault>;

    // ----- eviction -----

    /// The bytes of all entries.
    fn size(&mut self) -> Result<u64, Self::Fault>;

    /// The state of the eviction queue.
    fn queue(&mut self) -> Result<QueueState, Self::Fault>;

    fn set_queue(&mut self, queue: QueueState) -> Result<(), Self::Fault>;

    /// The place of the next new entry, or a lower one that no entry has.
    fn next_place(&mut self) -> Result<u64, Self::Fault>;

    /// The first `limit` entries from place `from` on and before `end`, in order: the place, and
    /// how the key begins unless that is damaged.
    fn places(
        &mut self,
        from: u64,
        end: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Option<KeyStart>)>, Self::Fault>;

    /// How many bytes the entry at this place counts for; 0 if there is none.
    fn cost_at(&mut self, place: u64, start: Option<KeyStart>) -> Result<u64, Self::Fault>;

    /// Removes the entry at this place. Returns whether there was one.
    fn evict(&mut self, place: u64, start: Option<KeyStart>) -> Result<bool, Self::Fault>;

    /// Corrects the sum of sizes, which damage has made wrong: no entry is left to evict.
    fn recount(&mut self) -> Result<(), Self::Fault>;

    // ----- the size of the file -----

    /// One step of making the file as small as possible.
    fn vacuum(&mut self, _has_garbage: bool) -> Result<Step, Self::Fault> {
        Ok(Step { removed: 0, is_done: true })
    }

    /// Makes the file smaller if much of it is unused. Returns whether more is to be done.
    fn give_back(&mut self) -> Result<bool, Self::Fault> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_has_the_rest() {
        for (len, count, last) in [(1, 1, 1), (10, 1, 10), (11, 2, 1), (29, 3, 9)] {
            assert_eq!(chunk_count(len, 10), count, "{len}");
            assert_eq!(chunk_len(len, count as u32 - 1, 10), last, "{len}");
        }
        assert_eq!(chunk_len(5, 1, 10), 0);
    }
}
