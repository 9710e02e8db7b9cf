//! [`MongoDb`]: entries on a MongoDB server, replica set or sharded cluster that machines share;
//! large bodies in GridFS.
//!
//! ```no_run
//! # async fn example() -> Result<(), larder::store::Error> {
//! use larder::{CacheLayer, store::MongoDb};
//!
//! let store = MongoDb::builder("mongodb://user:password@cache.example.com/shop").connect().await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! # The collections
//!
//! | name | contents |
//! |---|---|
//! | `larder.entries` | a document for each entry, with the body if it is small |
//! | `larder.files`, `larder.chunks` | larger bodies: the GridFS bucket `larder`, which any GridFS reader can read |
//!
//! `larder` is the [`namespace`](Builder::namespace). It is a prefix and not a field, so that each
//! namespace has its own indexes, bucket and rights. Two namespaces share nothing, and
//! [`clear`](super::Store::clear) changes no collection of another namespace. An entry's document
//! can be read and searched in any shell:
//!
//! | field | contents |
//! |---|---|
//! | `_id` | the [key](crate::Key), 64 digits; the `filename` of its body in GridFS is the same |
//! | `method`, `url`, `status` | of the request, without secrets that are never stored, and of the response |
//! | `stored_at`, `expires_at`, `keep_until` | dates; the last two are missing if the entry never expires |
//! | `size` | bytes of head and body; [`size_bytes`](super::Store::size_bytes) is their sum |
//! | `tags` | strings |
//! | `version` | a new number with each write and each update |
//! | `head`, `check`, `format` | the encoded head, a checksum over it and the key, the layout |
//! | `body`, `crc` | a small body and its checksum |
//! | `file`, `chunk_size` | where a larger body is |
//!
//! Only `head` and the body are used to serve an entry.
//!
//! ```js
//! db["larder.entries"].find({}, {url: 1, status: 1, stored_at: 1}).sort({size: -1}).limit(10)
//! ```
//!
//! # Durability
//!
//! That of the server and of the write concern, which the URL can set (`w=majority`,
//! `journal=true`). `w=0` is refused. Reads go to primaries, with the read concern of the URL.
//!
//! # Atomicity
//!
//! Head, small body and trailers are one document, which is replaced in one step. A body over
//! [`inline_limit`](Builder::inline_limit) is written chunk by chunk, as a file that nothing refers
//! to yet. The document that is written last refers to it. Each write has a file of its own: a
//! reader of the old file reads it to its end, since the old file stays for a
//! [while](Builder::linger) after the last read of it, or gets an error. If the connection breaks
//! during [`finish`](super::Writer::finish), the entry may be stored or not, but never in part.
//!
//! No document comes near the servers' limit of 16 MiB: a body that does not fit beside its head
//! goes into GridFS, and a head that does not fit alone is an error of kind
//! [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge).
//!
//! # Expiry
//!
//! The server removes an entry by itself, by its own clock and a TTL index over `keep_until`, when
//! it is no longer to be [kept](crate::entry::Head::keep_until), plus the
//! [`grace`](Builder::grace). Servers check every minute. An entry that never expires stays.
//! [`remove_expired`](super::Store::remove_expired) removes and counts the entries that the server
//! has not removed yet.
//!
//! # Files without an entry
//!
//! A file loses its entry if the entry is replaced, removed or expired, if a writer is dropped, or
//! if a process dies between two steps. A file that is known to be useless is set aside, and
//! deleted after its time to [linger](Builder::linger). Sweeps find all others by asking the
//! entries whether they have the file: unfinished files ten minutes after the last write to them,
//! files of entries that the server has expired, and any other file once a day. A store that is
//! written to sweeps in the background. A store sweeps once when it connects, and at
//! [`remove_expired`](super::Store::remove_expired). Times are the server's. A sweep also creates
//! the indexes again if the collections were dropped.
//!
//! # What another process sees
//!
//! Everything, as soon as it is acknowledged. Processes that share entries should have the same
//! [`grace`](Builder::grace) and [`linger`](Builder::linger).
//!
//! # What an operation costs
//!
//! Commands sent to the server, as a proxy counts them in this crate's tests. Each is a round trip,
//! except that a larger hit requests two parts at a time:
//!
//! | operation | commands |
//! |---|---|
//! | a hit up to the inline limit, or a miss | 1 `find` |
//! | a larger hit | 1 `find`, and 1 for each 510 KiB |
//! | a write up to the inline limit | 1 `findAndModify` |
//! | a larger write | 2 `update`, 1 `findAndModify`, and 1 `insert` for each chunk of 255 KiB |
//! | an update | 1 `find`, 1 `update` |
//! | a removal | 1 `findAndModify` |
//! | removal by tag | 1 `find` and 1 `delete` for 100 entries, and 1 `find` |
//! | removal of expired entries | as by tag, and 4 `createIndexes`, 1 `hello`, 5 `find` of a sweep |
//! | `len`; `size_bytes` | 1 `count`; 1 `aggregate` over an index |
//!
//! If a removed or replaced entry had a body in GridFS, there is 1 `update` more. The first write
//! of a store that was created without connecting takes 4 `createIndexes` more.
//!
//! # Faults
//!
//! No command waits for the server longer than the [time limit](Builder::timeout). After a command
//! that the server did not answer in time, or for which no server was found, all operations fail at
//! once until the server has answered a `ping`, which the store sends in the background. A request
//! thus waits for a silent server once. The driver reconnects by itself and repeats commands that
//! only read. Each command runs in a task of its own: a caller that goes away costs no connection,
//! and a caller that pauses during a body does not exceed a time limit. Heads, bodies and chunks
//! have checksums. Data that does not match, or is of another type, is an error
//! of kind [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) before any of it is returned. The
//! driver opens up to ten connections to each server, or `maxPoolSize` in the URL.
//!
//! # Abandoned operations
//!
//! If the caller of a command goes away, the command is carried out nevertheless. Later operations
//! wait for it, up to the time limit: with this store or a clone of it, every change of the same
//! entry, and each removal by tag, by expiry or of all entries. No removed entry comes back after
//! its removal, except in two cases that a client cannot know of. If the connection broke or the
//! time limit passed during a write, which has then failed or was abandoned, the server may still
//! be working on it. And removals by another process have no order with the writes of this one.
//!
//! # Servers
//!
//! Tested with SecantusDB 0.7.0b3, an implementation of MongoDB's protocol, alone, over a plain
//! connection. The commands are those of MongoDB 4.4 and later. On a sharded cluster, `entries` can
//! be sharded by `_id`, and `chunks` by `files_id`. The checksums protect against damage, not
//! against anyone who changes the server's data on purpose.

