//! What only a server can show: documents, files and indexes on it, the commands that it is sent, faults of the network and
//! of the server, other processes. What every store promises is tested by the conformance suite.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod round_trips;
mod wire;

#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/reads.rs"]
mod reads;
#[path = "../../support/mongodb.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    pin::pin,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{AsyncReadExt, StreamExt, TryStreamExt, future};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheStatus, Key,
    entry::Head,
    store::{ErrorKind, Hit, MongoDb, Result, Store, Version, Writer, mongodb::Builder},
    time::Timestamp,
};
use mongodb::{
    Client, Collection, IndexModel,
    bson::{Binary, Bson, DateTime, Document, doc, oid::ObjectId, spec::BinarySubtype},
    event::{EventHandler, command::CommandEvent},
    options::{ClientOptions, GridFsBucketOptions, IndexOptions},
};
use tower::{Layer, ServiceExt};

use self::{
    proxy::Proxy,
    servers::{DATABASE, Server, any_server, drop_namespace, namespace},
};

const MIB: usize = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

// ===== support =====

fn key(number: u64) -> Key {
    Key::digest(number.to_string())
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn head() -> Head {
    let (parts, ()) =
        Response::builder().header("content-type", "text/plain").body(()).unwrap().into_parts();
    Head::new(Method::GET, "http://example.com/", parts, now())
}

/// A head with a field of `len` bytes.
fn long_head(len: usize) -> Head {
    let value = HeaderValue::from_bytes(&vec![b'a'; len]).unwrap();
    let (parts, ()) = Response::builder().header("x-long", value).body(()).unwrap().into_parts();
    Head::new(Method::GET, "http://example.com/", parts, now())
}

fn tagged(tags: &[&str]) -> Head {
    head().with_tags(tags.iter().map(|&tag| tag.into()).collect())
}

fn expiring(after: Duration) -> Head {
    head().with_expires_at(Some(now().saturating_add(after)))
}

/// A body of `len` bytes that no other `seed` has anywhere.
fn body(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

async fn put(store: &MongoDb, key: Key, head: Head, body: Bytes) -> Result<()> {
    let mut writer = store.put(&key, head).await?;
    for at in (0..body.len()).step_by(50_000) {
        writer.write(body.slice(at..(at + 50_000).min(body.len()))).await?;
    }
    writer.finish(None).await
}

async fn read(hit: Hit) -> Result<Bytes> {
    hit.body.bytes().await
}

async fn get(store: &MongoDb, key: Key) -> Option<Bytes> {
    match store.get(&key).await.unwrap() {
        Some(hit) => Some(read(hit).await.unwrap()),
        None => None,
    }
}

/// Nothing takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(120);

/// A limit with more time than a busy machine takes, or one that stands still for a while; less than what files linger.
const PATIENT: Duration = Duration::from_secs(50);

/// The same where the end of the limit is waited for, or what lingers as long.
const BRIEF: Duration = Duration::from_secs(10);

fn builder(server: &Server) -> Builder {
    MongoDb::builder(server.url()).database(DATABASE).timeout(PATIENT)
}

/// A server of the test's own, and a store on it.
async fn place() -> (Server, MongoDb) {
    let server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    (server, store)
}

/// The collections of the namespace, as somebody else sees them.
struct Seen {
    entries: Collection<Document>,
    files: Collection<Document>,
    chunks: Collection<Document>,
}

impl Seen {
    async fn on(server: &Server) -> Self {
        let database = server.database().await;
        let collection = |name: &str| database.collection(&format!("larder.{name}"));
        let [entries, files, chunks] = ["entries", "files", "chunks"].map(collection);
        Self { entries, files, chunks }
    }

    async fn entry(&self, key: Key) -> Document {
        self.entries.find_one(doc! { "_id": key.to_string() }).await.unwrap().unwrap()
    }

    /// The file of an entry.
    async fn file(&self, key: Key) -> ObjectId {
        self.entry(key).await.get_object_id("file").unwrap()
    }

    async fn state(&self, file: ObjectId) -> Option<String> {
        let file = self.files.find_one(doc! { "_id": file }).await.unwrap()?;
        Some(file.get_document("metadata").unwrap().get_str("state").unwrap().to_owned())
    }

    async fn set_file(&self, file: ObjectId, set: Document) {
        let set = doc! { "$set": set };
        let updated = self.files.update_one(doc! { "_id": file }, set).await.unwrap();
        assert_eq!(updated.matched_count, 1);
    }

    async fn set_entry(&self, key: Key, change: Document) {
        let which = doc! { "_id": key.to_string() };
        assert_eq!(self.entries.update_one(which, change).await.unwrap().matched_count, 1);
    }

    /// How many documents there are: entries, files, chunks.
    async fn counts(&self) -> [u64; 3] {
        let count = |collection: &Collection<Document>| {
            let collection = collection.clone();
            async move { collection.count_documents(doc! {}).await.unwrap() }
        };
        [count(&self.entries).await, count(&self.files).await, count(&self.chunks).await]
    }

    /// When a file was last touched, in milliseconds.
    async fn touched(&self, file: ObjectId) -> i64 {
        let file = self.files.find_one(doc! { "_id": file }).await.unwrap().unwrap();
        let touched = file.get_document("metadata").unwrap().get_datetime("touched").unwrap();
        touched.timestamp_millis()
    }

    /// Waits until so many documents are left.
    async fn settle(&self, counts: [u64; 3]) {
        let begin = Instant::now();
        while self.counts().await != counts {
            let found = self.counts().await;
            assert!(begin.elapsed() < NEVER, "{found:?} stay, not {counts:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until `is_so`.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < NEVER, "{what}: it never came to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ago(age: Duration) -> DateTime {
    DateTime::from_system_time(SystemTime::now() - age)
}

/// A client whose commands are counted by their names.
async fn counting(server: &Server) -> (Client, Arc<Mutex<BTreeMap<String, u64>>>) {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let mut options = ClientOptions::parse(server.url()).await.unwrap();
    let seen = counts.clone();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event {
            *seen.lock().unwrap().entry(event.command_name).or_default() += 1;
        }
    }));
    (Client::with_options(options).unwrap(), counts)
}

const CHILD: &str = "LARDER_TEST_CHILD";

/// This very test once more, in a process of its own, with `word` in [`CHILD`].
fn child(test: &str, word: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, word);
    command
}

/// A client by way of the proxy; and how many commands have been answered.
async fn answering(proxy: &Proxy) -> (Client, Arc<AtomicU64>) {
    let answered = Arc::new(AtomicU64::new(0));
    let url = format!("mongodb://{}/?directConnection=true", proxy.address);
    let mut options = ClientOptions::parse(url).await.unwrap();
    let count = answered.clone();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if !matches!(event, CommandEvent::Started(_)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }));
    (Client::with_options(options).unwrap(), answered)
}

type Fetched = (bool, Bytes);

/// What is behind the error of a body.
fn cause(error: larder::BodyError) -> String {
    error.into_source().map_or_else(String::new, |source| source.to_string())
}

