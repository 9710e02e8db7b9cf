//! `larder rm`: removes entries by name or by conditions.

use std::{
    collections::HashSet,
    io::{self, BufRead, IsTerminal, Write},
};

use clap::{ArgGroup, Args};
use http::header::VARY;
use larder::{
    BoxError, Entries, EntryInfo, Filter, Key,
    store::{AnyStore, Store as _},
};

use crate::{
    outcome::{Ended, Outcome, say, stdout},
    record::{Record, write_line},
    select::{Conditions, Listed, Name, entries, entries_to_read, is_named, named},
    store::{Access, Location, Server, close},
    table::Table,
    term::Terminal,
    text,
};

/// Remove entries
///
/// A URL means every entry of the URL: each method, variant and user. Before it removes more than
/// one entry, the command asks; without a terminal, it fails unless you pass --yes. Every head is
/// read to find the entries. If a program is fetching a response at this moment, it stores the
/// response after the removal.
///
/// The variant of a URL that was stored first leads to the others. If you remove only that one, no
/// program finds the others any more, and they stay until they expire; so the command asks before
/// it removes some variants of a URL and not all. It always asks before --all, which also removes
/// damaged entries.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
#[command(override_usage = "larder rm [OPTIONS] <STORE> <URL|KEY>...\n       \
    larder rm [OPTIONS] <STORE> --url <GLOB> | --tag <TAG> | ... | --all")]
#[command(group = ArgGroup::new("chosen").required(true).multiple(true)
    .args(["names", "url", "status", "older_than", "newer_than", "tag", "expired", "fresh", "all"]))]
pub(crate) struct Rm {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// URLs with their queries, or the first digits of keys (at least four)
    #[arg(value_name = "URL|KEY", conflicts_with_all = CONDITIONS)]
    names: Vec<String>,
    /// Remove every entry
    #[arg(long, conflicts_with_all = CONDITIONS, conflicts_with = "names")]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print each entry as a JSON object on its own line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    conditions: Conditions,
}

const CONDITIONS: [&str; 7] =
    ["url", "status", "older_than", "newer_than", "tag", "expired", "fresh"];

const EXAMPLES: &str = "\
Examples:
  larder rm redb:http-cache.redb 'http://example.com/news?page=2'
  larder rm redb:http-cache.redb 3fa9c2d1 77b0e4aa
  larder rm sqlite:cache.db --url 'example.com/news/**' --older-than 1d
  larder rm redis://localhost --tag news --yes
  larder rm redb:http-cache.redb --status 404 --dry-run";

/// How many entries are printed before the question.
const SHOWN: usize = 10;

/// What is to be removed.
enum Chosen {
    All,
    Where(Box<Filter>),
    Names(Vec<Name>),
}

impl Chosen {
    fn of(args: &Rm) -> Result<Self, BoxError> {
        if args.all {
            return Ok(Self::All);
        }
        if args.names.is_empty() {
            return Ok(Self::Where(Box::new(args.conditions.filter()?)));
        }
        Ok(Self::Names(args.names.iter().map(|name| Name::parse(name)).collect::<Result<_, _>>()?))
    }

    fn matches(&self, entry: &EntryInfo) -> bool {
        match self {
            Self::All => true,
            Self::Where(filter) => filter.matches(entry),
            Self::Names(names) => is_named(entry, names),
        }
    }
}

pub(crate) async fn run(args: Rm, server: &Server) -> Outcome {
    let chosen = Chosen::of(&args)?;
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let store = args.store.open(access, server).await?;
    let entries =
        if args.dry_run { entries_to_read(store.clone()) } else { entries(store.clone()) };
    let found = find(&entries, &chosen).await?;
    // Damaged entries are not found, and removed too.
    let count = if args.all { store.len().await? } else { found.len() as u64 };
    if count == 0 {
        say_no_match(&chosen);
        return Ok(Ended::Found);
    }
    if !args.dry_run && !args.yes {
        let loses_others =
            !args.conditions.is_for_expired() && has_others(&entries, &found).await?;
        let is_asked = args.all || count > 1 || loses_others;
        if is_asked && !ask(&found, count, loses_others).await? {
            say("nothing was removed");
            return Ok(Ended::Declined);
        }
    }
    let removed = match (args.dry_run, args.all) {
        (true, _) => 0,
        (false, true) => entries.clear().await.map(|()| count)?,
        (false, false) => remove(&entries, &args, &chosen, &found).await?,
    };
    if !args.dry_run {
        close(store).await?;
    }
    print(&args, &found, count, removed)?;
    Ok(Ended::Done)
}

