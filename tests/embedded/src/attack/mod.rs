//! Programs that treat a store badly: a careless user, another process that is in the way, and a
//! disk that fails at a bad moment.

mod bodies;
mod ending;
mod eviction;
mod files;
mod handles;
mod history;
mod model;
mod others;
