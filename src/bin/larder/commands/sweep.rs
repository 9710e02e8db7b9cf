//! `larder sweep`: removes what has expired.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::{
    outcome::{Ended, Outcome, stdout},
    record::write_line,
    select::{Listed, entries, entries_to_read, now},
    store::{Access, Location, Server, close},
    text,
};

/// Remove what has expired
///
/// An expired entry stays as long as it may be revalidated or served stale: `larder ls --json`
/// prints that time as keep_until. With --all, such entries are removed too. The command does not
/// ask. Redis and MongoDB remove expired entries by themselves as well.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Sweep {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// Remove all expired entries, also those that are kept for revalidation or stale use; it reads
    /// every head
    #[arg(long)]
    all: bool,
    /// Only count what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  larder sweep redb:http-cache.redb
  larder sweep sqlite:cache.db --all --dry-run";

#[derive(Serialize)]
struct Swept {
    removed: u64,
    is_dry_run: bool,
}

pub(crate) async fn run(args: Sweep, server: &Server) -> Outcome {
    let removed = if args.dry_run {
        let entries = entries_to_read(args.store.open(Access::Read, server).await?);
        let (mut listed, now, mut count) = (Listed::new(&entries), now(), 0);
        while let Some(entry) = listed.next().await? {
            let end = if args.all { entry.expires_at } else { entry.keep_until };
            count += u64::from(end.is_some_and(|end| end <= now));
        }
        count
    } else {
        let store = args.store.open(Access::Write, server).await?;
        let entries = entries(store.clone());
        let removed = match args.all {
            true => entries.remove_all_expired().await?,
            false => entries.remove_expired().await?,
        };
        close(store).await?;
        removed
    };
    let mut out = stdout();
    if args.json {
        write_line(&mut out, &Swept { removed, is_dry_run: args.dry_run })?;
    } else {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        writeln!(out, "{verb} {}", text::entries(removed))?;
    }
    out.flush()?;
    Ok(Ended::Done)
}
