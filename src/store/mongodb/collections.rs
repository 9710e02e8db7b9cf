//! The three collections of a namespace, and their indexes.

use std::time::Duration;

use mongodb::{
    Collection, Database, IndexModel,
    bson::{Bson, Document, RawDocumentBuf, doc},
    error::Result as MongoResult,
    options::IndexOptions,
};

use super::{
    fault::{self, STORE},
    link::Link,
};
use crate::store::{Result, server::invalid};

/// The name of the index that expires entries.
const EXPIRY: &str = "keep_until_1";

/// The longest delay of a TTL index.
const LONGEST: u64 = i32::MAX as u64;

#[derive(Clone)]
pub(super) struct Collections {
    pub(super) entries: Collection<RawDocumentBuf>,
    /// GridFS files; `chunks` are their chunks.
    pub(super) files: Collection<RawDocumentBuf>,
    pub(super) chunks: Collection<RawDocumentBuf>,
}

impl Collections {
    pub(super) fn new(database: &Database, namespace: &str) -> Self {
        let collection = |name| database.collection(&format!("{namespace}.{name}"));
        let [entries, files, chunks] = ["entries", "files", "chunks"].map(collection);
        Self { entries, files, chunks }
    }

    /// Creates missing indexes, and sets the time to live to `grace`.
    pub(super) async fn index(&self, link: &Link, grace: Duration) -> Result<()> {
        self.index_expiry(link, grace).await?;
        self.index_others(link).await
    }

    /// Creates missing indexes: flushing a cache may drop its collections. Keeps an index that
    /// another process has created with other options.
    pub(super) async fn restore(&self, link: &Link, grace: Duration) -> Result<()> {
        match self.create_expiry(link, seconds(grace)).await? {
            Err(error) if !fault::is_index_conflict(&error) => {
                return Err(fault::error(link.server(), error));
            }
            _ => {}
        }
        self.index_others(link).await
    }

    async fn index_others(&self, link: &Link) -> Result<()> {
        // The driver names an index by its keys.
        let index = |keys| IndexModel::builder().keys(keys).build();
        let unique = IndexOptions::builder().unique(true).build();
        let chunks = IndexModel::builder().keys(doc! { "files_id": 1, "n": 1 }).options(unique);
        let wanted = [
            (&self.entries, vec![index(doc! { "tags": 1 }), index(doc! { "size": 1 })]),
            (
                &self.files,
                vec![
                    index(doc! { "filename": 1, "uploadDate": 1 }),
                    index(doc! { "metadata.state": 1, "metadata.touched": 1 }),
                    index(doc! { "metadata.state": 1, "metadata.keep_until": 1 }),
                ],
            ),
            (&self.chunks, vec![chunks.build()]),
        ];
        for (collection, indexes) in wanted {
            let collection = collection.clone();
            link.ask(async move { collection.create_indexes(indexes).await }).await?;
        }
        Ok(())
    }

    async fn index_expiry(&self, link: &Link, grace: Duration) -> Result<()> {
        let seconds = seconds(grace);
        let Err(conflict) = self.create_expiry(link, seconds).await? else { return Ok(()) };
        if !fault::is_index_conflict(&conflict) {
            return Err(fault::error(link.server(), conflict));
        }
        if let Some(seconds) = seconds {
            let change = doc! {
                "collMod": self.entries.name(),
                "index": { "keyPattern": { "keep_until": 1 }, "expireAfterSeconds": seconds as i64 },
            };
            let database = link.database().clone();
            let changed = link.try_ask(async move { database.run_command(change).await }).await?;
            // Another index may have the name, or the index may still have other options.
            if changed.is_ok() && self.create_expiry(link, Some(seconds)).await?.is_ok() {
                return Ok(());
            }
        }
        for name in self.expiry_indexes(link).await? {
            let entries = self.entries.clone();
            let dropped = link.try_ask(async move { entries.drop_index(name).await }).await?;
            // Another process may have dropped it too.
            if let Err(error) = dropped
                && !fault::is_not_there(&error)
            {
                return Err(fault::error(link.server(), error));
            }
        }
        let created = self.create_expiry(link, seconds).await?;
        created.map_err(|error| fault::error(link.server(), error))
    }

