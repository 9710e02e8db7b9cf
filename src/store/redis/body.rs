//! Reads: lookups, and the chunks of large bodies.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future, stream};

use super::{
    fault,
    names::Generation,
    record::{Damage, Location, Record, open_chunk},
    scripts,
    shared::Shared,
    value,
};
use crate::{
    Key,
    store::{Error, ErrorKind, Hit, Result, StoredBody, Version},
};

/// How many bytes of chunks one command requests, if chunks are smaller.
const PART: u64 = 256 << 10;

/// How many bytes are requested ahead, by several commands at the same time.
const AHEAD: u64 = 1 << 20;

/// How often a lookup is repeated because the entry was replaced meanwhile.
const TRIES: usize = 3;

pub(super) async fn get(shared: &Arc<Shared>, key: &Key) -> Result<Option<Hit>> {
    let name = shared.names.entry(key);
    let mut last: Option<(Version, Error)> = None;
    for _ in 0..TRIES {
        let answer = shared.link.read(redis::cmd("GET").arg(&name)).await?;
        let Some(bytes) = value::bytes(answer) else { return Ok(None) };
        let record = Record::parse(key, &bytes).map_err(|error| fault::damaged(key, error))?;
        let version = Version::new(record.header.version);
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
    Err(last.map_or_else(|| shared.strange(), |(_, error)| error))
}

async fn open(shared: &Arc<Shared>, key: &Key, record: &Record) -> Result<StoredBody> {
    let len = record.header.body_len;
    match record.header.body {
        Location::Inline { checksum } => {
            if record.inline.len() as u64 != len {
                return Err(fault::corrupt(key, "a body whose length differs from its head's"));
            }
            if crc32fast::hash(&record.inline) != checksum {
                return Err(fault::corrupt(key, "a body that does not match its checksum"));
            }
            Ok(record.inline.clone().into())
        }
        Location::Chunks { generation, chunk } => {
            if chunk == 0 {
                return Err(fault::corrupt(key, "a body with an invalid chunk size"));
            }
            let chunks = Chunks {
                shared: shared.clone(),
                key: *key,
                name: shared.names.body(key, &generation),
                generation,
                len,
                chunk: u64::from(chunk),
            };
            // The first bytes show whether the body is there at all, while the lookup can still be
            // a miss.
            let mut stream = Box::pin(Arc::new(chunks).stream().peekable());
            if let Some(Err(error)) = stream.as_mut().next_if(Result::is_err).await {
                return Err(error);
            }
            Ok(StoredBody::from_stream(len, stream))
        }
    }
}

/// The chunks of a body.
struct Chunks {
    shared: Arc<Shared>,
    key: Key,
    name: Vec<u8>,
    generation: Generation,
    len: u64,
    chunk: u64,
}

impl Chunks {
    /// Reads all chunks in order. The next ones are requested while the last ones are used.
    fn stream(self: Arc<Self>) -> impl Stream<Item = Result<Bytes>> + Send {
        let (count, at_once) = (self.len.div_ceil(self.chunk), (PART / self.chunk).max(1));
        let ahead = (AHEAD / (at_once * self.chunk)).max(2) as usize;
        // When the body was last kept from expiring.
        let mut touched = Instant::now();
        let parts = (0..count).step_by(at_once as usize);
        let reads = parts.map(move |first| {
            let is_due = touched.elapsed() > self.shared.linger / 4;
            if is_due {
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

    async fn read(self: Arc<Self>, range: Range<u64>, is_due: bool) -> Result<Vec<Bytes>> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.name).arg(range.clone().collect::<Vec<_>>());
        let answer = if is_due {
            future::try_join(self.shared.link.read(&cmd), self.touch()).await?.0
        } else {
            self.shared.link.read(&cmd).await?
        };
        let values = value::array(answer).ok_or_else(|| self.shared.strange())?;
        let chunks = range.zip(values).map(|(index, value)| {
            let bytes = value::bytes(value)
                .ok_or_else(|| fault::corrupt(&self.key, "a body with a missing chunk"))?;
            let len = (self.len - index * self.chunk).min(self.chunk) as usize;
            open_chunk(&self.generation, index, len, bytes)
                .map_err(|Damage(what)| fault::corrupt(&self.key, what))
        });
        chunks.collect()
    }

    /// Keeps a body whose entry has been replaced for as long as it is being read.
    async fn touch(&self) -> Result<()> {
        let linger = self.shared.linger_millis();
        self.shared.link.run(&scripts::TOUCH, &[&self.name], &[linger.as_bytes()]).await.map(drop)
    }
}
