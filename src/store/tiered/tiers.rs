//! The two tiers, with what is known of their copies.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    generations::Generations,
    stats::{Counters, TieredStats},
    ttl::NearTtl,
    unfinished::Unfinished,
};
use crate::{
    event,
    key::Key,
    store::{Error, ErrorKind, Result, Store},
    time::Clock,
};

/// A near store in front of a far one: `Memory` answers requests for entries in use, and a file or
/// a server keeps all entries.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "redb"))]
/// # fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use larder::{CacheLayer, store::{Memory, Redb, Tiered}};
///
/// let store = Tiered::new(Memory::default(), Redb::open("http-cache.redb")?);
/// // In front of a server that other machines write to as well:
/// # let far = Memory::default();
/// let shared = Tiered::new(Memory::default(), far).near_ttl(Duration::from_secs(10));
/// # let layer = CacheLayer::private(store);
/// # Ok(())
/// # }
/// ```
///
/// # Reading
///
/// The near tier is asked first. An entry of the far tier is copied while it is read: the copy is
/// made of the chunks that the reader gets, never delays the reader, and counts once the whole body
/// was read. One copy of a key is made at a time. A body of more than
/// [`max_near_body`](Self::max_near_body) is always read from the far tier.
///
/// # Writing
///
/// A write goes to both tiers. At its end, the far tier is asked for the version: one lookup more
/// than without a near tier. If the near tier refuses or fails, the far tier has the entry, and the
/// near tier's older entry is removed. If **the far tier fails**, only the near tier keeps the
/// entry; the write succeeds, and the failure is [counted](Self::stats) and logged. That entry is
/// lost when the near tier evicts it, and the older entry of the far tier is then found again, as
/// after any failed write. The entry is not written to the far tier later.
///
/// The far tier decides an update and a [`remove_if`](Store::remove_if) of an entry that it has.
/// The near copy of an updated entry is removed; the next reader makes another.
///
/// # Removing
///
/// A removal is sent to both tiers, even if one of them fails. If one fails, the removal is an
/// error, but near copies are not used any more. A copy in progress does not bring a removed entry
/// back.
///
/// # When the far tier is down
///
/// Copies in the near tier are still served. Any other entry is an error, which the cache treats as
/// a miss. What the cache then fetches is kept in the near tier.
///
/// # Other machines
///
/// If other machines write to the far tier, or remove from it, this value does not see that while
/// it has a copy: until the copy expires, or for [`near_ttl`](Self::near_ttl), which limits how
/// long a copy is used before the far tier is asked again. Set it if machines share the far tier,
/// above all if entries do not expire. Two processes should not share a near tier. If a near tier
/// outlives a crash, a write that was in progress may leave an outdated copy in it, for as long.
///
/// # Counting and listing
///
/// [`len`](Store::len) and [`size_bytes`](Store::size_bytes) are those of the far tier.
/// [`scan`](Store::scan) lists what is read, each key once: the near tier's entries, and then the
/// far tier's others. It remembers the keys of the former, and nothing is copied, until the stream
/// ends or is dropped. `remove_expired` and
/// `remove_tagged` return the number of entries that the far tier removed, or the near tier if it
/// removed more.
///
/// # Clone
///
/// A clone is another handle to the same tiers. Two values that were created separately from the
/// same stores do not know of each other's writes, like two machines.
#[derive(Clone)]
pub struct Tiered<Near, Far> {
    pub(super) near: Near,
    pub(super) far: Far,
    pub(super) max_body: u64,
    pub(super) ttl: NearTtl,
    pub(super) generations: Arc<Generations>,
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) counters: Arc<Counters>,
}

impl<Near, Far> Tiered<Near, Far> {
    /// Puts `near` in front of `far`. Copies bodies of up to 1 MiB, and uses copies until they
    /// expire or are removed.
    #[must_use]
    pub fn new(near: Near, far: Far) -> Self {
        Self {
            near,
            far,
            max_body: 1 << 20,
            ttl: NearTtl::default(),
            generations: Arc::new(Generations::new()),
            unfinished: Arc::default(),
            counters: Arc::default(),
        }
    }

    /// Sets the longest body, in bytes, that the near tier keeps; 1 MiB by default. If the near
    /// tier collects bodies in memory, it holds up to this much of each body in progress.
    #[must_use]
    pub fn max_near_body(self, bytes: u64) -> Self {
        Self { max_body: bytes, ..self }
    }

    /// Limits how long a copy is used before the far tier is asked again; no limit by default. With
    /// zero, the far tier is always asked.
    ///
    /// If the far tier does not answer, the copy is used nevertheless.
    #[must_use]
    pub fn near_ttl(self, limit: Duration) -> Self {
        let ttl = NearTtl { limit: Some(limit), ..self.ttl };
        Self { ttl, ..self }
    }

    /// Sets the clock that the age of copies is read from; the system's clock by default. For
    /// tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let ttl = NearTtl { clock: Arc::new(clock), ..self.ttl };
        Self { ttl, ..self }
    }

    /// The near tier. A write to it or a removal from it, not through this value, may hide an entry
    /// of the far tier.
    pub fn near(&self) -> &Near {
        &self.near
    }

    /// The far tier.
    pub fn far(&self) -> &Far {
        &self.far
    }

    /// What the tiers have done so far, for this value and its clones.
    #[must_use]
    pub fn stats(&self) -> TieredStats {
        self.counters.read()
    }
}

impl<Near: fmt::Debug, Far: fmt::Debug> fmt::Debug for Tiered<Near, Far> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiered")
            .field("near", &self.near)
            .field("far", &self.far)
            .field("max_near_body", &self.max_body)
            .field("near_ttl", &self.ttl.limit)
            .finish_non_exhaustive()
    }
}

impl<Near, Far> Tiered<Near, Far> {
    pub(super) fn near_failed(&self, operation: &'static str, key: &Key, error: &Error) {
        if error.kind() != ErrorKind::TooLarge {
            self.counters.near_failures.fetch_add(1, Ordering::Relaxed);
            event::tier_failed("near", operation, key, error);
        }
    }

    pub(super) fn far_failed(&self, operation: &'static str, key: &Key, error: &Error) {
        self.counters.far_failures.fetch_add(1, Ordering::Relaxed);
        event::tier_failed("far", operation, key, error);
    }
}

impl<Near: Store, Far: Store> Tiered<Near, Far> {
    /// Removes the near entry of `key`, whatever it is. Copies that were begun before do not count
    /// any more.
    pub(super) async fn forget(&self, key: &Key) -> Result<bool> {
        self.generations.change(key);
        let change = self.generations.changed(key);
        let removed = self.near.remove(key).await;
        match &removed {
            Ok(_) => self.generations.cleaned(key, change),
            Err(error) => self.near_failed("remove", key, error),
        }
        removed
    }

    /// The far tier has another entry by now, or none. If the near tier fails, its copy does not
    /// count nevertheless.
    pub(super) async fn outdate(&self, key: &Key) {
        // `forget` has reported the failure. For the caller, whose far tier has answered, it is
        // none.
        let _told = self.forget(key).await;
    }

    /// What the near tier returned for a removal of many entries. If it has failed, its copies do
    /// not count nevertheless.
    pub(super) fn near_removed(&self, removed: Result<u64>) -> Result<u64> {
        if removed.is_err() {
            self.generations.change_all();
        }
        removed
    }
}
