//! Removes files that no entry has: of entries that were replaced, removed or expired, of writers
//! that were dropped, and of processes that died between two steps.
//!
//! A sweep uses the index over the files' states, and does work in proportion to what it removes,
//! except that it checks each live file once a day. It runs in a task of its own, some time after a
//! write or a removal, so that a store in use stays clean; at
//! [connecting](super::Builder::connect); and at `remove_expired`.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, doc, oid::ObjectId};

use super::{
    files::{DELETING, LIVE, PENDING, REMOVED, touched},
    record::date,
    shared::Shared,
};
use crate::{store::Result, time::Timestamp};

/// How long an unfinished file stays after its last touch.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// How often a live file is checked.
const RECHECK: Duration = Duration::from_secs(24 * 3600);

/// The longest wait for an expiry. Files that are set aside meanwhile wait as long.
const LONG: Duration = Duration::from_secs(60);

/// How much later than the files become due a sweep comes.
const MARGIN: Duration = Duration::from_millis(100);

/// How many files are checked at a time.
const PAGE: i64 = 100;

/// How many pages of each kind a background sweep checks.
const PAGES: usize = 100;

/// Which files are due.
struct Kind {
    state: &'static str,
    untouched_since: Timestamp,
    /// Only files whose entries were to be kept until this time or an earlier one.
    expired_at: Option<Timestamp>,
}

/// A file that is due to be checked.
struct Due {
    id: ObjectId,
    /// The key of the entry, in hexadecimal digits.
    filename: String,
}

impl Shared {
    /// Schedules a sweep for when files that are set aside now may be deleted.
    pub(super) fn sweep_later(self: &Arc<Self>) {
        self.sweep_after(self.settings.linger);
    }

    /// Schedules a sweep, and more sweeps while there is anything to wait for.
    pub(super) fn sweep_after(self: &Arc<Self>, mut delay: Duration) {
        let mut sweeper = self.sweeper();
        sweeper.has_more = true;
        // The task ends with its runtime too, which need not be the only one that uses the store.
        if sweeper.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (shared, linger) = (Arc::downgrade(self), self.settings.linger);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(delay.saturating_add(MARGIN)).await;
                let Some(shared) = shared.upgrade() else { return };
                // Files that are set aside from here on are for the next sweep.
                shared.sweeper().has_more = false;
                let swept = shared.sweep_on().await;
                let mut sweeper = shared.sweeper();
                delay = match swept {
                    Ok(Some(delay)) if sweeper.has_more => delay.min(linger),
                    Ok(Some(delay)) => delay,
                    Ok(None) if !sweeper.has_more => {
                        sweeper.task = None;
                        return;
                    }
                    Ok(None) | Err(_) => linger,
                };
            }
        });
        sweeper.task = Some(task.abort_handle());
    }

    /// Sweeps. Returns after what time there is something to do again.
    async fn sweep_on(self: &Arc<Self>) -> Result<Option<Duration>> {
        let now = self.sweep(PAGES).await?;
        let files = self.collections.files.clone();
        let aside = doc! { "metadata.state": { "$in": [REMOVED, DELETING] } };
        let aside = async move { files.find_one(aside).projection(doc! { "_id": 1 }).await };
        if self.link.ask(aside).await?.is_some() {
            return Ok(Some(self.settings.linger));
        }
        // The file whose entry the server removes first.
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
        let wait = at.map(|at| at.saturating_add(self.settings.grace).saturating_since(now));
        Ok(wait.map(|wait| wait.min(LONG).max(self.settings.linger)))
    }

    /// Deletes files that are due, up to `pages` pages of each kind. Returns the server's time at
    /// the beginning.
    pub(super) async fn sweep(self: &Arc<Self>, pages: usize) -> Result<Timestamp> {
        self.collections.restore(&self.link, self.settings.grace).await?;
        let now = self.server_time().await?;
        let ago = |age: Duration| {
            let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_sub(millis))
        };
        let kind = |state, age| Kind { state, untouched_since: ago(age), expired_at: None };
        let kinds = [
            kind(DELETING, Duration::ZERO),
            kind(PENDING, LEASE),
            kind(REMOVED, self.settings.linger),
            // Files of entries that the server has expired. They are found by the time until which
            // the entries were kept, once nobody can still be publishing them.
            Kind { expired_at: Some(ago(self.settings.grace)), ..kind(LIVE, self.settings.linger) },
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
            files.find(due).projection(fields).limit(-PAGE).await?.try_collect::<Vec<_>>().await
        };
        let due = self.link.ask(found).await?.into_iter().filter_map(|file| {
            let id = file.get_object_id("_id").ok()?;
            let filename = file.get_str("filename").unwrap_or_default().to_owned();
            Some(Due { id, filename })
        });
        Ok(due.collect())
    }

    /// Handles files that are due, so that they are not due any more.
    async fn settle(self: &Arc<Self>, kind: &Kind, due: Vec<Due>) -> Result<()> {
        if kind.state == DELETING {
            for file in due {
                self.delete_file(file.id).await?;
            }
            return Ok(());
        }
        let unused = self.unused(due).await?;
        if kind.state == LIVE {
            // Somebody may have begun to read it while it had an entry.
            if !unused.is_empty() {
                self.set_state(unused.iter().map(|file| file.id).collect(), REMOVED).await?;
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

    /// Returns the files that no entry has. The others become live, with the times of their
    /// entries.
    async fn unused(&self, due: Vec<Due>) -> Result<Vec<Due>> {
        let names: Vec<_> = due.iter().map(|file| file.filename.clone()).collect();
        let ids: Vec<_> = due.iter().map(|file| file.id).collect();
        let entries = self.collections.entries.clone();
        let users = doc! { "_id": { "$in": names }, "file": { "$in": ids } };
        let users = async move {
            let users = entries.find(users).projection(doc! { "file": 1, "keep_until": 1 });
            users.await?.try_collect::<Vec<_>>().await
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

    /// The time of the server, which touches files.
    async fn server_time(&self) -> Result<Timestamp> {
        let database = self.link.database().clone();
        let hello = self.link.ask(async move { database.run_command(doc! { "hello": 1 }).await });
        match hello.await?.get("localTime") {
            Some(Bson::DateTime(time)) => Ok(from_date(*time)),
            _ => Err(self.link.circuit().strange()),
        }
    }
}

fn from_date(date: DateTime) -> Timestamp {
    Timestamp::from_millis(u64::try_from(date.timestamp_millis()).unwrap_or_default())
}
