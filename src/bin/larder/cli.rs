//! The arguments of the command line.

use clap::{Parser, Subcommand};

use crate::{
    commands::{check, completions, copy, export, import, ls, man, rm, show, stats, sweep},
    outcome::EXIT_CODES,
    store::Server,
};

/// Look into an HTTP cache of the larder library, and manage it
///
/// Every command takes a STORE: redb:PATH, sqlite:PATH, files:DIR, redis://... or mongodb://....
/// Commands that only read open a file read-only. Entries are found by URL or by key, whatever the
/// settings of the program's cache are.
///
/// URLs are printed with their queries, which may contain tokens. Credentials of requests and
/// parameters that the program ignores are not stored at all. Response headers that carry secrets,
/// such as Set-Cookie, are masked unless you pass --raw or --with-secrets. Control characters in
/// stored data are escaped on a terminal.
#[derive(Parser)]
#[command(name = "larder", version, after_long_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(ls::Ls),
    Show(show::Show),
    Stats(stats::Stats),
    Rm(rm::Rm),
    Sweep(sweep::Sweep),
    Copy(copy::Copy),
    Export(export::Export),
    Import(import::Import),
    Check(check::Check),
    Completions(completions::Completions),
    Man(man::Man),
}
