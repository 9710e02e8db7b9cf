//! The layer as its users meet it: services, sockets, time and stores around it, nothing of its inside.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]

mod support;

mod autotraits;
mod caching;
mod collapsed;
mod composing;
mod copying;
mod expiry;
mod faults;
mod flights;
mod followers;
mod keys;
mod leaders;
mod long_bodies;
mod management;
#[cfg(feature = "redb")]
mod on_disk;
mod options;
mod pace;
mod passing;
mod publishing;
mod readiness;
mod removal_wins;
mod settings;
mod shared;
mod shared_bodies;
mod shared_ends;
mod slow_readers;
mod sockets;
mod status;
mod stores;
mod streaming;
mod uncacheable;
mod unsafe_methods;
mod vary;
