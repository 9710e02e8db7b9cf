//! The layer over each store of the crate. The same requests have the same results over all stores.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use larder::{
    CacheOptions, Filter,
    store::{AnyStore, ErrorKind, Memory, Store, Tiered, Timeout},
};

use crate::support::{Double, Faulty, Stand, empty, frames, full, get, head, line, url};

const SECOND: Duration = Duration::from_secs(1);
const LARGE: usize = 3_000_001;

fn origin() -> Double {
    Double::new(|request, call| {
        let large = || (0..LARGE).map(|n| (n % 251) as u8).collect::<Vec<u8>>();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let response = match (request.method(), request.uri().path()) {
            (&Method::HEAD, _) => Response::new(empty()),
            (_, "/large") => Response::new(full(large())),
            (_, "/trailers") => Response::new(frames(["ab", "cd"], Some(Ok(trailers)))),
            (_, "/missing") => {
                Response::builder().status(StatusCode::NOT_FOUND).body(full("gone")).unwrap()
            }
            _ => Response::new(full(call.to_string())),
        };
        let response = line(line(response, "set-cookie", "a=1"), "x-odd", b"caf\xe9");
        let response = line(response, "set-cookie", "b=2");
        if request.uri().path() == "/vary" { line(response, "vary", "x-a") } else { response }
    })
}

fn requests() -> Vec<http::request::Builder> {
    vec![
        get("/"),
        get("/").header("cookie", "user=1"),
        get("/large"),
        get("/trailers"),
        get("/missing"),
        get("/vary").header("x-a", "1"),
        get("/vary").header("x-a", "2"),
        head("/head"),
        get("/tagged").extension(CacheOptions::new().add_tag("t").expire_after(SECOND)),
    ]
}

