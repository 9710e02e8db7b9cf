//! What is seen of a cache's work, from outside: its events by a hook, its spans by a subscriber, its metrics by a recorder,
//! and that all of them say the same as its counters, and nothing that is secret.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

// By these names, `support::faulty` finds what it is made of.
use larder::{Key, entry, store, time};

#[allow(dead_code, unused_imports)] // What the cache's tests use of it.
#[path = "../../cache/support/mod.rs"]
mod support;

mod captured;
mod day;
mod metered;

mod hooks;
mod metrics;
mod secrets;
mod spans;
