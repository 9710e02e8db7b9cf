#![allow(clippy::unwrap_used)]

//! `examples/gateway.rs` as a process of its own, between an origin and clients that speak over sockets. `cargo test` builds
//! it; with `--test gateway`, it is run as it was built last: `cargo build --features metrics --example gateway` first.

mod support;

mod caching;
mod failures;
mod hops;
mod interims;
mod running;
mod streams;
