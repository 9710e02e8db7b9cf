//! Where responses are kept.

use http::Request;
use larder::{BoxError, store::Store};
use tower::Layer;

use crate::{ask, origin};

pub(crate) async fn in_this_process_and_in_files() -> Result<(), BoxError> {
    use larder::{
        CacheLayer,
        store::{Memory, Redb},
    };

    let in_memory = CacheLayer::private(Memory::new(512 << 20));
    let in_a_file = CacheLayer::private(Redb::builder("cache.redb").max_bytes(10 << 30).open()?);

    twice("Memory", in_memory).await?;
    twice("Redb", in_a_file).await
}

pub(crate) async fn around_stores() -> Result<(), BoxError> {
    use larder::{
        CacheLayer,
        store::{Compressed, Memory, Redb, Tiered},
    };

    let store = Tiered::new(Memory::default(), Compressed::new(Redb::open("tiered.redb")?));
    let layer = CacheLayer::private(store.clone()).max_body(256 * 1024 * 1024);

    twice("Tiered", layer).await?;
    println!("  near hits: {}", store.stats().near_hits);
    Ok(())
}

/// Compiled with the feature `redis`. It needs servers, so the tour does not run it.
#[cfg(feature = "redis")]
#[expect(dead_code, reason = "it needs servers")]
async fn on_redis() -> Result<(), BoxError> {
    use larder::{CacheLayer, store::Redis};

    let on_a_server =
        CacheLayer::shared(Redis::connect("redis://:password@cache.example.com").await?);
    let on_a_cluster = CacheLayer::shared(
        Redis::cluster(["redis://a.example.com", "redis://b.example.com"])
            .namespace("shop:")
            .connect()
            .await?,
    );

    twice("Redis", on_a_server).await?;
    twice("Redis Cluster", on_a_cluster).await
}

/// Compiled with the feature `mongodb`. It needs a server, so the tour does not run it.
#[cfg(feature = "mongodb")]
#[expect(dead_code, reason = "it needs a server")]
async fn on_mongodb() -> Result<(), BoxError> {
    use larder::{CacheLayer, store::MongoDb};

    let in_documents = CacheLayer::shared(
        MongoDb::builder("mongodb://user:password@cache.example.com/shop")
            .inline_limit(64 * 1024)
            .connect()
            .await?,
    );

    twice("MongoDb", in_documents).await
}

/// Asks for the same URL twice through a cache over this store.
async fn twice<B: Store>(name: &str, layer: larder::CacheLayer<B>) -> Result<(), BoxError> {
    let client = layer.layer(origin());
    let first = ask(&client, Request::get("http://example.com/")).await?;
    let second = ask(&client, Request::get("http://example.com/")).await?;
    println!("  {name:18} {}, {}", first.outcome(), second.outcome());
    Ok(())
}
