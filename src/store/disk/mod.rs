//! What the stores on a disk have in common, whatever their files are:
//!
//! * `task`, `worker`: where work runs that may wait for the disk;
//! * `read_ahead`: streams that read some items at a time;
//! * `paths`: where files lie, and their directories;
//! * `errors`: what an I/O error means.

mod errors;
mod paths;
mod read_ahead;
mod task;
mod worker;

#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(super) use self::{
    errors::{check_max_bytes, corrupt_entry},
    paths::{cannot_create, directory_of, file_id, prepare},
    task::here,
};
pub(super) use self::{
    errors::{io_kind, too_large},
    paths::{in_cache_dir, temporary},
    read_ahead::{AHEAD, PAGE, PAGE_BYTES, Page, ReadAhead},
    task::{Task, off},
    worker::Worker,
};