/// Sends a request through a layer over the store. The origin answers with the path and `len` bytes.
async fn fetch(
    layer: &CacheLayer<MongoDb>,
    path: u64,
    len: usize,
) -> std::result::Result<Fetched, String> {
    let origin = tower::service_fn(move |request: Request<_>| async move {
        let path: u64 = Request::uri(&request).path()[1..].parse().unwrap();
        let _body: Request<larder::RequestBody<Full<Bytes>>> = request;
        Ok::<_, Infallible>(Response::new(Full::new(body(path, len))))
    });
    let request = Request::get(format!("http://example.com/{path}")).body(Full::default()).unwrap();
    let response = layer.layer(origin).oneshot(request).await.unwrap();
    let hit = response.extensions().get::<CacheStatus>().unwrap().is_from_store();
    let bytes = response.into_body().collect().await.map_err(cause)?.to_bytes();
    Ok((hit, bytes))
}

// ===== commands =====

/// A store whose commands are counted, without the sweeps that it makes of its own accord.
async fn counted_store(server: &Server) -> (MongoDb, Arc<Mutex<BTreeMap<String, u64>>>) {
    let (client, counts) = counting(server).await;
    let store = Builder::from_client(client).database(DATABASE).timeout(PATIENT);
    let store = store.linger(DAY).build().await.unwrap();
    // Makes the indexes.
    put(&store, key(0), head(), Bytes::new()).await.unwrap();
    assert!(store.remove(&key(0)).await.unwrap());
    (store, counts)
}

#[tokio::test]
async fn a_small_hit_is_one_round_trip() {
    let server = Server::start();
    let (store, counts) = counted_store(&server).await;
    put(&store, key(1), tagged(&["tag"]), body(1, 250_000)).await.unwrap();
    counts.lock().unwrap().clear();
    for _ in 0..100 {
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 250_000));
    }
    assert_eq!(*counts.lock().unwrap(), BTreeMap::from([("find".to_owned(), 100)]));
    counts.lock().unwrap().clear();
    assert!(get(&store, key(2)).await.is_none());
    assert_eq!(*counts.lock().unwrap(), BTreeMap::from([("find".to_owned(), 1)]));
}

/// What the module's text says.
#[tokio::test]
async fn the_operations_take_as_many_commands_as_documented() {
    let server = Server::start();
    let (store, counts) = counted_store(&server).await;
    let counted = async |name: &str, what: &[(&str, u64)]| {
        let expected: BTreeMap<_, _> =
            what.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(std::mem::take(&mut *counts.lock().unwrap()), expected, "{name}");
    };
    counts.lock().unwrap().clear();
    let all = || expiring(DAY).with_tags(vec!["a".into(), "b".into()]);

    put(&store, key(1), all(), body(1, 9)).await.unwrap();
    counted("a small write", &[("findAndModify", 1)]).await;
    put(&store, key(1), all(), body(2, 9)).await.unwrap();
    counted("a small write over another", &[("findAndModify", 1)]).await;
    put(&store, key(2), all(), body(1, MIB)).await.unwrap();
    let large = [("update", 2), ("insert", 5), ("findAndModify", 1)];
    counted("a large write", &large).await;
    put(&store, key(2), all(), body(2, MIB)).await.unwrap();
    let over = [("update", 3), ("insert", 5), ("findAndModify", 1)];
    counted("a large write over another", &over).await;
    assert!(get(&store, key(2)).await.is_some());
    counted("a large hit", &[("find", 1 + 3)]).await;
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    counts.lock().unwrap().clear();
    assert!(store.update(&key(1), seen, all()).await.unwrap());
    counted("an update", &[("find", 1), ("update", 1)]).await;
    assert!(store.remove(&key(1)).await.unwrap());
    counted("a removal", &[("findAndModify", 1)]).await;
    assert!(store.remove(&key(2)).await.unwrap());
    counted("a removal of a large entry", &[("findAndModify", 1), ("update", 1)]).await;
    assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
    counted("nothing by tag", &[("find", 1)]).await;
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0);
    let sweep = [("find", 1 + 5), ("hello", 1), ("createIndexes", 4)];
    counted("nothing by expiry", &sweep).await;
    for number in 0..600 {
        put(&store, key(number), all(), body(1, 9)).await.unwrap();
    }
    counts.lock().unwrap().clear();
    assert_eq!(store.remove_tagged("a").await.unwrap(), 600);
    counted("many by tag", &[("find", 7), ("delete", 6)]).await;
    store.len().await.unwrap();
    counted("len", &[("count", 1)]).await;
    store.size_bytes().await.unwrap();
    counted("size", &[("aggregate", 1)]).await;
}

// ===== documents and files =====

#[tokio::test]
async fn documents_can_be_read_by_people() {
    let (server, store) = place().await;
    let seen = Seen::on(&server).await;
    let stored_at = Timestamp::from_millis(1_700_000_000_000);
    let (parts, ()) = Response::builder().status(404).body(()).unwrap().into_parts();
    let head = Head::new(Method::HEAD, "http://example.com/a?b=c", parts, stored_at)
        .with_expires_at(Some(now().saturating_add(DAY)))
        .with_tags(vec!["page".into(), "user:1".into()]);
    let kept = head.clone().with_keep_until(Some(Timestamp::from_millis(4_102_444_800_000)));
    put(&store, key(1), kept, body(1, 1_000)).await.unwrap();
    let entry = seen.entry(key(1)).await;
    assert_eq!(entry.get_str("method").unwrap(), "HEAD");
    assert_eq!(entry.get_str("url").unwrap(), "http://example.com/a?b=c");
    assert_eq!(entry.get_i32("status").unwrap(), 404);
    let date = |name| entry.get_datetime(name).unwrap().timestamp_millis();
    assert_eq!(date("stored_at"), 1_700_000_000_000);
    assert_eq!(date("expires_at"), head.expires_at().unwrap().as_millis() as i64);
    assert_eq!(date("keep_until"), 4_102_444_800_000);
    let size = entry.get_i64("size").unwrap();
    assert!((1_000..1_500).contains(&size), "{size}");
    let tags = entry.get_array("tags").unwrap();
    assert_eq!(*tags, vec![Bson::from("page"), Bson::from("user:1")]);
    assert_eq!(entry.get_binary_generic("body").unwrap()[..], body(1, 1_000)[..]);
    assert_eq!(store.size_bytes().await.unwrap(), size as u64);
    // What never expires has no date that an index could go by, after an update too.
    let version = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), version, tagged(&[])).await.unwrap());
    let entry = seen.entry(key(1)).await;
    assert!(!entry.contains_key("expires_at") && !entry.contains_key("keep_until"), "{entry}");
    assert_eq!(
        (entry.get_i32("status").unwrap(), entry.get_array("tags").unwrap().len()),
        (200, 0)
    );
}

