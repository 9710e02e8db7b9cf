//! [`Redis`]: entries on a Redis server that machines share: one server, a group that Sentinels watch, or a cluster.
//!
//! ```no_run
//! # async fn example() -> Result<(), larder::store::Error> {
//! use larder::{CacheLayer, store::Redis};
//!
//! let store = Redis::builder("redis://:password@cache.example.com").namespace("shop:").connect().await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! TODO
use std::{fmt, sync::Arc, time::Duration};

use futures_core::Stream;

use self::{builder::Source, link::Link, names::Names};
use super::{Error, Hit, Result, Scanned, Store, Version};
use crate::{Key, entry::Head, time::Timestamp};

mod body;
mod builder;
mod fault;
mod incoming;
mod index;
mod link;
mod listing;
mod names;
mod record;
mod scripts;
mod target;
mod value;

pub use self::{builder::Builder, incoming::Writer};

/// A store on a Redis server. The [module's text](self) says what it promises.
///
/// # Clone
///
/// A clone is another handle to the same connection. It is closed when the last one is dropped; a body that is being
/// read or written counts as a handle.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

/// What all handles share.
struct Shared {
    link: Link,
    names: Names,
    inline_limit: usize,
    chunk_size: usize,
    grace: Duration,
    linger: Duration,
}

impl Shared {
    fn linger_millis(&self) -> String {
        // The server adds it to its time; a year is more than anybody reads.
        self.linger.min(Duration::from_secs(366 * 24 * 3600)).as_millis().to_string()
    }

    fn strange(&self) -> Error {
        fault::strange(self.link.place())
    }
}

impl Redis {
    /// Connects to the server at `url` with the defaults of [`builder`](Redis::builder).
    ///
    /// # Errors
    ///
    /// As [`Builder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// Settings for a store on the server at `url`: `redis://user:password@host:6379/0`, where all but the host may be
    /// left out, `rediss://` for TLS, or `redis+unix:///path?db=0`. RESP3 is spoken where the server can;
    /// `?protocol=resp2` asks for the older protocol.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(Source::Server(url.into()))
    }

    /// Settings for a store on the servers that Sentinels at these URLs watch under the name `service`. Whenever a
    /// connection is made, they are asked which server is the primary. With `rediss://`, the servers are asked over TLS
    /// too.
    pub fn sentinel<U: Into<String>>(
        sentinels: impl IntoIterator<Item = U>,
        service: impl Into<String>,
    ) -> Builder {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        Builder::new(Source::Sentinel { sentinels, service: service.into() })
    }

    /// Settings for a store on the cluster to which the nodes at these URLs belong, of which one that answers will do.
    /// All have the same credentials.
    pub fn cluster<U: Into<String>>(nodes: impl IntoIterator<Item = U>) -> Builder {
        Builder::new(Source::Cluster(nodes.into_iter().map(Into::into).collect()))
    }

    /// What the names of all keys begin with.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.shared.names.namespace()
    }

    fn start(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("server", &self.shared.link.place())
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}

impl Store for Redis {
    type Writer = Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        body::get(&self.shared, key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        incoming::check_tags(&head)?;
        Ok(Writer::new(self.shared.clone(), *key, head))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        incoming::update(&self.shared, key, seen.get(), head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.remove_version(key, None).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.remove_version(key, Some(seen)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        index::remove_expired(&self.shared, now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        index::remove_tagged(&self.shared, tag).await
    }

    async fn clear(&self) -> Result<()> {
        listing::clear(&self.shared).await
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

impl Redis {
    async fn remove_version(&self, key: &Key, seen: Option<Version>) -> Result<bool> {
        let Some(removed) = index::remove(&self.shared, key, seen).await? else { return Ok(false) };
        let gone = removed.map(|header| (*key, header));
        index::forget(&self.shared, gone.as_slice()).await?;
        Ok(true)
    }
}
