//! The table of `larder::guide::tower_http`: which layers go outside of the cache, and which inside.
//! Each row has a test, which shows both orders.

mod client;
mod server;
