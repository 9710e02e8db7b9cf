//! The engine of the stores in one file. A database ([`Redb`](crate::store::Redb)'s, or
//! [`Sqlite`](crate::store::Sqlite)'s) is a schema and statements behind the trait `Database`; all
//! else is here:
//!
//! * `engine`: what the handles of a store do (lookups, writes, removals, scans);
//! * `read_mode`: where lookups run;
//! * `format`: which files are refused;
//! * `incoming`, `command`, `write_budget`: the writer of an entry, and the bounded queue of
//!   commands;
//! * `writer`: the thread that writes, with groups of commands in one transaction, syncs and
//!   recovery;
//! * `overlay`, `hidden`: what readers see before it is committed, and what they do not see after a
//!   failure;
//! * `evict`, `visited`, `ghost`, `leases`: what goes when the store is full, and what stays
//!   because it is read.
//!
//! # The way of a small entry
//!
//! [`Writer::finish`](crate::store::Writer::finish) puts it into the overlay, where every reader of
//! this process sees it, and sends it to the writer thread. The thread gathers entries for a few
//! milliseconds and commits them together. Then the file has the entry, and the overlay forgets it.
//! Everything else (updates, removals, bodies in chunks) waits for its commit, in the same queue,
//! so that the order of commits is the order of calls: after a kill, the file has a prefix of them.
//!
//! # When a commit fails
//!
//! Entries of the failed transaction disappear. What they replaced is still in the file, and so is
//! what a lost commit had removed. The overlay hides it, until a later transaction removes it for
//! real. Everything else in the file stays readable meanwhile. While commits fail, writes wait for
//! their commit and return its error, and removals succeed by hiding.

mod command;
mod database;
mod durability;
mod engine;
mod evict;
mod failure;
mod format;
mod ghost;
mod hidden;
mod incoming;
mod inner;
mod leases;
mod overlay;
mod read_mode;
mod shared;
#[cfg(test)]
pub(super) mod tests;
mod visited;
mod write_budget;
mod writer;

#[cfg(test)]
pub(super) use self::evict::ENTRIES;
#[cfg(feature = "redb")]
pub(super) use self::incoming::MAX_TAGS;
#[cfg(feature = "sqlite")]
pub(super) use self::writer::PATIENCE;
use self::{
    command::{COMMAND, Envelope, QUEUE, Reply},
    visited::Visited,
};
pub(super) use self::{
    database::{
        Body, Database, Entry, Found, Garbage, KeyStart, Lookup, Outcome, Placed, Purge,
        QueueState, Read, Recovery, Step, Transaction, chunk_count, chunk_len, key_start,
    },
    engine::Engine,
    failure::{closed, corrupt_entry},
    format::{Content, not_ours},
    incoming::Writer,
    leases::{Lease, Leases},
    read_mode::ReadMode,
    shared::Settings,
};
pub use self::{durability::Durability, read_mode::Reads};
