//! Lookups: the head of an entry, and its body as bytes or as a file that is read in chunks.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;

use super::{
    document::Document,
    fault::{self, STORE, corrupt},
    index::{Row, beside},
    locked::Locked,
    log::Frame,
    name,
    shared::{Damaged, Shared},
};
use crate::{
    Key,
    entry::Head,
    store::{
        ErrorKind, Hit, Result, StoredBody, Version,
        disk::{AHEAD, Page, ReadAhead, off},
    },
};

/// How many bytes of a body are read at once. A body up to this length is read with its head.
pub(super) const CHUNK: usize = 128 * 1024;

/// How often an entry is looked up while others change it, before the lookup waits for them.
const TRIES: usize = 3;

/// What to look up of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Head,
    Body,
}

/// An entry that was found.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: Arc<Head>,
    pub(super) version: Version,
    has_checksum: bool,
    body: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    Rest(Bytes, Rest),
}

/// What is left to read of a body.
#[derive(Debug)]
pub(super) struct Rest {
    file: File,
    /// The whole path of the body, for errors.
    path: PathBuf,
    left: u64,
    /// The checksum of what was read, and what it has to become.
    crc: Option<(Hasher, u32)>,
    /// The entry, to be noted if its body is damaged.
    key: Key,
    version: u64,
    damaged: Arc<Damaged>,
}

/// Looks an entry up. If others change it meanwhile, waits for them.
///
/// A folder that is only read has no log to follow, so the lookup always waits for them.
pub(super) fn look(shared: &Shared, key: &Key, want: Want) -> Result<Option<Entry>> {
    let tries = if shared.read_only { 0 } else { TRIES };
    for _ in 0..tries {
        let Some(row) = shared.row(key, want)? else { return Ok(None) };
        let found = shared.read_row(key, &row, want);
        // If the log has not changed the entry, no file of it was changed before it was opened.
        let is_current =
            shared.view()?.index.get(key).is_some_and(|now| now.version == row.version);
        match found {
            Ok(Some(entry)) if is_current => return Ok(Some(entry)),
            _ if is_current => break,
            _ => {}
        }
    }
    look_locked(shared, key, want)
}

/// Looks an entry up while nobody changes it. Somebody may have edited its files by hand.
fn look_locked(shared: &Shared, key: &Key, want: Want) -> Result<Option<Entry>> {
    let mut locked = shared.lock()?;
    let Some(row) = shared.row(key, want)? else { return Ok(None) };
    if let Some(entry) = shared.read_row(key, &row, want)? {
        return locked.check_complete(entry).map(Some);
    }
    let gone = Frame::Remove { key: *key.as_bytes(), stale: Vec::new() };
    let Some((owner, new)) = shared.folder.index_head(&row.path)? else {
        // It is still in the index if it is there, so that it can be removed.
        if let Some(file) = shared.folder.read_head(&row.path)? {
            Document::parse(&file.full, &file.bytes).map_err(|error| {
                shared.damaged.note(key, row.version);
                fault::of_entry(error, key)
            })?;
        }
        locked.adopt(vec![gone])?;
        return Ok(None);
    };
    let put = Frame::Put {
        key: *owner.as_bytes(),
        row: new.clone(),
        head: None,
        body: None,
        stale: Vec::new(),
    };
    if owner != *key {
        locked.adopt(vec![gone, put])?;
        return Ok(None);
    }
    locked.adopt(vec![put])?;
    let entry = shared.read_row(key, &new, want)?;
    entry.map(|entry| locked.check_complete(entry)).transpose()
}

impl Locked<'_> {
    /// Refuses an entry whose body may be another's: a process has died while it replaced entries,
    /// none has completed that yet, and without a checksum nothing shows whether this is one.
    fn check_complete(&self, entry: Entry) -> Result<Entry> {
        if entry.has_checksum || !self.is_incomplete() {
            return Ok(entry);
        }
        let root = &self.shared.folder.root;
        let why = "has a change that was not completed; open it without read_only(true) once";
        Err(corrupt(root, why))
    }
}

impl Shared {
    /// What the index has of the entry. Reading a body keeps the entry longer, a listing does not.
    fn row(&self, key: &Key, want: Want) -> Result<Option<Arc<Row>>> {
        let mut view = self.view()?;
        Ok(match want {
            Want::Body => view.index.visit(key),
            Want::Head => view.index.get(key).cloned(),
        })
    }

    /// Reads the entry of this row. Returns `None` if its head is not the one that the row knows.
    /// Notes the entry if it is damaged.
    fn read_row(&self, key: &Key, row: &Row, want: Want) -> Result<Option<Entry>> {
        self.try_row(key, row, want).map_err(|error| {
            if error.kind() == ErrorKind::Corrupt {
                self.damaged.note(key, row.version);
            }
            fault::of_entry(error, key)
        })
    }

