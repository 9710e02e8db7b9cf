//! [`MongoDb`]: entries on a MongoDB server, replica set or sharded cluster that machines share; large bodies in GridFS.
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
//! | name | holds |
//! |---|---|
//! | `larder.entries` | a document for each entry, with the body where it is small |
//! | `larder.files`, `larder.chunks` | larger bodies: the GridFS bucket `larder`, which any reader of GridFS can read |
//!
//! `larder` is the [`namespace`](Builder::namespace). It is a prefix and no field, so that each namespace has indexes, a
//! bucket and rights of its own. Two namespaces have nothing in common, and [`clear`](super::Store::clear) touches no
//! collection that is not of its own. An entry's document can be read and searched in any shell:
//!
//! | field | is |
//! |---|---|
//! | `_id` | the [key](crate::Key), 64 digits; the `filename` of its body in GridFS is the same |
//! | `method`, `url`, `status` | of the request, without what is never stored, and of the response |
//! | `stored_at`, `expires_at`, `keep_until` | dates; the last two are not there where the entry never expires |
//! | `size` | bytes of head and body; [`size_bytes`](super::Store::size_bytes) is their sum |
//! | `tags` | texts |
//! | `version` | another number with each write and each update |
//! | `head`, `check`, `format` | the encoded head, a checksum over it and the key, the layout |
//! | `body`, `crc` | a small body and its checksum |
//! | `file`, `chunk_size` | or where a larger one is |
//!
//! What is served is taken from `head` and the body alone.
//!
//! ```js
//! db["larder.entries"].find({}, {url: 1, status: 1, stored_at: 1}).sort({size: -1}).limit(10)
//! ```
//!
//! # Durability
//!
//! That of the server and of the write concern, which the URL can name (`w=majority`, `journal=true`); `w=0` is refused.
//! What is read comes from primaries, with the read concern of the URL.
//!
//! # Atomicity
//!
//! Head, small body and trailers are one document, replaced in one step. A body over
//! [`inline_limit`](Builder::inline_limit) comes in as a file that nothing refers to yet, chunk by chunk; the document that
//! is written last points to it. Each write has a file of its own: a reader of the old one reads it to its end, for the
//! old file stays for a [while](Builder::linger) after the last read of it, or gets an error. Where the connection breaks
//! amid [`finish`](super::Writer::finish), the entry may be stored or not, but never in part.
//!
//! No document comes near the servers' limit of 16 MiB: a body that does not fit beside its head goes into GridFS, and a
//! head that does not fit alone is an error of kind [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge).
//!
//! # Expiry
//!
//! The server removes an entry by itself, by its own clock and a TTL index over `keep_until`, when it is no longer to be
//! [kept](crate::entry::Head::keep_until), plus the [`grace`](Builder::grace); servers look every minute. One that never
//! expires stays. [`remove_expired`](super::Store::remove_expired) removes, and counts, what the server has not removed
//! yet.
//!
//! # Files that no entry has
//!
//! are left where an entry was replaced, removed or expired, where a writer was dropped, and where a process died between
//! two steps. What is known to be of no use is set aside and deleted after its time to [linger](Builder::linger). All the
//! rest is found by sweeps, which ask the entries whether they have it: what is unfinished ten minutes after it was last
//! written to, what belonged to an entry that the server has expired, and any other file once a day. A store that
//! is written to sweeps in the background, one that connects does it once, and so does
//! [`remove_expired`](super::Store::remove_expired). Times are the server's. A sweep also makes the indexes again, should
//! somebody have dropped the collections.
//!
//! # What another process sees
//!
//! Everything, as soon as it is acknowledged. All who share entries should have the same [`grace`](Builder::grace) and
//! [`linger`](Builder::linger).
//!
//! # What an operation costs
//!
//! Commands sent to the server, each a round trip, as this crate's tests count them:
//!
//! | operation | commands |
//! |---|---|
//! | a hit up to the inline limit, or nothing found | 1 `find` |
//! | a larger hit | 1 `find`, and 1 for each 510 KiB |
//! | a write up to the inline limit | 1 `findAndModify` |
//! | a larger write | 2 `update`, 1 `findAndModify`, and 1 `insert` for each chunk of 255 KiB |
//! | an update | 1 `find`, 1 `update` |
//! | a removal | 1 `findAndModify` |
//! | removal by tag | 1 `find` and 1 `delete` for 100 entries, and 1 `find` |
//! | removal of the expired | as by tag, and 4 `createIndexes`, 1 `hello`, 5 `find` of a sweep |
//! | `len`; `size_bytes` | 1 `count`; 1 `aggregate` over an index |
//!
//! Where what went had a body in GridFS, there is 1 `update` more.
//!
//! # Faults
//!
//! Nothing waits for the server longer than the [time limit](Builder::timeout), for each command and each piece of a body.
//! Once it is known that no server answers, operations fail at once, while one attempt after another is made in the
//! background; the driver connects again by itself, and asks again what only reads. Each command runs in a task of its
//! own: a caller that goes away costs no connection, and one that pauses amid a body runs into no time limit. Heads,
//! bodies and chunks have checksums; what does not match, or is something else altogether, is an error of kind
//! [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) before any of it is handed out. There are up to ten connections to
//! each server, or `maxPoolSize` in the URL.
//!
//! # What is given up
//!
//! A command whose caller goes away is carried out all the same. What begins later waits for it, up to the time limit: with
//! this store or a clone of it, every change of the same entry, and each removal by tag, by expiry or of all. So nothing
//! that was removed comes back behind the removal, save in two cases that a client cannot know of: where the connection
//! broke or the time limit passed amid a write, which has then failed or was given up, the server may still be at it; and
//! what another process removes is in no order with what is written here.
//!
//! # Servers
//!
//! Tested against SecantusDB 0.7.0b3, an implementation of MongoDB's protocol, alone, over a plain connection; the
//! commands are those of MongoDB 4.4 and later. On a sharded cluster, `entries` can be sharded by `_id` and `chunks` by
//! `files_id`. The checksums are against damage, not against those who write to the server on purpose.

