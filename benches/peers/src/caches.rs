//! The caches, each set up as its README says, with room for all that is stored here. `Cargo.toml`
//! pins the versions that the comments name.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write,
    future::{Ready, ready},
    path::PathBuf,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hitbox::{Config, concurrency::BroadcastConcurrencyManager, policy::PolicyConfig};
use hitbox_backend::format::BincodeFormat;
use hitbox_http::{
    extractors::{Method, NeutralExtractor, Path, path::PathExtractor},
    predicates::{NeutralRequestPredicate, NeutralResponsePredicate},
};
use hitbox_moka::MokaBackend;
use http::Response;
use http_body_util::Full;
use http_cache::{MokaCache, MokaManager, RedbManager, StreamingManager};
use http_cache_tower::{HttpCacheLayer, HttpCacheStreamingLayer};
use larder::{
    CacheLayer,
    store::{Memory, Redb},
};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use tokio::runtime::Handle;
use tower::{Layer, Service};
use tower_http_cache::{
    backend::memory::InMemoryBackend, policy::CachePolicy, streaming::StreamingPolicy,
};

use crate::{
    client::{Client, Tower},
    origin::{Origin, OriginBody, Request},
};

/// More entries than are ever stored here: no cache evicts anything.
const ENTRIES: usize = 20_000;
const HOUR: Duration = Duration::from_secs(3600);

/// A cache in one configuration. `build` runs inside of the runtime, and gets an empty folder.
#[derive(Clone, Copy)]
pub struct Cache {
    pub name: &'static str,
    pub build: fn(Origin, PathBuf) -> Box<dyn Client>,
}

pub const MEMORY: [Cache; 7] = [
    Cache { name: "floor: a HashMap", build: |origin, _| Tower::boxed(Floor::in_memory(origin)) },
    LARDER,
    Cache {
        name: "larder, shared, HTTP rules",
        build: |origin, _| {
            Tower::boxed(CacheLayer::shared(Memory::new(1 << 30)).http_rules().layer(origin))
        },
    },
    HTTP_CACHE,
    TOWER_HTTP_CACHE,
    Cache {
        // hitbox-tower 0.2.0 over hitbox-moka 0.2.0: the quick start of its README, with the path
        // in the key. It stores JSON.
        name: "hitbox-tower",
        build: |origin, _| {
            let layer = hitbox_tower::Cache::builder()
                .backend(MokaBackend::builder().max_entries(ENTRIES as u64).build())
                .config(hitbox_config(PolicyConfig::builder().ttl(HOUR).build()));
            Tower::boxed(layer.build().layer(origin))
        },
    },
    HITBOX_TUNED,
];

pub const DISK: [Cache; 3] = [
    Cache {
        name: "floor: a redb table",
        build: |origin, folder| Tower::boxed(Floor::on_disk(origin, folder)),
    },
    LARDER_REDB,
    Cache {
        // http-cache-tower 1.0.0-alpha.9 over its default store: a sync for each 64 responses.
        name: "http-cache-tower",
        build: |origin, folder| {
            let manager = RedbManager::new(folder.join("cache.redb")).expect("a database");
            Tower::boxed(HttpCacheLayer::new(manager).layer(origin))
        },
    },
];

pub const LARGE_BODY: [Cache; 7] = [
    Cache { name: "larder, Memory", ..LARDER },
    Cache { name: "larder, Redb", ..LARDER_REDB },
    HTTP_CACHE,
    Cache {
        // http-cache-tower 1.0.0-alpha.9: the layer and store that its README has for large bodies.
        name: "http-cache-tower, streaming",
        build: |origin, folder| {
            let manager = StreamingManager::new(folder, ENTRIES as u64);
            let manager = Handle::current().block_on(manager).expect("a database");
            Tower::boxed(HttpCacheStreamingLayer::new(manager).layer(origin))
        },
    },
    TOWER_HTTP_CACHE,
    Cache {
        // tower-http-cache 0.6.1 without its limit of 1 MiB.
        name: "tower-http-cache, limit raised",
        build: |origin, _| {
            let streaming =
                StreamingPolicy { max_cacheable_size: None, ..StreamingPolicy::default() };
            let policy = CachePolicy::default().with_ttl(HOUR).with_streaming_policy(streaming);
            let layer = tower_http_cache::CacheLayer::builder(InMemoryBackend::new(ENTRIES as u64))
                .policy(policy);
            Tower::boxed(layer.build().layer(origin))
        },
    },
    HITBOX_TUNED,
];

const LARDER: Cache = Cache {
    // As it is by default: time alone decides.
    name: "larder",
    build: |origin, _| Tower::boxed(CacheLayer::private(Memory::new(1 << 30)).layer(origin)),
};

