//! The suite that judges any store, held against every store of this crate.

#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

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
    async fn a_store_of_any_type_keeps_every_promise() {
        conformance::all(async || larder::store::AnyStore::new(Memory::default())).await;
    }

    /// With sixteen shards, where the default store has two.
    #[tokio::test]
    async fn a_large_memory_store_keeps_every_promise() {
        conformance::all(async || Memory::new(4 << 30)).await;
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

#[cfg(feature = "redb")]
mod redb {
    use larder::store::Redb;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn redb_keeps_every_promise() {
        conformance::all(async || Redb::temporary().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_redb_files_have_nothing_in_common() {
        conformance::isolation(&Redb::temporary().unwrap(), &Redb::temporary().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redb_file_is_what_it_was_when_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        conformance::reopen(async || Redb::open(directory.path().join("cache.redb")).unwrap())
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_openings_of_a_redb_file_share_everything() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Redb::builder(directory.path().join("cache.redb")).multi_process(true).open();
        conformance::shared(&open().unwrap(), &open().unwrap()).await;
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
    async fn a_sqlite_file_is_what_it_was_when_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        conformance::reopen(async || Sqlite::open(directory.path().join("cache.db")).unwrap())
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_openings_of_a_sqlite_file_share_everything() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Sqlite::open(directory.path().join("cache.db")).unwrap();
        conformance::shared(&open(), &open()).await;
    }
}

#[cfg(feature = "redis")]
#[path = "support/redis.rs"]
mod redis_servers;

#[cfg(feature = "redis")]
mod redis {
    use larder::store::{Redis, Store, redis::Builder};

    use super::{
        redis_servers::{Cluster, any_server, namespace},
        *,
    };

    /// Runs the suite, and leaves nothing behind on a server that is not the test's own.
    async fn all(builder: impl Fn() -> Builder) {
        let stores = std::sync::Mutex::new(Vec::new());
        conformance::all(async || {
            let store = builder().namespace(namespace()).connect().await.unwrap();
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
        all(|| Redis::builder(&url)).await;
    }

    /// Every body in chunks, and small ones.
    #[tokio::test(flavor = "multi_thread")]
    async fn redis_keeps_every_promise_with_nothing_inline() {
        let (url, _server) = any_server();
        all(|| Redis::builder(&url).inline_limit(0).chunk_size(4096)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redis_cluster_keeps_every_promise() {
        let cluster = Cluster::start();
        all(|| Redis::cluster(cluster.urls())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_namespaces_of_a_redis_server_have_nothing_in_common() {
        let (url, _server) = any_server();
        let namespace = namespace();
        // One is the beginning of the other.
        let one = Redis::builder(&url).namespace(&namespace).build().unwrap();
        let two = Redis::builder(&url).namespace(format!("{namespace}*")).build().unwrap();
        conformance::isolation(&one, &two).await;
        one.clear().await.unwrap();
        two.clear().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_connections_to_a_redis_server_share_everything() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || Redis::builder(&url).namespace(&namespace).connect();
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        conformance::shared(&one, &two).await;
        one.clear().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_on_a_redis_server_is_there_for_the_next_connection() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || Redis::builder(&url).namespace(&namespace).connect();
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
        mongodb_servers::{DATABASE, any_server, drop_namespace, namespace},
        *,
    };

    /// Runs the suite, and leaves nothing behind on a server that is not the test's own.
    async fn all(builder: impl Fn(Builder) -> Builder) {
        let (url, _server) = any_server();
        let namespaces = Mutex::new(Vec::new());
        conformance::all(async || {
            let namespace = namespace();
            namespaces.lock().unwrap().push(namespace.clone());
            let store = MongoDb::builder(&url).database(DATABASE).namespace(namespace);
            // More than a busy machine takes.
            builder(store.timeout(Duration::from_secs(20))).connect().await.unwrap()
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

    /// Every body in GridFS, and in small chunks.
    #[tokio::test(flavor = "multi_thread")]
    async fn mongodb_keeps_every_promise_with_nothing_inline() {
        all(|builder| builder.inline_limit(0).chunk_size(64 << 10)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_namespaces_of_a_mongodb_database_have_nothing_in_common() {
        let (url, _server) = any_server();
        let namespace = namespace();
        // One is the beginning of the other.
        let names = [namespace.clone(), format!("{namespace}.files")];
        let connect = |name: &str| MongoDb::builder(&url).database(DATABASE).namespace(name);
        let one = connect(&names[0]).connect().await.unwrap();
        let two = connect(&names[1]).inline_limit(0).connect().await.unwrap();
        conformance::isolation(&one, &two).await;
        for name in names {
            drop_namespace(&url, &name).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_connections_to_a_mongodb_server_share_everything() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || MongoDb::builder(&url).database(DATABASE).namespace(&namespace).connect();
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        conformance::shared(&one, &two).await;
        drop_namespace(&url, &namespace).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_on_a_mongodb_server_is_there_for_the_next_connection() {
        let (url, _server) = any_server();
        let namespace = namespace();
        let connect = || MongoDb::builder(&url).database(DATABASE).namespace(&namespace).connect();
        conformance::reopen(async || connect().await.unwrap()).await;
        drop_namespace(&url, &namespace).await;
    }
}
