//! The faults that every store in a file survives: a killed process, a full disk and a damaged
//! file.
//!
//! Each test is written once, over the trait [`Embedded`](stores::Embedded), and runs for each
//! store that implements it. A test uses the public interface only. It runs the faulty part in a
//! child process, which runs this test program again. The child prints one line for each fault, so
//! that a failing test lists all of them.

#![cfg(all(test, target_os = "linux"))]
#![allow(clippy::unwrap_used)]

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[macro_use]
mod stores;
mod faults;

mod attack;
mod damage;
mod file_size;
mod full_disk;
mod kill;
mod read_only;
mod write_behind;
