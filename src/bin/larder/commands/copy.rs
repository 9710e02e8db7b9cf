//! `larder copy`: copies entries from one store to another.

use std::io::Write;

use clap::Args;
use larder::{CopyReport, IfPresent, store::Store as _};
use serde::Serialize;

use crate::{
    outcome::{Ended, Outcome, say, stdout},
    progress,
    record::write_line,
    select::entries_to_read,
    store::{Access, Location, Server, close},
    text,
};

/// Copy entries from one store to another
///
/// Every entry that has not expired is copied under its key, with its tags and times, so a program
/// with the same settings finds the same responses in the other store. Bodies stay compressed if
/// the program compresses them.
///
/// An entry that the other store has already, the same or a newer one, is left as it is. So a copy
/// that was interrupted goes on where it was when it is run again.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Copy {
    /// The store to read
    #[arg(value_name = "FROM")]
    from: Location,
    /// The store to write, which is created if it is missing
    #[arg(value_name = "TO")]
    to: Location,
    /// The namespace of TO on a server; --namespace is that of FROM
    #[arg(long, value_name = "NAME")]
    to_namespace: Option<String>,
    /// Replace entries that TO has already, newer ones too
    #[arg(long)]
    overwrite: bool,
    /// Print the summary as a JSON object
    #[arg(long)]
    json: bool,
    /// Whether bodies that the program compresses are decompressed.
    #[arg(skip)]
    decompresses: bool,
}

impl Copy {
    /// A copy into a folder that people read.
    pub(crate) fn to_folder(from: Location, to: Location) -> Self {
        Self { from, to, to_namespace: None, overwrite: false, json: false, decompresses: true }
    }
}

const EXAMPLES: &str = "\
Stop the program that writes TO, or its responses may be replaced. What is copied into a file of the
program's is bounded by the program's limit when it opens the file.

Examples:
  larder copy redb:http-cache.redb sqlite:cache.db
  larder copy sqlite:cache.db redis://localhost
  larder copy redis://localhost redis://localhost --to-namespace backup:";

/// The summary as an object. The names are part of the command's interface.
#[derive(Serialize)]
struct Summary {
    copied: u64,
    bytes: u64,
    kept: u64,
    expired: u64,
    damaged: u64,
    too_large: u64,
}

pub(crate) async fn run(args: Copy, server: &Server) -> Outcome {
    let of_to = Server { namespace: args.to_namespace, ..server.clone() };
    if args.from.is_same(&args.to) && server.namespace == of_to.namespace {
        return Err("FROM and TO are the same store; name two".into());
    }
    if args.from.is_nested(&args.to) {
        let message = "of FROM and TO, one folder is inside the other; choose a folder outside";
        return Err(message.into());
    }
    let from = match args.decompresses {
        true => args.from.open_to_read(server).await?,
        false => args.from.open(Access::Read, server).await?,
    };
    let to = args.to.open(Access::Create, &of_to).await?;
    let if_present = if args.overwrite { IfPresent::Replace } else { IfPresent::KeepNewer };
    let bar = progress::bar(from.len().await.ok());
    let report = entries_to_read(from)
        .copy_with(&to, if_present, |report| {
            bar.set_position(seen(report));
            bar.set_message(text::size(report.bytes));
        })
        .await;
    bar.finish_and_clear();
    let report = report?;
    close(to).await?;
    print(&report, args.json)?;
    Ok(if report.damaged + report.too_large > 0 { Ended::Found } else { Ended::Done })
}

/// How many entries have been read.
fn seen(report: &CopyReport) -> u64 {
    report.copied + report.kept + report.expired + report.damaged + report.too_large
}

/// Prints the summary.
fn print(report: &CopyReport, is_json: bool) -> std::io::Result<()> {
    let &CopyReport { copied, bytes, kept, expired, damaged, too_large, .. } = report;
    let mut out = stdout();
    if is_json {
        write_line(&mut out, &Summary { copied, bytes, kept, expired, damaged, too_large })?;
    } else {
        writeln!(out, "copied {} ({})", text::entries(copied), text::size(bytes))?;
        for (count, what) in [
            (kept, "already there"),
            (expired, "left out: expired"),
            (damaged, "left out: damaged"),
            (too_large, "left out: too large for the other store"),
        ] {
            if count > 0 {
                writeln!(out, "{what}: {count}")?;
            }
        }
    }
    out.flush()?;
    if damaged > 0 {
        say("`larder check` names the damaged entries");
    }
    Ok(())
}
