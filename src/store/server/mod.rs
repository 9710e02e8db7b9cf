//! What the stores on servers, `Redis` and `MongoDb`, share. Each of them is a `backend`: its
//! commands, the layout of its data, and its connections. All else is here:
//!
//! * `lookup`: finds an entry, and reads a large body ahead of its reader, in checked chunks;
//! * `upload`, `chunked`: the body of an entry that is being written, which is kept while it is
//!   small, else sent in chunks, and removed again if it is not published;
//! * `circuit`: the time limit of a request, and the pause after a failure;
//! * `settings`, `fault`: settings and errors that both have;
//! * `needs_runtime`: checks for the tokio runtime that both need.

mod backend;
mod chunked;
mod circuit;
mod fault;
mod lookup;
pub(super) mod needs_runtime;
mod settings;
mod upload;

pub(super) use self::{
    backend::{Backend, Chunk, LargeBody, Location, Record, checksum, fresh, parse_key},
    circuit::{Circuit, PAUSE},
    fault::{corrupt, failed, invalid},
    lookup::get,
    settings::Settings,
    upload::Upload,
};
