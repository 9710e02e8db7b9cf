//! The table in `larder::guide::tower_http`: the layers that belong outside of the cache, and those
//! that belong inside. Each row has a test, which shows both orders.

mod client;
mod server;
