//! What the stores in one file have in common: a writer thread with a bounded queue, reads in place
//! that move off the calling thread while the disk is slow, and bodies that outlive their entry
//! while they are being read.

mod durability;
mod failure;
mod leases;
mod lookup;
mod paths;
mod queue;
mod read_ahead;
mod read_mode;
#[cfg(feature = "redb")]
mod reader;
mod task;
#[cfg(test)]
pub(super) mod tests;
mod visited;
mod write_budget;

#[cfg(feature = "redb")]
pub(super) use self::reader::Reader;
pub use self::{durability::Durability, read_mode::Reads};
pub(super) use self::{
    failure::Failure,
    leases::{Lease, Leases},
    lookup::{Readable, lookup},
    paths::{in_cache_dir, io_kind, temporary},
    queue::{Envelope, QUEUE, Queue},
    read_ahead::{AHEAD, Found, FoundBody, PAGE, PAGE_BYTES, Page, ReadAhead},
    read_mode::ReadMode,
    task::{Task, here, off},
    visited::Visited,
};