const LARDER_REDB: Cache = Cache {
    name: "larder",
    build: |origin, folder| {
        let store = Redb::open(folder.join("cache.redb")).expect("a database");
        let service = CacheLayer::private(store.clone()).layer(origin);
        Box::new(Tower { service, writes_later: Some(store) })
    },
};

const HTTP_CACHE: Cache = Cache {
    // http-cache-tower 1.0.0-alpha.9 over moka.
    name: "http-cache-tower",
    build: |origin, _| {
        let manager = MokaManager::new(MokaCache::new(ENTRIES as u64));
        Tower::boxed(HttpCacheLayer::new(manager).layer(origin))
    },
};

const TOWER_HTTP_CACHE: Cache = Cache {
    // tower-http-cache 0.6.1 over moka.
    name: "tower-http-cache",
    build: |origin, _| {
        let backend = InMemoryBackend::new(ENTRIES as u64);
        let layer = tower_http_cache::CacheLayer::builder(backend).ttl(HOUR).build();
        Tower::boxed(layer.layer(origin))
    },
};

const HITBOX_TUNED: Cache = Cache {
    // hitbox-tower 0.2.0 over hitbox-moka 0.2.0: with its binary format, and its protection from
    // stampedes.
    name: "hitbox-tower, bincode",
    build: |origin, _| {
        let policy = PolicyConfig::builder().ttl(HOUR).concurrency(1.try_into().expect("not 0"));
        let backend = MokaBackend::builder().max_entries(ENTRIES as u64);
        let layer = hitbox_tower::Cache::builder()
            .backend(backend.value_format(BincodeFormat).build())
            .config(hitbox_config(policy.build()))
            .concurrency_manager(BroadcastConcurrencyManager::new());
        Tower::boxed(layer.build().layer(origin))
    },
};

type HitboxConfig = Config<
    NeutralRequestPredicate<Full<Bytes>>,
    NeutralResponsePredicate<OriginBody>,
    Path<Method<NeutralExtractor<Full<Bytes>>>>,
>;

fn hitbox_config(policy: PolicyConfig) -> HitboxConfig {
    Config::builder()
        .request_predicate(NeutralRequestPredicate::new())
        .response_predicate(NeutralResponsePredicate::new())
        .extractor(Method::new().path("/{path}*"))
        .policy(policy)
        .build()
}

/// Does only what every cache must do. It makes a key, looks it up, and answers with a copy of the
/// head and the stored body. It gets what is missing from the origin, and stores it.
#[derive(Clone)]
struct Floor {
    origin: Origin,
    stored: Arc<Stored>,
}

enum Stored {
    Map(Mutex<HashMap<String, Bytes>>),
    File(Database),
}

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("floor");

impl Floor {
    fn in_memory(origin: Origin) -> Self {
        Self { origin, stored: Arc::new(Stored::Map(Mutex::default())) }
    }

    fn on_disk(origin: Origin, folder: PathBuf) -> Self {
        let database = Database::create(folder.join("floor.redb")).expect("a database");
        let stored = Stored::File(database);
        stored.put("", Bytes::new());
        Self { origin, stored: Arc::new(stored) }
    }
}

impl Stored {
    fn get(&self, key: &str) -> Option<Bytes> {
        match self {
            Self::Map(map) => map.lock().expect("no panic").get(key).cloned(),
            Self::File(database) => {
                let transaction = database.begin_read().expect("a transaction");
                let table = transaction.open_table(TABLE).expect("a table");
                let value = table.get(key).expect("a read")?;
                Some(Bytes::copy_from_slice(value.value()))
            }
        }
    }

    fn put(&self, key: &str, body: Bytes) {
        match self {
            Self::Map(map) => drop(map.lock().expect("no panic").insert(key.to_owned(), body)),
            Self::File(database) => {
                let mut transaction = database.begin_write().expect("a transaction");
                // Not synced.
                transaction.set_durability(Durability::None).expect("no savepoints");
                transaction.open_table(TABLE).expect("a table").insert(key, &*body).expect("room");
                transaction.commit().expect("a commit");
            }
        }
    }
}

impl Service<Request> for Floor {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut key = String::with_capacity(128);
        write!(key, "{} {}", request.method(), request.uri()).expect("a string takes all");
        let body = self.stored.get(&key).unwrap_or_else(|| {
            drop(self.origin.respond());
            let body = self.origin.chunk();
            self.stored.put(&key, body.clone());
            body
        });
        ready(Ok(self.origin.response_with(Full::new(body))))
    }
}
