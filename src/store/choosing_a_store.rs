//! Choosing a store: what each is for, what survives what, what it costs, and where it ends.
//!
//! All of them keep the [same promises](super#what-a-store-promises), proven by the same suite, and
//! a program moves from one to another by the line that makes the store;
//! [`Entries::copy_to`](crate::Entries::copy_to) takes along what is stored. Where the choice is
//! made when the program starts, [`AnyStore`](super::AnyStore) holds whichever it is.
//!
//! | store | for | shared by |
//! |---|---|---|
//! | [`Memory`](super::Memory) | a server's or a client's hot responses; tests | one process |
//! | [`Redb`](super::Redb) | one program that keeps its cache between runs: a command line, a desktop program, a server | one process; processes of one machine where all say so |
//! | [`Sqlite`](super::Sqlite) | several processes of one machine; a cache that people look into with SQL | processes of one machine |
//! | [`Redis`](super::Redis) | several machines, with a Redis or Valkey server, a Sentinel group or a cluster at hand | machines |
//! | [`MongoDb`](super::MongoDb) | several machines, with a MongoDB at hand; bodies of any size, in GridFS | machines |
//! | [`Tiered`](super::Tiered) | hot responses near (memory) before a store that is far (a file, a server) | as the far one |
//! | [`Compressed`](super::Compressed) | more in the same room, at the cost of time: bodies as zstd | as the store inside |
//! | [`Timeout`](super::Timeout) | a slow or hanging store: after the timeout, the request is treated as a miss | as the store inside |
//!
//! In doubt: `Redb`, the default, for a program alone; `Redis` for many machines.
//!
//! # What survives what
//!
//! What does not survive is a miss, never a wrong or a short response.
//!
//! | store | the program's end | `kill -9` | a power cut | a full disk, or no room |
//! |---|---|---|---|---|
//! | `Memory` | nothing | nothing | nothing | those used least are evicted |
//! | `Redb` | everything, once it is flushed, closed or dropped | all but the last half second | all but the last half second | what was stored before stays readable, what is written then is not stored, and what was not synced is lost; eviction begins before, at [`max_bytes`](super::redb::Builder::max_bytes) |
//! | `Sqlite` | everything, once it is flushed, closed or dropped | everything that was acknowledged; with [`exclusive`](super::sqlite::Builder::exclusive), all but the last milliseconds | all but the last half second | what was stored before stays readable, what is written then is not stored; eviction as `Redb`'s |
//! | `Redis` | everything | everything that was acknowledged | as the server is set (`save`, `appendonly`) | as the server is set: it evicts (`maxmemory-policy`), or what is written then is not stored |
//! | `MongoDb` | everything | everything that was acknowledged | as the server is set (write concern, journal) | what is written then is not stored |
//! | `Tiered` | what the far store keeps | what the far store keeps | what the far store keeps | as each of the two; what only the near one took is lost with it |
//! | `Compressed` | as the store inside | as the store inside | as the store inside | as the store inside |
//!
//! The half second is [`Durability`](super::redb::Durability)'s default; `EachCommit` loses nothing
//! that was acknowledged, and makes a write wait for the disk. A file opens again after each of
//! these, with whole entries only, and without being read through.
//!
//! Where the store fails (a server that is down, a disk with errors), requests go to the origin as
//! if there were no cache, for as long as that lasts:
//! [`Miss::StoreFailed`](crate::status::Miss::StoreFailed) and
//! [`Refusal::StoreFailed`](crate::status::Refusal::StoreFailed) say so. A server that is silent
//! holds a request up for the [time limit](super::redis::Builder::response_timeout), 2 s by
//! default; one that refuses to be connected to, not at all. A disk that is silent holds requests
//! up until it answers: those that read, and the last bytes of what is being stored.
//! [`Timeout`](super::Timeout) bounds that.
//!
//! # What it costs
//!
//! | store | a small hit | a write | runs |
//! |---|---|---|---|
//! | `Memory` | a lookup: nothing is copied, decoded or waited for | a copy into memory of its own (of chunks up to 256 KiB), and a lock | nothing |
//! | `Redb` | a read of the file on the calling thread, and on a blocking thread while the disk is slow | a copy into memory, if it is small, else its part of a transaction | one thread that writes, one that reads large bodies |
//! | `Sqlite` | as `Redb` | its part of a transaction; with `exclusive`, as `Redb` | as `Redb` |
//! | `Redis` | one round trip | one round trip, two on a cluster, and one for each chunk of a large body | one connection |
//! | `MongoDb` | [one round trip](super::mongodb#what-an-operation-costs) | two round trips, and some for each batch of chunks in GridFS | the driver's connections, and a sweep of what nobody needs |
//! | `Tiered` | the near one's; the far one's at first, and a copy | both of them, and a look-up in the far one | what the two run |
//! | `Compressed` | the store's, and unpacking it | the store's, and packing it, in place | what the store runs |
//! | `Timeout` | the store's, a hop to a blocking thread for `Redb` and `Sqlite`, and a timer where it is waited for | the same | what the store runs |
//!
//! A lookup in `Redb` or `Sqlite` holds its runtime's thread up for as long as the disk takes. For
//! pages in memory, that is some microseconds. On a slow disk, it is at worst three of eight
//! lookups, up to 100 ms each, or one that takes longer. Lookups then move to blocking threads,
//! except at most one each second. A disk that hangs holds up each thread that reads before its
//! first answer. [`Reads`](super::redb::Reads) has the details.
//! [`reads`](super::redb::Builder::reads) (also of [`Sqlite`](super::sqlite::Builder::reads)) and
//! `Timeout` move every lookup to a blocking thread, which costs some ten times the read.
//!
//! Large bodies stream from and to all of them, chunk by chunk. The modules have more: [Redis's
//! commands](super::redis#what-an-operation-costs), [Redb's transactions](super::redb#atomicity).
//!
//! # Where it ends
//!
//! | store | all entries | one entry | grows |
//! |---|---|---|---|
//! | `Memory` | 256 MiB, or [what is said](super::Memory::new) | 97 % of a shard of at least 128 MiB, or of all | no |
//! | `Redb` | 4 GiB, or [what is said](super::redb::Builder::max_bytes) | as much | the file to [about twice the entries' size](super::redb#its-size), and more while it is written; up to 320 MiB, it shrinks when it is closed |
//! | `Sqlite` | 4 GiB, or [what is said](super::sqlite::Builder::max_bytes) | as much | the file by a few per cent beyond; it shrinks [when told](super::Sqlite::vacuum) |
//! | `Redis` | the server's `maxmemory` | the server's memory | as the server does |
//! | `MongoDb` | the server's disk | a body of any size; a head that fits into a document of 16 MB | as the server does |
//! | `Tiered` | as each of the two | as the far one; copies of at most [`max_near_body`](super::Tiered::max_near_body) | as each of the two |
//! | `Compressed` | as the store inside, which counts what is kept | as the store inside | as the store inside |
//!
//! No body over the layer's [`max_body`](crate::CacheLayer::max_body), 64 MiB by default, comes to
//! any of them. Those that are still being written come on top of these bounds. The files are for
//! local disks, not for network file systems.
//!
//! # `Memory`
//!
//! ```no_run
//! # #[cfg(feature = "memory")]
//! # fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::Memory};
//!
//! let store = Memory::new(64 << 20); // bytes
//! let layer = CacheLayer::private(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `Redb`
//!
//! ```no_run
//! # #[cfg(feature = "redb")]
//! # fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::Redb};
//!
//! let store = Redb::builder("cache.redb").max_bytes(1 << 30).open()?;
//! let layer = CacheLayer::private(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `Sqlite`
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::Sqlite};
//!
//! let store = Sqlite::open("cache.db")?;
//! let layer = CacheLayer::private(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `Redis`
//!
//! ```no_run
//! # #[cfg(feature = "redis")]
//! # async fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::Redis};
//!
//! let store = Redis::builder("redis://cache.example.com").namespace("shop:").connect().await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `AnyStore`
//!
//! ```no_run
//! # #[cfg(feature = "redb")]
//! # fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::{AnyStore, Redb}};
//!
//! let store = AnyStore::new(Redb::open("cache.redb")?);
//! let layer = CacheLayer::private(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `MongoDb`
//!
//! ```no_run
//! # #[cfg(feature = "mongodb")]
//! # async fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::MongoDb};
//!
//! let store = MongoDb::builder("mongodb://cache.example.com/shop")
//!     .inline_limit(64 * 1024)
//!     .connect()
//!     .await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! # `Tiered` and `Compressed`
//!
//! ```no_run
//! # #[cfg(all(feature = "memory", feature = "redb", feature = "compression"))]
//! # fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::{Compressed, Memory, Redb, Tiered}};
//!
//! let store = Tiered::new(Memory::new(64 << 20), Compressed::new(Redb::open("cache.redb")?));
//! let layer = CacheLayer::private(store);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(all(
        feature = "memory",
        feature = "redb",
        feature = "sqlite",
        feature = "redis",
        feature = "mongodb",
        feature = "compression"
    )),
    allow(rustdoc::broken_intra_doc_links, reason = "it speaks of stores that are not built in")
)]
