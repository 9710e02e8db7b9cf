//! Indexes by expiry and by tag: sorted sets in slots of their own, which no server can change in
//! one step with an entry on another node of a cluster.
//!
//! They therefore hold *hints*. A hint names one version of one entry. Whoever writes the version
//! writes the hint before the version can be seen, and whoever removes the version drops the hint
//! afterwards. A hint may lead nowhere, but no entry is without its hints. Whoever follows a hint
//! requests the removal of that version only. A hint that leads nowhere is dropped once it is older
//! than any write can take.
//!
//! A server that has all keys does all of that in the script that publishes or removes the entry.
//! A pipeline of commands would take as few round trips, but the server carries out the last
//! command of a pipeline even if those before it have failed: an entry could be without its hints.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;
use tokio::runtime::Handle;

use super::{
    fault,
    names::{EXPIRY_SHARDS, TagDigest, digest},
    record::Header,
    scripts::{self, Script},
    shared::Shared,
};
use crate::{
    Key,
    store::{ErrorKind, Result, Version},
    time::Timestamp,
};

/// How many members are read or dropped at a time.
const PAGE: usize = 500;

/// An entry with more tags is not changed in one step with its indexes, since the server does
/// nothing else meanwhile. The scripts contain the number too.
const TAGS_AT_ONCE: usize = 64;

/// How many commands are in progress at a time.
const AT_A_TIME: usize = 64;

/// After this time, no writer of a hint can be in progress any more.
const STALE: Duration = Duration::from_secs(3600);

/// Larger numbers of milliseconds are not exact on the server. An entry with a later time is kept
/// forever.
const LATEST: u64 = 1 << 53;

/// A hint: the version of an entry, and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hint {
    key: Key,
    version: u64,
    written: u64,
}

impl Hint {
    fn of(key: &Key, header: &Header) -> Self {
        Self { key: *key, version: header.version, written: header.written }
    }

    fn encode(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(self.key.as_bytes());
        bytes[32..40].copy_from_slice(&self.version.to_le_bytes());
        bytes[40..].copy_from_slice(&self.written.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 48] = bytes.try_into().ok()?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let key = Key::from_bytes(std::array::from_fn(|index| bytes[index]));
        Some(Self { key, version: number(32), written: number(40) })
    }

    fn is_stale(&self) -> bool {
        let written = Timestamp::from_millis(self.written);
        Timestamp::from(SystemTime::now()).saturating_since(written) > STALE
    }
}

/// When the server removes an entry with this `keep_until`, in milliseconds since 1970; `None`
/// means never.
pub(super) fn deadline(keep_until: Option<Timestamp>, grace: Duration) -> Option<u64> {
    let at = keep_until?.saturating_add(grace).as_millis();
    (at <= LATEST).then_some(at)
}

/// What to add to an index's scores to get the time of the removal by the server.
fn grace_of(shared: &Shared, expiry: bool) -> String {
    // The scores of tags include it.
    if expiry { grace_millis(shared.settings.grace) } else { "0".to_owned() }
}

/// The grace as the scripts expect it.
fn grace_millis(grace: Duration) -> String {
    match u64::try_from(grace.as_millis()) {
        Ok(millis) if millis <= LATEST => millis.to_string(),
        _ => "-1".to_owned(),
    }
}

/// Runs the futures, some at the same time. Returns their results in order, or the first error.
// A vector: for a stream that makes them one by one, the compiler cannot prove `Send`.
pub(super) async fn all<T, F: Future<Output = Result<T>>>(futures: Vec<F>) -> Result<Vec<T>> {
    stream::iter(futures).buffered(AT_A_TIME).try_collect().await
}

