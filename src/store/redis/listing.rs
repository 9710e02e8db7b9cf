//! Scans, counts and `clear`: they find the keys of the namespace by `SCAN`, on every node that has
//! some.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{TryStreamExt, future::join, stream};

use super::{
    index::{all, forget, sweep, take},
    names::{Generation, Name},
    record::{self, Header},
    scripts,
    shared::Shared,
    target::Node,
};
use crate::{
    Key,
    store::{
        ErrorKind, Result, Scanned,
        server::{Location, Record},
    },
};

/// How many keys the server visits for one answer.
const PAGE: usize = 1000;

/// How many bytes of a record are read first. Few heads are longer.
const FRONT: usize = 8192;

/// A walk over the names that match a pattern, answer by answer. The server may return a name
/// twice.
struct Walk {
    shared: Arc<Shared>,
    pattern: Vec<u8>,
    /// The nodes with more names, and their cursors; `None` before the first answer.
    nodes: Option<Vec<(Option<Node>, Bytes)>>,
}

impl Walk {
    fn new(shared: &Arc<Shared>, pattern: Vec<u8>) -> Self {
        Self { shared: shared.clone(), pattern, nodes: None }
    }

    fn command(&self, cursor: &[u8]) -> redis::Cmd {
        let mut cmd = redis::cmd("SCAN");
        cmd.arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(PAGE);
        cmd
    }

    /// Returns the next names, which may be none, or `None` at the end. The first ones are those of
    /// all nodes.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        let (link, mut nodes) = (&self.shared.link, self.nodes.take());
        let answers = match nodes.as_mut().map(Vec::pop) {
            None => link.read_everywhere(&self.command(b"0")).await?,
            Some(None) => return Ok(None),
            Some(Some((node, cursor))) => {
                let answer = link.read_from(node.as_ref(), &self.command(&cursor)).await?;
                vec![(node, answer)]
            }
        };
        let (mut names, mut nodes) = (Vec::new(), nodes.unwrap_or_default());
        for (node, answer) in answers {
            let (cursor, found): (Bytes, Vec<Bytes>) = self.shared.parse(answer)?;
            names.extend(found);
            if cursor != "0" {
                nodes.push((node, cursor));
            }
        }
        self.nodes = Some(nodes);
        Ok(Some(names))
    }
}

/// The keys of entries that a walk finds, each once.
struct Entries {
    walk: Walk,
    seen: HashSet<Key>,
}

impl Entries {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { walk: Walk::new(shared, shared.names.entries_pattern()), seen: HashSet::new() }
    }

    async fn next(&mut self) -> Result<Option<Vec<Key>>> {
        let Some(names) = self.walk.next().await? else { return Ok(None) };
        let keys = names.iter().filter_map(|name| match self.walk.shared.names.parse(name) {
            Some(Name::Entry(key)) => self.seen.insert(key).then_some(key),
            _ => None,
        });
        Ok(Some(keys.collect()))
    }
}

impl Shared {
    /// Lists every entry's head.
    pub(super) fn scan(self: &Arc<Self>) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        let pages = stream::try_unfold(Entries::new(self), |mut entries| async {
            let page = heads(&mut entries).await?;
            Ok(page.map(|page| (stream::iter(page), entries)))
        });
        pages.try_flatten()
    }

    pub(super) async fn len(self: &Arc<Self>) -> Result<u64> {
        let mut entries = Entries::new(self);
        while entries.next().await?.is_some() {}
        Ok(entries.seen.len() as u64)
    }

    /// The bytes of all entries: keys, records and bodies.
    pub(super) async fn size_bytes(self: &Arc<Self>) -> Result<u64> {
        let mut entries = Entries::new(self);
        let mut sum = 0;
        while let Some(keys) = entries.next().await? {
            let sizes = all(keys.iter().map(|key| size_of_entry(self, key)).collect()).await?;
            sum += sizes.into_iter().sum::<u64>();
        }
        Ok(sum)
    }

    /// Removes everything in the namespace, except bodies that are being written.
    pub(super) async fn clear(self: &Arc<Self>) -> Result<()> {
        let mut walk = Walk::new(self, self.names.pattern());
        while let Some(names) = walk.next().await? {
            let gone = all(names.iter().map(|name| clear_name(self, name)).collect()).await?;
            let gone: Vec<_> = gone.into_iter().flatten().collect();
            forget(self, &gone).await?;
        }
        Ok(())
    }

    /// Reads an entry without its body. Also returns the length of the record without the body.
    pub(super) async fn record(&self, key: &Key) -> Result<Option<(Record<Generation>, usize)>> {
        let name = self.names.entry(key);
        let mut len = FRONT;
        loop {
            let mut cmd = redis::cmd("GETRANGE");
            cmd.arg(&name).arg(0).arg(len - 1);
            let bytes: Bytes = self.read(key, &cmd).await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() == len {
                // If a record has very many tags, even its header is longer than the first part.
                let needed = match Header::parse(key, &bytes) {
                    Ok((_, head)) => head.end,
                    Err(_) if len == FRONT => FRONT * 256,
                    Err(_) => len,
                };
                if needed > len {
                    len = needed;
                    continue;
                }
            }
            return record::parse(key, &bytes).map(Some);
        }
    }
}

/// Returns the heads of the next keys, or `None` at the end.
async fn heads(entries: &mut Entries) -> Result<Option<Vec<Result<Scanned>>>> {
    let Some(keys) = entries.next().await? else { return Ok(None) };
    let shared = &entries.walk.shared;
    // Each with its own result: a damaged entry does not end the scan.
    let heads = keys.into_iter().map(|key| async move {
        let found = shared.record(&key).await;
        Ok(found.map(|found| found.map(|(record, _)| record.scanned(key))).transpose())
    });
    // Some are gone meanwhile.
    Ok(Some(all(heads.collect()).await?.into_iter().flatten().collect()))
}

async fn size_of_entry(shared: &Shared, key: &Key) -> Result<u64> {
    let name = shared.names.entry(key);
    let mut len = redis::cmd("STRLEN");
    len.arg(&name);
    let (entry, len) = join(shared.record(key), shared.read::<u64>(key, &len)).await;
    let body = match entry {
        Ok(Some((Record { head, body: Location::Chunks { .. }, .. }, _))) => head.body_len(),
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        _ => 0,
    };
    match len {
        // It is gone meanwhile, or another value is under the key of an entry.
        Ok(0) => Ok(0),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(0),
        len => Ok(name.len() as u64 + len? + body),
    }
}

/// Removes what `name` stands for. Returns the entry whose hints must be dropped.
async fn clear_name(shared: &Shared, name: &Bytes) -> Result<Option<(Key, Header)>> {
    match shared.names.parse(name) {
        Some(Name::Entry(key)) => {
            let removed = take(shared, &key, None).await?;
            return Ok(removed.flatten().map(|header| (key, header)));
        }
        // Its entry may be gone in another way, and then nobody else would remove the body. It may
        // also have a reader.
        Some(Name::Body(key)) => {
            let (entry, linger) = (shared.names.entry(&key), shared.linger_millis());
            shared.link.run(&scripts::ABANDON, &[&entry, name], &[&linger]).await?;
        }
        Some(Name::Expiry) => sweep(shared, name, true).await?,
        Some(Name::Tag) => sweep(shared, name, false).await?,
        Some(Name::Staged) | None => {}
    }
    Ok(None)
}