use std::{fmt, sync::Arc, time::Duration};

use self::shared::Shared;
use super::{
    Hit, Result, Store,
    forward::forward,
    server::{self, Upload},
};
use crate::{Key, entry::Head};

mod backend;
mod builder;
mod collections;
mod fault;
mod files;
mod incoming;
mod link;
mod listing;
mod order;
mod record;
mod removal;
mod shared;
mod sweep;

pub use self::{builder::Builder, incoming::Writer};

/// A store on a MongoDB server. The [module documentation](self) says what it promises.
///
/// # Clone
///
/// A clone is another handle to the same connections. Dropping the last handle closes them. A body
/// that is being read or written counts as a handle.
#[derive(Clone)]
pub struct MongoDb {
    shared: Arc<Shared>,
}

impl MongoDb {
    /// Connects to the server at `url` with the defaults of [`builder`](MongoDb::builder).
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// Creates the settings for a store on the servers at `url`:
    /// `mongodb://user:password@host:27017/database`, where only the host is required and more
    /// hosts may follow it, or `mongodb+srv://` for servers that the DNS names. It may contain the
    /// [options](https://www.mongodb.com/docs/manual/reference/connection-string-options/) of the
    /// drivers, such as `?tls=true&tlsCAFile=...`, `maxPoolSize`, `w` and `replicaSet`. TLS is
    /// rustls with ring's cryptography and Mozilla's authorities, unless a file names others.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(builder::Source::Url(url.into()))
    }

    /// The prefix of the names of all collections.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.shared.settings.namespace
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Builder {
    /// Creates the store, connects, creates indexes that are missing or have other options, and
    /// removes bodies that processes have left.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build). [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) if
    /// no server answers, and [`ErrorKind::Denied`](super::ErrorKind::Denied) if the login is
    /// refused.
    pub async fn connect(self) -> Result<MongoDb> {
        let keeps_grace = self.keeps_grace;
        let mut shared = self.into_shared().await?;
        if keeps_grace && let Some(grace) = shared.collections.grace(&shared.link).await? {
            shared.settings.grace = grace;
        }
        let store = MongoDb { shared: Arc::new(shared) };
        store.shared.indexed().await?;
        // A sweep may take long, and nobody needs to wait for it.
        store.shared.sweep_after(Duration::ZERO);
        Ok(store)
    }

    /// Creates the store, which connects at its first operation, and creates the indexes before its
    /// first write. A server that is down is not an error here: operations fail, and are misses for
    /// the cache, until the server is up. The driver runs in the tokio runtime in which the store
    /// is created, so that runtime must outlive the store. This waits only for the DNS, and only if
    /// the URL is a `mongodb+srv://` one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) for URLs or settings that make no sense,
    /// and outside of a tokio runtime with timers and I/O (`enable_all`);
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) if the DNS does not answer. No
    /// message contains a password.
    pub async fn build(self) -> Result<MongoDb> {
        Ok(MongoDb { shared: Arc::new(self.into_shared().await?) })
    }
}

impl fmt::Debug for MongoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDb")
            .field("server", &self.shared.link.server())
            .field("database", &self.shared.link.database().name())
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}

impl Store for MongoDb {
    type Writer = Writer;

    forward!(shared: update, remove, remove_if, remove_expired, remove_tagged);
    forward!(shared: clear, scan<>, len, size_bytes);

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        server::get(&self.shared, key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        record::check_head(key, &head)?;
        Ok(Writer { head, upload: Upload::new(self.shared.clone(), *key) })
    }
}
