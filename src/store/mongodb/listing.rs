//! Scans and counts.

use std::sync::Arc;

use futures_core::Stream;
use futures_util::{TryStreamExt, stream};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::{
    fault,
    record::{FileId, decode},
    shared::Shared,
};
use crate::{
    Key,
    store::{
        Error, ErrorKind, Result, Scanned,
        server::{Record, parse_key},
    },
};

/// How many heads are read at a time.
const PAGE: i64 = 100;

/// The position of a walk over the entries, in the order of their `_id`s. It holds nothing on the
/// server, so it may pause for any time.
#[derive(Clone)]
enum At {
    Begin,
    /// After this `_id`, among those that are strings.
    After(String),
    /// After them, where no entry is, but other documents may be.
    Foreign,
    End,
}

impl Shared {
    /// Lists every entry's head.
    pub(super) fn scan(self: &Arc<Self>) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        let walk = (self.clone(), At::Begin);
        let pages = stream::try_unfold(walk, |(shared, at)| async move {
            let Some((page, next)) = shared.page(&at).await? else { return Ok(None) };
            Ok(Some((stream::iter(page.into_iter().map(scanned)), (shared, next))))
        });
        pages.try_flatten()
    }

    pub(super) async fn len(&self) -> Result<u64> {
        let entries = self.collections.entries.clone();
        self.link.ask(async move { entries.estimated_document_count().await }).await
    }

    /// Returns the sum of the sizes in the entries, which an index answers.
    pub(super) async fn size_bytes(&self) -> Result<u64> {
        let entries = self.collections.entries.clone();
        let sum = [
            doc! { "$match": { "size": { "$gte": 0 } } },
            doc! { "$group": { "_id": null, "size": { "$sum": "$size" } } },
        ];
        let sums = async move { entries.aggregate(sum).await?.try_collect::<Vec<_>>().await };
        let sums: Vec<Document> = self.link.ask(sums).await?;
        let Some(sum) = sums.first().and_then(|sum| sum.get("size")) else { return Ok(0) };
        let sum = match sum {
            Bson::Int32(sum) => u64::try_from(*sum).ok(),
            Bson::Int64(sum) => u64::try_from(*sum).ok(),
            Bson::Double(sum) => Some(*sum as u64),
            _ => None,
        };
        sum.ok_or_else(|| self.link.circuit().strange())
    }

    /// Returns the next documents of a walk, without bodies.
    async fn page(&self, at: &At) -> Result<Option<(Vec<RawDocumentBuf>, At)>> {
        let which = match at {
            At::Begin => doc! { "_id": { "$gte": "" } },
            At::After(id) => doc! { "_id": { "$gt": id } },
            At::Foreign => doc! { "_id": { "$not": { "$type": "string" } } },
            At::End => return Ok(None),
        };
        let entries = self.collections.entries.clone();
        let page = async move {
            let page = entries.find(which).sort(doc! { "_id": 1 }).limit(-PAGE);
            page.projection(doc! { "body": 0 }).await?.try_collect::<Vec<_>>().await
        };
        let page = self.link.ask(page).await?;
        // A page may be short, since answers have a size limit.
        let next = match (at, page.last().and_then(|last| last.get_str("_id").ok())) {
            (At::Foreign | At::End, _) => At::End,
            (_, Some(id)) => At::After(id.to_owned()),
            (_, None) => At::Foreign,
        };
        Ok(Some((page, next)))
    }

    /// Returns the entry of `key` without its body.
    pub(super) async fn record(&self, key: &Key) -> Result<Option<Record<FileId>>> {
        let entries = self.collections.entries.clone();
        let which = doc! { "_id": key.to_string() };
        let found = async move { entries.find_one(which).projection(doc! { "body": 0 }).await };
        let Some(document) = self.link.ask(found).await? else { return Ok(None) };
        decode(key, document).map(Some)
    }
}

fn scanned(document: RawDocumentBuf) -> Result<Scanned> {
    let id: Option<Bson> = document.get("_id").ok().flatten().and_then(|id| id.try_into().ok());
    let Some(key) = id.as_ref().and_then(Bson::as_str).and_then(parse_key) else {
        let id = id.unwrap_or(Bson::Null);
        let message = format!("the document with the _id {id} is not an entry of the cache");
        return Err(Error::new(ErrorKind::Corrupt, fault::STORE, message));
    };
    Ok(decode(&key, document)?.scanned(key))
}
