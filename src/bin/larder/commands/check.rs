//! `larder check`: reads every entry to its end, and says what is damaged.

use std::io::Write;

use clap::Args;
use futures_util::StreamExt;
use larder::{
    BoxError, Key,
    store::{AnyStore, Error, ErrorKind, Store},
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
/// for it. --repair removes all of them now.
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
    let bar = progress::bar(store.len().await.ok());
    let mut out = UnreadStdout::new();
    let mut total = Total { kind: "total", entries: 0, bytes: 0, damaged: 0, removed: 0 };
    let mut scan = std::pin::pin!(store.scan());
    while let Some(item) = scan.next().await {
        total.entries += 1;
        bar.inc(1);
        let (found, url, key) = match item {
            Ok(item) => (read(&store, &item.key).await, Some(item.head.clone()), Some(item.key)),
            Err(error) => {
                let key = error.key().copied();
                (Err(error), None, key)
            }
        };
        let error = match found {
            Ok(bytes) => {
                total.bytes += bytes;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            Err(error) => return Err(error.into()),
        };
        total.damaged += 1;
        let is_removed = match key {
            Some(key) if args.repair => store.remove(&key).await?,
            _ => false,
        };
        total.removed += u64::from(is_removed);
        let url = url.as_ref().map(|head| head.url());
        bar.suspend(|| report(&mut out, args.json, key, url, &error, is_removed))?;
    }
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

/// Reads an entry to its end, and returns the length of its body. An entry that is gone by now is
/// empty.
async fn read(store: &AnyStore, key: &Key) -> Result<u64, Error> {
    let Some(mut hit) = store.get(key).await? else { return Ok(0) };
    let said = hit.head.body_len();
    if hit.body.len() != said {
        let message = format!("the body has {} bytes, and its head says {said}", hit.body.len());
        return Err(Error::new(ErrorKind::Corrupt, "store", message).with_key(key));
    }
    while let Some(chunk) = hit.body.chunk().await {
        chunk?;
    }
    Ok(said)
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
