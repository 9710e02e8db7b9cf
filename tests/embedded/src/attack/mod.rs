//! Programs that treat a store badly: a careless user, a hostile peer and a failing disk.

mod ending;
mod eviction;
mod hostile;
mod others;
mod reused;
