//! Runs the conformance suite against every store of this crate.

#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

#[cfg(any(feature = "redb", feature = "sqlite"))]
use std::sync::atomic::{AtomicU32, Ordering};

use larder::store::conformance;

#[cfg(feature = "memory")]
mod memory {
    use larder::store::Memory;

    use super::*;

    #[tokio::test]
    async fn memory_keeps_every_promise() {
        conformance::all(async || Memory::default()).await;
    }

    #[tokio::test]
    async fn boxed_store_keeps_every_promise() {
        conformance::all(async || larder::store::AnyStore::new(Memory::default())).await;
    }

    /// This store has sixteen shards. The default store has two.
    #[tokio::test]
    async fn a_large_memory_store_keeps_every_promise() {
        conformance::all(async || Memory::new(4 << 30)).await;
    }

    #[tokio::test]
    async fn a_store_behind_an_arc_keeps_every_promise() {
        conformance::all(async || std::sync::Arc::new(Memory::default())).await;
    }

    #[tokio::test]
    async fn two_memory_stores_have_nothing_in_common() {
        conformance::isolation(&Memory::default(), &Memory::default()).await;
    }

    #[tokio::test]
    async fn clones_of_a_memory_store_share_everything() {
        let store = Memory::default();
        conformance::shared(&store, &store.clone()).await;
    }
}

/// A store that implements only the methods without a default.
#[cfg(feature = "memory")]
mod bare {
    use futures_util::StreamExt;
    use larder::{
        CacheLayer, Key,
        entry::Head,
        store::{ErrorKind, Hit, Memory, Result, Store, Version},
        time::Timestamp,
    };

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Bare(Memory);

    impl Store for Bare {
        type Writer = <Memory as Store>::Writer;

        async fn get(&self, key: &Key) -> Result<Option<Hit>> {
            self.0.get(key).await
        }

        async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
            self.0.put(key, head).await
        }

        async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
            self.0.update(key, seen, head).await
        }

        async fn remove(&self, key: &Key) -> Result<bool> {
            self.0.remove(key).await
        }

        async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
            self.0.remove_if(key, seen).await
        }

        async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
            self.0.remove_expired(now).await
        }

        async fn remove_tagged(&self, tag: &str) -> Result<u64> {
            self.0.remove_tagged(tag).await
        }
    }

    #[tokio::test]
    async fn a_store_without_scan_and_counts_keeps_the_other_promises() {
        conformance::all(async || Bare::default()).await;
        conformance::isolation(&Bare::default(), &Bare::default()).await;
    }

    #[tokio::test]
    async fn methods_with_a_default_are_unsupported() {
        let store = Bare::default();
        let unsupported = Some(ErrorKind::Unsupported);
        assert_eq!(store.clear().await.err().map(|error| error.kind()), unsupported);
        assert_eq!(store.len().await.err().map(|error| error.kind()), unsupported);
        assert_eq!(store.size_bytes().await.err().map(|error| error.kind()), unsupported);
        let scanned: Vec<_> = store.scan().collect().await;
        assert_eq!(scanned.len(), 1);
        assert_eq!(scanned[0].as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
        let entries = CacheLayer::private(store).entries();
        assert_eq!(entries.len().await.err().map(|error| error.kind()), unsupported);
        assert_eq!(entries.clear().await.err().map(|error| error.kind()), unsupported);
    }
}

/// Stores over files that count their bytes in different ways.
#[cfg(feature = "redb")]
mod sizes {
    use std::{
        collections::HashMap,
        path::Path,
        sync::{Arc, Mutex},
    };

    use bytes::Bytes;
    use futures_util::{Stream, StreamExt};
    use http::HeaderMap;
    use larder::{
        Key,
        entry::Head,
        store::{Hit, Redb, Result, Scanned, Store, Version, Writer, redb},
        time::Timestamp,
    };

    use super::*;

    type Sizes = Arc<Mutex<HashMap<Key, u64>>>;

    /// A [`Redb`] that counts a head by `size_of`, and a body by its length. It counts an entry
    /// when it is written, and again when the file is opened.
    #[derive(Clone, Debug)]
    struct Counting {
        inner: Redb,
        size_of: fn(&Head) -> usize,
        sizes: Sizes,
    }

