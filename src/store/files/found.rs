//! What the index has of a head that was found in the folder.

use super::{
    document::Document,
    fault::{self, STORE},
    folder::{Folder, HeadFile, Listing},
    index::Row,
    name,
    shared::{Shared, random_id},
};
use crate::{
    Key,
    store::{Error, ErrorKind, Result},
    time::Timestamp,
};

impl Folder {
    /// What the index has of the head at `path`, and its key. `None` if it is no head at all. A
    /// head that is damaged is in the index too, if its key can be read: a lookup then says why it
    /// cannot be used.
    pub(super) fn index_head(&self, path: &str) -> Result<Option<(Key, Row)>> {
        let Some(file) = self.read_head(path)? else { return Ok(None) };
        let mut row = Row {
            path: path.into(),
            body: None,
            version: random_id(),
            family: random_id(),
            selection: None,
            is_damaged: false,
            is_foreign: false,
            crc: crc32fast::hash(&file.bytes),
            len: file.bytes.len() as u64,
            changed: file.changed,
            body_len: 0,
            keep_until: None,
            tags: Box::default(),
        };
        let Some((key, body)) = Document::outline(&file.bytes) else { return Ok(None) };
        row.body = body.filter(|name| name::is_beside(name)).map(Into::into);
        if let Some(body) = row.body_path() {
            // What the head says of it may be wrong.
            row.body_len = self.stale(&body).map_or(0, |body| body.len);
        }
        let document = match Document::parse(&file.full, &file.bytes) {
            Ok(document) => document,
            Err(error) => {
                row.is_damaged = true;
                row.is_foreign = error.kind() == ErrorKind::Incompatible;
                return Ok(Some((key, row)));
            }
        };
        match document.into_head(&file.full, row.body_len, row.family) {
            Ok(head) => {
                row.family = head.variance().map_or(0, |variance| variance.family);
                row.keep_until = head.keep_until().map(Timestamp::as_millis);
                row.tags = head.tags().into();
            }
            Err(_) => row.is_damaged = true,
        }
        Ok(Some((key, row)))
    }
}

impl Shared {
    /// Fails at the first head that cannot be read. The index has read those that it has, and knows
    /// which of them are damaged.
    #[cfg(feature = "testing")]
    pub(super) fn check_heads(&self) -> Result<()> {
        for path in self.folder.head_paths()? {
            let view = self.view()?;
            let row = view.index.owner(&path).and_then(|key| view.index.get(key));
            if row.is_some_and(|row| !row.is_damaged) {
                continue;
            }
            drop(view);
            self.folder.check_head(&path)?;
        }
        Ok(())
    }

    /// The paths of the heads that have no place in the index.
    pub(super) fn unlisted_heads(&self) -> Result<Vec<String>> {
        // Lookups do not wait for the listing.
        let heads = self.folder.head_paths()?;
        let view = self.view()?;
        Ok(heads.filter(|path| view.index.owner(path).is_none()).collect())
    }

    /// The errors of those heads that cannot be read. Each is about one head, so that a scan goes
    /// on with the others.
    pub(super) fn errors_of(&self, paths: &[String]) -> impl Iterator<Item = Error> {
        let errors = paths.iter().filter_map(|path| self.folder.check_head(path).err());
        errors.map(|error| match error.kind() {
            ErrorKind::Corrupt => error,
            _ => {
                let message = format!("a head cannot be read: {error}");
                Error::new(ErrorKind::Corrupt, STORE, message).with_source(error)
            }
        })
    }
}

impl Folder {
    /// The paths of all files with the name of a head.
    fn head_paths(&self) -> Result<impl Iterator<Item = String> + use<>> {
        let Listing { heads, others, .. } = self.list()?;
        Ok(heads.into_iter().map(|head| head.path).chain(others))
    }

    /// Fails if the head at `path` cannot be read. It may be gone by now.
    fn check_head(&self, path: &str) -> Result<()> {
        let Some(HeadFile { full, bytes, .. }) = self.read_head(path)? else { return Ok(()) };
        Document::parse(&full, &bytes)?.into_head(&full, 0, 0)?;
        let advice = "has no valid `key`; restore it, or remove it and its body";
        Document::outline(&bytes).map(drop).ok_or_else(|| fault::corrupt(&full, advice))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use http::{Method, Response};

    use super::super::{
        change,
        read::{Want, look},
        shared::Shared,
    };
    use super::*;
    use crate::entry::Head;

    pub(in crate::store::files) const KEY: Key = Key::from_bytes([1; 32]);

    pub(in crate::store::files) fn head(len: u64) -> Head {
        let parts = Response::new(()).into_parts().0;
        Head::new(Method::GET, "http://a/b", parts, Timestamp::MIN).seal(len, None)
    }

    /// Stores an entry with this text.
    pub(in crate::store::files) fn write(shared: &Shared, text: &str) {
        let tail = Bytes::copy_from_slice(text.as_bytes());
        change::put(shared, &KEY, &head(text.len() as u64), None, &tail).unwrap();
    }

    /// The text of the entry.
    pub(in crate::store::files) fn text(shared: &Shared) -> Option<String> {
        let entry = look(shared, &KEY, Want::Body).unwrap()?;
        let bytes = entry.bytes().expect("it is small");
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }
}
