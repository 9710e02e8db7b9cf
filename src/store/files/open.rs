//! Opening a folder: its hidden folder, and an index that fits the files.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    sync::Arc,
};

use super::{
    builder::Builder,
    fault,
    folder::{self, Folder, Listed, Listing},
    lock::{LockFile, Staging},
    locked::Locked,
    log::{Frame, Log},
    name::{self, STAGING},
    shared::{LOCK, Shared, random_id},
    view::{INDEX, View},
};
use crate::store::{ErrorKind, Result};

/// Opens the folder, and creates it if it is missing and may be written.
pub(super) fn open(builder: Builder) -> Result<Shared> {
    let Builder { path: root, max_bytes, read_only } = builder;
    let settings = (max_bytes, read_only);
    let folder = Folder { root };
    if read_only {
        let lock = LockFile::open_to_read(folder.hidden(LOCK));
        let shared = Shared::new(folder, settings, lock, View::default());
        let listing = shared.folder.list()?;
        let mut locked = shared.lock()?;
        locked.compare(&listing, false)?;
        drop(locked);
        return Ok(shared);
    }
    create(&folder)?;
    let mut lock = LockFile::open(folder.hidden(LOCK))?;
    // It is held until the index is there. Whoever died meanwhile has left no change behind.
    let incomplete_at = lock.lock()?;
    let path = folder.hidden(INDEX);
    let log = match Log::open(&path)? {
        Some(log) => log,
        None => {
            let staged = folder.hidden(&format!("{INDEX}-{:016x}", random_id()));
            Log::create(&path, &staged, &[], || Ok(()))?
        }
    };
    let view = View { log: Some(log), ..View::default() };
    lock.unlock();
    let shared = Shared::new(folder, settings, Some(lock), view);
    // This may take a while, so the others do not wait for it.
    let listing = shared.folder.list()?;
    let mut locked = shared.lock()?;
    Staging::clean(&shared.folder.hidden(STAGING));
    locked.compare(&listing, incomplete_at != 0)?;
    drop(locked);
    Ok(shared)
}

/// Creates the folder and the hidden one.
fn create(folder: &Folder) -> Result<()> {
    let root = &folder.root;
    let fail = |error| fault::io("create the folder", root, error);
    fs::create_dir_all(root).map_err(fail)?;
    let is_new = fs::read_dir(root).map_err(fail)?.next().is_none();
    folder.create_hidden()?;
    if is_new {
        // A body with other line endings is another body.
        folder::create_file(&root.join(".gitattributes"), "* -text\n")?;
    }
    Ok(())
}

impl Locked<'_> {
    /// Compares the index with the files: some may have been added, edited or removed by hand or by
    /// version control. What the listing has otherwise than the index is looked at again, since the
    /// listing may be older. `removes_orphans` removes bodies without a head, which a process that
    /// died may have left.
    fn compare(&mut self, listing: &Listing, removes_orphans: bool) -> Result<()> {
        let shared = self.shared;
        let mut seen = HashSet::new();
        let mut suspects = BTreeSet::new();
        {
            let view = shared.view()?;
            for Listed { path, len, changed } in &listing.heads {
                let key = view.index.owner(path);
                let row = key.and_then(|key| view.index.get(key));
                match key.zip(row) {
                    Some((key, row)) if (row.len, row.changed) == (*len, *changed) => {
                        seen.insert(*key);
                    }
                    _ => drop(suspects.insert(Box::from(path.as_str()))),
                }
            }
            let missing = view.index.keys().into_iter().filter(|key| !seen.contains(key));
            suspects.extend(missing.filter_map(|key| Some(view.index.get(&key)?.path.clone())));
        }
        let mut found = Vec::new();
        for path in &suspects {
            let known = {
                let view = shared.view()?;
                let key = view.index.owner(path).copied();
                key.and_then(|key| Some((key, view.index.get(&key)?.clone())))
            };
            match (shared.folder.index_head(path), known) {
                // Its text is the same, so its version is too.
                (Ok(Some((key, mut row))), Some((of, old))) if key == of && row.crc == old.crc => {
                    (row.version, row.family) = (old.version, old.family);
                    row.selection = old.selection;
                    found.push((key, row));
                }
                (Ok(head), _) => found.extend(head),
                // It can be read at another time.
                (Err(error), Some((key, _))) if error.kind() != ErrorKind::Corrupt => {
                    seen.insert(key);
                }
                (Err(_), _) => {}
            }
        }
        // Of two heads with the same key, the first one counts that is not damaged.
        found.sort_by_key(|(_, row)| row.is_damaged);
        let (mut frames, mut copies) = (Vec::new(), Vec::new());
        for (key, row) in found {
            if seen.insert(key) {
                let key = *key.as_bytes();
                frames.push(Frame::Put { key, row, head: None, body: None, stale: Vec::new() });
            } else if !row.is_damaged {
                copies.push((key, Arc::new(row)));
            }
        }
        let keys = shared.view()?.index.keys();
        for key in keys.into_iter().filter(|key| !seen.contains(key)) {
            frames.push(Frame::Remove { key: *key.as_bytes(), stale: Vec::new() });
        }
        self.adopt(frames)?;
        let mut view = shared.view()?;
        copies.into_iter().for_each(|(key, row)| view.index.insert_copy(key, row));
        drop(view);
        if !shared.read_only {
            self.evict(None);
            self.compact();
        }
        if removes_orphans {
            let files = shared.view()?.files();
            // The head of a body may be there and not in the index, since it cannot be read.
            let has_head = |path: &str| {
                let head = name::head_of_body(path);
                head.is_none_or(|head| shared.folder.stale(&head).is_some())
            };
            let unknown = listing.bodies.iter().filter(|path| !files.contains(path.as_str()));
            let orphans = unknown.filter(|path| !has_head(path));
            let orphans = orphans.filter_map(|path| shared.folder.stale(path));
            orphans.for_each(|orphan| drop(shared.folder.remove(&orphan)));
        }
        Ok(())
    }
}