use std::{fmt, sync::Arc};

use futures_core::Stream;

use self::shared::Shared;
use super::{Hit, Result, Scanned, Store, Version};
use crate::{Key, entry::Head, time::Timestamp};

mod body;
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
mod update;

pub use self::{builder::Builder, incoming::Writer};

/// A store on a MongoDB server. The [module's text](self) says what it promises.
///
/// # Clone
///
/// A clone is another handle to the same connections. They are closed when the last one is dropped; a body that is being
/// read or written counts as a handle.
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

    /// Settings for a store on the servers at `url`: `mongodb://user:password@host:27017/database`, where all but the host
    /// may be left out and more hosts may follow it, or `mongodb+srv://` for servers that the DNS names. It may have
    /// the [options](https://www.mongodb.com/docs/manual/reference/connection-string-options/) that drivers take, such
    /// as `?tls=true&tlsCAFile=...`, `maxPoolSize`, `w` and `replicaSet`. TLS is rustls's, with ring's cryptography and
    /// Mozilla's authorities, unless a file names others.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(builder::Source::Url(url.into()))
    }

    /// What the names of all collections begin with.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.shared.collections.namespace()
    }
}

impl Builder {
    /// Makes the store, connects, makes the indexes that are not there or have other options, and removes bodies that
    /// processes have left behind.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build), and [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where no server answers,
    /// and [`ErrorKind::Denied`](super::ErrorKind::Denied) where the login is refused.
    pub async fn connect(self) -> Result<MongoDb> {
        let store = self.build().await?;
        store.shared.indexed().await?;
        // Much may have to go; nobody need wait for it.
        store.shared.sweep_now();
        Ok(store)
    }

    /// Makes the store, which connects when it is first asked something, and makes the indexes before
    /// it first writes. A server that is down is no error here: each operation fails, and for the
    /// cache is a miss, until the server is there. The driver runs in the tokio runtime in which the
    /// store is made, so that runtime has to outlive the store. This waits for nothing but the DNS,
    /// and for that only where the URL is one of `mongodb+srv://`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) for URLs or settings that make no sense, and outside of a tokio runtime
    /// with timers and I/O (`enable_all`); [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where the DNS does not answer. No
    /// message has a password in it.
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

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        body::get(&self.shared, key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        record::check_head(key, &head)?;
        Ok(Writer::new(self.shared.clone(), *key, head))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        update::update(&self.shared, key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        removal::remove(&self.shared, key, None).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        removal::remove(&self.shared, key, Some(seen)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        removal::remove_expired(&self.shared, now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        removal::remove_tagged(&self.shared, tag).await
    }

    async fn clear(&self) -> Result<()> {
        removal::clear(&self.shared).await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        listing::scan(self.shared.clone())
    }

    async fn len(&self) -> Result<u64> {
        listing::len(&self.shared).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        listing::size(&self.shared).await
    }
}