    fn try_row(&self, key: &Key, row: &Row, want: Want) -> Result<Option<Entry>> {
        let Some(file) = self.folder.read_head(&row.path)? else { return Ok(None) };
        if crc32fast::hash(&file.bytes) != row.crc {
            return Ok(None);
        }
        // The row has the checksum of these bytes. They were compared with their own when the row
        // was made.
        let document = match row.is_damaged {
            true => Document::parse(&file.full, &file.bytes)?,
            false => Document::parse_known(&file.full, &file.bytes)?,
        };
        let crc = document.checksum.map(|checksum| checksum.body);
        let body = document.body.clone();
        let (body, body_len) = match (body, want) {
            (Some(body), Want::Body) => {
                if !name::is_beside(&body.file) {
                    return Err(corrupt(&file.full, "names a body that is not beside it"));
                }
                let path = beside(&row.path, &body.file);
                self.open_body(&path, (key, row.version), crc.map(|crc| (crc, body.length)))?
            }
            _ => (Content::Bytes(Bytes::new()), document.body_len(&self.folder, &row.path)),
        };
        let head = document.into_head(&file.full, body_len, row.family)?;
        let has_checksum = crc.is_some();
        Ok(Some(Entry { head: Arc::new(head), version: row.version(), has_checksum, body }))
    }

    /// Opens the body at `path`, and reads its beginning. It must have the checksum and the length
    /// that its head says, if the head says any. Returns it with its length.
    fn open_body(
        &self,
        path: &str,
        (key, version): (&Key, u64),
        expected: Option<(u32, Option<u64>)>,
    ) -> Result<(Content, u64)> {
        let full = self.folder.path(path);
        let Some((file, metadata)) = self.folder.open(path)? else {
            return Err(corrupt(&full, "is missing; restore it, or remove the head beside it"));
        };
        let len = metadata.len();
        if expected.is_some_and(|(_, expected)| expected.is_some_and(|it| it != len)) {
            return Err(edited(&full));
        }
        let crc = expected.map(|(crc, _)| (Hasher::new(), crc));
        let damaged = self.damaged.clone();
        let mut rest = Rest { file, path: full, left: len, crc, key: *key, version, damaged };
        let first = rest.read()?;
        let content =
            if rest.left == 0 { Content::Bytes(first) } else { Content::Rest(first, rest) };
        Ok((content, len))
    }
}

fn edited(path: &Path) -> crate::store::Error {
    corrupt(
        path,
        "does not match the checksum in its head; if it was edited by hand, remove the line \
         `checksum` from the head; if version control has changed its line endings, add the line \
         `* -text` to `.gitattributes` and check it out again",
    )
}

impl Rest {
    /// Reads the next chunk. The last chunk is returned only if the whole body has its checksum.
    fn read(&mut self) -> Result<Bytes> {
        let len = CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK));
        let mut chunk = BytesMut::zeroed(len);
        self.file.read_exact(&mut chunk).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => edited(&self.path),
            _ => fault::io("read", &self.path, error),
        })?;
        self.left -= len as u64;
        if let Some((crc, expected)) = &mut self.crc {
            crc.update(&chunk);
            if self.left == 0 && crc.clone().finalize() != *expected {
                return Err(edited(&self.path));
            }
        }
        Ok(chunk.freeze())
    }

    /// Reads the next few chunks.
    fn page(mut self) -> Page<Self, Bytes> {
        let mut chunks = std::collections::VecDeque::with_capacity(AHEAD);
        while self.left > 0 && chunks.len() < AHEAD {
            let chunk = self.read().map_err(|error| fault::of_entry(error, &self.key));
            let is_last = chunk.is_err();
            if is_last {
                self.damaged.note(&self.key, self.version);
            }
            chunks.push_back(chunk);
            if is_last {
                return (None, chunks);
            }
        }
        ((self.left > 0).then_some(self), chunks)
    }
}

impl Entry {
    /// A body that was read with the head.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Content::Bytes(bytes) => Some(bytes),
            Content::Rest(..) => None,
        }
    }

    /// The result of the lookup. A body is read from the open file, whatever becomes of its name.
    pub(super) fn into_hit(self) -> Hit {
        let Self { head, version, body, .. } = self;
        let body = match body {
            Content::Bytes(bytes) => bytes.into(),
            Content::Rest(first, rest) => {
                let len = first.len() as u64 + rest.left;
                let read = |rest: Rest| off(STORE, move || Ok(rest.page()));
                StoredBody::from_stream(len, ReadAhead::new([Ok(first)].into(), rest, read))
            }
        };
        Hit::new(head, version, body)
    }
}
