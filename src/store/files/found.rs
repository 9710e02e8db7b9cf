//! What the index has of a head that was found in the folder.

use super::{document::Document, folder::Folder, index::Row, name, shared::draw};
use crate::{Key, store::Result, time::Timestamp};

impl Folder {
    /// What the index has of the head at `path`, and its key. `None` if it is no head at all. A
    /// head that is damaged is in the index too, if its key can be read: a lookup then says why it
    /// cannot be used.
    pub(super) fn index_head(&self, path: &str) -> Result<Option<(Key, Row)>> {
        let Some(file) = self.read_head(path)? else { return Ok(None) };
        let mut row = Row {
            path: path.into(),
            body: None,
            version: draw(),
            family: draw(),
            selection: None,
            is_damaged: false,
            crc: crc32fast::hash(&file.bytes),
            len: file.bytes.len() as u64,
            changed: file.changed,
            body_len: 0,
            keep_until: None,
            tags: Box::default(),
        };
        let Ok(document) = Document::parse(path, &file.bytes) else {
            row.is_damaged = true;
            let Some((key, body)) = Document::outline(&file.bytes) else { return Ok(None) };
            row.body = body.filter(|name| name::is_beside(name)).map(Into::into);
            return Ok(Some((key, row)));
        };
        let Ok(key) = document.key(path) else { return Ok(None) };
        row.body_len = document.body_len(self, path);
        row.body = document
            .body
            .as_ref()
            .filter(|body| name::is_beside(&body.file))
            .map(|body| body.file.as_str().into());
        if let Ok(head) = document.into_head(path, row.body_len, row.family) {
            row.family = head.variance().map_or(0, |variance| variance.family);
            row.keep_until = head.keep_until().map(Timestamp::as_millis);
            row.tags = head.tags().into();
        }
        Ok(Some((key, row)))
    }
}
