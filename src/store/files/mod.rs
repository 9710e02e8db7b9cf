//! [`Files`]: entries in a folder that people and version control can read. Each entry is two files
//! with a readable name, the head as JSON and the body as it is.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), larder::store::Error> {
//! use larder::store::{Files, Store};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("responses");
//! let store = Files::builder(path).max_bytes(1 << 30).open()?;
//! assert_eq!(store.len().await?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # The folder
//!
//! ```text
//! example.com/items/tea~3fa94c1d.json        the head of an entry
//! example.com/items/tea~3fa94c1d.body.html   its body
//! example.com/items/index.POST~77b1c02e.json
//! .gitattributes                             bodies keep their line endings in git
//! .larder/                                   index, lock and unfinished files
//! ```
//!
//! A name has the host, the path, a method other than `GET`, and the first eight digits of the key,
//! which logs show too. (The key of a variant beside another is drawn anew for each recording; its
//! digits are those of what selects it.) Recording an exchange again therefore gives the same
//! names. If two entries would have the same name, the second one gets more digits. What is not
//! safe in a file name is percent-encoded, a name that Windows reserves gets a `_`, long names are
//! cut, and at most eight folders lie above an entry. The ending of a body is that of its media
//! type and its coding, such as `json` or `html.gz`. An empty body has no file.
//!
//! A head is JSON in a fixed order, with one fact a line: the key, the request's method and URL,
//! the response's status, version, header lines and trailers, and the cache's times and tags. A
//! header value that is not UTF-8 is written as hexadecimal digits. Nothing in it changes when the
//! exchange and the clock are the same, with one exception: a response that leads to other variants
//! has the random number that is part of their keys, and so their `key` differs too. The head of an
//! exchange that a `Cassette` (feature `testing`) has recorded also has what was sent: `recorded`.
//!
//! `.gitattributes` is written into a folder that is empty when it is opened the first time. It has
//! the line `* -text`. In a repository of your own, add a line like `tests/responses/** -text`:
//! with other line endings, a text body does not have its checksum any more.
//!
//! `.larder` has a `.gitignore` of its own. It can be removed while no process has the folder open,
//! and is made anew from the heads when the folder is opened. Versions are kept there and not in
//! the heads; without it, each entry gets a new one. If it is removed while a process has the
//! folder open, the next change of that process makes it anew. A body that was being written is
//! lost, and its write fails. Until its next change, the process does not see new entries of
//! others. A process that only reads has to open the folder again.
//!
//! # Editing by hand
//!
//! The line `checksum` has the CRC-32 of the head and that of the body. To edit an entry, remove
//! that line, and change the head or the body as you like: the length of the body is then that of
//! its file, and a `Content-Length` in the head says so too. Other fields that describe the body,
//! such as `ETag` and `Content-MD5`, stay as they are written. An entry that was edited while it
//! has the line is an error of kind [`ErrorKind::Corrupt`], whose text gives this advice. For a
//! cache, this is a miss. A damaged or edited entry that is removed by its key, as a cache does
//! with what is damaged, is taken out of the index, and **its files stay** until a new entry takes
//! their place. When the folder is opened the next time, they are looked at again. They are removed
//! by [`clear`], by tag, at their expiry and for lack of room like others. Line endings and indents
//! of a head do not matter.
//!
//! A head that is no JSON, such as one with the marks of a merge conflict, is an error of a
//! [scan](crate::store::Store::scan). A head that a later version of this crate has written is an
//! error of kind [`ErrorKind::Incompatible`]. Neither is ever removed or overwritten. A new entry
//! of the same key gets a name with more digits.
//!
//! Two heads may have the same key, such as in a copy of a folder within the folder. One of them is
//! the entry: the one that the index has, else the first by path that is not damaged. The others
//! count for [`max_bytes`](Builder::max_bytes) from the next opening on, and are removed when the
//! entry is removed or evicted.
//!
//! Files may be added, changed, renamed and removed, by hand or by `git checkout`, while no process
//! has the folder open. A head must keep an ending like `~3fa94c1d.json`, and its body stay in the
//! same folder under the name that the head says. To add a body to a head without one, add a member
//! `"body": {"file": "NAME"}` and remove the checksum. While the folder is open, changed and
//! removed heads are noticed when they are looked up, and new ones are not. Other files in the
//! folder are left alone.
//!
//! # Durability
//!
//! A write is acknowledged when both files are in their places, where every process sees them. It
//! is not synced: after a power cut, recent entries may be missing or damaged, which their
//! checksums show, and removed ones may be back. [`flush`](crate::store::Store::flush) syncs every
//! file that this process has written, and the folders from which it has removed any. A killed
//! process loses nothing that was acknowledged. A change that it had begun is completed by the next
//! process that changes the folder or opens it. If that is impossible, for example on a full disk,
//! the entry is gone. A removal that is completed late leaves files that were changed or restored
//! since.
//!
//! # Atomicity
//!
//! A body is written to an unfinished file in `.larder` while it arrives. [`finish`] writes the
//! head there too and takes the lock. It appends the change to the index, then moves the body and
//! the head to their places. A reader takes no lock. It looks into the index before and after it
//! opens the two files; if the entry has changed in between, it looks again. It never gets the head
//! of one version with the body of another, and reads an old body to its end, since the file stays
//! open. A reader with [`read_only`](Builder::read_only) has no index to look into. It takes the
//! lock for reading while it opens the two files. If a process was killed between the two moves and
//! none has opened the folder for writing since, the entry that was being replaced is damaged for
//! such a reader, and so is every entry without a checksum. This is tested on Linux. Names are safe
//! on other systems too, but a system that cannot replace an open file fails the write.
//!
//! A body of up to 128 KiB is compared with its checksum before any of it is returned. The last
//! chunk of a larger one is returned only if the whole has its checksum, so a damaged body ends in
//! an error of kind [`ErrorKind::Corrupt`].
//!
//! On a full disk, a write fails and what is stored stays readable. Removals work.
//!
//! # Several processes
//!
//! Any number of processes on one machine may have the folder open, and each sees at once what
//! another has written. They take turns to write, by a lock that each holds while it moves the
//! files of one entry, or removes those of many. A lookup waits for the lock only if the entry is
//! being changed. Whoever has waited for ten seconds, since a process is stopped while it has the
//! lock, gets an error of kind [`ErrorKind::Unavailable`]. The folder belongs on a local disk.
//!
//! # Where work runs
//!
//! Each lookup runs on a blocking thread, and so does each chunk of a large body. One thread of the
//! store does all changes, in the order of the calls. Outside of a tokio runtime, lookups run in
//! place.
//!
//! # Cost
//!
//! An entry takes two files, and some hundred bytes of memory in each process. Opening lists the
//! whole folder, and reads the heads that were changed since it was closed; with
//! [`read_only`](Builder::read_only), all of them. A scan lists the folder too. For hundreds of
//! thousands of entries, `Redb` is better.
//!
//! # Expiry and eviction
//!
//! An expired entry stays until it is replaced, [removed](crate::store::Store::remove_expired) or
//! evicted. Over [`max_bytes`](Builder::max_bytes), the oldest entries are evicted, except those
//! that this process has read lately (SIEVE). The order is kept in memory, and begins anew when the
//! folder is opened.
//!
//! # Safety
//!
//! New files have the permissions that the process's umask gives. Responses may be private: choose
//! a folder that only their owner can read. No link below the folder is followed, and no file
//! outside of it is read, written or removed, whatever a URL, a head or the index says. A link is
//! noticed before a file is opened, and so is a pipe, which would keep the reader waiting. A
//! program that may write to the folder can put one there in between, so the folder must not be
//! writable for those who are not trusted.
//!
//! A cache stores no request headers, so no credentials in them either. A URL is stored, with its
//! query, and so are response headers and bodies, with the tokens that they have:
//! [`store_set_cookie(false)`](crate::CacheLayer::store_set_cookie) leaves responses with
//! `Set-Cookie` out. The messages of errors have the paths of files, and so the host and the path
//! of the URL. Values of header lines are in none.
//!
//! [`clear`]: crate::store::Store::clear
//! [`finish`]: crate::store::Writer::finish

