//! [`Redis`]: entries on a Redis server that machines share: one server, a group that Sentinels
//! watch, or a cluster.
//!
//! ```no_run
//! # async fn example() -> Result<(), larder::store::Error> {
//! use larder::{CacheLayer, store::Redis};
//!
//! let store = Redis::builder("redis://:password@cache.example.com")
//!     .namespace("shop:")
//!     .connect()
//!     .await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! # Durability
//!
//! That of the server. A write is acknowledged when the primary has it in memory. If the server
//! goes away, data that its own settings (`save`, `appendonly`, replicas) do not keep is lost,
//! which is a miss. Under a `maxmemory-policy` that evicts, a full server evicts entries;
//! otherwise, writes then fail with [`ErrorKind::Full`](super::ErrorKind::Full). Prefer
//! `noeviction` or one of the `volatile-` policies: a policy over all keys may evict an index, and
//! its entries are then not found by tag or by expiry any more.
//!
//! # Atomicity
//!
//! Head, small body and trailers are one string, which one script on the server replaces. A body
//! over [`inline_limit`](Builder::inline_limit) is written chunk by chunk, as the fields of a hash
//! that nothing refers to yet. The script that publishes the entry checks that the body is
//! complete, and renames it. A whole body is one key, so that it expires, is removed and is evicted
//! as a whole. Each write has a body of its own: a reader of the old body reads it to its end,
//! since the old body stays for a [while](Builder::linger) after the last read of it, or gets an
//! error. A writer that is dropped removes its body. If it cannot, the server does so after ten
//! minutes; a body whose source is silent for that long is not stored. If the connection breaks
//! during [`finish`](super::Writer::finish), the entry may be stored or not, but never in part.
//!
//! # Expiry
//!
//! The server removes an entry by itself, by its own clock, when it is no longer to be
//! [kept](crate::entry::Head::keep_until), plus the [`grace`](Builder::grace). An entry that never
//! expires stays. [`remove_expired`](super::Store::remove_expired) removes and counts the entries
//! that the server has not removed yet.
//!
//! # Indexes
//!
//! Sorted sets find entries by expiry and by tag. On a cluster, they are on other nodes than the
//! entries, and cannot change in one step with them. They therefore hold hints: a hint names one
//! version of one entry. It is written before that version can be seen, and dropped after the
//! version is gone. No entry is without its hints. A single server does all of that in one script.
//! A hint that leads nowhere (a process died between two steps, or the server expired the entry)
//! removes nothing, and is dropped later: with its entry's expiry, or when it is met an hour later.
//! [`len`](super::Store::len), [`size_bytes`](super::Store::size_bytes) and
//! [`scan`](super::Store::scan) read the keys themselves. They cost work in proportion to
//! everything that the server has, and memory for each key that was seen, but they are right
//! whatever happened to the entries.
//!
//! # What another process sees
//!
//! Everything, as soon as it is acknowledged. Processes that share entries must have the same
//! namespace, and should have the same [`grace`](Builder::grace) and [`linger`](Builder::linger).
//! Two namespaces share nothing, and [`clear`](super::Store::clear) changes no key of another
//! namespace.
//!
//! # What an operation costs
//!
//! Commands and round trips, as the server and a proxy counted them in this crate's tests:
//!
//! | operation | commands | round trips |
//! |---|---|---|
//! | a hit up to the inline limit, or a miss | 1 `GET` | 1 |
//! | a larger hit | 1 `GET`, and 1 `HMGET` for each 256 KiB | 2, and more after the first MiB |
//! | a write up to the inline limit | 1 script | 1 |
//! | a larger write | 1 script, and 1 for each chunk | as many |
//! | a removal | 1 script | 1 |
//! | an update | 1 `GETRANGE`, 1 script | 2 |
//! | removal by tag | 1 script for 500 entries, and the removals | |
//! | removal of expired entries | 16 scripts, 1 for 500 entries, and the removals | |
//!
//! The script of a write, an update or a removal also writes and drops the hints. A cluster takes
//! one script more for each hint: those before a write or an update are one round trip together,
//! and nobody waits for those that drop hints. The same holds for entries with more than 64 tags,
//! and for a server that refuses scripts with keys of several slots, such as a node of a cluster.
//! A server that does not know a script is sent it once more in full.
//!
//! Chunks are requested up to 1 MiB ahead of the reader.
//!
//! # Faults
//!
//! No command waits for the server longer than the [time limit](Builder::response_timeout). After a
//! command that the server did not answer in time, all operations fail at once until the limit has
//! passed once more. A request thus waits for a silent server once, unless the origin takes longer
//! than the limit. If no connection can be made, all operations fail at once for a tenth of a
//! second. A connection that breaks, or is silent, is replaced when the next operation needs one.
//! Commands that only read are repeated over the new connection, except the later steps of a scan.
//! A body that is being read thus survives a broken connection. Headers, heads, bodies and chunks
//! have checksums. Data that does not match, or is of another type, is an error of kind
//! [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt) before any of it is returned.
//!
//! # Abandoned operations
//!
//! If the caller of a command goes away, the command is carried out if it has been sent; otherwise
//! it is not sent, nor repeated. All commands use one connection, on a cluster one for each node,
//! and a server handles the commands of a connection in order: a removal comes after any command
//! that was abandoned before it. That ends when a connection is replaced because it broke or was
//! silent for long. A command that was sent over the old connection without an answer may still be
//! on its way, and be done after commands of the new connection, so a write that failed or was
//! abandoned may appear after a removal. No client can know. Removals by another process have no
//! order with the writes of this one.
//!
//! # The keys
//!
//! | name | type | contents |
//! |---|---|---|
//! | `larder:{<key>}` | string | header, head, body if it is small |
//! | `larder:{<key>}.<number>` | hash | the chunks of a body |
//! | `larder:{<key>}~<number>` | hash | the chunks of a body that is being written |
//! | `larder:{expiry.<0-f>}` | sorted set | hints, by expiry |
//! | `larder:{tag.<digest>}` | sorted set | hints, by when the server removes the entry |
//!
//! # Servers
//!
//! Tested with Redis 7.0.15: alone, with a Sentinel through a failover, as a cluster of three
//! nodes, over TLS, with RESP2 and RESP3. Tested with Valkey 9.1.2 with the same tests, except
//! those over TLS, which that server was built without; and with Redis 6.2.5 alone, without TLS.
//! The store needs scripts and `UNLINK`, and so Redis 6 or a compatible server. The scripts build
//! the names of bodies and indexes from entries, which some servers must be configured to allow.
//! Replicas are not read. The checksums protect against damage, not against anyone who changes the
//! server's data on purpose.

