//! `larder completions`: prints completions for a shell.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::outcome::{Ended, Outcome, stdout};

/// Print completions for a shell
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  larder completions bash > ~/.local/share/bash-completion/completions/larder
  larder completions zsh > ~/.zfunc/_larder
  larder completions fish > ~/.config/fish/completions/larder.fish";

pub(crate) fn run(args: &Completions, mut command: Command) -> Outcome {
    // The generator panics if it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "larder", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Ended::Done)
}
