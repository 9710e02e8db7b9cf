//! `larder export`: writes what is stored as a HAR file, or as a folder of files.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use larder::{
    BoxError, EntryInfo,
    store::{AnyStore, Store as _},
};

use crate::{
    commands::copy::{self, Copy},
    har::write::Archive,
    outcome::{Ended, Outcome, say},
    progress,
    select::{Conditions, Listed, entries_to_read},
    store::{Location, Server},
    text,
};

/// Write what is stored as a HAR file, or as a folder of files
///
/// A HAR file (HTTP Archive 1.2) can be opened in a browser's developer tools and in many other
/// programs. Headers with secrets, such as Set-Cookie, are left out unless you pass --with-secrets;
/// bodies and URLs are written as they are. Request headers are not stored, so the archive has
/// none. A body with a Content-Encoding stays encoded, in base64. Trailers and header values that
/// are not UTF-8 are left out, since the format has no place for them. To back up or move a cache,
/// use `larder copy`.
///
/// If OUTPUT is files:DIR, entries are copied into a folder, as `larder copy` does. A folder is a
/// store: it gets everything, secrets included; expired entries are left out. Bodies that the
/// program compresses are decompressed.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Export {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// A path for the HAR file, - for standard output, or files:DIR
    #[arg(value_name = "OUTPUT")]
    output: Location,
    /// Write the headers that carry secrets, too; for a HAR file, since a folder has them anyway
    #[arg(long)]
    with_secrets: bool,
    /// Replace a HAR file that exists; a device or a pipe is always written to as it is
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    conditions: Conditions,
}

const EXAMPLES: &str = "\
Examples:
  larder export redb:http-cache.redb cache.har
  larder export sqlite:cache.db - --url 'api.example.com/**' | jq '.log.entries[].request.url'
  larder export redis://localhost files:cache-folder";

pub(crate) async fn run(args: Export, server: &Server) -> Outcome {
    if args.output.is_files() {
        if !args.conditions.is_empty() {
            return Err("a folder takes every entry; filters are for a HAR file".into());
        }
        for (flag, is_given) in [("--with-secrets", args.with_secrets), ("--force", args.force)] {
            if is_given {
                let message = "is for a HAR file; a folder gets all headers, and newer entries in \
                               it are kept";
                return Err(format!("{flag} {message}").into());
            }
        }
        return copy::run(Copy::to_folder(args.store, args.output), server).await;
    }
    if args.output.is_store() {
        let message = "OUTPUT names a store; `larder copy` fills one; for a file of that name, \
                       write ./ before it";
        return Err(message.into());
    }
    let path = args.output.as_path();
    let store = args.store.open_to_read(server).await?;
    if path == Path::new("-") {
        let exported = write(&args, &store, io::stdout().lock()).await?;
        return Ok(ended(&args, &exported));
    }
    let cannot = |error: io::Error| format!("cannot write {}: {error}", path.display());
    // A link that leads nowhere is there, too.
    let is_there = fs::symlink_metadata(path).is_ok();
    let exported = match fs::metadata(path) {
        // A device or a pipe stays what it is.
        Ok(there) if !there.is_file() => {
            let file = File::options().write(true).open(path).map_err(cannot)?;
            write(&args, &store, &file).await.map_err(|error| of_file(path, error))?
        }
        _ if is_there && !args.force => {
            return Err(format!("{} exists; pass --force to replace it", path.display()).into());
        }
        // A link stays, and the file that it leads to is replaced.
        Ok(_) => replace(&args, &store, &path.canonicalize().map_err(cannot)?).await?,
        Err(_) => replace(&args, &store, path).await?,
    };
    let (count, size) = (text::entries(exported.entries), text::size(exported.bytes));
    say(format!("wrote {count} ({size}) to {}", path.display()));
    Ok(ended(&args, &exported))
}

/// Writes a file, which appears under its name when it is whole.
async fn replace(args: &Export, store: &AnyStore, path: &Path) -> Result<Exported, BoxError> {
    let (part, file) = create_beside(path)
        .map_err(|error| format!("cannot create a file beside {}: {error}", path.display()))?;
    let removed_on_drop = Part(&part);
    let exported = write(args, store, &file).await.map_err(|error| of_file(&part, error))?;
    let failed = |error: io::Error| format!("cannot write {}: {error}", part.display());
    file.sync_all().map_err(failed)?;
    fs::rename(&part, path).map_err(failed)?;
    std::mem::forget(removed_on_drop);
    Ok(exported)
}

/// An error of an export to the file at `path`. One of I/O alone would be that of standard output.
fn of_file(path: &Path, error: BoxError) -> BoxError {
    match error.is::<io::Error>() {
        true => format!("cannot write {}: {error}", path.display()).into(),
        false => error,
    }
}

/// Creates a file of a name that no other has. Only its owner may read it, as with the file of a
/// store.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut number = 0;
    loop {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}-{number}.part", std::process::id()));
        match options.open(&part) {
            // A killed command may have left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            opened => return opened.map(|file| (part.into(), file)),
        }
    }
}

/// What was written.
#[derive(Default)]
struct Exported {
    entries: u64,
    /// The bytes of their bodies.
    bytes: u64,
    /// How many entries were left out.
    damaged: u64,
}

fn ended(args: &Export, exported: &Exported) -> Ended {
    let has_none = exported.entries == 0 && !args.conditions.is_empty();
    if has_none || exported.damaged > 0 { Ended::Found } else { Ended::Done }
}

/// A file that is not whole. It is removed when the command fails or is interrupted.
struct Part<'a>(&'a Path);

impl Drop for Part<'_> {
    fn drop(&mut self) {
        let _is_gone = fs::remove_file(self.0);
    }
}

/// Writes the selected entries.
async fn write(args: &Export, store: &AnyStore, out: impl Write) -> Result<Exported, BoxError> {
    let filter = args.conditions.filter()?;
    let entries = entries_to_read(store.clone());
    let mut listed = Listed::new(&entries);
    let mut archive = Archive::begin(BufWriter::new(out), args.with_secrets)?;
    let bar = progress::bar(None);
    let mut exported = Exported::default();
    while let Some(EntryInfo { key, .. }) = listed.next_that(|entry| filter.matches(entry)).await? {
        let (head, body) = match store.get(&key).await {
            Ok(Some(hit)) => (hit.head, hit.body.bytes().await),
            // It was removed since it was listed.
            Ok(None) => continue,
            Err(error) if error.is_of_one_entry() => {
                exported.damaged += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let body = match body {
            Ok(body) => body,
            Err(error) if error.is_of_one_entry() => {
                exported.damaged += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        archive.add(&key, &head, &body)?;
        exported.entries += 1;
        exported.bytes += head.body_len();
        bar.set_position(exported.entries);
        bar.set_message(text::size(exported.bytes));
    }
    bar.finish_and_clear();
    let left_out = archive.end()?;
    if left_out > 0 {
        let values = if left_out == 1 { "value that is" } else { "values that are" };
        say(format!("left out {left_out} header {values} not UTF-8; `larder copy` keeps them"));
    }
    if exported.damaged > 0 {
        let damaged = text::entries(exported.damaged);
        say(format!("left out {damaged} that cannot be read; see `larder check`"));
    }
    // Those whose heads cannot be read.
    exported.damaged += listed.damaged();
    Ok(exported)
}
