//! [`MongoDb`]: entries on a MongoDB server, replica set or sharded cluster that machines share; large bodies in GridFS.
//! DOCS

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU8},
    time::Duration,
};

use futures_core::Stream;
use mongodb::bson::oid::ObjectId;
use tokio::sync::OnceCell;

use self::{collections::Collections, link::Link};
use super::{Error, Hit, Result, Scanned, Store, Version};
use crate::{Key, entry::Head, time::Timestamp};

mod body;
mod builder;
mod collections;
mod fault;
mod files;
mod incoming;
mod link;
mod listing;
mod record;
mod removal;
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

/// What all handles share.
struct Shared {
    link: Link,
    collections: Collections,
    inline_limit: usize,
    chunk_size: usize,
    grace: Duration,
    linger: Duration,
    /// Whether the indexes are there.
    indexed: OnceCell<()>,
    /// Whether a sweep is coming.
    sweeper: AtomicU8,
}

impl Shared {
    /// Makes the indexes, before anything is written that they should find.
    async fn indexed(&self) -> Result<()> {
        let index = || self.collections.index(&self.link, self.grace);
        self.indexed.get_or_try_init(index).await.map(drop)
    }

    fn fault(&self, error: mongodb::error::Error) -> Error {
        fault::error(self.link.place(), error)
    }
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

impl fmt::Debug for MongoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDb")
            .field("server", &self.shared.link.place())
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
        incoming::check_head(key, &head)?;
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

/// The file that a document points to, if it does.
fn file_of(document: &mongodb::bson::RawDocument) -> Option<ObjectId> {
    document.get_object_id("file").ok()
}