#[tokio::test]
async fn a_body_is_inline_up_to_the_limit_and_a_file_beyond_it() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    for limit in [0, 1, 70_000, 256 << 10, 3 * MIB] {
        let store = builder(&server).inline_limit(limit).connect().await.unwrap();
        for len in [limit.saturating_sub(1), limit, limit + 1] {
            put(&store, key(1), head(), body(len as u64, len)).await.unwrap();
            let entry = seen.entry(key(1)).await;
            assert_eq!(entry.contains_key("file"), len > limit, "{len} bytes, a limit of {limit}");
            assert_eq!(entry.contains_key("body"), len <= limit);
            assert_eq!(get(&store, key(1)).await.unwrap(), body(len as u64, len));
        }
    }
}

#[tokio::test]
async fn nothing_meets_the_limit_of_a_document() {
    let server = Server::start();
    let store = builder(&server).inline_limit(15 * MIB).connect().await.unwrap();
    let seen = Seen::on(&server).await;
    // As much as goes in, and as much beside a head that leaves no room for it.
    put(&store, key(1), head(), body(1, 15 * MIB)).await.unwrap();
    assert!(seen.entry(key(1)).await.contains_key("body"));
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 15 * MIB));
    put(&store, key(1), long_head(2 * MIB), body(2, 15 * MIB)).await.unwrap();
    assert!(seen.entry(key(1)).await.contains_key("file"));
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 15 * MIB));
    // A head that no document takes.
    put(&store, key(2), head(), body(2, 9)).await.unwrap();
    let version = store.get(&key(2)).await.unwrap().unwrap().version;
    for len in [16 * MIB - 10_000, 17 * MIB, 40 * MIB] {
        let error = put(&store, key(2), long_head(len), body(3, 9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        let error = store.update(&key(2), version, long_head(len)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    // One that does not fit before a body that is there.
    put(&store, key(3), head(), body(3, 14 * MIB)).await.unwrap();
    let version3 = store.get(&key(3)).await.unwrap().unwrap().version;
    let error = store.update(&key(3), version3, long_head(3 * MIB)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, 9), "what was there stays");
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 14 * MIB));
    // Two on their own way may be as large as one document's limit.
    assert!(store.update(&key(2), version, long_head(10 * MIB)).await.unwrap());
    assert_eq!(store.scan().filter(|item| future::ready(item.is_ok())).count().await, 3);
}

#[tokio::test]
async fn large_bodies_are_files_that_any_reader_of_gridfs_reads() {
    let (server, store) = place().await;
    let seen = Seen::on(&server).await;
    let bucket = GridFsBucketOptions::builder().bucket_name("larder".to_owned()).build();
    let bucket = server.database().await.gridfs_bucket(bucket);
    for len in [255 * 1024 * 2, 3 * MIB + 1] {
        put(&store, key(1), head(), body(7, len)).await.unwrap();
        let file = seen.file(key(1)).await;
        let mut bytes = Vec::new();
        let mut download = bucket.open_download_stream(file.into()).await.unwrap();
        download.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, body(7, len));
        let found = bucket.find_one(doc! { "_id": file }).await.unwrap().unwrap();
        assert_eq!(found.filename.as_deref(), Some(&*key(1).to_string()));
        assert_eq!((found.length, found.chunk_size_bytes), (len as u64, 255 * 1024));
    }
    let indexes: Vec<_> = seen.chunks.list_indexes().await.unwrap().try_collect().await.unwrap();
    let unique = indexes.iter().find(|index| index.keys == doc! { "files_id": 1, "n": 1 });
    assert_eq!(unique.unwrap().options.as_ref().unwrap().unique, Some(true));
}

// ===== expiry =====

/// The index by which entries expire: its name and its seconds.
async fn expiry_index(seen: &Seen) -> Vec<(String, Option<u64>)> {
    let indexes: Vec<IndexModel> =
        seen.entries.list_indexes().await.unwrap().try_collect().await.unwrap();
    let ours = indexes.into_iter().filter(|index| index.keys.contains_key("keep_until"));
    let shown = ours.map(|index| {
        let options = index.options.unwrap();
        (options.name.unwrap(), options.expire_after.map(|after| after.as_secs()))
    });
    shown.collect()
}

#[tokio::test]
async fn the_ttl_index_is_kept_in_step_with_the_settings() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    // Not connected, for that would begin with a sweep of its own accord.
    let connect = async |grace| {
        let store = builder(&server).grace(grace).build().await.unwrap();
        put(&store, key(1), expiring(Duration::ZERO), body(1, 9)).await.unwrap();
        store
    };
    let ours = |seconds| vec![("keep_until_1".to_owned(), seconds)];
    let store = connect(Duration::ZERO).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(0)));
    connect(Duration::ZERO).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(0)));
    connect(Duration::from_millis(90_001)).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(91)));
    // Without native expiry, and with it again.
    connect(Duration::MAX).await;
    assert_eq!(expiry_index(&seen).await, ours(None));
    connect(Duration::from_secs(60)).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(60)));
    // Something else has the name, or the same keys another one.
    for (keys, name) in [
        (doc! { "keep_until": -1, "url": 1 }, "keep_until_1"),
        (doc! { "keep_until": 1 }, "by hand"),
    ] {
        seen.entries.drop_index("keep_until_1").await.unwrap();
        let options = IndexOptions::builder().name(name.to_owned()).build();
        let index = IndexModel::builder().keys(keys).options(options).build();
        seen.entries.create_index(index).await.unwrap();
        connect(Duration::from_secs(5)).await;
        // Some servers take two indexes of the same keys.
        let found = expiry_index(&seen).await;
        assert!(found.contains(&ours(Some(5))[0]), "{found:?} instead of {name}");
    }
    assert_eq!(store.len().await.unwrap(), 1, "what is stored stays");
}

/// As by the command `larder`, which does not know the program's grace.
#[tokio::test]
async fn a_store_that_keeps_the_grace_leaves_the_index_as_it_is() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let put = async |builder: Builder| {
        let store = builder.connect().await.unwrap();
        put(&store, key(1), head(), body(1, 9)).await.unwrap();
    };
    // There is no index yet.
    put(builder(&server).grace(Duration::from_secs(7)).keep_grace()).await;
    assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), Some(7))]);
    for (grace, seconds) in [
        (Duration::from_secs(86_400), Some(86_400)),
        (Duration::MAX, None),
        (Duration::ZERO, Some(0)),
    ] {
        put(builder(&server).grace(grace)).await;
        put(builder(&server).keep_grace()).await;
        assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), seconds)]);
    }
}

#[tokio::test]
async fn collections_that_somebody_drops_get_their_indexes_again() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let grace = |seconds| builder(&server).grace(Duration::from_secs(seconds));
    // Not connected, for that would begin with a sweep of its own accord.
    let store = grace(7).build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let ours = |seconds| [("keep_until_1".to_owned(), Some(seconds))];
    assert_eq!(expiry_index(&seen).await, ours(7));
    for collection in [&seen.entries, &seen.files, &seen.chunks] {
        collection.drop().await.unwrap();
    }
    assert!(get(&store, key(1)).await.is_none());
    put(&store, key(1), expiring(Duration::ZERO), body(1, MIB)).await.unwrap();
    assert_eq!(expiry_index(&seen).await, []);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
    assert_eq!(expiry_index(&seen).await, ours(7));
    // What another process has chosen meanwhile stays.
    let other = grace(8).build().await.unwrap();
    put(&other, key(1), head(), body(1, 9)).await.unwrap();
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0);
    assert_eq!(expiry_index(&seen).await, ours(8));
}

