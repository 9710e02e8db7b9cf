//! The command `larder`: lists, shows, removes, copies and checks what a store has.
//!
//! `cli` has the arguments, and `commands` a file for each command. Below them: `select` says which
//! entries are meant, `store` opens stores, `har` writes and reads HAR files, `table`, `record` and
//! `body` print, `text` and `term` make text that fits a terminal and is safe for it.

mod body;
mod cli;
mod commands;
mod har;
mod outcome;
mod pretty;
mod progress;
mod record;
mod secret;
mod select;
mod signals;
mod store;
mod table;
mod term;
mod text;

use std::{pin::pin, process::ExitCode};

use clap::{CommandFactory, Parser};
use futures_util::future::{Either, select as first_of};

use self::{
    cli::{Cli, Command},
    commands::{check, completions, copy, export, import, ls, man, rm, show, stats, sweep},
    outcome::Outcome,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return outcome::exit_code(Err(error.into())),
    };
    let code = runtime.block_on(run(cli));
    // A thread may wait for an answer on standard input that does not come any more.
    runtime.shutdown_background();
    code
}

/// Runs the command until its end or until a signal, which drops its stores as its end does: files
/// are written out and closed.
async fn run(cli: Cli) -> ExitCode {
    // The signals are asked for first, so that they are caught from here on.
    match first_of(pin!(signals::received()), Box::pin(dispatch(cli))).await {
        Either::Right((outcome, _)) => outcome::exit_code(outcome),
        Either::Left((code, command)) => {
            drop(command);
            outcome::say("interrupted");
            ExitCode::from(code)
        }
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let server = &cli.server;
    match cli.command {
        Command::Ls(args) => ls::run(args, server).await,
        Command::Show(args) => show::run(args, server).await,
        Command::Stats(args) => stats::run(args, server).await,
        Command::Rm(args) => rm::run(args, server).await,
        Command::Sweep(args) => sweep::run(args, server).await,
        Command::Copy(args) => copy::run(args, server).await,
        Command::Export(args) => export::run(args, server).await,
        Command::Import(args) => import::run(args, server).await,
        Command::Check(args) => check::run(args, server).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}
