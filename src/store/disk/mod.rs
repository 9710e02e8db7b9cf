//! What the stores on a disk have in common, whatever their files are:
//!
//! * `task`, `worker`: where work runs that may wait for the disk;
//! * `read_ahead`: streams that read some items at a time;
//! * `paths`: where files lie if the user gives no path;
//! * `file`: the file of a store in one file, and its directory;
//! * `errors`: what an I/O error means.

mod errors;
#[cfg(any(feature = "redb", feature = "sqlite"))]
mod file;
mod paths;
mod read_ahead;
mod task;
mod worker;

pub(super) use self::{
    errors::{check_max_bytes, io_kind, too_large},
    paths::{in_cache_dir, temporary},
    read_ahead::{AHEAD, PAGE, PAGE_BYTES, Page, ReadAhead},
    task::{Task, off},
    worker::Worker,
};
#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(super) use self::{
    file::{cannot_create, directory_of, file_id, prepare},
    task::here,
};
