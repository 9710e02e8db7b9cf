//! What the stores in one file have in common: a thread that does the writing, with a bounded queue before it, readers
//! that wait for the disk elsewhere, and bodies that outlive their entry while they are being read.

mod durability;
mod leases;
mod marks;
mod pieces;
mod place;
mod queue;
mod room;
mod task;

pub use self::durability::Durability;
pub(super) use self::{
    leases::{Lease, Leases},
    marks::Marks,
    pieces::Pieces,
    place::{in_cache_dir, io_kind, temporary},
    queue::{Envelope, QUEUE, Queue},
    task::{Reader, Task, here, off},
};
