//! Scans and counts.

use std::{collections::VecDeque, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::{
    fault,
    record::{Damage, Record, parse_key},
    shared::Shared,
    sweep::all,
};
use crate::{
    Key,
    store::{Error, ErrorKind, Result, Scanned, Version},
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
    /// Returns the next documents of a walk, without bodies.
    async fn page(&self, at: &At) -> Result<(Vec<RawDocumentBuf>, At)> {
        let which = match at {
            At::Begin => doc! { "_id": { "$gte": "" } },
            At::After(id) => doc! { "_id": { "$gt": id } },
            At::Foreign => doc! { "_id": { "$not": { "$type": "string" } } },
            At::End => return Ok((Vec::new(), At::End)),
        };
        let entries = self.collections.entries.clone();
        let page = async move {
            let page = entries.find(which).sort(doc! { "_id": 1 }).limit(-PAGE);
            all(page.projection(doc! { "body": 0 }).await?).await
        };
        let page = self.link.ask(page).await?;
        // A page may be short, since answers have a size limit.
        let next = match (at, page.last().and_then(|last| last.get_str("_id").ok())) {
            (At::Foreign | At::End, _) => At::End,
            (_, Some(id)) => At::After(id.to_owned()),
            (_, None) => At::Foreign,
        };
        Ok((page, next))
    }

    /// Returns the entry of `key` without its body.
    pub(super) async fn record(&self, key: &Key) -> Result<Option<Record>> {
        let entries = self.collections.entries.clone();
        let which = doc! { "_id": key.to_string() };
        let found = async move { entries.find_one(which).projection(doc! { "body": 0 }).await };
        let Some(document) = self.link.ask(found).await? else { return Ok(None) };
        Record::parse(key, document).map(Some).map_err(|damage| damaged(key, damage))
    }
}

pub(super) fn damaged(key: &Key, damage: Damage) -> Error {
    match damage {
        Damage::Shape(what) => fault::corrupt(key, what),
        Damage::Head(error) => fault::damaged(key, error),
    }
}

/// Lists every entry's head.
pub(super) fn scan(shared: Arc<Shared>) -> impl Stream<Item = Result<Scanned>> + Send {
    let walk = Some((shared, At::Begin));
    let pages = stream::try_unfold(walk, |walk| async {
        let Some((shared, at)) = walk else { return Ok(None) };
        let (page, next) = shared.page(&at).await?;
        let page: VecDeque<_> = page.into_iter().map(scanned).collect();
        let walk = match next {
            At::End => None,
            next => Some((shared, next)),
        };
        Ok(Some((stream::iter(page.into_iter().map(Ok::<_, Error>)), walk)))
    });
    pages.try_flatten().map(|item| item.and_then(|scanned| scanned))
}

fn scanned(document: RawDocumentBuf) -> Result<Scanned> {
    let id: Option<Bson> = document.get("_id").ok().flatten().and_then(|id| id.try_into().ok());
    let Some(key) = id.as_ref().and_then(Bson::as_str).and_then(parse_key) else {
        let id = id.unwrap_or(Bson::Null);
        let message = format!("the document with the _id {id} is not an entry of the cache");
        return Err(Error::new(ErrorKind::Corrupt, fault::STORE, message));
    };
    let record = Record::parse(&key, document).map_err(|damage| damaged(&key, damage))?;
    Ok(Scanned::new(key, Version::new(record.version), Arc::new(record.head)))
}

pub(super) async fn len(shared: &Shared) -> Result<u64> {
    let entries = shared.collections.entries.clone();
    shared.link.ask(async move { entries.estimated_document_count().await }).await
}

/// Returns the sum of the sizes in the entries, which an index answers.
pub(super) async fn size(shared: &Shared) -> Result<u64> {
    let entries = shared.collections.entries.clone();
    let sum = [
        doc! { "$match": { "size": { "$gte": 0 } } },
        doc! { "$group": { "_id": null, "size": { "$sum": "$size" } } },
    ];
    let sums = async move {
        let sums: Vec<Document> = entries.aggregate(sum).await?.try_collect().await?;
        Ok(sums)
    };
    let sums = shared.link.ask(sums).await?;
    let Some(sum) = sums.first().and_then(|sum| sum.get("size")) else { return Ok(0) };
    let sum = match sum {
        Bson::Int32(sum) => u64::try_from(*sum).ok(),
        Bson::Int64(sum) => u64::try_from(*sum).ok(),
        Bson::Double(sum) => Some(*sum as u64),
        _ => None,
    };
    sum.ok_or_else(|| fault::strange(shared.link.server()))
}
