//! What spans and events have in common: their target, and how they show a key.

use std::fmt;

use crate::key::Key;

/// The target of every span and event of this crate, whichever file makes it.
pub(super) const TARGET: &str = "larder";

/// The first eight digits of a key, which are enough to tell calls apart. The error of a store may
/// contain the full key of a damaged entry.
pub(super) struct Short(pub(super) Key);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0)
    }
}