async fn requests_have_the_same_results_over(store: impl Store) {
    let statuses = [StatusCode::OK, StatusCode::NOT_FOUND];
    let stand = Stand::over(store, origin()).with(|layer| layer.statuses(statuses).unwrap());
    let calls = requests().len();
    for request in requests() {
        let reply = stand.ask(request).await;
        assert_eq!((reply.is_from_store(), reply.stored()), (false, larder::Stored::Yes));
    }
    for request in requests() {
        let uri = request.uri_ref().unwrap().clone();
        let reply = stand.ask(request).await;
        assert!(reply.is_from_store(), "{uri}");
        assert!(reply.error.is_none(), "{uri}");
        assert_eq!(reply.lines("set-cookie"), [b"a=1", b"b=2"]);
        assert_eq!(reply.lines("x-odd"), [b"caf\xe9"]);
        assert_eq!(reply.trailers.is_some(), uri.path() == "/trailers");
        assert_eq!(reply.status == StatusCode::NOT_FOUND, uri.path() == "/missing");
        if uri.path() == "/large" {
            assert!(reply.body.len() == LARGE);
            assert!(reply.body.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
        }
    }
    assert_eq!(stand.calls(), calls);

    let entries = stand.layer.entries();
    assert_eq!(entries.stream().count().await, calls);
    assert_eq!(entries.len().await.unwrap(), calls as u64);
    assert!(entries.size_bytes().await.unwrap() > LARGE as u64);
    // Entries are removed in each possible way.
    stand.ask(Request::post(url("/"))).await;
    assert!(!entries.contains(&url("/")).await.unwrap());
    assert_eq!(entries.len().await.unwrap(), calls as u64 - 2);
    entries.remove(&url("/vary")).await.unwrap();
    assert_eq!(entries.len().await.unwrap(), calls as u64 - 4);
    stand.clock.advance(SECOND);
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
    let missing = Filter::new().status(StatusCode::NOT_FOUND);
    assert_eq!(entries.remove_where(&missing, |_| ()).await.unwrap(), 1);
    assert_eq!(entries.remove(&url("/large")).await.unwrap(), 1);
    assert_eq!(entries.len().await.unwrap(), calls as u64 - 7);
    entries.clear().await.unwrap();
    assert!(entries.is_empty().await.unwrap());
    let stats = stand.layer.stats();
    assert_eq!((stats.store_errors, stats.corrupt), (0, 0));
}

#[tokio::test]
async fn requests_have_the_same_results_over_memory() {
    requests_have_the_same_results_over(Memory::default()).await;
}

#[tokio::test]
async fn requests_have_the_same_results_over_a_wrapper_that_streams_bodies() {
    requests_have_the_same_results_over(Faulty::new(Memory::default())).await;
}

#[cfg(feature = "redb")]
mod redb {
    use larder::store::Redb;

    use super::*;

    #[tokio::test]
    async fn requests_have_the_same_results_over_a_database() {
        requests_have_the_same_results_over(Redb::temporary().unwrap()).await;
    }

    #[tokio::test]
    async fn next_run_is_served_from_the_database_of_the_last_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.redb");
        let stand = Stand::over(Redb::open(&path).unwrap(), origin());
        let mut keys = Vec::new();
        for request in requests() {
            keys.push(stand.ask(request).await.cache.key());
        }
        stand.layer.store().close().await.unwrap();
        drop(stand);

        let stand = Stand::over(Redb::open(&path).unwrap(), origin());
        for (request, key) in requests().into_iter().zip(keys) {
            let uri = request.uri_ref().unwrap().clone();
            let reply = stand.ask(request).await;
            assert_eq!(reply.is_from_store(), uri.path() != "/missing", "{uri}");
            assert_eq!(reply.cache.key(), key, "{uri}");
        }
    }

    #[tokio::test]
    async fn entries_move_between_memory_and_a_database_and_back() {
        let (memory, redb, again) =
            (Memory::default(), Redb::temporary().unwrap(), Memory::default());
        let stand = Stand::over(memory, origin());
        for request in requests() {
            stand.ask(request).await;
        }
        let count = requests().len() as u64 - 1;
        let entries = stand.layer.entries();
        assert_eq!(entries.copy_to(&redb, |_| ()).await.unwrap(), count);
        let middle = Stand::over(redb, origin());
        assert_eq!(middle.layer.entries().copy_to(&again, |_| ()).await.unwrap(), count);
        let end = Stand::over(again, origin());
        for request in requests() {
            let uri = request.uri_ref().unwrap().clone();
            let reply = end.ask(request).await;
            assert_eq!(reply.is_from_store(), uri.path() != "/missing", "{uri}");
            assert_eq!(reply.trailers.is_some(), uri.path() == "/trailers", "{uri}");
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use larder::store::Sqlite;

    use super::*;

    #[tokio::test]
    async fn requests_have_the_same_results_over_a_sqlite_file() {
        requests_have_the_same_results_over(Sqlite::temporary().unwrap()).await;
    }

    #[tokio::test]
    async fn requests_have_the_same_results_over_sqlite_in_memory() {
        requests_have_the_same_results_over(Sqlite::in_memory(64 << 20).unwrap()).await;
    }

    #[tokio::test]
    async fn next_run_is_served_from_the_file_of_the_last_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.db");
        let stand = Stand::over(Sqlite::open(&path).unwrap(), origin());
        let mut keys = Vec::new();
        for request in requests() {
            keys.push(stand.ask(request).await.cache.key());
        }
        stand.layer.store().close().await.unwrap();
        drop(stand);

        let stand = Stand::over(Sqlite::open(&path).unwrap(), origin());
        for (request, key) in requests().into_iter().zip(keys) {
            let uri = request.uri_ref().unwrap().clone();
            let reply = stand.ask(request).await;
            assert_eq!(reply.is_from_store(), uri.path() != "/missing", "{uri}");
            assert_eq!(reply.cache.key(), key, "{uri}");
        }
    }

    /// This is what two processes do that share a file.
    #[tokio::test]
    async fn layer_serves_what_another_layer_over_the_same_file_has_stored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.db");
        let one = Stand::over(Sqlite::open(&path).unwrap(), origin());
        let other = Stand::over(Sqlite::open(&path).unwrap(), origin());
        for request in requests() {
            one.ask(request).await;
        }
        for request in requests() {
            let uri = request.uri_ref().unwrap().clone();
            assert_eq!(other.ask(request).await.is_from_store(), uri.path() != "/missing", "{uri}");
        }
    }
}

/// Each wrapper flushes the store that it wraps, and the layer flushes its store.
#[tokio::test]
async fn flush_reaches_the_wrapped_store() {
    let faulty = || {
        let store = Faulty::new(Memory::default());
        store.fail_nth(1, ErrorKind::Full);
        store
    };
    async fn fails(store: impl Store) {
        let error = larder::CacheLayer::private(store.clone()).flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{store:?}");
        store.flush().await.unwrap();
    }
    fails(faulty()).await;
    fails(std::sync::Arc::new(faulty())).await;
    fails(AnyStore::new(faulty())).await;
    fails(Timeout::new(faulty(), SECOND).unwrap()).await;
    fails(Tiered::new(faulty(), Memory::default())).await;
    fails(Tiered::new(Memory::default(), faulty())).await;
    #[cfg(feature = "compression")]
    fails(larder::store::Compressed::new(faulty())).await;
}