    struct CountingWriter {
        inner: redb::Writer,
        store: Counting,
        key: Key,
        head: Head,
        body_len: u64,
    }

    impl Counting {
        async fn open(path: &Path, size_of: fn(&Head) -> usize) -> Self {
            let inner = Redb::open(path).unwrap();
            let store = Self { inner, size_of, sizes: Sizes::default() };
            let scanned: Vec<_> = store.inner.scan().collect().await;
            for item in scanned {
                let Scanned { key, head, .. } = item.unwrap();
                store.count(key, &head, head.body_len());
            }
            store
        }

        fn count(&self, key: Key, head: &Head, body_len: u64) {
            self.sizes.lock().unwrap().insert(key, (self.size_of)(head) as u64 + body_len);
        }

        /// Forgets the size of an entry that was removed.
        async fn recount(&self, key: &Key) -> Result<()> {
            if self.inner.get(key).await?.is_none() {
                self.sizes.lock().unwrap().remove(key);
            }
            Ok(())
        }

        async fn recount_all(&self) -> Result<()> {
            let keys: Vec<Key> = self.sizes.lock().unwrap().keys().copied().collect();
            for key in keys {
                self.recount(&key).await?;
            }
            Ok(())
        }
    }

    impl Store for Counting {
        type Writer = CountingWriter;

        async fn get(&self, key: &Key) -> Result<Option<Hit>> {
            self.inner.get(key).await
        }

        async fn put(&self, key: &Key, head: Head) -> Result<CountingWriter> {
            let inner = self.inner.put(key, head.clone()).await?;
            Ok(CountingWriter { inner, store: self.clone(), key: *key, head, body_len: 0 })
        }

        async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
            let is_done = self.inner.update(key, seen, head).await?;
            if let Some(hit) = self.inner.get(key).await? {
                self.count(*key, &hit.head, hit.head.body_len());
            }
            Ok(is_done)
        }

        async fn remove(&self, key: &Key) -> Result<bool> {
            let is_done = self.inner.remove(key).await?;
            self.recount(key).await?;
            Ok(is_done)
        }