use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_core::Stream;
use tempfile::TempDir;

use self::{
    fault::STORE,
    read::{Entry, Want, look},
    shared::{Inner, Shared},
};
#[cfg(doc)]
use super::ErrorKind;
use super::{
    Evicted, Hit, Result, Scanned, Store, Version,
    disk::{self, PAGE, PAGE_BYTES, ReadAhead, off},
};
use crate::{Key, entry::Head, time::Timestamp};

// From the bottom up: `name` makes names, `document` the text of a head, and `folder` reads and
// writes files, and `stale` is a file to remove. `index` is the index in memory, `log` its file,
// and `view` both together. `lock` has the file of the lock, `shared` what all handles share, and
// `locked` how a change is made while the lock is held. `staged` is a body on its way, `found` a
// head that was found. `change`, `read` and `open` are what a store does, and `incoming` is its
// writer.
mod builder;
mod change;
mod document;
mod fault;
mod folder;
mod found;
mod incoming;
mod index;
mod lock;
mod locked;
mod log;
mod name;
mod open;
mod read;
mod shared;
mod staged;
mod stale;
mod view;

pub use self::{builder::Builder, incoming::Writer};

/// A store in a folder of readable files. The [module documentation](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may
/// take all of it. A larger entry is refused with [`ErrorKind::TooLarge`]. A head has at most
/// 64 MiB. Several processes of a machine may share the folder, which belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same folder.
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

