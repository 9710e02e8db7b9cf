//! `larder stats`: sums up what is stored.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use clap::Args;
use http::header::CONTENT_TYPE;
use larder::{EntryInfo, store::Store as _};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::{
    outcome::{Ended, Outcome, stdout},
    record::write_line,
    select::{Conditions, Listed, entries_to_read, now},
    store::{Location, Server},
    term::Terminal,
    text,
};

/// Sum up what is stored: by host, status and content type, with charts of sizes and ages
///
/// Reads the head of every entry. Sizes are those of bodies; the line "in the store" is what the
/// store counts itself, heads included, as its size limit does. The ten largest groups of each kind
/// are printed; --json prints all of them.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Stats {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// Print a JSON object for the total and for each group, each on its own line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    conditions: Conditions,
}

const EXAMPLES: &str = "\
Examples:
  larder stats redb:http-cache.redb
  larder stats redis://localhost --url 'api.example.com/**'
  larder stats sqlite:cache.db --json | jq 'select(.kind == \"host\")'";

/// How many groups of a kind are printed.
const TOP: usize = 10;
/// The columns of a bar, where there is room.
const BAR: usize = 40;

/// The upper bounds of the groups of sizes, and their names.
const SIZES: [(u64, &str); 6] = [
    (1 << 10, "< 1 KiB"),
    (10 << 10, "< 10 KiB"),
    (100 << 10, "< 100 KiB"),
    (1 << 20, "< 1 MiB"),
    (10 << 20, "< 10 MiB"),
    (u64::MAX, ">= 10 MiB"),
];

/// The same for ages, in seconds.
const AGES: [(u64, &str); 6] = [
    (60, "< 1 minute"),
    (3600, "< 1 hour"),
    (86_400, "< 1 day"),
    (7 * 86_400, "< 1 week"),
    (30 * 86_400, "< 30 days"),
    (u64::MAX, ">= 30 days"),
];

/// How many entries a group has, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    entries: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }
}

#[derive(Default)]
struct Totals {
    all: Sum,
    expired: Sum,
    hosts: HashMap<String, Sum>,
    statuses: HashMap<String, Sum>,
    types: HashMap<String, Sum>,
    sizes: [Sum; SIZES.len()],
    ages: [Sum; AGES.len()],
}

impl Totals {
    fn add(&mut self, entry: &EntryInfo, now: SystemTime) {
        let bytes = entry.body_len;
        self.all.add(bytes);
        if entry.is_expired() {
            self.expired.add(bytes);
        }
        let group = |groups: &mut HashMap<String, Sum>, name: String| {
            groups.entry(name).or_default().add(bytes);
        };
        group(&mut self.hosts, host(&entry.url).to_owned());
        group(&mut self.statuses, entry.status.as_str().to_owned());
        group(&mut self.types, media_type(entry));
        let age = now.duration_since(entry.stored_at).unwrap_or(Duration::ZERO).as_secs();
        let place = |bounds: &[(u64, &str)], value: u64| {
            bounds.iter().position(|(bound, _)| value < *bound).unwrap_or(bounds.len() - 1)
        };
        self.sizes[place(&SIZES, bytes)].add(bytes);
        self.ages[place(&AGES, age)].add(bytes);
    }
}

/// The host of a stored URL, with its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.split(['/', '?']).next() {
        None | Some("") => "(none)",
        Some(host) => host,
    }
}

/// The type of the response without its parameters, in lower case.
fn media_type(entry: &EntryInfo) -> String {
    let value = entry.headers.get(CONTENT_TYPE).map(text::header_text).unwrap_or_default();
    match value.split(';').next().map(str::trim) {
        None | Some("") => "(none)".into(),
        Some(essence) => essence.to_ascii_lowercase(),
    }
}

/// A total or a group, as an object. The names are part of the command's interface.
#[derive(Serialize)]
struct Group<'a> {
    kind: &'a str,
    name: &'a str,
    entries: u64,
    bytes: u64,
}

