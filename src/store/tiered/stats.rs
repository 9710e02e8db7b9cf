//! Counters of the tiers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`Tiered`](super::Tiered) store has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TieredStats {
    /// Entries that were read from the near tier.
    pub near_hits: u64,
    /// Entries that were read from the far tier.
    pub far_hits: u64,
    /// Entries that were copied to the near tier while they were read.
    pub copies: u64,
    /// Operations that failed in the near tier. An entry that is too large for it is not a failure.
    pub near_failures: u64,
    /// Operations that failed in the far tier and succeeded in the near one: writes that only the
    /// near tier has, and copies that were read because the far tier did not answer.
    pub far_failures: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) near_hits: AtomicU64,
    pub(super) far_hits: AtomicU64,
    pub(super) copies: AtomicU64,
    pub(super) near_failures: AtomicU64,
    pub(super) far_failures: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> TieredStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TieredStats {
            near_hits: of(&self.near_hits),
            far_hits: of(&self.far_hits),
            copies: of(&self.copies),
            near_failures: of(&self.near_failures),
            far_failures: of(&self.far_failures),
        }
    }
}
