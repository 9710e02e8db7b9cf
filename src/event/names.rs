//! What spans and events have in common: their target, and how they show a key.

use std::fmt;

use crate::key::Key;

/// What all spans and events are filed under, wherever in the crate they are made.
pub(super) const TARGET: &str = "larder";

/// A key by its first eight digits: enough to tell calls apart. The error of a store may name a damaged entry's in full.
pub(super) struct Short(pub(super) Key);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0)
    }
}
