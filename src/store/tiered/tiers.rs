//! The two tiers with what is known of their copies.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    generations::Generations,
    stats::{Counters, TieredStats},
    unfinished::Unfinished,
};
use crate::{
    event,
    key::Key,
    store::{Error, ErrorKind, Result, Store},
    time::{Clock, SystemClock},
};

/// A near store in front of a far one: entries in use are answered from `Memory`, all of them are kept
/// in a file or on a server.
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
/// The near tier is asked first. What is found in the far one is copied while it is read: the copy is made of the very
/// chunks that the reader gets, never delays it, and counts once the body has come to its end. One copy of a key is made
/// at a time. A body of more than [`max_near_body`](Self::max_near_body) is read from the far tier every time.
///
/// # Writing
///
/// A write goes to both tiers, and the far one is asked for its version at the end: one look-up more than the far tier
/// alone. Where the near tier refuses or fails, the far one has the entry, and what the near one had is removed. Where
/// **the far tier fails**, the near one keeps the entry alone; the write succeeds, the failure is
/// [counted](Self::stats) and logged. That entry is forgotten when the near tier needs its room, and what the far tier had
/// under its key until then is what is found, as after any write that failed. It does not reach the far tier later on.
///
/// An update and [`remove_if`](Store::remove_if) are decided by the far tier, where it has the entry. A copy of what was updated goes; the
/// next reader makes another.
///
/// # Removing
///
/// Both tiers remove, whatever becomes of the other. A removal that one of them did not do is an error; the near copies do
/// not count any more nevertheless. A copy under way does not bring back what was removed.
///
/// # When the far tier is down
///
/// Copies in the near tier are served on. What is not there is an error, which the cache treats as a miss, and what it
/// fetches then is kept in the near tier.
///
/// # Other machines
///
/// What others write to a far tier that is shared, or remove from it, is not seen here as long as there is a copy: until
/// the copy expires, or for [`near_ttl`](Self::near_ttl), which limits how long a copy is used before the far tier is asked
/// again. Set it where machines share the far tier, above all if entries do not expire. Two processes should not share a
/// near tier; where it outlives a crash, a write that was under way may leave an outdated copy in it, for as long.
///
/// # Counting and listing
///
/// [`len`](Store::len) and [`size_bytes`](Store::size_bytes) are the far tier's. [`scan`](Store::scan) lists what the far tier
/// has and what is in the near one alone, each key once; it remembers the keys of the latter meanwhile. `remove_expired` and
/// `remove_tagged` count what the far tier removed, or the near one where that is more.
///
/// # Clone
///
/// A clone is another handle to the same tiers. Two values that were made separately of the same stores do not know of
/// each other's writes: see above.
#[derive(Clone)]
pub struct Tiered<Near, Far> {
    pub(super) near: Near,
    pub(super) far: Far,
    pub(super) max_body: u64,
    pub(super) ttl: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) generations: Arc<Generations>,
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) counters: Arc<Counters>,
}

impl<Near, Far> Tiered<Near, Far> {
    /// `near` in front of `far`: copies of bodies of up to 1 MiB, used until they expire or are removed.
    #[must_use]
    pub fn new(near: Near, far: Far) -> Self {
        Self {
            near,
            far,
            max_body: 1 << 20,
            ttl: None,
            clock: Arc::new(SystemClock),
            generations: Arc::new(Generations::new()),
            unfinished: Arc::default(),
            counters: Arc::default(),
        }
    }

    /// The longest body, in bytes, that is kept in the near tier; 1 MiB at first. So much of each body on its way is held
    /// beside it, where the near tier gathers bodies in memory.
    #[must_use]
    pub fn max_near_body(self, bytes: u64) -> Self {
        Self { max_body: bytes, ..self }
    }

    /// How long a copy is used before the far tier is asked again; without a limit at first. At zero, the far tier is
    /// asked every time.
    ///
    /// Where the far tier does not answer, the copy is used nevertheless.
    #[must_use]
    pub fn near_ttl(self, limit: Duration) -> Self {
        Self { ttl: Some(limit), ..self }
    }

    /// What the age of copies is read from; the system's clock at first. For tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// The near tier. What is written to it, or removed from it, around this value may hide what the far tier has.
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
            .field("near_ttl", &self.ttl)
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
    /// Removes the near entry of `key`, whatever it is; nothing that is copied until now counts any more.
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

    /// The far tier has another entry by now, or none. Where the near one fails, its copy does not count all the same.
    pub(super) async fn outdate(&self, key: &Key) {
        // Told where it happened; to whom the far tier has answered it is no failure.
        let _told = self.forget(key).await;
    }

    /// How many were removed, by what each tier says of it.
    pub(super) fn removed(far: Result<u64>, near: Result<u64>, again: Result<u64>) -> Result<u64> {
        Ok(far?.max(near.unwrap_or(0).saturating_add(again?)))
    }
}
