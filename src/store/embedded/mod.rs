//! What the stores in one file have in common: a writer thread with a bounded queue, reads that may
//! wait for the disk elsewhere, and bodies that outlive their entry while they are being read.

mod durability;
mod failure;
mod leases;
mod paths;
mod queue;
#[cfg(feature = "redb")]
mod reader;
mod task;
mod visited;
mod write_budget;

pub use self::durability::Durability;
#[cfg(feature = "redb")]
pub(super) use self::reader::Reader;
pub(super) use self::{
    failure::Failure,
    leases::{Lease, Leases},
    paths::{in_cache_dir, io_kind, temporary},
    queue::{Envelope, QUEUE, Queue},
    task::{Task, here, off},
    visited::Visited,
};
