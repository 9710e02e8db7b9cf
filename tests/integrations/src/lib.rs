//! The layer with hyper, reqwest, axum, and the layers of tower and tower-http, over sockets. Each
//! statement about them on the pages in `larder::guide` has a test here.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod axum;
mod cassette;
mod hyper;
mod order;
mod redirects;
mod reqwest;
mod support;