/// Runs a script that publishes, updates or removes the entry under `key`. Before that, or in the
/// same step, the hints for the new version are written. `new` is its header and `keep_until`.
pub(super) async fn change(
    shared: &Shared,
    script: &Script,
    key: &Key,
    new: Option<(&Header, Option<Timestamp>)>,
    args: &[&[u8]],
) -> Result<Value> {
    let (mut tags, mut hint) = (Vec::new(), key.as_bytes().to_vec());
    let (mut expires, mut last) = (String::new(), String::new());
    if let Some((header, keep_until)) = new {
        tags.extend(header.tags.iter().map(|tag| shared.names.tag(tag)));
        hint = Hint::of(key, header).encode().to_vec();
        expires = keep_until.map_or_else(String::new, |at| at.as_millis().to_string());
        let deadline = deadline(keep_until, shared.settings.grace);
        last = deadline.map_or_else(|| "+inf".to_owned(), |deadline| deadline.to_string());
    }
    let (entry, expiry) = (shared.names.entry(key), shared.names.expiry_of(key));
    let (linger, grace) = (shared.linger_millis(), grace_millis(shared.settings.grace));
    let mut all_args = [&linger, &grace].map(String::as_bytes).to_vec();
    all_args.extend([&hint[..], expires.as_bytes(), last.as_bytes()]);
    all_args.extend(args);
    loop {
        let is_one_step = !shared.link.is_sharded() && tags.len() <= TAGS_AT_ONCE;
        let mut keys = vec![&entry[..]];
        if is_one_step {
            // Also if it gets no hint: a sharded server thus refuses the script from the start.
            keys.push(&expiry);
            keys.extend(tags.iter().map(Vec::as_slice));
        } else {
            let by_expiry = (!expires.is_empty()).then_some((&expiry, &grace[..], &expires));
            let by_tag = tags.iter().map(|tag| (tag, "0", &last));
            let add = by_expiry.into_iter().chain(by_tag).map(async |(name, grace, score)| {
                let args = [grace.as_bytes(), score.as_bytes(), &hint];
                shared.link.run(&scripts::ADD, &[name], &args).await
            });
            all(add.collect()).await?;
        }
        match shared.link.try_run(script, &keys, &all_args).await? {
            Err(error) if is_one_step && fault::is_cross_slot(&error) => {
                shared.link.set_sharded();
            }
            answer => {
                return answer.map_err(|error| match fault::is_body_gone(&error) {
                    true => shared.link.circuit().lost_body(key),
                    false => fault::error(shared.link.server(), error),
                });
            }
        }
    }
}

/// Drops the hints for a version that is gone, while nobody waits. A failure is ignored: a hint
/// that stays is dropped later.
pub(super) fn forget_later(shared: &Arc<Shared>, key: &Key, gone: Option<Header>) {
    if let Some(header) = gone
        && let Ok(runtime) = Handle::try_current()
    {
        let (shared, gone) = (shared.clone(), [(*key, header)]);
        runtime.spawn(async move { forget(&shared, &gone).await });
    }
}

/// Drops the hints for versions that are gone.
pub(super) async fn forget(shared: &Shared, gone: &[(Key, Header)]) -> Result<()> {
    let mut hints: HashMap<(Vec<u8>, bool), Vec<[u8; 48]>> = HashMap::new();
    for (key, header) in gone {
        let hint = Hint::of(key, header).encode();
        if header.expires {
            hints.entry((shared.names.expiry_of(key), true)).or_default().push(hint);
        }
        for tag in &header.tags {
            hints.entry((shared.names.tag(tag), false)).or_default().push(hint);
        }
    }
    let dropping = hints.into_iter().map(|((name, expiry), hints)| async move {
        drop_hints(shared, &name, &grace_of(shared, expiry), &hints).await
    });
    all(dropping.collect()).await.map(drop)
}

async fn drop_hints<H: AsRef<[u8]>>(
    shared: &Shared,
    name: &[u8],
    grace: &str,
    hints: &[H],
) -> Result<()> {
    for page in hints.chunks(PAGE) {
        let mut args = vec![grace.as_bytes()];
        args.extend(page.iter().map(AsRef::as_ref));
        shared.link.run(&scripts::DROP, &[name], &args).await?;
    }
    Ok(())
}

impl Shared {
    pub(super) async fn remove(self: &Arc<Self>, key: &Key) -> Result<bool> {
        self.remove_version(key, None).await
    }

    pub(super) async fn remove_if(self: &Arc<Self>, key: &Key, seen: Version) -> Result<bool> {
        self.remove_version(key, Some(seen)).await
    }

    async fn remove_version(self: &Arc<Self>, key: &Key, seen: Option<Version>) -> Result<bool> {
        let Some(removed) = take(self, key, seen).await? else { return Ok(false) };
        forget_later(self, key, removed);
        Ok(true)
    }

