//! `larder ls`: lists what is stored.

use std::io::Write;

use clap::{Args, ValueEnum};
use larder::EntryInfo;

use crate::{
    outcome::{Ended, Outcome, stdout},
    record::{Record, write_line},
    select::{Conditions, Listed, Name, entries_to_read},
    store::{Location, Server},
    table::Table,
    term::Terminal,
};

/// List what is stored
///
/// Prints one line for each entry, in no particular order unless you pass --sort. On a terminal,
/// URLs are shortened in their middle to fit; elsewhere they are whole. The size is that of the
/// body. An entry that has expired may still be of use, for revalidation or as a stale response.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Ls {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// Only this URL, or the entry whose key begins with these digits
    #[arg(value_name = "URL|KEY")]
    name: Option<String>,
    /// The order; all selected entries are then held in memory
    #[arg(long, value_name = "ORDER")]
    sort: Option<Order>,
    /// Reverse the order of --sort
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Print at most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print each entry as a JSON object on its own line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    conditions: Conditions,
}

const EXAMPLES: &str = "\
Examples:
  larder ls redb:http-cache.redb
  larder ls sqlite:cache.db --url 'api.example.com/**' --expired
  larder ls redis://localhost --status 404 --newer-than 1h
  larder ls redb:http-cache.redb --sort size --reverse --limit 10
  larder ls redb:http-cache.redb --json | jq -r 'select(.size > 1000000) | .url'";

/// By what entries are sorted, the smallest first.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// By the length of the body
    Size,
    /// The youngest first
    Age,
    /// What expires next first; what never expires last
    Expiry,
    /// By URL
    Url,
}

impl Order {
    fn sort(self, entries: &mut [EntryInfo]) {
        match self {
            Self::Size => entries.sort_by_key(|entry| entry.body_len),
            Self::Age => entries.sort_by_key(|entry| std::cmp::Reverse(entry.stored_at)),
            Self::Expiry => {
                entries.sort_by_key(|entry| (entry.expires_at.is_none(), entry.expires_at));
            }
            Self::Url => entries.sort_by(|a, b| a.url.cmp(&b.url)),
        }
    }
}

pub(crate) async fn run(args: Ls, server: &Server) -> Outcome {
    let name = args.name.as_deref().map(Name::parse).transpose()?;
    let filter = args.conditions.filter()?;
    let is_meant = |entry: &EntryInfo| {
        name.as_ref().is_none_or(|name| name.matches(entry)) && filter.matches(entry)
    };
    let entries = entries_to_read(args.store.open_to_read(server).await?);
    let mut listed = Listed::new(&entries);
    let mut printer = Printer { out: stdout(), table: table(), is_json: args.json, printed: 0 };
    let limit = args.limit.unwrap_or(usize::MAX);
    match args.sort {
        Some(order) => {
            let mut all = Vec::new();
            while let Some(entry) = listed.next_that(is_meant).await? {
                all.push(entry);
            }
            order.sort(&mut all);
            if args.reverse {
                all.reverse();
            }
            all.iter().take(limit).try_for_each(|entry| printer.print(entry))?;
        }
        None => {
            while printer.printed < limit {
                let Some(entry) = listed.next_that(is_meant).await? else { break };
                printer.print(&entry)?;
            }
        }
    }
    printer.out.flush()?;
    let asked_for_some = name.is_some() || !args.conditions.is_empty();
    Ok(if printer.printed == 0 && asked_for_some { Ended::Found } else { Ended::Done })
}

fn table() -> Table {
    Table::new(Terminal::of_stdout())
}

/// Prints entries, after the names of the columns.
struct Printer<W> {
    out: W,
    table: Table,
    is_json: bool,
    printed: usize,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, entry: &EntryInfo) -> std::io::Result<()> {
        self.printed += 1;
        if self.is_json {
            return write_line(&mut self.out, &Record::from(entry));
        }
        if self.printed == 1 {
            self.table.head(&mut self.out)?;
        }
        self.table.row(&mut self.out, entry)
    }
}