pub(crate) async fn run(args: Stats, server: &Server) -> Outcome {
    let filter = args.conditions.filter()?;
    let store = args.store.open_to_read(server).await?;
    let entries = entries_to_read(store.clone());
    let (mut listed, now) = (Listed::new(&entries), now());
    let mut totals = Totals::default();
    while let Some(entry) = listed.next_that(|entry| filter.matches(entry)).await? {
        totals.add(&entry, now);
    }
    let kept = Sum { entries: store.len().await?, bytes: store.size_bytes().await? };
    let mut out = stdout();
    if args.json {
        print_json(&mut out, &totals, kept)?;
    } else {
        print(&mut out, &totals, kept, Terminal::of_stdout())?;
    }
    out.flush()?;
    let is_none = totals.all.entries == 0 && !args.conditions.is_empty();
    Ok(if is_none { Ended::Found } else { Ended::Done })
}

/// The groups, the largest first.
fn sorted(groups: &HashMap<String, Sum>) -> Vec<(&str, Sum)> {
    let mut groups: Vec<_> = groups.iter().map(|(name, sum)| (name.as_str(), *sum)).collect();
    groups.sort_by_key(|&(name, sum)| (std::cmp::Reverse((sum.bytes, sum.entries)), name));
    groups
}

fn print_json(out: &mut dyn Write, totals: &Totals, kept: Sum) -> io::Result<()> {
    let mut line =
        |kind, name, Sum { entries, bytes }| write_line(out, &Group { kind, name, entries, bytes });
    line("total", "all", totals.all)?;
    line("total", "expired", totals.expired)?;
    line("total", "store", kept)?;
    let named = [("host", &totals.hosts), ("status", &totals.statuses), ("type", &totals.types)];
    for (kind, groups) in named {
        sorted(groups).into_iter().try_for_each(|(name, sum)| line(kind, name, sum))?;
    }
    let ranges = [("size", SIZES, totals.sizes), ("age", AGES, totals.ages)];
    for (kind, bounds, sums) in ranges {
        bounds.iter().zip(sums).try_for_each(|((_, name), sum)| line(kind, name, sum))?;
    }
    Ok(())
}

fn print(out: &mut dyn Write, totals: &Totals, kept: Sum, terminal: Terminal) -> io::Result<()> {
    let line = |out: &mut dyn Write, name: &str, sum: Sum| {
        writeln!(out, "{name:<13} {:>9}  {:>8}", sum.entries, text::size(sum.bytes))
    };
    line(out, "entries", totals.all)?;
    line(out, "expired", totals.expired)?;
    line(out, "in the store", kept)?;
    let named = [("HOST", &totals.hosts), ("STATUS", &totals.statuses), ("TYPE", &totals.types)];
    for (title, groups) in named {
        let groups = sorted(groups);
        let (top, more) = groups.split_at(groups.len().min(TOP));
        chart(out, title, top, |sum| sum.bytes, terminal)?;
        if !more.is_empty() {
            writeln!(out, "({} more; --json prints all)", more.len())?;
        }
    }
    for (title, bounds, sums) in [("SIZE", SIZES, totals.sizes), ("AGE", AGES, totals.ages)] {
        let rows: Vec<_> = bounds.iter().zip(sums).map(|((_, name), sum)| (*name, sum)).collect();
        chart(out, title, &rows, |sum| sum.entries, terminal)?;
    }
    Ok(())
}

/// Prints rows with a bar each, which shows `value` and fits into the terminal.
fn chart(
    out: &mut dyn Write,
    title: &str,
    rows: &[(&str, Sum)],
    value: impl Fn(&Sum) -> u64,
    terminal: Terminal,
) -> io::Result<()> {
    const NUMBERS: usize = 1 + 9 + 2 + 8 + 2;
    let width = terminal.width.unwrap_or(100);
    let longest = rows.iter().map(|(name, _)| text::escaped(name).width()).max().unwrap_or(0);
    // A bar has at least eight columns, and a name at least thirteen.
    let names = longest.clamp(13, width.saturating_sub(NUMBERS + 8).max(13)).min(60);
    let bars = width.saturating_sub(names + NUMBERS + 1).clamp(1, BAR);
    let most = rows.iter().map(|(_, sum)| value(sum)).max().unwrap_or(0);
    writeln!(out, "\n{title:<names$} {:>9}  {:>8}", "ENTRIES", "BYTES")?;
    for (name, sum) in rows {
        let name = text::escaped(name);
        let name = terminal.shortened(&name, names);
        let gap = " ".repeat(names.saturating_sub(name.width()));
        let bar = terminal.bar(value(sum), most, bars);
        let line = format!("{name}{gap} {:>9}  {:>8}  {bar}", sum.entries, text::size(sum.bytes));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