use std::{fmt, sync::Arc};

use self::{builder::Source, shared::Shared};
use super::{
    Hit, Result, Store,
    forward::forward,
    server::{self, Upload},
};
use crate::{Key, entry::Head};

mod backend;
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

pub use self::{builder::Builder, incoming::Writer};

/// A store on a Redis server. The [module documentation](self) says what it promises.
///
/// # Limits
///
/// The server's `maxmemory` limits the entries, and its `maxmemory-policy` decides what is evicted.
/// The server holds a whole body in memory. No command waits for the server longer than the [time
/// limit](Builder::response_timeout), 2 s by default, and a silent server is not asked again for as
/// long. The names of keys begin with the [namespace](Builder::namespace), `larder:` by default:
/// caches that share nothing need different namespaces.
///
/// # Clone
///
/// A clone is another handle to the same connection. Dropping the last handle closes it. A body
/// that is being read or written counts as a handle.
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

    /// Creates the settings for a store on the server at `url`:
    /// `redis://user:password@host:6379/0`, where only the host is required, `rediss://` for TLS,
    /// or `redis+unix:///path?db=0`. The store uses RESP3 if the server supports it;
    /// `?protocol=resp2` selects the older protocol. TLS is rustls with the cryptography that the
    /// program has chosen for rustls. If it has chosen none, ring's is installed for the whole
    /// program.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(Source::Server(url.into()))
    }

    /// Creates the settings for a store on the servers that Sentinels at these URLs watch under the
    /// name `service`. For each new connection, the Sentinels are asked for the primary. With
    /// `rediss://`, the connections to the servers use TLS too.
    pub fn sentinel<U: Into<String>>(
        sentinels: impl IntoIterator<Item = U>,
        service: impl Into<String>,
    ) -> Builder {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        Builder::new(Source::Sentinel { sentinels, service: service.into() })
    }

    /// Creates the settings for a store on the cluster that the nodes at these URLs belong to. One
    /// node that answers is enough. All nodes have the same credentials.
    pub fn cluster<U: Into<String>>(nodes: impl IntoIterator<Item = U>) -> Builder {
        Builder::new(Source::Cluster(nodes.into_iter().map(Into::into).collect()))
    }

    /// The prefix of the names of all keys.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.shared.names.namespace()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Builder {
    /// Creates the store and connects.
    ///
    /// # Errors
    ///
    /// As [`build`](Builder::build). [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) if
    /// no server answers, and [`ErrorKind::Denied`](super::ErrorKind::Denied) if the login is
    /// refused.
    pub async fn connect(self) -> Result<Redis> {
        let store = self.build()?;
        store.shared.link.connect().await?;
        Ok(store)
    }

    /// Creates the store, which connects at its first operation. A server that is down is not an
    /// error here: operations fail, and are misses for the cache, until the server is up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](super::ErrorKind::Invalid) for URLs or settings that make no sense,
    /// and outside of a tokio runtime with timers and I/O (`enable_all`), which the store needs. No
    /// message contains a password.
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

    forward!(shared: update, remove, remove_if, remove_expired, remove_tagged);
    forward!(shared: clear, scan<>, len, size_bytes);

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        server::get(&self.shared, key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        incoming::check_tags(&head)?;
        Ok(Writer { head, upload: Upload::new(self.shared.clone(), *key) })
    }
}
