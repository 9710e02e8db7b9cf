//! What changes entries. Each function waits for the lock and holds it until it is done.

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{
    document::{BodyFacts, Document},
    fault, folder,
    index::{self, Row},
    locked::Locked,
    log::Frame,
    name,
    shared::{Shared, random_id},
    staged::Staged,
    stale::{self, Stale},
};
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Evicted, Result, Version, disk::too_large},
    time::Timestamp,
};

/// How many entries are removed in one change of the index.
const REMOVALS: usize = 100_000;

/// Publishes an entry. `tail` is what is not in the file `body` yet.
pub(super) fn put(
    shared: &Shared,
    key: &Key,
    head: &Head,
    body: Option<Staged>,
    tail: &Bytes,
) -> Result<()> {
    let body = match body {
        None if tail.is_empty() => None,
        None => Some(Staged::create(shared)?),
        body => body,
    };
    let body = body.map(|mut body| body.write(tail).map(|()| body)).transpose()?;
    let crc = body.as_ref().map_or(0, Staged::crc);
    let mut locked = shared.lock()?;
    let path = locked.choose_path(key, head)?;
    let file = name::body_name(&path, head.headers());
    let length = head.body_len();
    let facts = BodyFacts { file: (length > 0).then_some((&*file, length)), crc: Some(crc) };
    let document = Document::new(key, head, &facts);
    let staged = locked.stage(&path, &document, length)?;
    let row = Row {
        body: body.is_some().then(|| file.into()),
        selection: head.selection(),
        ..staged.row(path, head)
    };
    let stale = locked.replaced_by(key, &row)?;
    shared.folder.create_above(&row.path)?;
    let body = body.as_ref().map(|body| body.path.clone());
    locked.publish(key, row, &staged, body, stale)
}

/// Replaces the head of an entry.
pub(super) fn update(shared: &Shared, key: &Key, seen: Version, head: Head) -> Result<bool> {
    let mut locked = shared.lock()?;
    let old = shared.view()?.index.get(key).cloned();
    let Some(old) = old.filter(|old| old.version() == seen) else { return Ok(false) };
    let Some(file) = shared.folder.read_head(&old.path)? else { return Ok(false) };
    // Whoever edited it has made another version of it.
    if crc32fast::hash(&file.bytes) != old.crc {
        return Ok(false);
    }
    let document = Document::parse(&file.full, &file.bytes)?;
    // It may have been edited since.
    let body_len = document.body_len(&shared.folder, &old.path);
    let old_head = document.clone().into_head(&file.full, body_len, old.family)?;
    let head = head.carry_body(&old_head);
    let staged = locked.stage(&old.path, &document.with_head(key, &head, body_len), body_len)?;
    let row = Row {
        body: old.body.clone(),
        selection: old.selection,
        ..staged.row(old.path.clone().into(), &head)
    };
    locked.publish(key, row, &staged, None, Vec::new())?;
    Ok(true)
}

/// Removes the entry, if it has the version `seen` or that does not matter. A damaged entry is
/// forgotten, and its files stay until another takes their place.
pub(super) fn remove(shared: &Shared, key: &Key, seen: Option<Version>) -> Result<bool> {
    let mut locked = shared.lock()?;
    let row = shared.view()?.index.get(key).cloned();
    let row = row.filter(|row| seen.is_none_or(|seen| row.version() == seen));
    let Some(row) = row else { return Ok(false) };
    if shared.damaged.take(key, row.version) || row.is_damaged {
        locked.adopt(vec![Frame::Remove { key: *key.as_bytes(), stale: Vec::new() }])?;
        return Ok(true);
    }
    Ok(locked.remove_all([*key])? > 0)
}

pub(super) fn remove_expired(shared: &Shared, now: Timestamp) -> Result<u64> {
    let mut locked = shared.lock()?;
    let keys = shared.view()?.index.expired(now);
    locked.remove_all(keys)
}