    pub(super) async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        let (grace, until) = (grace_of(self, true), now.as_millis().to_string());
        let mut removed = 0;
        for shard in 0..EXPIRY_SHARDS {
            removed += follow(self, &self.names.expiry(shard), &grace, &until).await?;
        }
        Ok(removed)
    }

    pub(super) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let tag: TagDigest = digest(tag);
        follow(self, &self.names.tag(&tag), &grace_of(self, false), "+inf").await
    }
}

/// Removes all entries that the index `name` leads to, and its hints that lead nowhere.
pub(super) async fn sweep(shared: &Shared, name: &[u8], expiry: bool) -> Result<()> {
    match follow(shared, name, &grace_of(shared, expiry), "+inf").await {
        // It is not an index, and has been removed.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(()),
        followed => followed.map(drop),
    }
}

/// Removes the entries that the hints up to the score `until` lead to. Returns their number.
async fn follow(shared: &Shared, name: &[u8], grace: &str, until: &str) -> Result<u64> {
    let page = PAGE.to_string();
    // The last hint that stays. Its place may change: the hints before it may be dropped meanwhile.
    let (mut removed, mut passed) = (0, Bytes::new());
    loop {
        let args = [grace.as_bytes(), until.as_bytes(), &passed, page.as_bytes()];
        let page = match shared.link.run(&scripts::PAGE, &[name], &args).await {
            Ok(page) => page,
            Err(error) => {
                if error.kind() == ErrorKind::Corrupt {
                    // Another value has the index's name. The next write creates the index anew.
                    shared.link.ask(redis::cmd("UNLINK").arg(name)).await?;
                }
                return Err(error);
            }
        };
        let members: Vec<Bytes> = shared.parse(page)?;
        let full = members.len() == PAGE;
        let removing = members.into_iter().map(|member| async move {
            let Some(hint) = Hint::decode(&member) else { return Ok((member, None, None)) };
            let gone = take(shared, &hint.key, Some(Version::new(hint.version))).await?;
            Ok((member, Some(hint), gone))
        });
        let outcomes = all(removing.collect()).await?;
        let (mut gone, mut stale) = (Vec::new(), Vec::new());
        for (member, hint, outcome) in outcomes {
            match (hint, outcome) {
                (Some(hint), Some(header)) => {
                    removed += 1;
                    // Dropped even if the header has been damaged since.
                    stale.push(member);
                    gone.extend(header.map(|header| (hint.key, header)));
                }
                (Some(hint), None) if !hint.is_stale() => passed = member,
                _ => stale.push(member),
            }
        }
        drop_hints(shared, name, grace, &stale).await?;
        forget(shared, &gone).await?;
        if !full {
            return Ok(removed);
        }
    }
}

/// Removes an entry, if it has the version `seen` or `seen` is `None`. Returns `None` if there is
/// none, else its header if that can be read and its hints are left.
pub(super) async fn take(
    shared: &Shared,
    key: &Key,
    seen: Option<Version>,
) -> Result<Option<Option<Header>>> {
    let seen = seen.map(|seen| seen.get().to_le_bytes());
    let seen = seen.as_ref().map_or(&[][..], |seen| seen);
    Ok(match change(shared, &scripts::REMOVE, key, None, &[seen]).await? {
        Value::Nil => None,
        removed => Some(header_of(key, removed)),
    })
}

/// The header that a script returned.
pub(super) fn header_of(key: &Key, given: Value) -> Option<Header> {
    let bytes: Bytes = redis::from_redis_value(given).ok()?;
    Header::parse(key, &bytes).ok().map(|(header, _)| header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_round_trip() {
        let hint = Hint { key: Key::digest("key"), version: u64::MAX - 1, written: 7 };
        assert_eq!(Hint::decode(&hint.encode()), Some(hint));
        assert_eq!(Hint::decode(b"short"), None);
        assert!(hint.is_stale());
    }

    #[test]
    fn very_late_deadlines_become_never() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!(deadline(at(5_000), Duration::from_secs(1)), Some(6_000));
        assert_eq!(deadline(at(5_000), Duration::MAX), None);
        assert_eq!(deadline(Some(Timestamp::MAX), Duration::ZERO), None);
        assert_eq!(deadline(None, Duration::ZERO), None);
        assert_eq!(grace_millis(Duration::MAX), "-1");
        assert_eq!(grace_millis(Duration::from_secs(1)), "1000");
    }
}
