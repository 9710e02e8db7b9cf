//! Tests of the layer through its public interface, with services, sockets, clocks and stores
//! around it.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]

// `support::faulty` is compiled from a source file of the crate, and imports these from `crate`.
use larder::{Key, entry, store, time};

#[path = "../support/reads.rs"]
mod reads;
mod support;

mod all_headers;
mod any_fault;
mod any_fault_http;
mod autotraits;
mod background;
mod bypass;
mod caching;
mod coalescing;
mod collapsed;
mod composing;
mod copying;
mod ended;
mod etags;
mod expiry;
mod faults;
mod followers;
mod freshening;
mod http_rules;
mod if_error;
mod ignored_parameters;
mod keys;
mod leaders;
mod long_bodies;
mod management;
mod migrating;
mod negative;
mod newcomers;
mod no_vary_search;
mod older_calls;
#[cfg(feature = "redb")]
mod on_disk;
mod options;
mod pace;
mod part_races;
mod parts;
mod pauses;
mod publishing;
mod races;
mod ranges;
mod readiness;
mod refresh;
mod refresh_ahead;
mod refresh_failures;
mod refreshing;
mod removal_races;
mod removal_storms;
mod removal_wins;
mod request_bodies;
mod revalidation;
#[cfg(any(feature = "redb", feature = "sqlite"))]
mod secrets;
mod settings;
mod shared;
mod shared_bodies;
mod shared_ends;
mod slow_readers;
mod sockets;
mod status;
mod stores;
mod streaming;
mod superseded_races;
mod sweeping;
mod tags;
mod timeouts;
mod troubleshooting;
mod uncacheable;
mod unsafe_methods;
mod variant_races;
mod variants;
mod variants_lost;
mod vary;
mod while_revalidate;
