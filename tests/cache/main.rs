//! The layer as its users meet it: services, sockets, time and stores around it, nothing of its inside.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]

mod support;

mod autotraits;
mod caching;
mod composing;
mod copying;
mod expiry;
mod faults;
mod flights;
mod followers;
mod keys;
mod leaders;
mod management;
#[cfg(feature = "redb")]
mod on_disk;
mod options;
mod pace;
mod passing;
mod readiness;
#[cfg(feature = "redb")]
mod removal_wins;
mod settings;
mod shared;
mod shared_bodies;
mod slow_readers;
mod sockets;
mod status;
mod stores;
mod streaming;
mod unsafe_methods;
mod vary;
