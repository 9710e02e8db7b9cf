//! Updates of a head: compared and swapped by the version that was seen, in one step on the server.

use std::sync::Arc;

use mongodb::bson::doc;

use super::{
    fault,
    record::{MAX_DOCUMENT, change, check_head},
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version,
        server::{Location, fresh},
    },
};

impl Shared {
    /// Replaces the head of the entry if it has the version `seen`.
    pub(super) async fn update(
        self: &Arc<Self>,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> Result<bool> {
        check_head(key, &head)?;
        self.indexed().await?;
        let Some(old) = self.record(key).await? else { return Ok(false) };
        if old.version != seen.get() {
            return Ok(false);
        }
        let head = head.carry_body(&old.head);
        let (change, head_len) = change(key, fresh(), &head, old.body);
        let body_len = match old.body {
            Location::Inline { .. } => head.body_len() as usize,
            Location::Chunks { .. } => 0,
        };
        // The document contains the URL and the tags twice. The other fields are small.
        let tags: usize = head.tags().iter().map(|tag| tag.len() + 16).sum();
        if head_len + head.url().len() + tags + body_len + 1024 > MAX_DOCUMENT {
            return Err(fault::too_large(key));
        }
        let entries = self.collections.entries.clone();
        let which = doc! { "_id": key.to_string(), "version": seen.get() as i64 };
        let link = self.link.clone();
        let updating = async move {
            let updated = async move { entries.update_one(which, change).await };
            Ok(link.ask(updated).await?.matched_count == 1)
        };
        self.change(key, updating).await
    }
}
