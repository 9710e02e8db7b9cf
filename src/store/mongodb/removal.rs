//! Removes entries: one, or all that an index finds, some at a time so that each step is within the
//! time limit. The files of removed entries are set aside.

use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc, oid::ObjectId};

use super::{
    files::REMOVED,
    record::{date, file_of},
    shared::Shared,
};
use crate::{
    Key,
    store::{Result, Version},
    time::Timestamp,
};

/// How many entries are removed at a time.
const PAGE: i64 = 100;

impl Shared {
    pub(super) async fn remove(self: &Arc<Self>, key: &Key) -> Result<bool> {
        self.remove_one(key, doc! { "_id": key.to_string() }).await
    }

    pub(super) async fn remove_if(self: &Arc<Self>, key: &Key, seen: Version) -> Result<bool> {
        let which = doc! { "_id": key.to_string(), "version": seen.get() as i64 };
        self.remove_one(key, which).await
    }

    async fn remove_one(self: &Arc<Self>, key: &Key, which: Document) -> Result<bool> {
        let entries = self.collections.entries.clone();
        let removed = async move {
            let fields = doc! { "file": 1, "_id": 0 };
            entries.find_one_and_delete(which).projection(fields).await
        };
        let shared = self.clone();
        let removing = async move {
            let Some(removed) = shared.link.ask(removed).await? else { return Ok(false) };
            shared.set_aside(file_of(&removed).into_iter().collect()).await;
            Ok(true)
        };
        self.order.change(&self.link, key, removing).await
    }

    pub(super) async fn remove_expired(self: &Arc<Self>, now: Timestamp) -> Result<u64> {
        self.indexed().await?;
        let removed = self.remove_all(doc! { "keep_until": { "$lte": date(now) } }).await?;
        self.sweep(usize::MAX).await?;
        Ok(removed)
    }

    pub(super) async fn remove_tagged(self: &Arc<Self>, tag: &str) -> Result<u64> {
        self.remove_all(doc! { "tags": tag }).await
    }

    /// Removes all entries, and foreign documents among them.
    pub(super) async fn clear(self: &Arc<Self>) -> Result<()> {
        self.remove_all(doc! {}).await.map(drop)
    }

    /// Removes the entries that match `which`, and only those, even if they change meanwhile.
    async fn remove_all(self: &Arc<Self>, which: Document) -> Result<u64> {
        self.order.wait(&self.link, None).await?;
        let mut removed = 0;
        loop {
            let (entries, page) = (self.collections.entries.clone(), which.clone());
            let page = async move {
                let fields = doc! { "version": 1, "file": 1 };
                let page = entries.find(page).projection(fields).limit(-PAGE);
                page.await?.try_collect::<Vec<_>>().await
            };
            let page = self.link.ask(page).await?;
            if page.is_empty() {
                return Ok(removed);
            }
            let all_of = |name| page.iter().map(|entry| field(entry, name)).collect::<Vec<_>>();
            let files: Vec<ObjectId> = page.iter().filter_map(|entry| file_of(entry)).collect();
            // Only these versions, since another version has another file. A replaced entry is met
            // again.
            let mut gone = which.clone();
            gone.insert("_id", doc! { "$in": all_of("_id") });
            gone.insert("version", doc! { "$in": all_of("version") });
            let entries = self.collections.entries.clone();
            removed +=
                self.link.ask(async move { entries.delete_many(gone).await }).await?.deleted_count;
            self.set_aside(files).await;
        }
    }

    /// Sets aside files whose entries are gone. If that fails, a sweep finds them within a day.
    pub(super) async fn set_aside(self: &Arc<Self>, files: Vec<ObjectId>) {
        if files.is_empty() {
            return;
        }
        drop(self.set_state(files, REMOVED).await);
        self.sweep_later();
    }
}

/// Returns a field as it is. A missing field is null, which servers treat the same.
fn field(document: &RawDocumentBuf, name: &str) -> Bson {
    let value: Option<RawBsonRef<'_>> = document.get(name).ok().flatten();
    value.and_then(|value| value.try_into().ok()).unwrap_or(Bson::Null)
}
