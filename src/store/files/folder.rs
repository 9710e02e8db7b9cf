//! Files below the root of a folder. A path is relative, with `/` between its parts. No link is
//! followed: a link in a folder that others have made must not lead out of it. The parts of a path
//! are checked before it is used, so this is no defence against somebody who puts a link there in
//! between.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    fault::{self, corrupt},
    name::{self, STAGING},
    stale::{Stale, changed},
};
use crate::store::{ErrorKind as Kind, Result};

/// The folder for what is no entry: index, lock and unfinished files.
pub(super) const HIDDEN: &str = ".larder";

/// The largest head that is read.
const MAX_HEAD: u64 = 64 << 20;

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
}

/// The file of a head, as it is.
pub(super) struct HeadFile {
    /// The whole path, for errors.
    pub(super) full: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) changed: u64,
}

/// The file of a head that was found in the folder.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) len: u64,
    pub(super) changed: u64,
}

/// What [`Folder::list`] finds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The heads, in the order of their paths.
    pub(super) heads: Vec<Listed>,
    pub(super) bodies: Vec<String>,
    /// What has the name of a head and is neither a file nor a folder, such as a link.
    pub(super) others: Vec<String>,
    /// The whole paths of the root and the folders below it.
    pub(super) folders: Vec<PathBuf>,
}

impl Folder {
    pub(super) fn path(&self, path: &str) -> PathBuf {
        path.split('/').fold(self.root.clone(), |full, part| full.join(part))
    }

    /// A path in the hidden folder.
    pub(super) fn hidden(&self, path: &str) -> PathBuf {
        self.root.join(HIDDEN).join(path)
    }