impl Files {
    /// Opens the folder at `path` with the defaults of [`builder`](Files::builder). Creates it and
    /// its parents if they are missing. The path is used as it is. This blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Creates the settings for a store at `path`. Call [`open`](Builder::open) to open it.
    pub fn builder(path: impl Into<PathBuf>) -> Builder {
        Builder::new(path.into())
    }

    /// Creates a store in a new directory in the system's temporary directory. Dropping the last
    /// handle removes the directory; a process that is killed leaves it to the system. This blocks
    /// briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`], and if the directory cannot be created.
    pub fn temporary() -> Result<Self> {
        let directory = disk::temporary(STORE)?;
        let builder = Self::builder(directory.path().join("responses"));
        Self::start(builder, Some(directory))
    }

    /// Opens `http-cache` in the directory `app` of the user's cache directory: `$XDG_CACHE_HOME`
    /// or `~/.cache`, and on Windows the local application data. This blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`]. [`ErrorKind::Invalid`] if `app` is not a directory name, or the user
    /// has no home directory.
    pub fn in_cache_dir(app: &str) -> Result<Self> {
        Self::open(disk::in_cache_dir(STORE, app, "http-cache")?)
    }

    /// The path of the head of the entry under `key`, relative to the folder.
    #[cfg(feature = "testing")]
    pub(crate) fn head_path(&self, key: &Key) -> Option<String> {
        let view = self.inner.shared.view().ok()?;
        view.index.get(key).map(|row| row.path.to_string())
    }

    /// Fails if a file of the folder has the name of a head, and cannot be read as one. A cache
    /// takes it for a miss.
    #[cfg(feature = "testing")]
    pub(crate) fn check_heads(&self) -> Result<()> {
        self.inner.shared.check_heads()
    }

    fn start(builder: Builder, directory: Option<TempDir>) -> Result<Self> {
        builder.check()?;
        let shared = Arc::new(open::open(builder)?);
        Ok(Self { inner: Arc::new(Inner::new(shared, directory)) })
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.shared.folder.root
    }

