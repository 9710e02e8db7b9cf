//! gRPC in practice: tonic's clients and servers over sockets, on both sides of the cache, and a
//! server whose answers no tonic server would send.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

#[path = "../../../examples/grpc/src/shop.rs"]
mod shop;
mod support;

mod answers;
mod failures;
mod in_front;
mod sharing;
mod streams;
mod unary;
