//! gRPC as its users meet it: tonic's clients and servers over sockets, on both sides of the cache; and a server that says
//! what no tonic server would.

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
