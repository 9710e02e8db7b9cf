//! The engine: what the handles of an embedded store do, over any [`Database`].

use std::{
    cell::RefCell,
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
};

use bytes::Bytes;
use futures_core::Stream;
use tempfile::TempDir;

use super::{
    Reads,
    command::{Command, JobKind},
    database::{Database, Lookup, Purge, Read, key_start},
    incoming::{Writer, check_tags},
    inner::Inner,
    overlay::Look,
    read_mode::{Place, Trial},
    shared::{Settings, Shared},
    writer::Thread,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Error, ErrorKind, Evicted, Hit, Result, Scanned, StoredBody, Version,
        disk::{Page, ReadAhead, Task, Worker, here, off},
    },
    time::Timestamp,
};

/// A read of the next few chunks of a body.
type ChunksTask<D> = Task<Page<Box<<D as Read>::Chunks>, Bytes>>;

/// A handle to an open store.
pub(in crate::store) struct Engine<D: Database> {
    inner: Arc<Inner<D>>,
    /// This handle does not read on the calling thread, whatever the settings say.
    off_thread: bool,
}

impl<D: Database> Clone for Engine<D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), off_thread: self.off_thread }
    }
}

impl<D: Database> Engine<D> {
    /// Starts the threads over an open database.
    pub(in crate::store) fn start(
        db: D,
        connection: D::Connection,
        settings: Settings,
        directory: Option<TempDir>,
    ) -> Result<Self> {
        let (shared, commands) = Shared::new(db, settings);
        let writer = Thread::new(shared.clone(), commands, connection);
        let thread = thread::Builder::new()
            .name(format!("larder-{}", D::STORE))
            .spawn(move || writer.run())
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, D::STORE, "cannot start the writer thread")
                    .with_source(error)
            })?;
        let thread = Mutex::new(Some(thread));
        let reader = Worker::new(D::STORE, "read");
        let inner = Arc::new(Inner { shared, thread, reader, _directory: directory });
        Ok(Self { inner, off_thread: false })
    }

    pub(in crate::store) fn shared(&self) -> &Arc<Shared<D>> {
        &self.inner.shared
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.shared().settings.path
    }

    pub(in crate::store) fn evicted(&self) -> Evicted {
        self.shared().evictions.read()
    }

    pub(in crate::store) fn unwritten(&self) -> u64 {
        self.shared().unwritten.load(Ordering::Relaxed)
    }

    pub(in crate::store) fn read_off_thread(self) -> Self {
        Self { off_thread: true, ..self }
    }

    // ----- reads -----

    pub(in crate::store) async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let (shared, key) = (self.shared(), *key);
        loop {
            let seen = match shared.overlay.look(&key) {
                Look::Here(hit) => {
                    shared.visited.add(key_start(&key));
                    return Ok(Some(hit));
                }
                Look::Hidden => return Ok(None),
                Look::InFile(seen) => seen,
            };
            let found = self.lookup(key).await?;
            if !shared.overlay.is_current(&seen) {
                continue;
            }
            let Some(found) = found else { return Ok(None) };
            if seen.hides(&key, &found.head) {
                return Ok(None);
            }
            shared.visited.add(key_start(&key));
            let body = match found.rest {
                None => found.first.into(),
                Some(rest) => StoredBody::from_stream(
                    found.head.body_len(),
                    ReadAhead::new([Ok(found.first)].into(), rest, self.read_chunks()),
                ),
            };
            return Ok(Some(Hit::new(found.head, found.version, body)));
        }
    }

    /// Looks an entry up in the file, where the [`ReadMode`](super::ReadMode) says. Outside of a
    /// tokio runtime, on the calling thread.
    async fn lookup(&self, key: Key) -> Result<Lookup<D>> {
        let shared = self.shared();
        let mode = &shared.settings.reads;
        let mut place = if self.off_thread { Place::OFF } else { mode.place() };
        if place.is_here {
            let (began, seen) = (mode.begin(), shared.recoveries());
            let result = shared.read(|shared| shared.db.try_get(&key, &shared.leases)).transpose();
            // Another thread can wait for a lock, and for the recovery of the database.
            let result = result.filter(|result| result.is_ok() || !shared.may_be_recovered(seen));
            if let Some(began) = began {
                let is_learnt = mode.learn_here(began, result.is_some(), place.is_trial);
                place.is_trial &= !is_learnt;
            }
            if let Some(result) = result {
                return result;
            }
        }
        let trial = place.is_trial.then(|| Trial::new(mode.clone()));
        let shared = shared.clone();
        off(D::STORE, move || {
            let _trial = trial.map(Trial::begun);
            shared.read_patiently(|shared| shared.db.get(&key, &shared.leases))
        })
        .await
    }

    /// Reads the chunks of bodies, on the thread that reads large bodies or in place.
    fn read_chunks(&self) -> impl FnMut(Box<D::Chunks>) -> ChunksTask<D> + use<D> {
        let in_place = self.shared().settings.reads.setting() == Reads::InPlace && !self.off_thread;
        let inner = self.inner.clone();
        move |rest| {
            let shared = inner.shared.clone();
            let read = move || {
                let mut rest = rest;
                let chunks = RefCell::new(&mut *rest);
                let read = |shared: &Shared<D>| shared.db.read_chunks(&mut chunks.borrow_mut());
                let (items, has_more) = shared.read_patiently(read)?;
                Ok((has_more.then_some(rest), items))
            };
            if in_place { here(read) } else { inner.reader.run(read) }
        }
    }

    /// Lists every entry's head, page by page. Each page is read on its own, so that a slow reader
    /// blocks nothing.
    pub(in crate::store) fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<D> {
        let engine = self.clone();
        let mut is_settled = false;
        let read = move |from: D::Cursor| {
            let shared = engine.shared().clone();
            let is_first = !std::mem::replace(&mut is_settled, true);
            let settle = is_first && shared.overlay.has_pending();
            off(D::STORE, move || {
                if settle {
                    shared.settle_blocking();
                }
                shared.list(from)
            })
        };
        ReadAhead::new(VecDeque::new(), D::Cursor::default(), read)
    }

    pub(in crate::store) async fn len(&self) -> Result<u64> {
        self.settle().await;
        let shared = self.shared().clone();
        off(D::STORE, move || shared.len()).await
    }

    pub(in crate::store) async fn size_bytes(&self) -> Result<u64> {
        self.settle().await;
        let shared = self.shared().clone();
        off(D::STORE, move || shared.read_patiently(|shared| shared.db.size())).await
    }

    /// Waits until the file has what is visible. If that fails, what is visible changes.
    async fn settle(&self) {
        if self.shared().overlay.has_pending() {
            drop(self.ask(Command::Settle, 0).await);
        }
    }

    // ----- writes -----

    pub(in crate::store) async fn put(&self, key: &Key, head: Head) -> Result<Writer<D>> {
        check_tags(D::STORE, &head)?;
        self.shared().check_writable()?;
        if self.shared().overlay.is_closed() {
            return Err(self.shared().closed());
        }
        Ok(Writer::new(self.inner.clone(), *key, head))
    }

    pub(in crate::store) async fn update(
        &self,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> Result<bool> {
        check_tags(D::STORE, &head)?;
        let bytes = head.size();
        Ok(self.ask(Command::Update { key: *key, seen, head: Box::new(head) }, bytes).await? == 1)
    }

    pub(in crate::store) async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.ask(Command::Remove { key: *key, seen: None }, 0).await? == 1)
    }

    pub(in crate::store) async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        Ok(self.ask(Command::Remove { key: *key, seen: Some(seen) }, 0).await? == 1)
    }

    pub(in crate::store) async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.ask(Command::Job(JobKind::Purge(Purge::Expired(now))), 0).await
    }

    pub(in crate::store) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.ask(Command::Job(JobKind::Purge(Purge::Tagged(tag.into()))), 0).await
    }

    pub(in crate::store) async fn clear(&self) -> Result<()> {
        self.ask(Command::Job(JobKind::Clear), 0).await.map(drop)
    }

    #[cfg(feature = "sqlite")]
    pub(in crate::store) async fn vacuum(&self) -> Result<u64> {
        self.ask(Command::Job(JobKind::Vacuum), 0).await
    }

    pub(in crate::store) async fn flush(&self) -> Result<()> {
        if self.shared().settings.is_read_only {
            return Ok(());
        }
        self.ask(Command::Flush, 0).await.map(drop)
    }

    pub(in crate::store) async fn close(&self) -> Result<()> {
        let Some(outcome) = self.shared().send_now(Command::Close { has_time: true }) else {
            return Ok(());
        };
        // If another call closed the store first, the thread has ended without a reply to this one.
        outcome.await.unwrap_or(Ok(0)).map(drop)
    }

    async fn ask(&self, command: Command, bytes: usize) -> Result<u64> {
        self.shared().check_writable()?;
        self.shared().ask(command, bytes).await
    }
}

