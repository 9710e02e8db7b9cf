//! `larder check`: reads every entry to its end, and says what is damaged.

use std::{collections::HashSet, io::Write, pin::pin};

use clap::Args;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use larder::{
    BoxError, Key,
    store::{AnyStore, Error, ErrorKind, Scanned, Store},
};
use serde::Serialize;

use crate::{
    outcome::{Ended, Outcome, UnreadStdout},
    progress,
    record::write_line,
    store::{Access, Location, Server, close, decompressing},
    text,
};

/// Read every entry to its end, and say what is damaged
///
/// Heads have a checksum, and so has a body where its store keeps one; lengths are compared with
/// what the heads say. A damaged entry is a miss for a program, which removes it when it is asked
/// for it. --repair removes all of them now. In a files: store, their files stay for whoever edited
/// them, and the next check finds them again. An entry that a newer version of larder has written
/// counts as damaged, and is not removed.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// Remove what is damaged
    #[arg(long)]
    repair: bool,
    /// Print a JSON object for each damaged entry, and one for the total
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The exit code is 3 if damaged entries were found, with --repair too.

Examples:
  larder check redb:http-cache.redb
  larder check sqlite:cache.db --repair";

/// A damaged entry, as an object. The names are part of the command's interface.
#[derive(Serialize)]
struct Damaged<'a> {
    kind: &'a str,
    /// `None` if the store does not know which entry it is.
    key: Option<String>,
    /// `None` if the head does not decode.
    url: Option<&'a str>,
    error: String,
    is_removed: bool,
}

#[derive(Serialize)]
struct Total {
    kind: &'static str,
    entries: u64,
    bytes: u64,
    damaged: u64,
    removed: u64,
}

pub(crate) async fn run(args: Check, server: &Server) -> Outcome {
    let access = if args.repair { Access::Write } else { Access::Read };
    let store = decompressing(args.store.open(access, server).await?);
    let mut checker = Checker {
        store: &store,
        args: &args,
        bar: progress::bar(store.len().await.ok()),
        out: UnreadStdout::new(),
        total: Total { kind: "total", entries: 0, bytes: 0, damaged: 0, removed: 0 },
    };
    let mut missing = HashSet::new();
    let mut scan = pin!(store.scan());
    while let Some(item) = scan.next().await {
        if let Some(key) = checker.check(item).await? {
            missing.insert(key);
        }
    }
    // They may have been removed since they were listed. What is still listed was not.
    let mut scan = pin!(store.scan());
    while !missing.is_empty()
        && let Some(item) = scan.next().await
    {
        let Ok(item) = item else { continue };
        if missing.remove(&item.key) && checker.check(Ok(item.clone())).await?.is_some() {
            let message = "the entry is listed, and a lookup does not find it";
            let error = Error::new(ErrorKind::Corrupt, "store", message).with_key(&item.key);
            checker.damaged(Some(item.key), Some(item.head.url()), &error).await?;
        }
    }
    let Checker { bar, mut out, total, .. } = checker;
    bar.finish_and_clear();
    if args.repair {
        close(store.clone()).await?;
    }
    if args.json {
        write_line(&mut out, &total)?;
    } else {
        let Total { entries, bytes, damaged, removed, .. } = total;
        write!(out, "read {} ({}), ", text::entries(entries), text::size(bytes))?;
        match (damaged, args.repair) {
            (0, _) => writeln!(out, "none is damaged")?,
            (_, false) => writeln!(out, "{damaged} damaged")?,
            (_, true) => writeln!(out, "{damaged} damaged, {removed} removed")?,
        }
    }
    out.flush()?;
    Ok(if total.damaged > 0 { Ended::Found } else { Ended::Done })
}

/// A check under way.
struct Checker<'a> {
    store: &'a AnyStore,
    args: &'a Check,
    bar: ProgressBar,
    out: UnreadStdout,
    total: Total,
}

impl Checker<'_> {
    /// Reads an entry to its end. Returns its key if a lookup does not find it.
    async fn check(&mut self, item: Result<Scanned, Error>) -> Result<Option<Key>, BoxError> {
        let (read, head, key) = match item {
            Ok(Scanned { key, head, .. }) => (read(self.store, &key).await, Some(head), Some(key)),
            Err(error) => {
                let key = error.key().copied();
                (Err(error), None, key)
            }
        };
        match read {
            Ok(None) => return Ok(key),
            Ok(Some(bytes)) => {
                self.total.bytes += bytes;
                self.total.entries += 1;
                self.bar.inc(1);
            }
            Err(error) if error.is_of_one_entry() => {
                self.damaged(key, head.as_ref().map(|head| head.url()), &error).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Counts and reports an entry that cannot be read, and removes it if it is to be repaired.
    async fn damaged(
        &mut self,
        key: Option<Key>,
        url: Option<&str>,
        error: &Error,
    ) -> Result<(), BoxError> {
        self.total.entries += 1;
        self.total.damaged += 1;
        self.bar.inc(1);
        // What a newer version has written is whole, and of use for that version.
        let is_removed = match key {
            Some(key) if self.args.repair && error.kind() == ErrorKind::Corrupt => {
                self.store.remove(&key).await?
            }
            _ => false,
        };
        self.total.removed += u64::from(is_removed);
        let (out, json) = (&mut self.out, self.args.json);
        self.bar.suspend(|| report(out, json, key, url, error, is_removed))
    }
}

/// Reads an entry to its end, and returns the length of its body. `None` if a lookup does not find
/// it.
async fn read(store: &AnyStore, key: &Key) -> Result<Option<u64>, Error> {
    let Some(mut hit) = store.get(key).await? else { return Ok(None) };
    let said = hit.head.body_len();
    if hit.body.len() != said {
        let message = format!("the body has {} bytes, and its head says {said}", hit.body.len());
        return Err(Error::new(ErrorKind::Corrupt, "store", message).with_key(key));
    }
    while let Some(chunk) = hit.body.chunk().await {
        chunk?;
    }
    Ok(Some(said))
}

fn report(
    out: &mut dyn Write,
    is_json: bool,
    key: Option<Key>,
    url: Option<&str>,
    error: &Error,
    is_removed: bool,
) -> Result<(), BoxError> {
    let (key, error) = (key.map(|key| key.to_string()), format!("{error:#}"));
    if is_json {
        return Ok(write_line(out, &Damaged { kind: "damaged", key, url, error, is_removed })?);
    }
    let verb = if is_removed { "removed" } else { "damaged" };
    let key = key.as_deref().unwrap_or("(unknown key)");
    let url = url.map_or("(unknown URL)".into(), text::escaped);
    writeln!(out, "{verb}  {key}  {url}\n         {}", text::escaped(&error))?;
    Ok(out.flush()?)
}
