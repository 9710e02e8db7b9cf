//! On which side of the cache another layer belongs: the table of `larder::guide::integrations`, a test for each of its rows. Each
//! shows both orders, so that what the table says of them stands.

mod client;
mod server;
