//! Cassettes: exchanges with a real server on a socket are recorded, and replayed when that server
//! is gone.

#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used)]

#[path = "../support/child.rs"]
mod child;
mod folder;
mod kinds;
mod modes;
mod order;
mod secrets;
mod support;
mod unrecorded;