    /// Opens the file at `path` to read it. Returns `None` if there is none.
    pub(super) fn open(&self, path: &str) -> Result<Option<(File, Metadata)>> {
        let full = self.path(path);
        let fail = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => Ok(None),
            // A head or an index may say anything.
            ErrorKind::InvalidFilename => Err(corrupt(&full, "is longer than a path may be")),
            _ => Err(fault::io("read", &full, error)),
        };
        match self.has_folders_above(path) {
            Ok(true) => {}
            Ok(false) => return Err(corrupt(&full, "is not read, since a link leads to it")),
            Err(error) => return fail(error),
        }
        match fs::symlink_metadata(&full) {
            // Opening something else may wait forever.
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                return Err(corrupt(&full, "is no plain file; put one in its place, or remove it"));
            }
            Err(error) => return fail(error),
        }
        let opened = File::open(&full).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => Ok(Some((file, metadata))),
            Err(error) => fail(error),
        }
    }

    /// Whether what lies above `path` are folders and no links to folders.
    fn has_folders_above(&self, path: &str) -> io::Result<bool> {
        let mut folder = self.root.clone();
        let Some((above, _)) = path.rsplit_once('/') else { return Ok(true) };
        for part in above.split('/') {
            folder.push(part);
            if !fs::symlink_metadata(&folder)?.is_dir() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The file at `path` as something to remove. `None` if it is not there, or only by a link.
    pub(super) fn stale(&self, path: &str) -> Option<Stale> {
        if !self.has_folders_above(path).unwrap_or(false) {
            return None;
        }
        let metadata = fs::symlink_metadata(self.path(path)).ok()?;
        Some(Stale::new(path, &metadata))
    }

    /// Reads the head at `path`. Returns `None` if there is none.
    pub(super) fn read_head(&self, path: &str) -> Result<Option<HeadFile>> {
        let Some((mut file, metadata)) = self.open(path)? else { return Ok(None) };
        let full = self.path(path);
        if metadata.len() > MAX_HEAD {
            return Err(corrupt(&full, "is too large for the head of an entry"));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        let read = (&mut file).take(MAX_HEAD).read_to_end(&mut bytes);
        read.map_err(|error| fault::io("read", &full, error))?;
        Ok(Some(HeadFile { full, bytes, changed: changed(&metadata) }))
    }

    /// Creates the folders above `path`.
    pub(super) fn create_above(&self, path: &str) -> Result<()> {
        let mut folder = self.root.clone();
        let Some((above, _)) = path.rsplit_once('/') else { return Ok(()) };
        for part in above.split('/') {
            folder.push(part);
            let is_folder = || fs::symlink_metadata(&folder).is_ok_and(|it| it.is_dir());
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists && is_folder() => {}
                Err(error) => return Err(fault::io("create the folder", &folder, error)),
            }
        }
        Ok(())
    }

    /// Creates the hidden folder and what is missing in it.
    pub(super) fn create_hidden(&self) -> Result<()> {
        create_folder(&self.root.join(HIDDEN))?;
        create_folder(&self.hidden(STAGING))?;
        // Nothing in it belongs into version control.
        create_file(&self.hidden(".gitignore"), "*\n")
    }

    /// Moves a finished file to `path`, in place of what is there.
    pub(super) fn publish(&self, staged: &str, path: &str) -> Result<()> {
        let (from, to) = (self.hidden(staged), self.path(path));
        for path in [path, &format!("{HIDDEN}/{staged}")] {
            // If there is none, moving the file says what is wrong.
            if let Ok(false) = self.has_folders_above(path) {
                return Err(corrupt(&to, "is not written, since a link leads to it"));
            }
        }
        fs::rename(&from, &to).map_err(|error| fault::io("write", &to, error))
    }

    /// Removes a file, if it is still there and the same, and the folders that become empty.
    pub(super) fn remove(&self, stale: &Stale) -> Result<()> {
        let path = &*stale.path;
        if self.stale(path).is_some_and(|now| now != *stale) {
            return Ok(());
        }
        if !self.has_folders_above(path).unwrap_or(false) {
            return Ok(());
        }
        let full = self.path(path);
        match fs::remove_file(&full) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fault::io("remove", &full, error)),
        }
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            // A folder that is not empty stays.
            if fs::remove_dir(self.path(folder)).is_err() {
                break;
            }
            above = folder;
        }
        Ok(())
    }

    /// Finds the files whose names are those of entries. Hidden folders and links are left out.
    pub(super) fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let full = if folder.is_empty() { self.root.clone() } else { self.path(&folder) };
            let fail = |error| fault::io("list the folder", &full, error);
            let files = match fs::read_dir(&full) {
                Ok(files) => files,
                // It is somebody else's, such as `lost+found`, or gone by now.
                Err(_) if !folder.is_empty() => continue,
                Err(error) => return Err(fail(error)),
            };
            listing.folders.push(full.clone());
            for file in files {
                let file = file.map_err(fail)?;
                let file_name = file.file_name();
                let Some(name) = file_name.to_str().filter(|name| name::is_beside(name)) else {
                    continue;
                };
                let path =
                    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                let kind = file.file_type().map_err(fail)?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && name::is_head(name) {
                    // It may be gone by now.
                    if let Ok(metadata) = file.metadata() {
                        let (len, changed) = (metadata.len(), changed(&metadata));
                        listing.heads.push(Listed { path, len, changed });
                    }
                } else if kind.is_file() && name::is_body(name) {
                    listing.bodies.push(path);
                } else if !kind.is_file() && name::is_head(name) {
                    listing.others.push(path);
                }
            }
        }
        listing.heads.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// Waits until the files at these paths are on the disk, and that those which are gone are not.
    pub(super) fn sync(&self, paths: &[Box<str>]) -> Result<()> {
        let mut folders = Vec::new();
        for path in paths {
            match self.open(path) {
                Ok(Some((file, _))) => {
                    let synced = file.sync_all();
                    synced.map_err(|error| fault::io("sync", &self.path(path), error))?;
                }
                // It was removed or replaced, which its folder knows.
                Ok(None) => {}
                // Somebody has put a link or a pipe in its place.
                Err(error) if error.kind() == Kind::Corrupt => {}
                Err(error) => return Err(error),
            }
            folders.extend(self.folders_above(path));
        }
        sync_folders(folders);
        Ok(())
    }

    /// The whole paths of the root and of the folders above `path` that are there.
    fn folders_above(&self, path: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.root.clone()];
        for (at, _) in path.match_indices('/') {
            let folder = self.path(&path[..at]);
            if !fs::symlink_metadata(&folder).is_ok_and(|it| it.is_dir()) {
                break;
            }
            folders.push(folder);
        }
        folders
    }
}

fn create_folder(path: &Path) -> Result<()> {
    let is_folder = || fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    match fs::create_dir(path) {
        Err(error) if !(error.kind() == ErrorKind::AlreadyExists && is_folder()) => {
            Err(fault::io("create the folder", path, error))
        }
        _ => Ok(()),
    }
}

/// Creates a file with this text, if there is none.
pub(super) fn create_file(path: &Path, text: &str) -> Result<()> {
    match File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(fault::io("write", path, error))
        }
        _ => Ok(()),
    }
}

/// Waits until the names in these folders are on the disk, where the system can do that.
pub(super) fn sync_folders(mut folders: Vec<PathBuf>) {
    folders.sort_unstable();
    folders.dedup();
    folders.iter().for_each(|folder| drop(File::open(folder).and_then(|it| it.sync_all())));
}

/// Creates the file at `path` with these bytes.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<Metadata> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.metadata()
    });
    written.map_err(|error| {
        drop(fs::remove_file(path));
        fault::io("write", path, error)
    })
}
