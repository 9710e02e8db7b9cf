//! Programs that treat a store badly: a careless user, a hostile peer and a failing disk.

mod ending;
mod eviction;
mod history;
mod hostile;
mod model;
mod others;
mod reused;
