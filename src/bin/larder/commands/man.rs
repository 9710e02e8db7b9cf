//! `larder man`: prints a man page, or writes one for each command.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::Man as Page;

use crate::outcome::{Ended, Outcome, stdout};

/// Print the man page, or write one for each command
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Man {
    /// The command whose page to print, such as copy
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    name: Option<String>,
    /// Write larder.1, larder-ls.1 and so on into this directory instead
    #[arg(long)]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  larder man | man -l -
  larder man copy | man -l -
  larder man --dir ~/.local/share/man/man1";

pub(crate) fn run(args: &Man, mut command: Command) -> Outcome {
    command.build();
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        write(dir, &command, "larder")?;
        for each in command.get_subcommands() {
            write(dir, each, &format!("larder-{}", each.get_name()))?;
        }
        return Ok(Ended::Done);
    }
    let chosen = match &args.name {
        None => &command,
        Some(name) => command
            .find_subcommand(name)
            .ok_or_else(|| format!("there is no command {name:?}; `larder help` lists them"))?,
    };
    let mut out = stdout();
    out.write_all(&page(chosen, chosen.get_display_name().unwrap_or("larder"))?)?;
    out.flush()?;
    Ok(Ended::Done)
}

fn write(dir: &Path, command: &Command, name: &str) -> Result<(), larder::BoxError> {
    let path = dir.join(format!("{name}.1"));
    Ok(fs::write(&path, page(command, name)?).map_err(|error| failed(&path, &error))?)
}

fn page(command: &Command, name: &str) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Page::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    Ok(page)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}
