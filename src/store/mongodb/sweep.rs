//! Removes the files that no entry has: of entries that were replaced, removed or expired, of writers that were dropped,
//! and of processes that died between two steps.
//!
//! A sweep is led by the index over the files' states, and does work in proportion to what it removes, but for a look at
//! each live file once a day. It runs in a task of its own, some time after something was written or set aside, so that a
//! store which is used keeps itself clean; at [connecting](super::Builder::connect); and at `remove_expired`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc, oid::ObjectId};

use super::{
    fault,
    files::{DELETING, LIVE, PENDING, REMOVED, touched},
    record::date,
    shared::Shared,
};
use crate::{store::Result, time::Timestamp};

/// How long an unfinished file stays after its last touch.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// How often it is made sure that an entry has a live file.
const RECHECK: Duration = Duration::from_secs(24 * 3600);

/// How long the wait for an expiry is at most. What is set aside meanwhile waits as long.
const LONG: Duration = Duration::from_secs(60);

/// How much later than the files may go a sweep comes.
const MARGIN: Duration = Duration::from_millis(100);

/// How many files are looked at in one go.
const PAGE: i64 = 100;

/// How many pages of each kind a sweep of its own accord looks at.
const PAGES: usize = 100;

/// Whether a sweep of its own accord is coming: none, one, or one that has more to do than those before it knew.
const IDLE: u8 = 0;
const COMING: u8 = 1;
const AGAIN: u8 = 2;

/// Which files are due.
struct Kind {
    state: &'static str,
    untouched_since: Timestamp,
    /// Only those whose entries were to be kept until this time or one before it.
    expired_at: Option<Timestamp>,
}

/// A file that is due to be looked at.
struct Due {
    id: ObjectId,
    /// The key of the entry, in hexadecimal digits.
    filename: String,
}

impl Shared {
    /// Sweeps without anybody waiting for it, and again when there is something to do.
    pub(super) fn sweep_now(self: &Arc<Self>) {
        let shared = self.clone();
        tokio::spawn(async move {
            if !matches!(shared.sweep_on().await, Ok(None)) {
                shared.sweep_later();
            }
        });
    }