/// The entries that are meant.
async fn find(entries: &Entries<AnyStore>, chosen: &Chosen) -> Result<Vec<EntryInfo>, BoxError> {
    if let Chosen::Names(names) = chosen {
        let found = named(entries, names).await?;
        for name in names {
            let Name::Prefix(digits) = name else { continue };
            let count = found.iter().filter(|entry| name.matches(entry)).count();
            if count > 1 {
                let count = text::entries(count as u64);
                let message = format!("the keys of {count} begin with {digits}; write more digits");
                return Err(message.into());
            }
        }
        return Ok(found);
    }
    let mut listed = Listed::new(entries);
    let mut found = Vec::new();
    while let Some(entry) = listed.next_that(|entry| chosen.matches(entry)).await? {
        found.push(entry);
    }
    Ok(found)
}

/// Says that nothing was found. For names, [`named`] has said it.
fn say_no_match(chosen: &Chosen) {
    if !matches!(chosen, Chosen::Names(_)) {
        say("no entry matches");
    }
}

/// Whether one of the entries varies, and the store has others of its URL that are not among them.
async fn has_others(entries: &Entries<AnyStore>, found: &[EntryInfo]) -> Result<bool, BoxError> {
    let varied = found.iter().filter(|entry| entry.headers.contains_key(VARY));
    let urls: HashSet<&str> = varied.map(|entry| entry.url.as_str()).collect();
    if urls.is_empty() {
        return Ok(false);
    }
    let keys: HashSet<Key> = found.iter().map(|entry| entry.key).collect();
    let is_other =
        |entry: &EntryInfo| urls.contains(entry.url.as_str()) && !keys.contains(&entry.key);
    Ok(Listed::new(entries).next_that(is_other).await?.is_some())
}

/// Removes what was found, and nothing that matches only since then.
async fn remove(
    entries: &Entries<AnyStore>,
    args: &Rm,
    chosen: &Chosen,
    found: &[EntryInfo],
) -> Result<u64, BoxError> {
    if let Chosen::Where(filter) = chosen
        && args.conditions.is_for_expired()
    {
        // This keeps an expired variant that leads to others.
        return Ok(entries.remove_where(filter, |_read| {}).await?);
    }
    let mut removed = 0;
    for entry in found {
        removed += entries.remove(entry.key).await?;
    }
    Ok(removed)
}

/// Asks on the terminal whether to go on.
async fn ask(found: &[EntryInfo], count: u64, loses_others: bool) -> Result<bool, BoxError> {
    let more = count.saturating_sub(found.len().min(SHOWN) as u64);
    let count = text::entries(count);
    let others = "if the first variant of a URL is removed, its other variants may not be found \
                  any more";
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let others = if loses_others { format!(", and {others}") } else { String::new() };
        return Err(format!(
            "this would remove {count}; pass --yes to do so, or --dry-run to see what{others}"
        )
        .into());
    }
    let bytes = found.iter().map(|entry| entry.body_len).sum();
    let table = Table::new(Terminal::of_stdout());
    let mut lines = Vec::new();
    table.head(&mut lines)?;
    found.iter().take(SHOWN).try_for_each(|entry| table.row(&mut lines, entry))?;
    if more > 0 {
        writeln!(lines, "({more} more; --dry-run prints all that can be read)")?;
    }
    if loses_others {
        writeln!(lines, "Note: {others}.")?;
    }
    write!(lines, "Remove {count} ({})? [y/N] ", text::size(bytes))?;
    io::stderr().write_all(&lines)?;
    // On a thread of its own, so that Ctrl-C ends the command.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_len| answer)
    });
    let answer = answer.await??;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn print(args: &Rm, found: &[EntryInfo], count: u64, removed: u64) -> io::Result<()> {
    let mut out = stdout();
    if args.json {
        found.iter().try_for_each(|entry| write_line(&mut out, &Record::from(entry)))?;
    } else if args.dry_run {
        let table = Table::new(Terminal::of_stdout());
        table.head(&mut out)?;
        found.iter().try_for_each(|entry| table.row(&mut out, entry))?;
    }
    if args.dry_run {
        say(format!("would remove {}", text::entries(count)));
    } else if !args.json {
        writeln!(out, "removed {}", text::entries(removed))?;
    }
    out.flush()
}