    /// What this process has evicted to make room since it opened the folder.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.inner.shared.evictions.read()
    }

    /// Runs a change after all earlier ones.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check_writable()?;
        let shared = self.inner.shared.clone();
        self.inner.worker.run(move || work(&shared)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.inner.shared.clone();
        off(STORE, move || work(&shared)).await
    }

    fn check_writable(&self) -> Result<()> {
        let shared = &self.inner.shared;
        if shared.read_only { Err(fault::read_only(&shared.folder.root)) } else { Ok(()) }
    }
}

/// What a scan has not read yet.
struct Unread {
    keys: std::vec::IntoIter<Key>,
    /// The paths of the heads that were not in the index when the scan began.
    unlisted: Vec<String>,
}

impl Builder {
    /// Opens the folder, and creates it and its parents if they are missing. This blocks for as
    /// long as listing the folder takes, and reading the heads that were changed since it was
    /// closed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if the folder is to be read only and is missing, or if the file
    /// system has no locks, or another process has held the lock for ten seconds.
    /// [`ErrorKind::Incompatible`] if its index is of another version of this
    /// crate, [`ErrorKind::Denied`] if it may not be read or written, [`ErrorKind::Full`] if there
    /// is no room for an index, and [`ErrorKind::Invalid`] for settings or a path that make no
    /// sense. Each message names the path.
    pub fn open(self) -> Result<Files> {
        Files::start(self, None)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.inner.shared;
        f.debug_struct("Files")
            .field("path", &shared.folder.root)
            .field("max_bytes", &shared.max_bytes)
            .field("read_only", &shared.read_only)
            .finish_non_exhaustive()
    }
}

impl Store for Files {
    type Writer = Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let key = *key;
        self.read(move |shared| {
            let found = look(shared, &key, Want::Body)?;
            Ok(found.map(Entry::into_hit))
        })
        .await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        self.check_writable()?;
        Ok(Writer::new(self.inner.clone(), *key, head))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let key = *key;
        self.change(move |shared| change::update(shared, &key, seen, head)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        let key = *key;
        self.change(move |shared| change::remove(shared, &key, None)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        let key = *key;
        self.change(move |shared| change::remove(shared, &key, Some(seen))).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.change(move |shared| change::remove_expired(shared, now)).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let tag: Box<str> = tag.into();
        self.change(move |shared| change::remove_tagged(shared, &tag)).await
    }

    async fn clear(&self) -> Result<()> {
        self.change(change::clear).await
    }

    async fn flush(&self) -> Result<()> {
        if self.inner.shared.read_only {
            return Ok(());
        }
        self.change(Shared::sync).await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        let inner = self.inner.clone();
        let read = move |listing: Option<Unread>| {
            let shared = inner.shared.clone();
            off(STORE, move || {
                let mut unread = match listing {
                    Some(unread) => unread,
                    None => {
                        let unlisted = shared.unlisted_heads()?;
                        Unread { keys: shared.view()?.index.keys().into_iter(), unlisted }
                    }
                };
                let (mut page, mut bytes) = (VecDeque::new(), 0);
                while page.len() < PAGE && bytes < PAGE_BYTES {
                    let Some(key) = unread.keys.next() else {
                        // Heads without a readable key have no entry. They are listed as errors.
                        page.extend(shared.errors_of(&unread.unlisted).map(Err));
                        return Ok((None, page));
                    };
                    match look(&shared, &key, Want::Head) {
                        Ok(Some(entry)) => {
                            bytes += entry.head.size();
                            page.push_back(Ok(Scanned::new(key, entry.version, entry.head)));
                        }
                        Ok(None) => {}
                        Err(error) => page.push_back(Err(error)),
                    }
                }
                Ok((Some(Some(unread)), page))
            })
        };
        ReadAhead::new(VecDeque::new(), None, read)
    }

    async fn len(&self) -> Result<u64> {
        self.read(|shared| Ok(shared.view()?.index.len() as u64)).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.read(|shared| Ok(shared.view()?.index.bytes())).await
    }
}