    /// Sees to it that a sweep is coming that begins when what is set aside now may go, and others after it for as long as
    /// there is something to wait for.
    pub(super) fn sweep_later(self: &Arc<Self>) {
        if self.sweeper.swap(AGAIN, Ordering::AcqRel) != IDLE {
            return;
        }
        let (shared, mut delay) = (Arc::downgrade(self), self.lingering());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(delay.saturating_add(MARGIN)).await;
                let Some(shared) = shared.upgrade() else { return };
                // What is set aside from here on is for the next one.
                shared.sweeper.store(COMING, Ordering::Release);
                delay = match shared.sweep_on().await {
                    Ok(Some(delay)) => delay,
                    Err(_) => shared.lingering(),
                    Ok(None) => {
                        let (order, load) = (Ordering::AcqRel, Ordering::Acquire);
                        if shared.sweeper.compare_exchange(COMING, IDLE, order, load).is_ok() {
                            return;
                        }
                        shared.lingering()
                    }
                };
                if shared.sweeper.load(Ordering::Acquire) == AGAIN {
                    delay = delay.min(shared.lingering());
                }
            }
        });
    }

    /// Sweeps, and tells after what time there is something to do again.
    async fn sweep_on(self: &Arc<Self>) -> Result<Option<Duration>> {
        let now = self.sweep(PAGES).await?;
        let files = self.collections.files.clone();
        let aside = doc! { "metadata.state": { "$in": [REMOVED, DELETING] } };
        let aside = async move { files.find_one(aside).projection(doc! { "_id": 1 }).await };
        if self.link.ask(aside).await?.is_some() {
            return Ok(Some(self.lingering()));
        }
        // The one whose entry the server removes first.
        let files = self.collections.files.clone();
        let expiring = doc! { "metadata.state": LIVE, "metadata.keep_until": { "$gte": date(Timestamp::MIN) } };
        let first = async move {
            let first = files.find_one(expiring).sort(doc! { "metadata.keep_until": 1 });
            first.projection(doc! { "metadata.keep_until": 1 }).await
        };
        let first = self.link.ask(first).await?;
        let at = first.as_ref().and_then(|first| {
            first.get_document("metadata").ok()?.get_datetime("keep_until").ok().map(from_date)
        });
        let wait = at.map(|at| at.saturating_add(self.grace).saturating_since(now));
        Ok(wait.map(|wait| wait.min(LONG).max(self.lingering())))
    }

    /// For how long a file that was set aside stays. No shorter than a command may be under way: a chunk that is still
    /// coming in must not outlive its file.
    pub(super) fn lingering(&self) -> Duration {
        self.linger.max(self.link.limit())
    }

    /// Removes what files are due, up to so many pages of each kind. Gives the server's time at the beginning.
    pub(super) async fn sweep(self: &Arc<Self>, pages: usize) -> Result<Timestamp> {
        self.collections.restore(&self.link, self.grace).await?;
        let now = self.server_time().await?;
        let ago = |age: Duration| {
            let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(millis))
        };
        let kind = |state, age| Kind { state, untouched_since: ago(age), expired_at: None };
        let kinds = [
            kind(DELETING, Duration::ZERO),
            kind(PENDING, LEASE),
            kind(REMOVED, self.lingering()),
            // Of entries that the server has expired: they are found by the time until which those were kept, once nobody
            // can be just about to publish them.
            Kind { expired_at: Some(ago(self.grace)), ..kind(LIVE, self.lingering()) },
            kind(LIVE, RECHECK),
        ];
        for kind in kinds {
            for _ in 0..pages {
                let due = self.due(&kind).await?;
                if due.is_empty() {
                    break;
                }
                self.settle(&kind, due).await?;
            }
        }
        Ok(now)
    }

    /// The next files of a kind.
    async fn due(&self, kind: &Kind) -> Result<Vec<Due>> {
        let mut due = doc! {
            "metadata.state": kind.state,
            "metadata.touched": { "$lte": date(kind.untouched_since) },
        };
        if let Some(at) = kind.expired_at {
            due.insert("metadata.keep_until", doc! { "$lte": date(at) });
        }
        let files = self.collections.files.clone();
        let found = async move {
            let fields = doc! { "filename": 1 };
            all(files.find(due).projection(fields).limit(-PAGE).await?).await
        };
        let due = self.link.ask(found).await?.into_iter().filter_map(|file| {
            let id = file.get_object_id("_id").ok()?;
            let filename = file.get_str("filename").unwrap_or_default().to_owned();
            Some(Due { id, filename })
        });
        Ok(due.collect())
    }

    /// Sees to it that files which are due are so no more.
    async fn settle(self: &Arc<Self>, kind: &Kind, due: Vec<Due>) -> Result<()> {
        if kind.state == DELETING {
            for file in due {
                self.delete_file(file.id).await?;
            }
            return Ok(());
        }
        let unused = self.unused(due).await?;
        if kind.state == LIVE {
            // Somebody may have begun to read it while there was an entry.
            if !unused.is_empty() {
                self.retire(unused.iter().map(|file| file.id).collect()).await?;
                self.sweep_later();
            }
            return Ok(());
        }
        for file in unused {
            if self.claim(file.id, kind.state, kind.untouched_since).await? {
                self.delete_file(file.id).await?;
            }
        }
        Ok(())
    }

    /// Those of the files that no entry has. The others are live, and get the times of their entries.
    async fn unused(&self, due: Vec<Due>) -> Result<Vec<Due>> {
        let names: Vec<_> = due.iter().map(|file| file.filename.clone()).collect();
        let ids: Vec<_> = due.iter().map(|file| file.id).collect();
        let entries = self.collections.entries.clone();
        let users = doc! { "_id": { "$in": names }, "file": { "$in": ids } };
        let users = async move {
            all(entries.find(users).projection(doc! { "file": 1, "keep_until": 1 }).await?).await
        };
        let users = self.link.ask(users).await?;
        let mut used = Vec::with_capacity(users.len());
        for entry in users {
            let Ok(id) = entry.get_object_id("file") else { continue };
            used.push(id);
            let mut change = doc! { "$set": { "metadata.state": LIVE }, "$currentDate": touched() };
            match entry.get_datetime("keep_until") {
                Ok(at) => {
                    let set = doc! { "metadata.state": LIVE, "metadata.keep_until": at };
                    change.insert("$set", set);
                }
                Err(_) => {
                    change.insert("$unset", doc! { "metadata.keep_until": "" });
                }
            }
            let files = self.collections.files.clone();
            let which = doc! { "_id": id, "metadata.state": { "$ne": DELETING } };
            self.link.ask(async move { files.update_one(which, change).await }).await?;
        }
        Ok(due.into_iter().filter(|file| !used.contains(&file.id)).collect())
    }

    /// The time on the server, by which files are touched.
    async fn server_time(&self) -> Result<Timestamp> {
        let database = self.link.database().clone();
        let hello = self.link.ask(async move { database.run_command(doc! { "hello": 1 }).await });
        match hello.await?.get("localTime") {
            Some(Bson::DateTime(time)) => Ok(from_date(*time)),
            _ => Err(fault::strange(self.link.server())),
        }
    }
}

fn from_date(date: DateTime) -> Timestamp {
    Timestamp::from_millis(u64::try_from(date.timestamp_millis()).unwrap_or_default())
}

/// Everything that a cursor yields. For queries that have a limit.
pub(super) async fn all(
    mut cursor: mongodb::Cursor<RawDocumentBuf>,
) -> mongodb::error::Result<Vec<RawDocumentBuf>> {
    let mut documents = Vec::new();
    while cursor.advance().await? {
        documents.push(cursor.current().to_owned());
    }
    Ok(documents)
}
