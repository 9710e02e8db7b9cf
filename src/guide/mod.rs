//! The guide: a page for each task, with code to copy.
//!
//! - [`reqwest`], [`hyper`]: a client with a cache, in the field of a struct.
//! - [`axum`]: cached routes, purges, logins.
//! - [`gateway`]: a caching reverse proxy.
//! - [`tonic`]: cached gRPC calls, behind a channel or in front of a server.
//! - [`tower_http`]: which layers go outside of the cache, and which inside; redirects.
//! - [`choosing_a_store`]: what each store is for, what it survives and what it costs.
//! - [`cookies`]: cookies and logins, and which users share responses.
//! - [`testing`]: time that stands still, origins and stores that fail, recorded exchanges, no
//!   network.
//! - [`observability`]: events, the fields of the spans, and the names of the metrics.
//! - [`troubleshooting`]: each reason and each error, and what to do about it.
//! - [`migrating`]: from requests-cache, aiohttp-client-cache and http-cache.

pub mod axum;
pub mod choosing_a_store;
pub mod cookies;
pub mod gateway;
pub mod hyper;
pub mod migrating;
pub mod observability;
pub mod reqwest;
pub mod testing;
pub mod tonic;
pub mod tower_http;
pub mod troubleshooting;
