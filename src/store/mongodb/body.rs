//! Reads: lookups, and the chunks of large bodies.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};

use super::{
    fault,
    files::chunk_checksum,
    listing::damaged,
    record::{Location, Record},
    shared::Shared,
    sweep::all,
};
use crate::{
    Key,
    store::{Error, ErrorKind, Hit, Result, StoredBody, Version},
};

/// How many bytes of chunks one command requests, if chunks are smaller. As many again are read
/// ahead.
const AHEAD: u64 = 512 << 10;

/// How often a lookup is repeated because the entry was replaced meanwhile.
const TRIES: usize = 3;

pub(super) async fn get(shared: &Arc<Shared>, key: &Key) -> Result<Option<Hit>> {
    let mut last: Option<(Version, Error)> = None;
    for _ in 0..TRIES {
        let entries = shared.collections.entries.clone();
        let which = doc! { "_id": key.to_string() };
        let found = shared.link.ask(async move { entries.find_one(which).await }).await?;
        let Some(document) = found else { return Ok(None) };
        let record = Record::parse(key, document).map_err(|damage| damaged(key, damage))?;
        let version = Version::new(record.version);
        // The same version without a body, twice: nobody is replacing it.
        if let Some((seen, error)) = last
            && seen == version
        {
            return Err(error);
        }
        let body = match open(shared, key, &record).await {
            Ok(body) => body,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                last = Some((version, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        return Ok(Some(Hit::new(Arc::new(record.head), version, body)));
    }
    Err(last.map_or_else(|| fault::strange(shared.link.server()), |(_, error)| error))
}

async fn open(shared: &Arc<Shared>, key: &Key, record: &Record) -> Result<StoredBody> {
    let len = record.head.body_len();
    match record.body {
        Location::Inline { checksum } => {
            if record.inline.len() as u64 != len {
                return Err(fault::corrupt(key, "a body whose length differs from its head's"));
            }
            if crc32fast::hash(&record.inline) != checksum {
                return Err(fault::corrupt(key, "a body that does not match its checksum"));
            }
            Ok(record.inline.clone().into())
        }
        Location::File { id, chunk } => {
            let (shared, touched) = (shared.clone(), Mutex::new(Instant::now()));
            let reader = Reader { shared, key: *key, id, len, chunk: u64::from(chunk), touched };
            let reader = Arc::new(reader);
            let step = (AHEAD / reader.chunk).max(1);
            // The first bytes show whether the body is there at all, while the lookup can still be
            // a miss.
            let first = reader.clone().read(0, step).await?;
            let starts = (1..).map(move |page| page * step).take_while({
                let count = reader.count();
                move |&start| start < count
            });
            let rest =
                stream::iter(starts).map(move |start| reader.clone().read(start, step)).buffered(2);
            let pages = stream::once(future::ready(Ok(first))).chain(rest);
            let chunks = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
            Ok(StoredBody::from_stream(len, chunks))
        }
    }
}

/// A large body that is being read.
struct Reader {
    shared: Arc<Shared>,
    key: Key,
    id: ObjectId,
    len: u64,
    chunk: u64,
    /// When the file was last kept from being deleted.
    touched: Mutex<Instant>,
}

impl Reader {
    fn count(&self) -> u64 {
        self.len.div_ceil(self.chunk)
    }

    /// Reads up to `count` chunks from `start` on.
    async fn read(self: Arc<Self>, start: u64, count: u64) -> Result<Vec<Bytes>> {
        let end = (start + count).min(self.count());
        let numbers = i32::try_from(start).ok().zip(i32::try_from(end).ok());
        let Some((from, to)) = numbers else {
            return Err(fault::corrupt(&self.key, "a body with an impossible number of chunks"));
        };
        let chunks = self.shared.collections.chunks.clone();
        let which = doc! { "files_id": self.id, "n": { "$gte": from, "$lt": to } };
        let found = async move {
            let chunks = chunks.find(which).sort(doc! { "n": 1 }).limit(i64::from(from - to));
            all(chunks.projection(doc! { "_id": 0 }).await?).await
        };
        let found = if self.is_due() {
            future::try_join(self.shared.link.ask(found), self.shared.touch_file(self.id)).await?.0
        } else {
            self.shared.link.ask(found).await?
        };
        let mut found = found.into_iter();
        (start..end).map(|n| self.open(n, found.next())).collect()
    }

    /// Whether to touch the file again, so that it stays even if its entry is gone.
    fn is_due(&self) -> bool {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let due = touched.elapsed() > self.shared.lingering() / 4;
        if due {
            // Before the answer, which may be read much later.
            *touched = Instant::now();
        }
        due
    }

    /// Returns the checked bytes of chunk `n`.
    fn open(&self, n: u64, chunk: Option<RawDocumentBuf>) -> Result<Bytes> {
        let corrupt = |what| fault::corrupt(&self.key, what);
        let chunk = chunk.filter(|chunk| chunk.get_i32("n").is_ok_and(|found| found as u64 == n));
        let bytes =
            Bytes::from(chunk.ok_or_else(|| corrupt("a body with a missing chunk"))?.into_bytes());
        let shape = |_| corrupt("a chunk without the fields of one");
        let chunk = mongodb::bson::RawDocument::from_bytes(&bytes).map_err(shape)?;
        let data = chunk.get_binary("data").map_err(shape)?.bytes;
        let crc = chunk.get_i64("crc").map_err(shape)?;
        if data.len() as u64 != (self.len - n * self.chunk).min(self.chunk) {
            return Err(corrupt("a chunk with a wrong length"));
        }
        if i64::from(chunk_checksum(self.id, n as u32, data)) != crc {
            return Err(corrupt("a chunk that does not match its checksum"));
        }
        Ok(bytes.slice_ref(data))
    }
}