pub(super) fn remove_tagged(shared: &Shared, tag: &str) -> Result<u64> {
    let mut locked = shared.lock()?;
    let keys = shared.view()?.index.tagged(tag);
    locked.remove_all(keys)
}

pub(super) fn clear(shared: &Shared) -> Result<()> {
    let mut locked = shared.lock()?;
    let keys = shared.view()?.index.keys();
    locked.remove_all(keys).map(drop)
}

/// The finished file of a head in the hidden folder. It is removed if it is not published.
struct StagedHead {
    path: Box<str>,
    full: PathBuf,
    crc: u32,
    len: u64,
    changed: u64,
    body_len: u64,
}

impl StagedHead {
    /// The row of its entry, without the body.
    fn row(&self, path: String, head: &Head) -> Row {
        Row {
            path: path.into(),
            body: None,
            version: random_id(),
            family: head.variance().map_or(0, |variance| variance.family),
            selection: None,
            is_damaged: false,
            is_foreign: false,
            crc: self.crc,
            len: self.len,
            changed: self.changed,
            body_len: self.body_len,
            keep_until: head.keep_until().map(Timestamp::as_millis),
            tags: head.tags().into(),
        }
    }
}

impl Drop for StagedHead {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.full));
    }
}

impl Locked<'_> {
    /// The path for the head of an entry: with the shortest digest that no other entry has.
    fn choose_path(&self, key: &Key, head: &Head) -> Result<String> {
        let stem = name::stem(head);
        let selection = head.selection();
        let digits = match selection {
            // The same for each recording, unlike the key of a variant.
            Some(selection) => digits(&selection),
            None => key.to_string(),
        };
        for len in name::DIGITS {
            let path = name::head_path(&stem, &digits[..len]);
            let view = self.shared.view()?;
            let owner = view.index.owner(&path).copied();
            let row = owner.and_then(|owner| view.index.get(&owner).cloned());
            drop(view);
            let is_free = match owner.zip(row) {
                Some((owner, row)) => {
                    let is_ours = owner == *key
                        // Its key may be wrong.
                        || row.is_damaged
                        // The same variant, beside a resident that is gone: nobody can find it
                        // any more.
                        || selection.is_some_and(|selection| row.is_variant(&owner, selection));
                    is_ours && self.is_replaceable(&path, &owner, Some(&row))
                }
                None => self.is_replaceable(&path, key, None),
            };
            if is_free {
                return Ok(path);
            }
        }
        let path = self.shared.folder.path(&name::head_path(&stem, &digits));
        let message = format!(
            "{} and the shorter names for the same entry are taken by files of other entries; move \
             them away",
            path.display()
        );
        Err(Error::new(ErrorKind::Invalid, fault::STORE, message))
    }

    /// Whether the head at `path`, if there is one, is that of the entry `key`. It is not read if
    /// it is the one that `row` knows. What does not parse, or has been written by a newer version,
    /// is left alone: somebody may still need it.
    fn is_replaceable(&self, path: &str, key: &Key, row: Option<&Row>) -> bool {
        let folder = &self.shared.folder;
        if let Some(row) = row
            && folder.stale(path).is_none_or(|now| (now.len, now.changed) == (row.len, row.changed))
        {
            return !row.is_foreign;
        }
        match folder.index_head(path) {
            Ok(Some((owner, row))) => owner == *key && !row.is_foreign,
            Ok(None) => folder.stale(path).is_none(),
            Err(_) => false,
        }
    }

    /// The files that an entry leaves when `row` replaces it.
    fn replaced_by(&self, key: &Key, row: &Row) -> Result<Vec<Stale>> {
        let folder = &self.shared.folder;
        let view = self.shared.view()?;
        let owner = view.index.owner(&row.path).filter(|owner| *owner != key).copied();
        let of = |key: Key| Some((key, view.index.get(&key)?.clone()));
        let mut old: Vec<_> = [Some(*key), owner].into_iter().flatten().filter_map(of).collect();
        drop(view);
        // A damaged entry that was forgotten.
        let forgotten = folder.index_head(&row.path).ok().flatten();
        old.extend(forgotten.map(|(key, row)| (key, Arc::new(row))));
        let files = row.files();
        let mut stale: Vec<_> = old
            .iter()
            .filter(|(key, old)| self.is_replaceable(&old.path, key, Some(old)))
            .flat_map(|(_, old)| old.own_files())
            .filter(|path| !files.contains(path))
            .collect();
        stale.sort_unstable();
        stale.dedup();
        Ok(stale.iter().filter_map(|path| folder.stale(path)).collect())
    }

    /// Writes the file of the head for `path`, for an entry with a body of `body_len` bytes.
    fn stage(&self, path: &str, document: &Document, body_len: u64) -> Result<StagedHead> {
        let bytes = document.to_bytes();
        let len = bytes.len() as u64;
        let all = index::lone_bytes(path, len, (body_len > 0).then_some(body_len));
        let max_bytes = self.shared.max_bytes;
        if all > max_bytes {
            return Err(too_large(fault::STORE, all, max_bytes));
        }
        let path = self.shared.unfinished()?;
        let full = self.shared.folder.hidden(&path);
        let changed = stale::changed(&folder::create(&full, &bytes)?);
        Ok(StagedHead { path, full, crc: crc32fast::hash(&bytes), len, changed, body_len })
    }

    fn publish(
        &mut self,
        key: &Key,
        row: Row,
        head: &StagedHead,
        body: Option<Box<str>>,
        stale: Vec<Stale>,
    ) -> Result<()> {
        let version = row.version;
        let head = Some(head.path.clone());
        self.commit(&[Frame::Put { key: *key.as_bytes(), row, head, body, stale }])?;
        self.evict(Some(key));
        self.compact();
        self.shared.damaged.take(key, version);
        Ok(())
    }

    /// Removes entries to make room, but not the one that was just written.
    pub(super) fn evict(&mut self, kept: Option<&Key>) {
        let mut evicted = Evicted::default();
        loop {
            let victim = match self.shared.view() {
                Ok(mut view) if view.index.bytes() > self.shared.max_bytes => {
                    view.index.next_to_evict(kept).map(|key| (key, view.index.bytes_of(&key)))
                }
                _ => None,
            };
            let Some((key, bytes)) = victim else { break };
            // The entry is written. One that cannot be removed stays in the index, so the next
            // write tries again.
            if self.remove_all([key]).is_err() {
                break;
            }
            evicted.entries += 1;
            evicted.bytes += bytes;
        }
        self.shared.evictions.add(fault::STORE, evicted);
    }

    /// Removes these entries. Returns how many there were.
    pub(super) fn remove_all(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<u64> {
        let view = self.shared.view()?;
        let remove = |key: Key| {
            let row = view.index.get(&key)?;
            // A copy would be the entry when the folder is opened the next time.
            let rows = [row].into_iter().chain(view.index.copies(&key));
            let ours = rows.filter(|row| self.is_replaceable(&row.path, &key, Some(row)));
            // Without its head, an entry is gone.
            let files = ours.flat_map(|row| row.own_files().into_iter().rev());
            let stale = files.filter_map(|path| self.shared.folder.stale(&path)).collect();
            Some(Frame::Remove { key: *key.as_bytes(), stale })
        };
        let frames: Vec<_> = keys.into_iter().filter_map(remove).collect();
        drop(view);
        frames.chunks(REMOVALS).try_for_each(|part| self.commit(part))?;
        self.compact();
        Ok(frames.len() as u64)
    }

    /// Takes a file that somebody else has changed into the index.
    pub(super) fn adopt(&mut self, frames: Vec<Frame>) -> Result<()> {
        if !self.shared.read_only {
            return self.commit(&frames);
        }
        let mut view = self.shared.view()?;
        frames.iter().for_each(|frame| view.apply(frame));
        Ok(())
    }
}

/// The digits in the name of a variant.
fn digits(selection: &[u8]) -> String {
    selection.iter().map(|byte| format!("{byte:02x}")).collect()
}
