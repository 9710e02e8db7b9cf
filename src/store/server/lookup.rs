//! Lookups, and the reader of a large body.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future, stream};

use super::{
    backend::{Backend, LargeBody, Location, Record},
    fault::corrupt,
};
use crate::{
    Key,
    store::{ErrorKind, Hit, Result, StoredBody, Version},
};

/// How many bytes of a body are requested ahead, by several commands at the same time.
const AHEAD: u64 = 1 << 20;

/// How often a lookup is repeated because the entry was replaced meanwhile.
const TRIES: usize = 3;

pub(in crate::store) async fn get<B: Backend>(backend: &Arc<B>, key: &Key) -> Result<Option<Hit>> {
    let (mut tries, mut seen) = (1, None);
    loop {
        let Some(record) = backend.find(key).await? else { return Ok(None) };
        let version = Version::new(record.version);
        match open(backend, key, &record).await {
            Ok(body) => return Ok(Some(Hit::new(Arc::new(record.head), version, body))),
            // The same version without a body, twice: nobody is replacing it.
            Err(error)
                if error.kind() == ErrorKind::Corrupt && tries < TRIES && seen != Some(version) =>
            {
                (tries, seen) = (tries + 1, Some(version));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn open<B: Backend>(
    backend: &Arc<B>,
    key: &Key,
    record: &Record<B::BodyId>,
) -> Result<StoredBody> {
    let corrupt = |what| Err(corrupt(B::STORE, key, what));
    let len = record.head.body_len();
    match record.body {
        Location::Inline { .. } if record.inline.len() as u64 != len => {
            corrupt("a body whose length differs from its head's")
        }
        Location::Inline { checksum } if crc32fast::hash(&record.inline) != checksum => {
            corrupt("a body that does not match its checksum")
        }
        Location::Inline { .. } => Ok(record.inline.clone().into()),
        Location::Chunks { chunk: 0, .. } => corrupt("a body with an invalid chunk size"),
        Location::Chunks { id, chunk } => {
            let body = LargeBody { key: *key, id, len, chunk: u64::from(chunk) };
            let reader = Arc::new(Reader { backend: backend.clone(), body });
            // The first bytes show whether the body is there at all, while the lookup can still be
            // a miss.
            let mut stream = Box::pin(reader.stream().peekable());
            if let Some(Err(error)) = stream.as_mut().next_if(Result::is_err).await {
                return Err(error);
            }
            Ok(StoredBody::from_stream(len, stream))
        }
    }
}

/// A large body that is being read.
struct Reader<B: Backend> {
    backend: Arc<B>,
    body: LargeBody<B::BodyId>,
}

impl<B: Backend> Reader<B> {
    /// Reads all chunks in order. The next ones are requested while the last ones are used.
    fn stream(self: Arc<Self>) -> impl Stream<Item = Result<Bytes>> + Send {
        let (count, at_once) = (self.body.count(), (B::PART / self.body.chunk).max(1));
        let ahead = (AHEAD / (at_once * self.body.chunk)).max(2) as usize;
        // When the body was last kept from being deleted.
        let mut touched = Instant::now();
        let parts = (0..count).step_by(at_once as usize);
        let reads = parts.map(move |first| {
            let is_due = touched.elapsed() > self.backend.settings().linger / 4;
            if is_due {
                // Before the answer, which may be read much later.
                touched = Instant::now();
            }
            let end = (first + at_once).min(count);
            self.clone().read(first..end, is_due).boxed()
        });
        stream::iter(reads)
            .buffered(ahead)
            .map_ok(|chunks| stream::iter(chunks).map(Ok))
            .try_flatten()
    }

    async fn read(self: Arc<Self>, numbers: Range<u64>, is_due: bool) -> Result<Vec<Bytes>> {
        let reading = self.backend.read_chunks(&self.body, numbers.clone());
        let chunks = if is_due {
            // A body that was not touched can still be read.
            future::join(reading, self.backend.touch(&self.body)).await.0
        } else {
            reading.await
        };
        let mut chunks = chunks?.into_iter();
        numbers.map(|number| self.body.open(B::STORE, number, chunks.next().flatten())).collect()
    }
}