        async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
            let is_done = self.inner.remove_if(key, seen).await?;
            self.recount(key).await?;
            Ok(is_done)
        }

        async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
            let removed = self.inner.remove_expired(now).await?;
            self.recount_all().await?;
            Ok(removed)
        }

        async fn remove_tagged(&self, tag: &str) -> Result<u64> {
            let removed = self.inner.remove_tagged(tag).await?;
            self.recount_all().await?;
            Ok(removed)
        }

        async fn clear(&self) -> Result<()> {
            self.inner.clear().await?;
            self.recount_all().await
        }

        fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
            self.inner.scan()
        }

        async fn len(&self) -> Result<u64> {
            self.inner.len().await
        }

        async fn size_bytes(&self) -> Result<u64> {
            Ok(self.sizes.lock().unwrap().values().sum())
        }
    }

    impl Writer for CountingWriter {
        async fn write(&mut self, chunk: Bytes) -> Result<()> {
            self.body_len += chunk.len() as u64;
            self.inner.write(chunk).await
        }

        async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
            self.inner.finish(trailers.clone()).await?;
            let head = self.head.seal(self.body_len, trailers);
            self.store.count(self.key, &head, self.body_len);
            Ok(())
        }
    }

    async fn keeps_every_promise(size_of: fn(&Head) -> usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        conformance::reopen(async || Counting::open(&path, size_of).await).await;
        let opened = AtomicU32::new(0);
        conformance::all(async || {
            let number = opened.fetch_add(1, Ordering::Relaxed);
            Counting::open(&directory.path().join(format!("{number}.redb")), size_of).await
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_counts_encoded_heads_keeps_every_promise() {
        keeps_every_promise(|head| head.encode().len()).await;
    }

    /// A decoded head has another size in memory than a new one.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_counts_heads_in_memory_keeps_every_promise() {
        keeps_every_promise(Head::size).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[should_panic(expected = "the size must be what it was")]
    async fn store_that_counts_bodies_differently_after_reopening_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let openings = AtomicU32::new(0);
        conformance::reopen(async || {
            let is_first = openings.fetch_add(1, Ordering::Relaxed) == 0;
            let twice = |head: &Head| head.size() + usize::try_from(head.body_len()).unwrap();
            Counting::open(&path, if is_first { Head::size } else { twice }).await
        })
        .await;
    }
}

#[cfg(feature = "memory")]
mod tiered {
    use std::time::Duration;

    use larder::store::{AnyStore, Memory, Tiered};

    use super::*;

    #[tokio::test]
    async fn memory_before_memory_keeps_every_promise() {
        conformance::all(async || Tiered::new(Memory::default(), Memory::default())).await;
    }

    /// The near tier copies everything, or hardly anything.
    #[tokio::test]
    async fn near_tier_of_any_size_keeps_every_promise() {
        let tiers = || Tiered::new(Memory::default(), Memory::default());
        conformance::all(async || tiers().max_near_body(u64::MAX)).await;
        conformance::all(async || tiers().max_near_body(1_000)).await;
        conformance::all(async || Tiered::new(Memory::new(100_000), Memory::default())).await;
        conformance::all(async || tiers().near_ttl(Duration::ZERO)).await;
    }

    #[tokio::test]
    async fn boxed_tiers_keep_every_promise() {
        conformance::all(async || {
            let near = AnyStore::new(Memory::default());
            AnyStore::new(Tiered::new(near, AnyStore::new(Memory::default())))
        })
        .await;
    }

    #[tokio::test]
    async fn nested_tiers_keep_every_promise() {
        let tiers = || Tiered::new(Memory::default(), Memory::default());
        conformance::all(async || Tiered::new(tiers(), Memory::default())).await;
        conformance::all(async || Tiered::new(Memory::default(), tiers())).await;
        conformance::all(async || Tiered::new(tiers().max_near_body(1_000), tiers())).await;
    }

    #[cfg(feature = "compression")]
    #[tokio::test]
    async fn a_near_tier_that_compresses_keeps_every_promise() {
        use larder::store::Compressed;

        let near = || Compressed::new(Memory::default()).min_len(0);
        conformance::all(async || Tiered::new(near(), Memory::default())).await;
        conformance::all(async || Tiered::new(Tiered::new(near(), near()), Memory::default()))
            .await;
    }

    #[tokio::test]
    async fn two_pairs_of_tiers_have_nothing_in_common() {
        let tiers = || Tiered::new(Memory::default(), Memory::default());
        conformance::isolation(&tiers(), &tiers()).await;
    }

    /// Clones know of each other's writes. Separate values see them if they read the far tier.
    #[tokio::test]
    async fn handles_of_the_same_tiers_share_everything() {
        let tiers = Tiered::new(Memory::default(), Memory::default());
        conformance::shared(&tiers, &tiers.clone()).await;
        let far = Memory::default();
        let tiers = || Tiered::new(Memory::default(), far.clone()).near_ttl(Duration::ZERO);
        conformance::shared(&tiers(), &tiers()).await;
    }

    #[cfg(feature = "redb")]
    mod on_disk {
        use larder::store::Redb;

        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn memory_before_redb_keeps_every_promise() {
            let tiers = async || Tiered::new(Memory::default(), Redb::temporary().unwrap());
            conformance::all(tiers).await;
        }

        /// The writes of this near tier are slow.
        #[tokio::test(flavor = "multi_thread")]
        async fn redb_before_memory_keeps_every_promise() {
            let tiers = async || Tiered::new(Redb::temporary().unwrap(), Memory::default());
            conformance::all(tiers).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn reopened_tiers_have_the_same_entries() {
            let directory = tempfile::tempdir().unwrap();
            let open = |name| Redb::open(directory.path().join(name)).unwrap();
            conformance::reopen(async || Tiered::new(Memory::default(), open("far"))).await;
            conformance::reopen(async || Tiered::new(open("near"), open("behind"))).await;
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test(flavor = "multi_thread")]
    async fn memory_before_sqlite_keeps_every_promise() {
        use larder::store::Sqlite;
        let tiers = async || Tiered::new(Memory::default(), Sqlite::temporary().unwrap());
        conformance::all(tiers).await;
    }

    #[cfg(all(feature = "compression", feature = "redb"))]
    #[tokio::test(flavor = "multi_thread")]
    async fn memory_before_compressed_redb_keeps_every_promise() {
        use larder::store::{Compressed, Redb};
        let far = || Compressed::new(Redb::temporary().unwrap());
        conformance::all(async || Tiered::new(Memory::default(), far())).await;
    }
}

#[cfg(feature = "memory")]
mod timeout {
    use std::time::Duration;

    use larder::store::{AnyStore, Memory, Store, Timeout};

    use super::*;

    fn limited<S: Store>(store: S) -> Timeout<S> {
        // Longer than a busy machine takes.
        Timeout::new(store, Duration::from_secs(600)).unwrap()
    }

    #[tokio::test]
    async fn a_memory_store_with_a_time_limit_keeps_every_promise() {
        conformance::all(async || limited(Memory::default())).await;
        conformance::all(async || AnyStore::new(limited(AnyStore::new(Memory::default())))).await;
    }

    #[tokio::test]
    async fn clones_of_a_store_with_a_time_limit_share_everything() {
        let store = limited(Memory::default());
        conformance::shared(&store, &store.clone()).await;
        conformance::isolation(&store, &limited(Memory::default())).await;
    }

    #[cfg(feature = "redb")]
    #[tokio::test(flavor = "multi_thread")]
    async fn redb_with_a_time_limit_keeps_every_promise() {
        use larder::store::Redb;
        conformance::all(async || limited(Redb::temporary().unwrap())).await;
    }
}

#[cfg(all(feature = "compression", feature = "memory"))]
mod compressed {
    use larder::store::{AnyStore, Compressed, Memory};

    use super::*;

    #[tokio::test]
    async fn compressed_memory_keeps_every_promise() {
        conformance::all(async || Compressed::new(Memory::default())).await;
        let twice = || Compressed::new(Compressed::new(Memory::default()).min_len(0)).min_len(0);
        conformance::all(async || AnyStore::new(twice())).await;
    }

    #[tokio::test]
    async fn two_compressed_stores_have_nothing_in_common() {
        let store = || Compressed::new(Memory::default());
        conformance::isolation(&store(), &store()).await;
    }

    #[tokio::test]
    async fn clones_of_a_compressed_store_share_everything() {
        let store = Compressed::new(Memory::default());
        conformance::shared(&store, &store.clone()).await;
    }

    #[cfg(feature = "redb")]
    mod on_disk {
        use larder::store::Redb;

        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn compressed_redb_keeps_every_promise() {
            conformance::all(async || Compressed::new(Redb::temporary().unwrap())).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn reopened_compressed_file_has_the_same_entries() {
            let directory = tempfile::tempdir().unwrap();
            let open = || Redb::open(directory.path().join("cache.redb")).unwrap();
            conformance::reopen(async || Compressed::new(open())).await;
        }
    }
}

#[cfg(feature = "redb")]
mod redb {
    use larder::store::{Redb, redb};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn redb_keeps_every_promise() {
        conformance::all(async || Redb::temporary().unwrap()).await;
    }

    /// This store has no overlay, so each write waits for its commit.
    #[tokio::test(flavor = "multi_thread")]
    async fn redb_that_syncs_each_commit_keeps_every_promise() {
        let directory = tempfile::tempdir().unwrap();
        let last = AtomicU32::new(0);
        let open = async || {
            let number = last.fetch_add(1, Ordering::Relaxed);
            let path = directory.path().join(format!("{number}.redb"));
            Redb::builder(path).durability(redb::Durability::EachCommit).open().unwrap()
        };
        conformance::all(open).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_redb_files_have_nothing_in_common() {
        conformance::isolation(&Redb::temporary().unwrap(), &Redb::temporary().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reopened_redb_file_has_the_same_entries() {
        let directory = tempfile::tempdir().unwrap();
        conformance::reopen(async || Redb::open(directory.path().join("cache.redb")).unwrap())
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_stores_on_a_redb_file_share_everything() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Redb::builder(directory.path().join("cache.redb")).multi_process(true).open();
        conformance::shared(&open().unwrap(), &open().unwrap()).await;
    }
}

#[cfg(feature = "files")]
mod files {
    use larder::store::Files;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn files_keep_every_promise() {
        conformance::all(async || Files::temporary().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_folders_have_nothing_in_common() {
        conformance::isolation(&Files::temporary().unwrap(), &Files::temporary().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reopened_folder_has_the_same_entries() {
        let directory = tempfile::tempdir().unwrap();
        conformance::reopen(async || Files::open(directory.path().join("cache")).unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reopened_folder_without_its_index_has_the_same_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        conformance::reopen(async || {
            drop(std::fs::remove_dir_all(path.join(".larder")));
            Files::open(&path).unwrap()
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_stores_on_a_folder_share_everything() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Files::open(directory.path().join("cache")).unwrap();
        conformance::shared(&open(), &open()).await;
    }

    #[cfg(feature = "memory")]
    #[tokio::test(flavor = "multi_thread")]
    async fn memory_before_files_keeps_every_promise() {
        use larder::store::{Memory, Tiered};
        let tiers = async || Tiered::new(Memory::default(), Files::temporary().unwrap());
        conformance::all(tiers).await;
    }

    #[cfg(feature = "compression")]
    #[tokio::test(flavor = "multi_thread")]
    async fn compressed_files_keep_every_promise() {
        use larder::store::Compressed;
        conformance::all(async || Compressed::new(Files::temporary().unwrap())).await;
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use larder::store::Sqlite;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_every_promise() {
        conformance::all(async || Sqlite::temporary().unwrap()).await;
    }

    /// This store has an overlay, so entries are visible before they are committed.
    #[tokio::test(flavor = "multi_thread")]
    async fn exclusive_sqlite_keeps_every_promise() {
        let directory = tempfile::tempdir().unwrap();
        let last = AtomicU32::new(0);
        let open = async || {
            let number = last.fetch_add(1, Ordering::Relaxed);
            let path = directory.path().join(format!("{number}.db"));
            Sqlite::builder(path).exclusive(true).open().unwrap()
        };
        conformance::all(open).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_in_memory_keeps_every_promise() {
        conformance::all(async || Sqlite::in_memory(1 << 30).unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_sqlite_files_have_nothing_in_common() {
        conformance::isolation(&Sqlite::temporary().unwrap(), &Sqlite::temporary().unwrap()).await;
        let (one, other) = (Sqlite::in_memory(1 << 30), Sqlite::in_memory(1 << 30));
        conformance::isolation(&one.unwrap(), &other.unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reopened_sqlite_file_has_the_same_entries() {
        let directory = tempfile::tempdir().unwrap();
        conformance::reopen(async || Sqlite::open(directory.path().join("cache.db")).unwrap())
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_stores_on_a_sqlite_file_share_everything() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Sqlite::open(directory.path().join("cache.db")).unwrap();
        conformance::shared(&open(), &open()).await;
    }
}

#[cfg(any(feature = "mongodb", feature = "redis"))]
#[path = "support/process.rs"]
mod process;

#[cfg(feature = "redis")]
#[path = "support/redis.rs"]
mod redis_servers;

#[cfg(feature = "redis")]
mod redis {
    use std::time::Duration;

    use larder::store::{Redis, Store, redis::Builder};

    use super::{
        redis_servers::{Cluster, any_server, namespace},
        *,
    };

    /// Time limits that a busy machine, or one that stands still for a while, does not reach.
    fn patient(builder: Builder) -> Builder {
        let limit = Duration::from_secs(120);
        builder.connect_timeout(limit).response_timeout(limit)
    }

    /// A store with a namespace of its own.
    async fn connect(builder: Builder) -> Redis {
        patient(builder).namespace(namespace()).connect().await.unwrap()
    }

    /// Runs the suite, and clears the stores, because the server may be shared.
    async fn all<S: Store>(connect: impl AsyncFn() -> S) {
        let stores = std::sync::Mutex::new(Vec::new());
        conformance::all(async || {
            let store = connect().await;
            stores.lock().unwrap().push(store.clone());
            store
        })
        .await;
        for store in stores.into_inner().unwrap() {
            store.clear().await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn redis_keeps_every_promise() {
        let (url, _server) = any_server();
        all(async || connect(Redis::builder(&url)).await).await;
    }

    #[cfg(feature = "memory")]
    #[tokio::test(flavor = "multi_thread")]
    async fn memory_before_redis_keeps_every_promise() {
        use larder::store::{Memory, Tiered};
        let (url, _server) = any_server();
        let far = async || connect(Redis::builder(&url)).await;
        all(async || Tiered::new(Memory::default(), far().await)).await;
    }

    /// Every body is in chunks, and the chunks are small.
    #[tokio::test(flavor = "multi_thread")]
    async fn redis_without_inline_bodies_keeps_every_promise() {
        let (url, _server) = any_server();
        let builder = || Redis::builder(&url).inline_limit(0).chunk_size(4096);
        all(async || connect(builder()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redis_cluster_keeps_every_promise() {
        let cluster = Cluster::start();
        all(async || connect(Redis::cluster(cluster.urls())).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_namespaces_of_a_redis_server_have_nothing_in_common() {
        let (url, _server) = any_server();
        let namespace = namespace();
        // One namespace is a prefix of the other.
        let builder = |name: &str| patient(Redis::builder(&url)).namespace(name);
        let one = builder(&namespace).build().unwrap();
        let two = builder(&format!("{namespace}*")).build().unwrap();
        conformance::isolation(&one, &two).await;
        one.clear().await.unwrap();
        two.clear().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_connections_to_a_redis_server_share_everything() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || patient(Redis::builder(&url)).namespace(&namespace).connect();
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        conformance::shared(&one, &two).await;
        one.clear().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn next_connection_to_a_redis_server_reads_the_same_entries() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || patient(Redis::builder(&url)).namespace(&namespace).connect();
        conformance::reopen(async || connect().await.unwrap()).await;
        connect().await.unwrap().clear().await.unwrap();
    }
}

#[cfg(feature = "mongodb")]
#[path = "support/mongodb.rs"]
mod mongodb_servers;

#[cfg(feature = "mongodb")]
mod mongodb {
    use std::{sync::Mutex, time::Duration};

    use larder::store::{MongoDb, mongodb::Builder};

    use super::{
        mongodb_servers::{DATABASE, any_server, drop_namespace},
        process::unique_name,
        *,
    };

    /// A time limit that a busy machine, or one that stands still for a while, does not reach.
    fn at(url: &str, namespace: &str) -> Builder {
        let store = MongoDb::builder(url).database(DATABASE).namespace(namespace);
        store.timeout(Duration::from_secs(50))
    }

    /// Runs the suite, and drops the namespaces, because the server may be shared.
    async fn all(builder: impl Fn(Builder) -> Builder) {
        let (url, _server) = any_server();
        let namespaces = Mutex::new(Vec::new());
        conformance::all(async || {
            let namespace = unique_name();
            namespaces.lock().unwrap().push(namespace.clone());
            builder(at(&url, &namespace)).connect().await.unwrap()
        })
        .await;
        for namespace in namespaces.into_inner().unwrap() {
            drop_namespace(&url, &namespace).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mongodb_keeps_every_promise() {
        all(|builder| builder).await;
    }

    /// Every body is in GridFS, in small chunks.
    #[tokio::test(flavor = "multi_thread")]
    async fn mongodb_without_inline_bodies_keeps_every_promise() {
        all(|builder| builder.inline_limit(0).chunk_size(64 << 10)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_namespaces_of_a_mongodb_database_have_nothing_in_common() {
        let (url, _server) = any_server();
        let namespace = unique_name();
        // One namespace is a prefix of the other.
        let names = [namespace.clone(), format!("{namespace}.files")];
        let one = at(&url, &names[0]).connect().await.unwrap();
        let two = at(&url, &names[1]).inline_limit(0).connect().await.unwrap();
        conformance::isolation(&one, &two).await;
        for name in names {
            drop_namespace(&url, &name).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_connections_to_a_mongodb_server_share_everything() {
        let (url, _server) = any_server();
        let namespace = unique_name();
        let connect = || at(&url, &namespace).connect();
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        conformance::shared(&one, &two).await;
        drop_namespace(&url, &namespace).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn next_connection_to_a_mongodb_server_reads_the_same_entries() {
        let (url, _server) = any_server();
        let namespace = unique_name();
        let connect = || at(&url, &namespace).connect();
        conformance::reopen(async || connect().await.unwrap()).await;
        drop_namespace(&url, &namespace).await;
    }
}
