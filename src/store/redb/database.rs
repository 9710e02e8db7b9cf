//! redb as the database of the engine: transactions, syncs, and recovery after an I/O error.

use std::{fs, sync::atomic::Ordering, time::Duration};

use redb::ReadableDatabase;

use super::{
    change::Change,
    db::{Db, Open},
    fault::{self, STORE},
    open::{self, Opened},
    quiet::quietly,
    read,
    record::{self, record_len},
    schema::{CHUNK, digests},
};
use crate::{
    event,
    store::{
        Error, ErrorKind, Result,
        embedded::{Body, Database, Entry, Recovery},
    },
};

/// A file is compacted when it is closed if it takes more than twice the bytes of its entries, and
/// this. Smaller files are not worth it.
const SLACK: u64 = 4 << 20;

/// A larger file is not compacted. A file of this size takes two or three seconds.
const COMPACTABLE: u64 = 320 << 20;

/// The same if the last handle is dropped, perhaps on a thread that others need.
const QUICKLY_COMPACTABLE: u64 = 32 << 20;

/// The space that a file takes on the disk. The new end of a file that has doubled takes none.
#[cfg(unix)]
fn space_of(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    file.blocks() * 512
}

#[cfg(not(unix))]
fn space_of(file: &fs::Metadata) -> u64 {
    file.len()
}

impl Database for Db {
    const STORE: &'static str = STORE;
    const CHUNK: usize = CHUNK;
    /// Pages of a synced state are reusable only after the next sync, so a busy store that does not
    /// sync would make its file grow.
    const UNSYNCED: usize = 64 << 20;
    /// Keys are random, so each change replaces another page.
    const REPLACED: usize = 4 << 10;
    const LEISURE: Option<Duration> = None;
    /// redb refuses all work after an I/O error, and reopening it undoes what was not synced.
    const LOSES_UNSYNCED: bool = true;

    type Fault = redb::Error;
    type Connection = ();
    type Transaction<'t> = Change<'t>;

    fn needs_recovery(&self) -> bool {
        self.is_broken.load(Ordering::Acquire) || matches!(self.slot().state, Open::Down(_))
    }

    fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        quietly(work).unwrap_or_else(|panic| {
            // It may have poisoned redb's locks.
            self.is_broken.store(true, Ordering::Release);
            Err(fault::panicked(&self.config.path, panic.as_ref()))
        })
    }

    fn cost(entry: &Entry) -> u64 {
        let (inline, chunked) = match &entry.body {
            Body::Inline(bytes) => (bytes.len(), None),
            Body::Chunks { .. } => (0, Some(entry.head.body_len())),
        };
        let tags = digests(entry.head.tags()).len();
        record::cost(record_len(tags, entry.encoded.len(), inline), chunked)
    }

    fn transact(
        &self,
        (): &mut (),
        is_synced: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), redb::Error>,
    ) -> Result<bool> {
        let wrong = |error: redb::Error| self.wrong(error);
        let mut txn = match &self.slot().state {
            Open::Yes(Opened::Writable(db)) => {
                db.begin_write().map_err(|error| wrong(error.into()))?
            }
            // The engine asks for no change.
            Open::Yes(Opened::ReadOnly(_)) => return Ok(false),
            Open::Down(why) => return Err(why.repeat()),
            Open::Closed => return Err(self.closed()),
        };
        if is_synced {
            // With the allocator's state saved, a crash needs no repair, which would read the whole
            // file.
            txn.set_quick_repair(true);
        } else {
            txn.set_durability(redb::Durability::None).map_err(|error| wrong(error.into()))?;
        }
        let change = || -> Result<bool, redb::Error> {
            let mut change = Change::begin(&txn, self.owner, self.config.max_bytes)?;
            work(&mut change)?;
            change.finish()
        };
        let is_edited = change().map_err(wrong)?;
        if is_edited {
            txn.commit().map_err(|error| wrong(error.into()))?;
            self.changed();
        } else {
            txn.abort().map_err(|error| wrong(error.into()))?;
        }
        Ok(is_edited)
    }

    /// An empty synced commit includes all unsynced ones before it.
    fn sync(&self, (): &mut ()) -> Result<Option<Duration>> {
        if let Open::Yes(db) = &self.slot().state
            && let Some(db) = db.writable()
        {
            open::write(db, |_| Ok(())).map_err(|error| self.wrong(error))?;
        }
        Ok(None)
    }

    /// Closes the file and opens it again. A damaged file that no other process has is replaced by
    /// an empty one. A panic may have another reason than damage, so the whole file is checked
    /// before.
    fn recover(&self, (): &mut (), why: &Error) -> Recovery {
        let may_be_damaged =
            why.kind() == ErrorKind::Corrupt && self.owner.is_alone && !self.config.read_only;
        let down = Open::Down(why.repeat());
        let open = std::mem::replace(&mut self.slot_mut().state, down);
        self.changed();
        match open {
            Open::Yes(db) => {
                event::restarted(STORE, &why.message());
                // Closing may fail for the same reason. The locks are released nevertheless.
                drop(quietly(|| db.close().ok()));
                let is_emptied = may_be_damaged
                    && open::is_damaged(&self.config)
                    // Its path may be another file's by now.
                    && self.is_in_place()
                    // If the file cannot be removed, opening it says why it cannot be used.
                    && fs::remove_file(&self.config.file).is_ok();
                self.open_again();
                if is_emptied {
                    return Recovery::Emptied;
                }
            }
            Open::Down(why) => {
                self.slot_mut().state = Open::Down(why);
                self.open_again();
            }
            Open::Closed => self.slot_mut().state = Open::Closed,
        }
        Recovery::Tried
    }

    fn close(&self, (): &mut (), has_time: bool) -> Result<()> {
        let open = std::mem::replace(&mut self.slot_mut().state, Open::Closed);
        self.changed();
        match open {
            Open::Yes(Opened::Writable(mut db)) => {
                open::write(&db, |_| Ok(())).map_err(|error| self.wrong(error))?;
                if self.owner.is_alone
                    && self.is_worth_compacting(&db, has_time)
                    && !matches!(quietly(|| db.compact()), Ok(Ok(_)))
                {
                    // A body is still being read, the disk is full, or a page is damaged. The file
                    // is only larger than it could be, since everything is synced.
                    drop(quietly(|| drop(db)));
                    return Ok(());
                }
                db.close().map_err(|error| self.wrong(error.into()))
            }
            Open::Yes(db) => db.close().map_err(|error| self.wrong(error)),
            Open::Down(why) => Err(why),
            Open::Closed => Ok(()),
        }
    }
}

impl Db {
    /// Whether the file takes more space than it should, and is small enough to be compacted. If
    /// either size is unknown, it is not.
    fn is_worth_compacting(&self, db: &redb::Database, has_time: bool) -> bool {
        let size = db.begin_read().map_err(Into::into).and_then(|txn| read::size_in(&txn));
        let (Ok(size), Ok(file)) = (size, fs::metadata(&self.config.file)) else { return false };
        let most = if has_time { COMPACTABLE } else { QUICKLY_COMPACTABLE };
        (size.saturating_mul(2).saturating_add(SLACK + 1)..=most).contains(&space_of(&file))
    }
}
