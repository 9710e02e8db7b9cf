//! Bad treatment of a store: by careless programs, by other processes, and by disks that fail at a
//! bad moment.

mod bodies;
mod ending;
mod eviction;
mod files;
mod handles;
mod history;
mod model;
mod others;
