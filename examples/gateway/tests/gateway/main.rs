#![allow(clippy::unwrap_used)]

//! The gateway as a process of its own, between an origin and clients that speak over sockets.

mod support;

mod caching;
mod exchanges;
mod failures;
mod hops;
mod interims;
mod limits;
mod logs;
mod running;
mod streams;
mod trust;
mod uploads;
