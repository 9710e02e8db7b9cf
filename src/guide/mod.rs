//! The guide: a page for each task, with code to copy.
//!
//! - [`integrations`]: the layer with hyper, reqwest, axum, tonic and the layers of tower-http.
//! - [`choosing_a_store`]: what each store is for, what it survives and what it costs.
//! - [`cookies`]: cookies and logins, and which users share responses.
//! - [`testing`]: time that stands still, origins and stores that fail, no network.
//! - [`observability`]: events, the fields of the spans, and the names of the metrics.
//! - [`troubleshooting`]: each reason and each error, and what to do about it.
//! - [`migrating`]: from requests-cache, aiohttp-client-cache and http-cache.

pub mod choosing_a_store;
pub mod cookies;
pub mod integrations;
pub mod migrating;
pub mod observability;
pub mod testing;
pub mod troubleshooting;
