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
//! # Durability
//!
//! That of the server. A write is acknowledged when the primary has it in memory; what its own settings (`save`,
//! `appendonly`, replicas) do not keep is lost when it goes away, and is a miss. Under a `maxmemory-policy` that evicts,
//! entries go when the server is full; without one, writes are errors of kind [`ErrorKind::Full`](super::ErrorKind::Full)
//! then. Prefer `noeviction` or one of the `volatile-` policies: those over all keys may evict an index, and what it led to
//! is not found by tag or by expiry any more.
//!
//! # Atomicity
//!
//! Head, small body and trailers are one string, replaced by one script on the server. A body over
//! [`inline_limit`](Builder::inline_limit) comes in as the fields of a hash that nothing refers to yet, chunk by chunk;
//! the script that publishes the entry checks that it is all there, and renames it. One key for a whole body, since then
//! it expires, goes and is evicted as a whole. Each write has a body of its own: a reader of the old one reads it to its
//! end, for the old body stays for a [while](Builder::linger) after the last read of it, or gets an error. A writer that is
//! dropped removes its body, and where it cannot, the server does after ten minutes; a body whose source is silent for
//! so long is not stored. Where the connection breaks amid [`finish`](super::Writer::finish), the entry may be
//! stored or not, but never in part.
//!
//! # Expiry
//!
//! The server removes an entry by itself, by its own clock, when it is no longer to be
//! [kept](crate::entry::Head::keep_until), plus the [`grace`](Builder::grace); one that never expires stays.
//! [`remove_expired`](super::Store::remove_expired) removes, and counts, what the server has not removed yet.
//!
//! # Indexes
//!
//! Expiry and tags are found by sorted sets. On a cluster they are on other nodes than the entries, and cannot be changed
//! in one step with them. So they hold hints: a hint names one version of one entry, is written before that version can
//! be seen, and is dropped after it has gone. Nothing is there without its hints; a hint that leads nowhere (a process died
//! between two steps, or the server expired the entry) removes nothing, and is dropped in time: with its entry's expiry,
//! or when it is met an hour later. [`len`](super::Store::len), [`size_bytes`](super::Store::size_bytes) and
//! [`scan`](super::Store::scan) ask for the keys themselves, and so cost work in proportion to all that the server has,
//! and memory for each key that was seen, but are right whatever became of the entries.
//!
//! # What another process sees
//!
//! Everything, as soon as it is acknowledged. All who share entries have the same namespace, and should have the same
//! settings of [`grace`](Builder::grace) and [`linger`](Builder::linger). Two namespaces have nothing in common, and
//! [`clear`](super::Store::clear) touches no key that is not of its own namespace.
//!
//! # What an operation costs
//!
//! Commands sent to the server, as it counted them in this crate's tests:
//!
//! | operation | commands |
//! |---|---|
//! | a hit up to the inline limit, or nothing found | 1 `GET` |
//! | a larger hit | 1 `GET`, and 1 `HMGET` for each 512 KiB |
//! | a write | 1 script, 1 for an expiry, 1 for each tag, 1 for each chunk |
//! | what a write replaces | 1 script for its expiry and for each of its tags |
//! | a removal | 1 script, 1 for an expiry, 1 for each tag |
//! | an update | 1 `GETRANGE`, then as a write and what it replaces |
//! | removal by tag | 1 script for 500 entries, and the removals |
//! | removal of the expired | 16 scripts, 1 for 500 entries, and the removals |
//!
//! Hints and removals go out together, so that a write with any number of tags takes two round trips, and three where it
//! replaces something.
//!
//! # Faults
//!
//! Nothing waits for the server longer than the [time limit](Builder::response_timeout). A connection that breaks, or
//! is silent for that long, is replaced when the next operation needs one; what only reads is asked again over the new
//! one, so that a body that is being read outlives a cut. Where no connection can be made, all operations fail at once
//! for a tenth of a second. Headers, heads, bodies and chunks have checksums; what does not match, or is something else
//! altogether, is an error of kind [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) before any of it is handed out.
//!
//! # What is given up
//!
//! A command whose caller goes away is carried out if it has been sent, and not sent, nor sent again, otherwise. All go out
//! over one connection, on a cluster over one to each node, and a server does what comes over a connection in its order: a
//! removal comes behind whatever was given up before it. That ends where a connection is replaced, because it broke or was
//! silent for long: what had been sent over the old one without an answer may still be on its way, and be done behind what
//! comes over the new one, so that a write that has failed, or was given up, may appear after a removal. No client can
//! know. And what another process removes is in no order with what is written here.
//!
//! # The keys
//!
//! | name | type | holds |
//! |---|---|---|
//! | `larder:{<key>}` | string | header, head, body where it is small |
//! | `larder:{<key>}.<number>` | hash | the chunks of a body |
//! | `larder:{<key>}~<number>` | hash | the chunks of a body that is being written |
//! | `larder:{expiry.<0-f>}` | sorted set | hints, by expiry |
//! | `larder:{tag.<digest>}` | sorted set | hints, by when the server removes the entry |
//!
//! # Servers
//!
//! Tried with Redis 7.0.15: alone, with a Sentinel through a failover, as a cluster of three nodes, over TLS, with RESP2
//! and RESP3. Tried with Valkey 9.1.2 as well, with the same tests, save those over TLS, which the server at hand was built
//! without; and with Redis 6.2.5 alone, without TLS. It needs scripts, and `UNLINK`, and so Redis 6 or what follows its
//! protocol; the scripts build the names of bodies from those of entries, which some servers have to be told to allow.
//! Replicas are not read. The checksums are against damage, not against those who write to the server on purpose.

use std::{fmt, sync::Arc};

use futures_core::Stream;

use self::{builder::Source, shared::Shared};
use super::{Hit, Result, Scanned, Store, Version};
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
mod shared;
mod target;
mod value;

pub use self::{builder::Builder, incoming::Writer};

/// A store on a Redis server. The [module's text](self) says what it promises.
///
/// # Limits
///
/// What the entries may take is the server's `maxmemory`, and what goes when that is reached its `maxmemory-policy`. A body
/// is in the server's memory as a whole. Nothing waits for the server longer than the
/// [time limit](Builder::response_timeout), 2 s by default. Names of keys begin with the
/// [namespace](Builder::namespace), `larder:` by default: caches that are to share nothing need names of their own.
///
/// # Clone
///
/// A clone is another handle to the same connection. It is closed when the last one is dropped; a body that is being
/// read or written counts as a handle.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
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
    /// `?protocol=resp2` asks for the older protocol. TLS is rustls's, with the cryptography that the program has chosen
    /// for rustls, or else, from then on for all of the program, with ring's.
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
}

impl Builder {
    /// Makes the store and the connection.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build), and [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) where no server answers,
    /// and [`ErrorKind::Denied`](super::ErrorKind::Denied) where the login is refused.
    pub async fn connect(self) -> Result<Redis> {
        let store = self.build()?;
        store.shared.link.connect().await?;
        Ok(store)
    }

    /// Makes the store, which connects when it is first asked something. A server that is down is no error here: each
    /// operation fails, and for the cache is a miss, until the server is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) for URLs or settings that make no sense, and outside of a tokio runtime with timers and
    /// I/O (`enable_all`), which the store needs. No message has a password in it.
    pub fn build(self) -> Result<Redis> {
        Ok(Redis { shared: Arc::new(self.into_shared()?) })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("server", &self.shared.link.server())
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
        index::forget_one(&self.shared, key, removed).await;
        Ok(true)
    }
}
