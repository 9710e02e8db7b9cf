//! The guide: a page for each task, with code to copy.
//!
//! - [`integrations`]: the layer with hyper, reqwest, axum, tonic and the layers of tower-http.
//! - [`choosing_a_store`]: what each store is for, what it survives and what it costs.
//! - [`observability`]: events, the fields of the spans, and the names of the metrics.

pub mod choosing_a_store;
pub mod integrations;
pub mod observability;
