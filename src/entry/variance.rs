//! [`Variance`]: what selects a stored response among the variants of its URL (RFC 9111 §4.1). The
//! first one that is stored lies under the primary key and has it in its head: the resident.

use std::mem;

use http::HeaderName;
use smallvec::SmallVec;

use crate::time::Timestamp;

/// The names of request headers that select a response. Most responses that vary name one or two.
pub(crate) type VaryNames = SmallVec<[HeaderName; 2]>;

/// What selects a resident, and where the other variants lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variance {
    /// The request headers that select.
    pub(crate) names: VaryNames,
    /// A digest of their values in the request that the response answers.
    pub(crate) selector: [u8; Variance::SELECTOR],
    /// A random number that is part of the keys of the other variants. They cannot be found any
    /// more once the resident is lost, and do not come back with the next one.
    pub(crate) family: u64,
    /// The other variants, if there are any.
    pub(crate) others: Option<Others>,
}

/// The other variants that a resident leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Others {
    /// Until when the last of them is kept, or a little later. `None` is forever.
    pub(crate) until: Option<Timestamp>,
}

impl Variance {
    /// The bytes of a selector. An attacker who searches for another request with the same one has
    /// to compute 2^128 digests.
    pub(crate) const SELECTOR: usize = 16;

    /// The approximate size in memory.
    pub(super) fn size(&self) -> usize {
        let outside = if self.names.spilled() { self.names.capacity() } else { 0 };
        let texts: usize = self.names.iter().map(|name| name.as_str().len()).sum();
        mem::size_of::<Self>() + outside * mem::size_of::<HeaderName>() + texts
    }
}
