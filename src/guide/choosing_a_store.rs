//! Choosing a store: what each is for, what it survives, what it costs, and how large it grows.
//!
//! Every store keeps the [same promises](crate::store#what-a-store-promises), and one suite tests
//! them all. A program changes its store in one line, and
//! [`Entries::copy_to`](crate::Entries::copy_to) copies what is stored, and so does the command
//! `larder copy` (feature `cli`). If a program chooses its store when it starts,
//! [`AnyStore`](crate::store::AnyStore) holds any of them.
//!
//! | store | for | shared by |
//! |---|---|---|
//! | [`Memory`](crate::store::Memory) | a server's or a client's hot responses; tests | one process |
//! | [`Redb`](crate::store::Redb) | one program that keeps its cache between runs | one process, or the processes of a machine with [`multi_process`](crate::store::redb::Builder::multi_process) |
//! | [`Sqlite`](crate::store::Sqlite) | several processes of one machine; a cache to query with SQL | the processes of a machine |
//! | [`Files`](crate::store::Files) | responses that people read, edit and keep in version control, such as recordings for tests | the processes of a machine |
//! | [`Redis`](crate::store::Redis) | several machines with a Redis or Valkey server, a Sentinel group or a cluster | machines |
//! | [`MongoDb`](crate::store::MongoDb) | several machines with a MongoDB server; bodies of any size | machines |
//!
//! **In doubt: `Redb` for one program, `Redis` for several machines.**
//!
//! Four wrappers add to a store, and are stores themselves:
//!
//! | wrapper | for |
//! |---|---|
//! | [`Tiered`](crate::store::Tiered) | a near store (memory) in front of a far one (a file, a server) |
//! | [`Compressed`](crate::store::Compressed) | more responses in the same space: bodies as zstd |
//! | [`Timeout`](crate::store::Timeout) | a slow or hanging store: after the limit, the request is a miss |
//! | [`AnyStore`](crate::store::AnyStore) | one type for whichever store is chosen at run time |
//!
//! # What it survives
//!
//! A lost entry is a miss. It is never a wrong or a short response.
//!
//! | store | the end of the program | `kill -9` | a power cut | a full disk or server |
//! |---|---|---|---|---|
//! | `Memory` | nothing | nothing | nothing | evicts the entries used least |
//! | `Redb` | everything, after a flush, a close or a drop | all but the last half second | all but the last half second | stored entries stay readable, new ones are not stored |
//! | `Sqlite` | everything, after a flush, a close or a drop | every acknowledged entry; with [`exclusive`](crate::store::sqlite::Builder::exclusive), all but the last milliseconds | all but the last half second | stored entries stay readable, new ones are not stored |
//! | `Files` | everything | every acknowledged entry | what was [flushed](crate::CacheLayer::flush); a damaged entry is a miss | stored entries stay readable, new ones are not stored |
//! | `Redis` | everything | every acknowledged entry | as the server is set (`save`, `appendonly`) | evicts as the server is set (`maxmemory-policy`), or new entries are not stored |
//! | `MongoDb` | everything | every acknowledged entry | as the server is set (write concern, journal) | new entries are not stored |
//!
//! `Tiered` survives what its far store survives. The other wrappers survive what the store inside
//! survives.
//!
//! The half second is the default of [`Durability`](crate::store::redb::Durability). With
//! `EachCommit`, an acknowledged entry is never lost, and each write waits for the disk. After any
//! of these events, the file opens again with whole entries only, and at once, unless a `Redb` file
//! was being [compacted](crate::store::redb#its-size).
//!
//! **If a program may be killed early**, such as a job with a time limit, it calls
//! [`layer.flush().await`](crate::CacheLayer::flush) at checkpoints, or its store has
//! `Durability::EachCommit`.
//!
//! **If a store fails**, requests go to the origin as if there were no cache:
//! [`Miss::StoreFailed`](crate::status::Miss::StoreFailed) and
//! [`Refusal::StoreFailed`](crate::status::Refusal::StoreFailed) report it. A silent server delays
//! a request by the [time limit](crate::store::redis::Builder::response_timeout), 2 s by default.
//! A server that refuses connections delays nothing. A disk that hangs delays requests until it
//! answers; [`Timeout`](crate::store::Timeout) limits that.
//!
//! # What it costs
//!
//! | store | a small hit | a write | runs |
//! |---|---|---|---|
//! | `Memory` | a lookup, without a copy | a copy of chunks up to 256 KiB | nothing |
//! | `Redb` | a read of the file | a copy into memory if small, else a part of a transaction | a writer thread, a thread that reads large bodies |
//! | `Sqlite` | a read of the file | a part of a transaction; with `exclusive`, as `Redb` | as `Redb` |
//! | `Files` | a hop to a blocking thread, and a read of two files | two new files, and a line in the index | a writer thread |
//! | `Redis` | one round trip | one round trip, two on a cluster, and one for each chunk of a large body | one connection |
//! | `MongoDb` | [one round trip](crate::store::mongodb#what-an-operation-costs) | two round trips, and some for each batch of chunks | the driver's connections, a sweep of unused bodies |
//! | `Tiered` | the near store's; at first the far store's and a copy | both stores' and a lookup in the far one | what both run |
//! | `Compressed` | the store's, and decompression | the store's, and compression | what the store runs |
//! | `Timeout` | the store's; for `Redb` and `Sqlite`, a hop to a blocking thread | the same | what the store runs |
//!
//! Large bodies stream to and from every store, chunk by chunk.
//!
//! `Redb` and `Sqlite` read on the thread of the caller while the disk is fast, which takes some
//! microseconds. On a slow disk, lookups move to blocking threads. At worst, three of eight lookups
//! hold their thread for up to 100 ms each before that, or one for longer. A disk that hangs holds
//! each thread that reads before its first answer. [`Reads`](crate::store::redb::Reads) has the
//! details. [`reads`](crate::store::redb::Builder::reads) and `Timeout` move every lookup to a
//! blocking thread, at some ten times the cost of the read.
//!
//! # How large it grows
//!
//! | store | all entries | one entry | the file or server |
//! |---|---|---|---|
//! | `Memory` | 256 MiB, or [your limit](crate::store::Memory::new) | 97 % of a shard, which has at least 128 MiB or is the whole | |
//! | `Redb` | 4 GiB, or [your limit](crate::store::redb::Builder::max_bytes) | the same | the file grows to [about twice the entries' size](crate::store::redb#its-size), and more while it is written; a small one shrinks when it is closed |
//! | `Sqlite` | 4 GiB, or [your limit](crate::store::sqlite::Builder::max_bytes) | the same | the file grows a few per cent larger; [`vacuum`](crate::store::Sqlite::vacuum) shrinks it |
//! | `Files` | 4 GiB, or [your limit](crate::store::files::Builder::max_bytes) | the same | as the entries, and an index of some hundred bytes for each |
//! | `Redis` | the server's `maxmemory` | the server's memory | as the server |
//! | `MongoDb` | the server's disk | a body of any size, and a head of less than 16 MB | as the server |
//! | `Tiered` | as each of the two | as the far one; copies up to [`max_near_body`](crate::store::Tiered::max_near_body) | as each of the two |
//! | `Compressed` | the store's limit, for compressed bytes | the same | as the store |
//!
//! The layer stores no body over [`max_body`](crate::CacheLayer::max_body), 64 MiB by default.
//! Bodies that are being written come on top of these limits. Files belong on local disks, and not
//! on network file systems.
//!
//! # Code
//!
//! ```no_run
//! use larder::{CacheLayer, store::Memory};
//!
//! let layer = CacheLayer::private(Memory::new(64 << 20)); // bytes
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "redb")] {
//! use larder::{CacheLayer, store::Redb};
//!
//! let layer = CacheLayer::private(Redb::builder("cache.redb").max_bytes(1 << 30).open()?);
//! # }
//! # Ok::<(), larder::store::Error>(())
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")] {
//! use larder::{CacheLayer, store::Sqlite};
//!
//! let layer = CacheLayer::private(Sqlite::open("cache.db")?);
//! # }
//! # Ok::<(), larder::store::Error>(())
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "files")] {
//! use larder::{CacheLayer, store::Files};
//!
//! let layer = CacheLayer::private(Files::open("tests/responses")?);
//! # }
//! # Ok::<(), larder::store::Error>(())
//! ```
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
//! ```no_run
//! # #[cfg(feature = "mongodb")]
//! # async fn example() -> larder::store::Result<()> {
//! use larder::{CacheLayer, store::MongoDb};
//!
//! let store = MongoDb::connect("mongodb://cache.example.com/shop").await?;
//! let layer = CacheLayer::shared(store);
//! # Ok(())
//! # }
//! ```
//!
//! ```no_run
//! # #[cfg(all(feature = "memory", feature = "redb", feature = "compression"))] {
//! use larder::{CacheLayer, store::{AnyStore, Compressed, Memory, Redb, Tiered}};
//!
//! let far = Compressed::new(Redb::open("cache.redb")?);
//! let store = AnyStore::new(Tiered::new(Memory::new(64 << 20), far));
//! let layer = CacheLayer::private(store);
//! # }
//! # Ok::<(), larder::store::Error>(())
//! ```

#![cfg_attr(
    not(all(
        feature = "files",
        feature = "memory",
        feature = "redb",
        feature = "sqlite",
        feature = "redis",
        feature = "mongodb",
        feature = "compression"
    )),
    allow(rustdoc::broken_intra_doc_links, reason = "it speaks of stores that are not built in")
)]