impl<D: Database> Shared<D> {
    /// One page of a listing, without what is hidden.
    fn list(&self, from: D::Cursor) -> Result<Page<D::Cursor, Scanned>> {
        loop {
            let seen = self.overlay.seen();
            let (rest, mut items) = self.read_patiently(|shared| shared.db.list(from.clone()))?;
            if !self.overlay.is_current(&seen) {
                continue;
            }
            if !seen.is_empty() {
                items.retain(|item| match item {
                    Ok(item) => !seen.hides(&item.key, &item.head),
                    Err(_) => true,
                });
            }
            return Ok((rest, items));
        }
    }

    fn len(&self) -> Result<u64> {
        if self.overlay.hidden().is_none() {
            return self.read_patiently(|shared| shared.db.len());
        }
        self.count(|_| true)
    }

    /// The number of such entries that readers see in the file, by reading all heads.
    pub(super) fn count(&self, is_meant: impl Fn(&Result<Scanned>) -> bool) -> Result<u64> {
        let (mut count, mut next) = (0, Some(D::Cursor::default()));
        while let Some(from) = next {
            let (rest, items) = self.list(from)?;
            count += items.iter().filter(|item| is_meant(item)).count() as u64;
            next = rest;
        }
        Ok(count)
    }

    /// Waits on a blocking thread until the file has what is visible.
    fn settle_blocking(&self) {
        if let Some(settled) = self.send_now(Command::Settle) {
            drop(settled.blocking_recv());
        }
    }
}
