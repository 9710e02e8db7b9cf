//! Tests of `MongoDb` that need a server: its documents, files and indexes, the commands it
//! receives, faults of the network and of the server, and other processes.
//!
//! The conformance suite checks the contract of every store.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod abandoned;
mod connections;
mod damage;
mod documents;
mod expiry;
mod faults;
mod files;
mod processes;
mod round_trips;

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[path = "../../support/own_process.rs"]
mod own_process;
#[path = "../../support/process.rs"]
mod process;
#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/remote.rs"]
mod remote;
#[path = "../../support/mongodb.rs"]
mod servers;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::{AsyncReadExt, StreamExt, TryStreamExt, future};
use http::{HeaderValue, Method, Response};
use larder::{
    CacheLayer, Key,
    entry::Head,
    store::{ErrorKind, MongoDb, Result, Store, Version, Writer, mongodb::Builder},
    time::Timestamp,
};
use mongodb::{
    Client, Collection, IndexModel,
    bson::{Binary, Bson, DateTime, Document, doc, oid::ObjectId, spec::BinarySubtype},
    event::{EventHandler, command::CommandEvent},
    options::{ClientOptions, GridFsBucketOptions, IndexOptions},
};

use self::{
    child::child_word,
    entries::{MIB, body, get, key, mixed, put, read},
    own_process::two_processes_do_ten_thousand_operations_each,
    process::unique_name,
    proxy::{Proxy, Sent},
    remote::{
        NEVER, entry_of_a_cut_write_is_whole_or_missing, every_operation_is_refused, expiring,
        fetch, head, now, requests_succeed_while_the_server_is_killed, tagged, until,
    },
    servers::{DATABASE, Server, any_server, drop_namespace},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A time limit that a busy machine, or one that stands still for a while, does not reach. It is
/// shorter than the time for which replaced files stay.
const PATIENT: Duration = Duration::from_secs(50);

/// A time limit for tests that wait until it ends, or until replaced files are removed.
const BRIEF: Duration = Duration::from_secs(10);

fn builder(server: &Server) -> Builder {
    MongoDb::builder(server.url()).database(DATABASE).timeout(PATIENT)
}

fn through(proxy: &Proxy) -> Builder {
    MongoDb::builder(format!("mongodb://{}/?directConnection=true", proxy.address))
}

/// A server of its own for the test, and a store on it.
async fn server_and_store() -> (Server, MongoDb) {
    let server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    (server, store)
}

/// The collections of the namespace, as another program sees them.
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

    /// The numbers of documents: entries, files, and chunks.
    async fn counts(&self) -> [u64; 3] {
        let count = |collection: &Collection<Document>| {
            let collection = collection.clone();
            async move { collection.count_documents(doc! {}).await.unwrap() }
        };
        [count(&self.entries).await, count(&self.files).await, count(&self.chunks).await]
    }

    /// The time at which a file was last touched, in milliseconds.
    async fn touched(&self, file: ObjectId) -> i64 {
        let file = self.files.find_one(doc! { "_id": file }).await.unwrap().unwrap();
        let touched = file.get_document("metadata").unwrap().get_datetime("touched").unwrap();
        touched.timestamp_millis()
    }

    /// Waits until these numbers of documents are left.
    async fn settle(&self, counts: [u64; 3]) {
        let what = format!("{counts:?} documents are left");
        until(&what, async || self.counts().await == counts).await;
    }
}

fn ago(age: Duration) -> DateTime {
    DateTime::from_system_time(SystemTime::now() - age)
}
