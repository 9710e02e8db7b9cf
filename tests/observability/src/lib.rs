//! The observable work of a cache: its events through a hook, its spans through a subscriber, and
//! its metrics through a recorder. All of them must agree with the cache's counters, and none may
//! reveal a secret.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

// `support::faulty` finds its types by these names.
use larder::{Key, entry, store, time};

#[allow(dead_code, unused_imports)] // The cache's tests use the rest.
#[path = "../../cache/support/mod.rs"]
mod support;

mod captured;
mod day;
mod metered;

mod hooks;
mod metrics;
mod secrets;
mod spans;
