//! Removes entries: one, or all that an index finds, some at a time so that each step is within the
//! time limit. The files of removed entries are set aside.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc, oid::ObjectId};

use super::{
    record::{date, file_of},
    shared::Shared,
    sweep::all,
};
use crate::{
    Key,
    store::{Result, Version},
    time::Timestamp,
};

/// How many entries are removed at a time.
const PAGE: i64 = 100;

pub(super) async fn remove(shared: &Arc<Shared>, key: &Key, seen: Option<Version>) -> Result<bool> {
    let mut which = doc! { "_id": key.to_string() };
    if let Some(seen) = seen {
        which.insert("version", seen.get() as i64);
    }
    let entries = shared.collections.entries.clone();
    let removed = async move {
        let fields = doc! { "file": 1, "_id": 0 };
        entries.find_one_and_delete(which).projection(fields).await
    };
    let ours = shared.clone();
    let removing = async move {
        let Some(removed) = ours.link.ask(removed).await? else { return Ok(false) };
        set_aside(&ours, file_of(&removed).into_iter().collect()).await;
        Ok(true)
    };
    shared.change(key, removing).await
}

pub(super) async fn remove_expired(shared: &Arc<Shared>, now: Timestamp) -> Result<u64> {
    shared.indexed().await?;
    let removed = remove_all(shared, doc! { "keep_until": { "$lte": date(now) } }).await?;
    shared.sweep(usize::MAX).await?;
    Ok(removed)
}

pub(super) async fn remove_tagged(shared: &Arc<Shared>, tag: &str) -> Result<u64> {
    remove_all(shared, doc! { "tags": tag }).await
}

/// Removes all entries, and foreign documents among them.
pub(super) async fn clear(shared: &Arc<Shared>) -> Result<()> {
    remove_all(shared, doc! {}).await.map(drop)
}

/// Removes the entries that match `which`, and only those, even if they change meanwhile.
async fn remove_all(shared: &Arc<Shared>, which: Document) -> Result<u64> {
    shared.in_order(None).await?;
    let mut removed = 0;
    loop {
        let (entries, page) = (shared.collections.entries.clone(), which.clone());
        let page = async move {
            let fields = doc! { "version": 1, "file": 1 };
            all(entries.find(page).projection(fields).limit(-PAGE).await?).await
        };
        let page = shared.link.ask(page).await?;
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
        let entries = shared.collections.entries.clone();
        removed +=
            shared.link.ask(async move { entries.delete_many(gone).await }).await?.deleted_count;
        set_aside(shared, files).await;
    }
}

/// Returns a field as it is. A missing field is null, which servers treat the same.
fn field(document: &RawDocumentBuf, name: &str) -> Bson {
    let value: Option<RawBsonRef<'_>> = document.get(name).ok().flatten();
    value.and_then(|value| value.try_into().ok()).unwrap_or(Bson::Null)
}

/// Sets aside files whose entries are gone. If that fails, a sweep finds them within a day.
pub(super) async fn set_aside(shared: &Arc<Shared>, files: Vec<ObjectId>) {
    if files.is_empty() {
        return;
    }
    drop(shared.retire(files).await);
    shared.sweep_later();
}
