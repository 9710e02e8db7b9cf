//! The layer with the libraries that people build with, over sockets: hyper, reqwest, axum, and the layers of tower and
//! tower-http on either side. What `larder::guide::integrations` tells, one test a line.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod axum;
mod hyper;
mod order;
mod redirects;
mod reqwest;
mod support;
