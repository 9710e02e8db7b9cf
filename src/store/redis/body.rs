//! Reads: lookups, and the chunks of large bodies.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};

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

/// How many bytes of chunks one command requests, if chunks are smaller. As many again are read
/// ahead.
const AHEAD: u64 = 512 << 10;

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
                next: 0,
                touched: Instant::now(),
            };
            // The first bytes show whether the body is there at all, while the lookup can still be
            // a miss.
            let (rest, ready) = chunks.read().await?;
            Ok(StoredBody::from_stream(
                len,
                Body { ready, rest: Some(rest), ahead: None, read: None },
            ))
        }
    }
}

/// The unread chunks of a body.
struct Chunks {
    shared: Arc<Shared>,
    key: Key,
    name: Vec<u8>,
    generation: Generation,
    len: u64,
    chunk: u64,
    next: u64,
    /// When the body was last kept from expiring.
    touched: Instant,
}

impl Chunks {
    fn count(&self) -> u64 {
        self.len.div_ceil(self.chunk)
    }

    async fn read(mut self) -> Result<(Self, VecDeque<Bytes>)> {
        let end = (self.next + (AHEAD / self.chunk).max(1)).min(self.count());
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.name);
        for index in self.next..end {
            cmd.arg(index);
        }
        let answer = if self.touched.elapsed() > self.shared.linger / 4 {
            // Before the answer, which may be read much later.
            self.touched = Instant::now();
            future::try_join(self.shared.link.read(&cmd), self.touch()).await?.0
        } else {
            self.shared.link.read(&cmd).await?
        };
        let values = value::array(answer).ok_or_else(|| self.shared.strange())?;
        let mut ready = VecDeque::with_capacity(values.len());
        for (index, value) in (self.next..end).zip(values) {
            let bytes = value::bytes(value)
                .ok_or_else(|| fault::corrupt(&self.key, "a body with a missing chunk"))?;
            let len = (self.len - index * self.chunk).min(self.chunk) as usize;
            let chunk = open_chunk(&self.generation, index, len, bytes)
                .map_err(|Damage(what)| fault::corrupt(&self.key, what))?;
            ready.push_back(chunk);
        }
        self.next = end;
        Ok((self, ready))
    }

    /// Keeps a body whose entry has been replaced for as long as it is being read.
    async fn touch(&self) -> Result<()> {
        let linger = self.shared.linger_millis();
        self.shared.link.run(&scripts::TOUCH, &[&self.name], &[linger.as_bytes()]).await.map(drop)
    }
}

type Ahead = Result<(Chunks, VecDeque<Bytes>)>;

/// A large body as a stream. The next chunks are requested while the last ones are used.
struct Body {
    ready: VecDeque<Bytes>,
    rest: Option<Chunks>,
    ahead: Option<BoxFuture<'static, Ahead>>,
    read: Option<Ahead>,
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(rest) = this.rest.take_if(|rest| rest.next < rest.count()) {
                this.ahead = Some(rest.read().boxed());
            }
            // Polling once sends the request.
            if let Some(ahead) = &mut this.ahead
                && let Poll::Ready(read) = ahead.poll_unpin(cx)
            {
                this.ahead = None;
                this.read = Some(read);
            }
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match this.read.take() {
                Some(Ok((rest, ready))) => (this.rest, this.ready) = (Some(rest), ready),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if this.ahead.is_some() => return Poll::Pending,
                None => return Poll::Ready(None),
            }
        }
    }
}