#[tokio::test]
async fn the_server_removes_what_expires_and_a_sweep_its_file() {
    let server = Server::expiring();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    for (number, len) in [(1, 9), (2, MIB), (3, 2 * MIB)] {
        put(&store, key(number), expiring(Duration::from_secs(1)), body(number, len))
            .await
            .unwrap();
    }
    put(&store, key(4), expiring(DAY), body(4, MIB)).await.unwrap();
    put(&store, key(5), head(), body(5, MIB)).await.unwrap();
    let begin = Instant::now();
    while store.len().await.unwrap() > 2 {
        assert!(begin.elapsed() < NEVER, "the server removes nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(get(&store, key(2)).await.is_none());
    // Nobody asks for it.
    seen.settle([2, 2, 10]).await;
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0, "the server was first");
    assert_eq!(get(&store, key(4)).await.unwrap(), body(4, MIB));
    assert_eq!(get(&store, key(5)).await.unwrap(), body(5, MIB));
}

// ===== files that are of no use any more =====

#[tokio::test]
async fn a_body_that_is_being_read_stays_after_it_was_replaced() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(BRIEF * 2).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let old_file = seen.file(key(1)).await;
    let mut old = store.get(&key(1)).await.unwrap().unwrap().body;
    let idle = store.get(&key(1)).await.unwrap().unwrap();
    put(&store, key(1), head(), body(2, 8 * MIB)).await.unwrap();
    assert_eq!(seen.state(old_file).await.as_deref(), Some("removed"));
    let first = seen.touched(old_file).await;
    // Slower than an answer may take. Touched anew, it stays for as long as from the beginning.
    let mut bytes = old.chunk().await.unwrap().unwrap().to_vec();
    let pause = BRIEF + Duration::from_millis(500);
    tokio::time::sleep(pause).await;
    while let Some(chunk) = old.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(bytes, body(1, 8 * MIB));
    let prolonged = seen.touched(old_file).await - first;
    assert!(prolonged >= pause.as_millis() as i64, "{prolonged} ms");
    // One that nobody reads goes.
    seen.set_file(old_file, doc! { "metadata.touched": ago(BRIEF * 3) }).await;
    store.remove_expired(now()).await.unwrap();
    seen.settle([1, 1, 33]).await;
    assert_eq!(read(idle).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 8 * MIB));
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_behind() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    let large = |number| body(number, 600_000);
    for number in 0..6 {
        // Replaced, and updated too.
        put(&store, key(number), tagged(&["c"]), large(number)).await.unwrap();
        put(&store, key(number), tagged(&["a", "b"]), large(number)).await.unwrap();
        let seen = store.get(&key(number)).await.unwrap().unwrap().version;
        assert!(store.update(&key(number), seen, tagged(&["a"])).await.unwrap());
    }
    let version = store.get(&key(0)).await.unwrap().unwrap().version;
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(store.remove_if(&key(0), version).await.unwrap());
    put(&store, key(5), expiring(Duration::ZERO), large(5)).await.unwrap();
    put(&store, key(4), tagged(&["a"]), body(4, 9)).await.unwrap();
    assert_eq!(store.remove_tagged("a").await.unwrap(), 3);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
    // Nor does a writer that is dropped.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    assert_eq!(seen.files.count_documents(doc! { "metadata.state": "pending" }).await.unwrap(), 1);
    drop(writer);
    seen.settle([0, 0, 0]).await;
    assert_eq!(store.size_bytes().await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_process_that_died_has_left_is_swept() {
    let server = Server::start();
    // Not connected, for that would begin with a sweep, which would come upon the half of what is made here.
    let store = builder(&server).build().await.unwrap();
    let seen = Seen::on(&server).await;
    for number in 1..=4 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    // As they stand for a moment, or for as long as somebody is at work.
    let fresh = async |state: &str| {
        let id = ObjectId::new();
        let metadata = doc! { "state": state, "touched": ago(Duration::ZERO) };
        let file = doc! {
            "_id": id, "length": 0_i64, "chunkSize": 261_120, "uploadDate": DateTime::now(),
            "filename": key(9).to_string(), "metadata": metadata,
        };
        seen.files.insert_one(file).await.unwrap();
        let data = Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 9] };
        // Many, of which the first have gone already.
        let chunks = (300..900).map(|n| doc! { "files_id": id, "n": n, "data": data.clone() });
        seen.chunks.insert_many(chunks).await.unwrap();
        id
    };
    let (writing, finishing, reading) =
        (fresh("pending").await, fresh("live").await, fresh("removed").await);
    // And as nobody would leave them who still is there.
    let left = [
        (fresh("pending").await, Duration::from_secs(601)),
        (fresh("removed").await, Duration::from_secs(61)),
        (fresh("deleting").await, Duration::from_secs(1)),
    ];
    for (file, age) in left {
        seen.set_file(file, doc! { "metadata.touched": ago(age) }).await;
    }
    let unused = fresh("live").await;
    let lost = DAY + Duration::from_secs(1);
    seen.set_file(unused, doc! { "metadata.touched": ago(lost) }).await;
    // In use, whatever their states say.
    for (number, state) in [(1, "pending"), (2, "removed"), (3, "live")] {
        let set = doc! { "metadata.state": state, "metadata.touched": ago(lost) };
        seen.set_file(seen.file(key(number)).await, set).await;
    }
    // Others see to it when they come.
    let other = builder(&server).connect().await.unwrap();
    let begin = Instant::now();
    while seen.state(unused).await.as_deref() != Some("removed") {
        assert!(begin.elapsed() < NEVER, "nothing is swept at connecting");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (file, _) in left {
        assert_eq!(seen.state(file).await, None);
        assert_eq!(seen.chunks.count_documents(doc! { "files_id": file }).await.unwrap(), 0);
    }
    // It may have been being read.
    seen.set_file(unused, doc! { "metadata.touched": ago(Duration::from_secs(61)) }).await;
    assert_eq!(other.remove_expired(now()).await.unwrap(), 0);
    assert_eq!(seen.state(unused).await, None);
    for (file, state) in [(writing, "pending"), (finishing, "live"), (reading, "removed")] {
        assert_eq!(seen.state(file).await.as_deref(), Some(state));
        assert_eq!(seen.chunks.count_documents(doc! { "files_id": file }).await.unwrap(), 600);
    }
    for number in 1..=4 {
        assert_eq!(seen.state(seen.file(key(number)).await).await.as_deref(), Some("live"));
        assert_eq!(get(&store, key(number)).await.unwrap(), body(number, MIB));
    }
}

