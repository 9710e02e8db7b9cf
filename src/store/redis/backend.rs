//! The commands that find an entry, and those that read and write its body.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    fault::STORE,
    names::{Generation, generation},
    record::{self, seal_chunk, split_chunk},
    scripts,
    shared::Shared,
};
use crate::{
    Key,
    store::{
        Result,
        server::{Backend, Chunk, LargeBody, Record, Settings, fresh},
    },
};

/// How long an unfinished body stays after its last chunk, in milliseconds: ten minutes.
const STAGED: &[u8] = b"600000";

/// A body that is being written.
pub(super) struct Staged {
    pub(super) generation: Generation,
    name: Vec<u8>,
}

impl Backend for Shared {
    type BodyId = Generation;
    type Staged = Staged;

    const STORE: &'static str = STORE;
    const PART: u64 = 256 << 10;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn find(&self, key: &Key) -> Result<Option<Record<Generation>>> {
        let bytes: Option<Bytes> =
            self.read(key, redis::cmd("GET").arg(self.names.entry(key))).await?;
        bytes.map(|bytes| Ok(record::parse(key, &bytes)?.0)).transpose()
    }

    async fn read_chunks(
        &self,
        body: &LargeBody<Generation>,
        numbers: Range<u64>,
    ) -> Result<Vec<Option<Chunk>>> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.names.body(&body.key, &body.id)).arg(numbers.collect::<Vec<_>>());
        let chunks: Vec<Option<Bytes>> = self.read(&body.key, &cmd).await?;
        let split = |bytes: Option<Bytes>| bytes.map(|it| split_chunk(&body.key, it)).transpose();
        chunks.into_iter().map(split).collect()
    }

    async fn touch(&self, body: &LargeBody<Generation>) -> Result<()> {
        let (name, linger) = (self.names.body(&body.key, &body.id), self.linger_millis());
        self.link.run(&scripts::TOUCH, &[&name], &[linger.as_bytes()]).await.map(drop)
    }

    async fn send_chunk(
        &self,
        key: &Key,
        staged: &mut Option<Staged>,
        number: u64,
        payload: Bytes,
    ) -> Result<()> {
        let staged = staged.get_or_insert_with(|| {
            let generation = generation(fresh());
            Staged { generation, name: self.names.staged(key, &generation) }
        });
        let chunk = seal_chunk(&staged.generation, number, &payload);
        let number = number.to_string();
        let args = [number.as_bytes(), &chunk, STAGED];
        self.link.run(&scripts::STAGE, &[&staged.name], &args).await.map(drop)
    }

    /// If the server cannot be reached, the body expires.
    async fn discard(self: &Arc<Self>, staged: &Staged) {
        drop(self.link.ask(redis::cmd("UNLINK").arg(&staged.name)).await);
    }
}