    async fn create_expiry(&self, link: &Link, seconds: Option<u64>) -> Result<MongoResult<()>> {
        let options = IndexOptions::builder()
            .name(EXPIRY.to_owned())
            .expire_after(seconds.map(Duration::from_secs))
            .build();
        let index = IndexModel::builder().keys(doc! { "keep_until": 1 }).options(options).build();
        let entries = self.entries.clone();
        link.try_ask(async move { entries.create_index(index).await.map(drop) }).await
    }

    /// The grace that the TTL index of the server has; `None` if there is no index.
    pub(super) async fn grace(&self, link: &Link) -> Result<Option<Duration>> {
        let indexes = self.indexes(link).await?;
        Ok(indexes.iter().find(|index| is_over_keep_until(index)).map(|index| {
            match index.get("expireAfterSeconds") {
                Some(&Bson::Int32(seconds)) => from_seconds(seconds.into()),
                Some(&Bson::Int64(seconds)) => from_seconds(seconds),
                Some(&Bson::Double(seconds)) => from_seconds(seconds as i64),
                _ => Duration::MAX,
            }
        }))
    }

    /// The names of the indexes that conflict with ours.
    async fn expiry_indexes(&self, link: &Link) -> Result<Vec<String>> {
        let names = self.indexes(link).await?.into_iter().filter_map(|index| {
            let name = index.get_str("name").ok()?;
            (name == EXPIRY || is_over_keep_until(&index)).then(|| name.to_owned())
        });
        Ok(names.collect())
    }

    /// The indexes of the entries; none if the collection does not exist.
    async fn indexes(&self, link: &Link) -> Result<Vec<Document>> {
        let list = doc! { "listIndexes": self.entries.name() };
        let database = link.database().clone();
        let answer = match link.try_ask(async move { database.run_command(list).await }).await? {
            Ok(answer) => answer,
            Err(error) if fault::is_not_there(&error) => return Ok(Vec::new()),
            Err(error) => return Err(fault::error(link.server(), error)),
        };
        let indexes =
            answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let indexes = indexes.map_err(|_| link.circuit().strange())?;
        Ok(indexes.iter().filter_map(|index| index.as_document().cloned()).collect())
    }
}

/// Whether the index has the keys of ours.
fn is_over_keep_until(index: &Document) -> bool {
    index.get_document("key").is_ok_and(|key| key.keys().eq(["keep_until"]))
}

fn from_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The delay of the TTL index; `None` means forever.
fn seconds(grace: Duration) -> Option<u64> {
    // Rounded up, so that no entry expires early.
    let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
    (seconds <= LONGEST).then_some(seconds)
}

/// Refuses a prefix that servers do not accept in a name of a collection.
pub(super) fn check_namespace(namespace: &str) -> Result<()> {
    let good = !namespace.is_empty()
        && namespace.len() <= 120
        && !namespace.contains(['$', '\0'])
        && !namespace.starts_with("system.")
        && !namespace.starts_with('.')
        && !namespace.ends_with('.');
    if good {
        return Ok(());
    }
    let why = "use a name of up to 120 bytes without `$` that neither begins nor ends with a dot \
               nor begins with \"system.\", such as \"larder\"";
    Err(invalid(STORE, format!("invalid namespace {namespace:?}; {why}")))
}

/// Refuses a name that servers do not accept for a database.
pub(super) fn check_database(name: &str) -> Result<()> {
    let bad = ['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'];
    if !name.is_empty() && name.len() < 64 && !name.contains(bad) {
        return Ok(());
    }
    let why = "use a name of up to 63 bytes without dots, blanks and special characters, such as \
               \"larder\"";
    Err(invalid(STORE, format!("invalid database name {name:?}; {why}")))
}