#[tokio::test]
async fn a_body_whose_writer_was_silent_for_too_long_is_not_stored() {
    let (server, store) = place().await;
    let seen = Seen::on(&server).await;
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let mut writer = store.put(&key(1), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    let file = seen.files.find_one(doc! {}).await.unwrap().unwrap().get_object_id("_id").unwrap();
    seen.set_file(file, doc! { "metadata.touched": ago(Duration::from_secs(601)) }).await;
    store.remove_expired(now()).await.unwrap();
    assert_eq!(writer.finish(None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
    seen.settle([1, 0, 0]).await;
}

#[tokio::test]
async fn clearing_leaves_foreign_collections_and_unfinished_bodies_alone() {
    let server = Server::start();
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    let seen = Seen::on(&server).await;
    let database = server.database().await;
    let foreign = ["larder", "larder.other", "larder.entries.more", "fs.files", "Larder.entries"];
    for name in foreign {
        let collection = database.collection::<Document>(name);
        collection.insert_one(doc! { "_id": key(1).to_string(), "tags": ["a"] }).await.unwrap();
    }
    let neighbour = builder(&server).namespace("larder.entries").connect().await.unwrap();
    put(&neighbour, key(1), tagged(&["a"]), body(1, MIB)).await.unwrap();
    for number in 0..50 {
        let head = expiring(DAY).with_tags(vec!["a".into()]);
        put(&store, key(number), head, body(number, 9_000 * number as usize)).await.unwrap();
    }
    let mut unfinished = store.put(&key(99), head()).await.unwrap();
    unfinished.write(body(99, MIB)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 50);
    store.clear().await.unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    unfinished.finish(None).await.unwrap();
    assert_eq!(get(&store, key(99)).await.unwrap(), body(99, MIB));
    store.clear().await.unwrap();
    seen.settle([0, 0, 0]).await;
    for name in foreign {
        let collection = database.collection::<Document>(name);
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 1, "{name}");
    }
    assert_eq!(get(&neighbour, key(1)).await.unwrap(), body(1, MIB));
}

// ===== damage =====

#[tokio::test]
async fn damaged_documents_are_misses_that_are_removed() {
    let (server, store) = place().await;
    let seen = Seen::on(&server).await;
    let wrong = [
        doc! { "$set": { "format": 2 } },
        doc! { "$set": { "format": "1" } },
        doc! { "$set": { "version": 7_i64 } },
        doc! { "$set": { "version": "7" } },
        doc! { "$set": { "head": "a text" } },
        doc! { "$set": { "head": { "a": 1 } } },
        doc! { "$set": { "body": "a text" } },
        doc! { "$set": { "body": Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 100] } } },
        doc! { "$set": { "body": Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 99] } } },
        doc! { "$set": { "crc": 7_i64 } },
        doc! { "$set": { "check": 7_i64 } },
        doc! { "$set": { "file": ObjectId::new(), "chunk_size": 9 } },
        doc! { "$unset": { "body": "" } },
        doc! { "$unset": { "head": "" } },
        doc! { "$unset": { "version": "" } },
        doc! { "$unset": { "check": "" } },
    ];
    for change in wrong {
        put(&store, key(1), tagged(&["a"]), body(1, 100)).await.unwrap();
        seen.set_entry(key(1), change.clone()).await;
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error}");
        assert!(!store.update(&key(1), Version::new(0), head()).await.unwrap_or(false));
        assert!(!store.remove_if(&key(1), Version::new(0)).await.unwrap());
        assert!(store.remove(&key(1)).await.unwrap());
        assert!(get(&store, key(1)).await.is_none());
    }
    // A listing goes on after it, and what else stands there; all of it can be removed and written over.
    put(&store, key(1), tagged(&["a"]), body(1, 100)).await.unwrap();
    put(&store, key(2), tagged(&["a"]), body(2, 9)).await.unwrap();
    seen.set_entry(key(1), doc! { "$set": { "head": 1 } }).await;
    let foreign = [Bson::Null, 1.into(), "a text".into(), ObjectId::new().into(), "".into()];
    for id in foreign.clone() {
        seen.entries.insert_one(doc! { "_id": id, "tags": "a", "size": "large" }).await.unwrap();
    }
    let scanned: Vec<_> = store.scan().collect().await;
    let good: Vec<_> = scanned.iter().flatten().map(|item| item.key).collect();
    assert_eq!((good, scanned.len()), (vec![key(2)], 2 + foreign.len()));
    for error in scanned.into_iter().filter_map(std::result::Result::err) {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert!(store.size_bytes().await.unwrap() > 0);
    put(&store, key(1), tagged(&["b"]), body(1, 9)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
    assert_eq!(store.remove_tagged("a").await.unwrap(), 1 + foreign.len() as u64);
    // Another entry's document is not this one's.
    let mut copy = seen.entry(key(1)).await;
    copy.insert("_id", key(3).to_string());
    seen.entries.insert_one(copy).await.unwrap();
    assert_eq!(store.get(&key(3)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.clear().await.unwrap();
    // Through the cache.
    let layer = CacheLayer::private(store.clone());
    assert!(!fetch(&layer, 7, 50).await.unwrap().0);
    seen.entries.update_one(doc! {}, doc! { "$set": { "head": "a text" } }).await.unwrap();
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (false, body(7, 50)));
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (true, body(7, 50)));
}

#[tokio::test]
async fn damaged_bodies_are_errors_before_they_are_handed_on() {
    let (server, store) = place().await;
    let seen = Seen::on(&server).await;
    let bytes = |len| Binary { subtype: BinarySubtype::Generic, bytes: vec![7; len] };
    for n in [0, 1, 4] {
        let len = if n == 4 { 4 * 1024 } else { 255 * 1024 };
        let damages = [
            Some(doc! { "data": bytes(len) }),
            Some(doc! { "data": bytes(len - 1) }),
            Some(doc! { "data": bytes(0) }),
            Some(doc! { "data": "a text" }),
            Some(doc! { "crc": 7 }),
            Some(doc! { "n": 99 }),
            None,
        ];
        for damage in damages {
            put(&store, key(1), head(), body(1, MIB)).await.unwrap();
            let which = doc! { "files_id": seen.file(key(1)).await, "n": n };
            match damage.clone() {
                Some(set) => {
                    seen.chunks.update_one(which, doc! { "$set": set }).await.map(drop).unwrap();
                }
                None => seen.chunks.delete_one(which).await.map(drop).unwrap(),
            }
            let error = match store.get(&key(1)).await {
                Err(error) => error,
                Ok(hit) => read(hit.unwrap()).await.unwrap_err(),
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage:?} of {n}: {error}");
        }
    }
    // Chunks in another order are not this file's, nor are those of another one.
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let file = seen.file(key(1)).await;
    for (from, to) in [(0, 99), (1, 0), (99, 1)] {
        let which = doc! { "files_id": file, "n": from };
        seen.chunks.update_one(which, doc! { "$set": { "n": to } }).await.unwrap();
    }
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    put(&store, key(2), head(), body(2, MIB)).await.unwrap();
    let (one, two) = (seen.file(key(1)).await, seen.file(key(2)).await);
    seen.chunks.delete_many(doc! { "files_id": one }).await.unwrap();
    let taken = doc! { "$set": { "files_id": one } };
    seen.chunks.update_many(doc! { "files_id": two }, taken).await.unwrap();
    for number in [1, 2] {
        let error = store.get(&key(number)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

// ===== faults =====

#[tokio::test]
async fn an_error_of_the_server_says_what_and_where() {
    let server = Server::start();
    // Not connected, for that would begin with a sweep, whose commands would fail in place of these.
    let store = builder(&server).build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    server.fail(&["find"], 1, doc! { "errorCode": 96 }).await;
    let error = store.get(&key(1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    server.fail(&["find"], 1, doc! { "errorCode": 13 }).await;
    let error = store.get(&key(1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "the login lacks a right: {error}");
    // A write that fails leaves what was there, and in time nothing else.
    for (commands, code) in
        [("insert", 96), ("findAndModify", 96), ("update", 96), ("insert", 14_031)]
    {
        server.fail(&[commands], 1, doc! { "errorCode": code }).await;
        let error = put(&store, key(1), head(), body(2, MIB)).await.unwrap_err();
        let kind = if code == 96 { ErrorKind::Unavailable } else { ErrorKind::Full };
        assert_eq!(error.kind(), kind, "{commands}: {error}");
    }
    server.heal().await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let seen = Seen::on(&server).await;
    let begin = Instant::now();
    loop {
        let state = doc! { "metadata.state": { "$in": ["removed", "pending"] } };
        if seen.files.count_documents(state).await.unwrap() == 3 {
            break;
        }
        assert!(begin.elapsed() < NEVER, "files of failed writes look as live ones");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_a_restart_during_load_fail_no_request() {
    let mut server = Server::start();
    let store = builder(&server).timeout(BRIEF).connect().await.unwrap();
    let layer = CacheLayer::private(store);
    let (stop, hits, after) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let back = Arc::new(AtomicBool::new(false));
    let load = (0..8).map(|worker| {
        let (layer, stop, hits) = (layer.clone(), stop.clone(), hits.clone());
        let (back, after) = (back.clone(), after.clone());
        tokio::spawn(async move {
            let mut number = worker;
            while !stop.load(Ordering::SeqCst) {
                // Some inline, some in files.
                number = (number + 1) % 20;
                let len = if number % 4 == 0 { 900_000 } else { 5_000 };
                match fetch(&layer, number, len).await {
                    Ok((hit, bytes)) => {
                        assert_eq!(bytes, body(number, len), "a wrong body");
                        if hit {
                            hits.fetch_add(1, Ordering::SeqCst);
                            after.fetch_add(
                                u64::from(back.load(Ordering::SeqCst)),
                                Ordering::SeqCst,
                            );
                        }
                    }
                    // A hit whose store goes away amid its body ends in an error: the head was sent already.
                    Err(error) => assert!(error.contains("mongodb"), "{error}"),
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    until("the store is used", || hits.load(Ordering::SeqCst) > 50).await;
    for _ in 0..2 {
        server.kill();
        back.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let server = &mut server;
        tokio::task::block_in_place(|| server.run());
        after.store(0, Ordering::SeqCst);
        back.store(true, Ordering::SeqCst);
        until("the store is used again", || after.load(Ordering::SeqCst) > 50).await;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    assert!(hits.load(Ordering::SeqCst) > 100);
}

fn through(proxy: &Proxy) -> Builder {
    MongoDb::builder(format!("mongodb://{}/?directConnection=true", proxy.address))
}

/// Repeats `ask` until the store can be reached again.
async fn recovered<T>(ask: impl AsyncFn() -> Result<T>) -> T {
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(begin.elapsed() < NEVER, "not used again: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).timeout(BRIEF).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    // Amid a body: it is read on over another connection, or ends in an error, never short.
    let mut whole = 0;
    for _ in 0..5 {
        let hit = recovered(async || store.get(&key(1)).await).await;
        let (mut reading, mut bytes, mut chunks) = (hit.unwrap().body, Vec::new(), 0);
        let outcome = loop {
            match reading.chunk().await {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            chunks += 1;
            if chunks == 8 {
                proxy.cut();
            }
        };
        match outcome {
            Ok(()) => {
                assert_eq!(bytes, body(1, 8 * MIB));
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
    assert!(whole > 0, "a cut ends every body");
    // Where there is no other, the body ends in an error.
    let reading = recovered(async || store.get(&key(1)).await).await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    assert_eq!(read(reading).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // Amid a write: nothing is stored, or all of it.
    proxy.refuse(false);
    recovered(async || store.get(&key(1)).await.map(drop)).await;
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    proxy.cut();
    let failed = match writer.write(body(3, MIB)).await {
        Ok(()) => writer.finish(None).await,
        failed => failed,
    };
    let found = recovered(async || store.get(&key(2)).await).await;
    match (failed, found) {
        (Ok(()), Some(hit)) => assert_eq!(read(hit).await.unwrap().len(), 2 * MIB),
        (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        (outcome, found) => panic!("{outcome:?} {found:?}"),
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
}

#[tokio::test]
async fn a_silent_server_holds_operations_for_the_limit_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let limit = BRIEF;
    let store = through(&proxy).timeout(limit).connect().await.unwrap();
    put(&store, key(1), tagged(&["a"]), body(1, 8 * MIB)).await.unwrap();
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    let layer = CacheLayer::private(store.clone());
    fetch(&layer, 1, 100).await.unwrap();
    proxy.stall(true);
    // Nothing comes any more, so that from here on only the limits end anything: by a time that needs no waiting.
    tokio::time::pause();
    let all = async || {
        let (a, b, c, d) = future::join4(
            store.get(&key(1)),
            put(&store, key(2), head(), body(2, 9)),
            store.remove_tagged("a"),
            store.len(),
        )
        .await;
        for error in [a.map(drop), b, c.map(drop), d.map(drop)].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
    };
    // A request looks up, and stores what it gets from the origin. It waits once.
    let margin = Duration::from_secs(1);
    let begin = tokio::time::Instant::now();
    assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
    let waited = begin.elapsed();
    assert!((limit..limit + margin).contains(&waited), "{waited:?}");
    // Nothing else waits, until the limit has passed and beyond.
    let begin = tokio::time::Instant::now();
    for _ in 0..200 {
        all().await;
    }
    assert!(begin.elapsed() < margin, "{:?}", begin.elapsed());
    for _ in 0..3 {
        tokio::time::sleep(limit).await;
        let begin = tokio::time::Instant::now();
        all().await;
        assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
        assert!(begin.elapsed() < margin, "{:?}", begin.elapsed());
    }
    assert_eq!(read(reading).await.unwrap_err().kind(), ErrorKind::Unavailable);
    tokio::time::resume();
    // The old connections never come back; new ones do.
    proxy.stall(false);
    recovered(async || store.get(&key(1)).await.map(drop)).await;
    let begin = Instant::now();
    while !fetch(&layer, 1, 100).await.unwrap().0 {
        assert!(begin.elapsed() < NEVER, "the store is not used again");
    }
}

#[tokio::test]
async fn a_slow_command_is_an_error_in_time_and_harms_no_other() {
    let server = Server::start();
    let store = builder(&server).timeout(BRIEF / 2).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    // An answer would come in time for nobody, but come it would.
    let block = doc! { "blockConnection": true, "blockTimeMS": 60_000 };
    server.fail(&["aggregate"], 2, block).await;
    for _ in 0..2 {
        assert_eq!(store.size_bytes().await.unwrap_err().kind(), ErrorKind::Unavailable);
        // The store asks the server first whether it is there at all, and need not wait for that.
        let begin = Instant::now();
        let hit = recovered(async || store.get(&key(1)).await).await.unwrap();
        assert_eq!(read(hit).await.unwrap(), body(1, 9));
        assert!(begin.elapsed() < BRIEF / 2, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn callers_that_go_away_or_pause_cost_no_connection() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let (client, answered) = answering(&proxy).await;
    let store = Builder::from_client(client).database(DATABASE).timeout(BRIEF);
    let store = store.build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let (before, first) = (proxy.connections(), answered.load(Ordering::SeqCst));
    for number in 1..=100 {
        let key = key(1);
        let asking = store.get(&key);
        tokio::select! {
            biased;
            _ = asking => panic!("an answer before the question"),
            () = tokio::task::yield_now() => {}
        }
        // One at a time: several at once take several connections.
        until("an answer that nobody waits for", || {
            answered.load(Ordering::SeqCst) >= first + number
        })
        .await;
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let made = proxy.connections() - before;
    assert!(made < 10, "{made} connections for 100 questions");
    // What was asked and is looked at after more than the limit has come in time.
    let one = key(1);
    let mut writer = store.put(&key(2), head()).await.unwrap();
    {
        let mut asking = Box::pin(store.get(&one));
        assert!(futures_util::poll!(&mut asking).is_pending());
        let mut writing = Box::pin(writer.write(body(2, MIB)));
        assert!(futures_util::poll!(&mut writing).is_pending());
        tokio::time::sleep(BRIEF + Duration::from_millis(500)).await;
        drop(asking.await.unwrap().unwrap());
        writing.await.unwrap();
    }
    // What a call that is given up was about to send is sent by the next one, also where it was sent already.
    {
        let mut writing = Box::pin(writer.write(body(3, MIB)));
        assert!(futures_util::poll!(&mut writing).is_pending());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    writer.finish(None).await.unwrap();
    let found = get(&store, key(2)).await.unwrap();
    assert!(found == [body(2, MIB), body(3, MIB)].concat(), "another body");
}

/// Gives `asking` up once the command that has `word` in it is under way, and has not come to the server yet.
async fn give_up<T>(proxy: &Proxy, word: &'static str, asking: impl Future<Output = T>) {
    proxy.hold(word);
    tokio::select! {
        biased;
        _ = asking => panic!("an answer to what is held back"),
        () = proxy.held() => {}
    }
}

/// What `later` comes to, which must wait for what was given up.
async fn behind<T>(proxy: &Proxy, later: impl Future<Output = Result<T>>) -> T {
    let mut later = pin!(later);
    tokio::select! {
        biased;
        _ = &mut later => panic!("it did not wait for what was given up"),
        () = tokio::time::sleep(Duration::from_millis(300)) => proxy.release(),
    }
    later.await.unwrap()
}

/// Over another connection, it would come to the server before what was given up.
#[tokio::test]
async fn what_was_given_up_is_done_before_what_begins_later() {
    const PUBLISH: &str = "\x02findAndModify\0";
    const UPDATE: &str = "\x02update\0";
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).timeout(Duration::from_secs(20)).connect().await.unwrap();
    // So that the indexes are there.
    put(&store, key(0), head(), body(0, 9)).await.unwrap();
    for len in [9, MIB] {
        let writing = || put(&store, key(1), tagged(&["a"]), body(1, len));
        give_up(&proxy, PUBLISH, writing()).await;
        // What has nothing to do with it does not wait.
        put(&store, key(2), head(), body(2, 9)).await.unwrap();
        assert!(store.remove(&key(2)).await.unwrap());
        assert!(behind(&proxy, store.remove(&key(1))).await);
        assert_eq!(get(&store, key(1)).await, None);

        give_up(&proxy, PUBLISH, writing()).await;
        assert_eq!(behind(&proxy, store.remove_tagged("a")).await, 1);
        assert_eq!(get(&store, key(1)).await, None);

        give_up(&proxy, PUBLISH, writing()).await;
        behind(&proxy, store.clear()).await;
        assert_eq!(get(&store, key(1)).await, None);

        give_up(&proxy, PUBLISH, writing()).await;
        behind(&proxy, put(&store, key(1), head(), body(3, len))).await;
        assert_eq!(get(&store, key(1)).await.unwrap(), body(3, len));

        // A removal takes nothing that is written after it.
        give_up(&proxy, PUBLISH, store.remove(&key(1))).await;
        behind(&proxy, put(&store, key(1), head(), body(4, len))).await;
        assert_eq!(get(&store, key(1)).await.unwrap(), body(4, len));

        let seen = store.get(&key(1)).await.unwrap().unwrap().version;
        give_up(&proxy, UPDATE, store.update(&key(1), seen, tagged(&["b"]))).await;
        assert_eq!(behind(&proxy, store.remove_tagged("b")).await, 1);
        assert_eq!(get(&store, key(1)).await, None);
    }
}

#[tokio::test]
async fn a_write_that_is_given_up_sets_aside_what_it_replaces() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).database(DATABASE).timeout(Duration::from_secs(20));
    let store = store.connect().await.unwrap();
    let seen = Seen::on(&server).await;
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let old = seen.file(key(1)).await;
    give_up(&proxy, "\x02findAndModify\0", put(&store, key(1), head(), body(2, MIB))).await;
    assert_eq!(seen.state(old).await.unwrap(), "live");
    proxy.release();
    let begin = Instant::now();
    while seen.state(old).await.unwrap() != "removed" {
        assert!(begin.elapsed() < Duration::from_secs(60), "the old file is not set aside");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, MIB));
    assert_eq!(seen.state(seen.file(key(1)).await).await.unwrap(), "live");
}

#[tokio::test]
async fn a_store_can_be_made_before_its_server() {
    let mut server = Server::start();
    server.kill();
    let limit = BRIEF / 2;
    let error = builder(&server).timeout(limit).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    let store = builder(&server).timeout(limit).build().await.unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(begin.elapsed() < limit * 20, "each waits: {:?}", begin.elapsed());
    tokio::task::spawn_blocking(move || {
        server.run();
        server
    })
    .await
    .map(|server| async move {
        recovered(async || put(&store, key(1), tagged(&["a"]), body(1, 9)).await).await;
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
        // The indexes were made then.
        let seen = Seen::on(&server).await;
        assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), Some(0))]);
    })
    .unwrap()
    .await;
}

/// Uses the store in a runtime that ends then, with all tasks in it.
fn in_another_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_recovers_after_a_runtime_that_used_it_has_ended() {
    let mut server = Server::start();
    let store = builder(&server).timeout(BRIEF / 2).build().await.unwrap();
    server.kill();
    // It asks in the background whether the server is back.
    let found = tokio::task::block_in_place(|| in_another_runtime(store.get(&key(1))));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Unavailable);
    tokio::task::block_in_place(|| server.run());
    recovered(async || store.get(&key(1)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_sweeps_after_a_runtime_that_used_it_has_ended() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF / 2).linger(Duration::ZERO).build().await.unwrap();
    let writing = put(&store, key(1), head(), body(1, MIB));
    tokio::task::block_in_place(|| in_another_runtime(writing)).unwrap();
    put(&store, key(1), head(), body(2, MIB)).await.unwrap();
    seen.settle([1, 1, 5]).await;
}

// ===== connections =====

#[tokio::test]
async fn a_client_or_a_database_that_is_there_already_will_do() {
    let server = Server::start();
    let database = server.database().await;
    let store = Builder::from_database(database).timeout(PATIENT);
    let store = store.connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    // One that prefers other members than the primary, too.
    let url = format!("{}&readPreference=secondary&w=1", server.url());
    let client = Client::with_uri_str(url).await.unwrap();
    let store = Builder::from_client(client.clone()).database(DATABASE).timeout(PATIENT);
    let store = store.connect().await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let store = Builder::from_client(client).timeout(PATIENT).connect().await.unwrap();
    assert!(get(&store, key(1)).await.is_none(), "its own database is another one");
    let client = server.client().await;
    let names = client.list_database_names().await.unwrap();
    assert!(names.contains(&"larder".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_login_that_is_refused_says_nothing_of_the_password() {
    let server = Server::start();
    let url = format!("mongodb://user:se%20cret@127.0.0.1:{}/?directConnection=true", server.port);
    let store = MongoDb::builder(&url).timeout(PATIENT).build().await.unwrap();
    let shown = match store.get(&key(1)).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            format!("{error} {error:?} {store:?}")
        }
        Ok(_) => panic!("a server that knows no users lets this one in"),
    };
    assert!(!shown.contains("cret"), "{shown}");
}

// ===== processes and memory =====

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_server() {
    const OPERATIONS: u64 = 10_000;
    async fn operate(store: &MongoDb, seed: u64) {
        let work = (0..8).map(|worker| async move {
            let mut state = seed * 8 + worker + 1;
            for _ in 0..OPERATIONS / 8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (number, what) = ((state >> 33) % 200, (state >> 50) % 16);
                let len = if number % 10 == 0 { 300_000 } else { 1_000 };
                match what {
                    0..4 => {
                        let tag = format!("tag {}", number % 20);
                        let head = tagged(&[&tag])
                            .with_expires_at(Some(now().saturating_add(Duration::from_secs(600))));
                        put(store, key(number), head, body(number, len)).await.unwrap();
                    }
                    4..12 => {
                        if let Some(found) = get(store, key(number)).await {
                            assert_eq!(found, body(number, len));
                        }
                    }
                    12 | 13 => {
                        if let Some(hit) = store.get(&key(number)).await.unwrap() {
                            store
                                .update(&key(number), hit.version, tagged(&["updated"]))
                                .await
                                .unwrap();
                        }
                    }
                    14 => drop(store.remove(&key(number)).await.unwrap()),
                    _ => drop(store.remove_tagged(&format!("tag {}", number % 20)).await.unwrap()),
                }
            }
        });
        future::join_all(work).await;
    }
    let name = "two_processes_share_a_server";
    let connect = async |url: &str, namespace: &str| {
        let store = MongoDb::builder(url).database(DATABASE).namespace(namespace);
        store.timeout(PATIENT).connect().await.unwrap()
    };
    if let Ok(word) = env::var(CHILD) {
        let (namespace, url) = word.split_once(' ').unwrap();
        operate(&connect(url, namespace).await, 2).await;
        return;
    }
    let (url, _server) = any_server();
    let namespace = namespace();
    let store = connect(&url, &namespace).await;
    let mut child = child(name, &format!("{namespace} {url}")).spawn().unwrap();
    operate(&store, 1).await;
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let entries = store.len().await.unwrap();
    let scanned: Vec<_> = store.scan().collect().await;
    assert_eq!(scanned.len() as u64, entries);
    assert!(scanned.iter().all(Result::is_ok));
    // Each large entry has its file. A server that gives the same old document to two who replace it at once, as the test
    // server does, leaves others that nobody knows of: in a day they are found.
    let client = Client::with_uri_str(&url).await.unwrap();
    let collection =
        |name| client.database(DATABASE).collection::<Document>(&format!("{namespace}.{name}"));
    let touched = doc! { "$set": { "metadata.touched": ago(2 * DAY) } };
    collection("files").update_many(doc! {}, touched).await.unwrap();
    for _ in 0..2 {
        store.remove_expired(Timestamp::MIN).await.unwrap();
    }
    let (large, live) = (doc! { "file": { "$exists": true } }, doc! { "metadata.state": "live" });
    assert_eq!(
        collection("entries").count_documents(large).await.unwrap(),
        collection("files").count_documents(live).await.unwrap(),
    );
    for item in store.scan().collect::<Vec<_>>().await {
        assert!(get(&store, item.unwrap().key).await.is_some());
    }
    let mut removed = store.remove_tagged("updated").await.unwrap();
    for tag in 0..20 {
        removed += store.remove_tagged(&format!("tag {tag}")).await.unwrap();
    }
    assert_eq!(removed, entries, "the indexes know of every entry");
    assert_eq!(store.len().await.unwrap(), 0);
    drop_namespace(&url, &namespace).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_body_passes_through_little_memory() {
    let name = "a_large_body_passes_through_little_memory";
    fn peak() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }
    if let Ok(url) = env::var(CHILD) {
        let store = MongoDb::builder(&url).timeout(PATIENT).connect().await.unwrap();
        let before = peak();
        let block = body(1, MIB);
        let mut writer = store.put(&key(1), head()).await.unwrap();
        for _ in 0..100 {
            // A memory of its own each time, as from a socket.
            writer.write(Bytes::copy_from_slice(&block)).await.unwrap();
        }
        writer.finish(None).await.unwrap();
        let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
        let mut len = 0;
        while let Some(chunk) = body.chunk().await {
            len += chunk.unwrap().len();
        }
        assert_eq!(len, 100 * MIB);
        let grown = peak() - before;
        println!("grown by {} KiB", grown / 1_024);
        assert!(grown < 48 * MIB as u64, "{} KiB", grown / 1_024);
        return;
    }
    let server = Server::start();
    let output = child(name, &server.url()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("grown by"), "{text}");
    println!("{text}");
}

// ===== How often the store is read =====

#[tokio::test(flavor = "multi_thread")]
async fn a_varied_hit_reads_the_store_once() {
    let (_server, store) = place().await;
    reads::are_counted(store).await;
}
