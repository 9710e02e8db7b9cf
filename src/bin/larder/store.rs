//! Opens the store that an argument such as `redb:cache.redb` names.
//!
//! Commands that only read open a file read-only. To a server, they send no command that writes: a
//! store that is built and not connected creates no index and sweeps nothing.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use clap::Args;
use larder::{
    BoxError,
    store::{AnyStore, Store as _},
};

use crate::text;

/// The help of a STORE argument.
pub(crate) const ARGUMENT: &str =
    "The store: redb:PATH, sqlite:PATH, files:DIR, redis://... or mongodb://...";

/// The forms of a STORE argument, for errors.
const FORMS: &str = "redb:PATH, sqlite:PATH, files:DIR, redis://HOST, rediss://HOST, \
    redis+unix://PATH, mongodb://HOST or mongodb+srv://HOST";

/// The features of stores that this program was built with.
const BUILT_IN: &[&str] = &[
    #[cfg(feature = "redb")]
    "redb",
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "files")]
    "files",
    #[cfg(feature = "redis")]
    "redis",
    #[cfg(feature = "mongodb")]
    "mongodb",
];

/// A store, as it is named on the command line. It may contain a password, so it is never printed.
#[derive(Clone)]
pub(crate) struct Location(String);

/// The settings of a program's store on a server.
#[derive(Args, Clone)]
#[command(next_help_heading = "Stores on servers")]
pub(crate) struct Server {
    /// The namespace of the cache on a Redis or MongoDB server, if the program has set one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The grace of the store on a Redis or MongoDB server, if the program has set one, such as 1h;
    /// for commands that write. With MongoDB, it is a property of an index: a command leaves an
    /// index that is there as it is, unless you pass this
    #[arg(long, global = true, value_name = "TIME", value_parser = text::parse_duration)]
    pub(crate) grace: Option<Duration>,
}

/// What a command does with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads.
    Read,
    /// It changes a store that is there.
    Write,
    /// It writes to a store, and creates it if it is missing.
    Create,
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Location {
    /// Opens the store.
    pub(crate) async fn open(&self, access: Access, server: &Server) -> Result<AnyStore, BoxError> {
        let (kind, path) = self.0.split_once(':').unwrap_or(("", ""));
        let feature = feature(kind)?;
        if !BUILT_IN.contains(&feature) {
            return Err(not_built_in(feature).into());
        }
        if matches!(feature, "redb" | "sqlite" | "files") {
            check_path(path, access, server)?;
        }
        match kind {
            #[cfg(feature = "redb")]
            "redb" => redb::open(path, access),
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                // A command never evicts: the limit is for the program whose cache it is.
                let builder = larder::store::Sqlite::builder(path).max_bytes(u64::MAX);
                Ok(AnyStore::new(builder.read_only(access == Access::Read).open()?))
            }
            #[cfg(feature = "files")]
            "files" => {
                let builder = larder::store::Files::builder(path).max_bytes(u64::MAX);
                Ok(AnyStore::new(builder.read_only(access == Access::Read).open()?))
            }
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "redis+unix" => {
                let mut builder = larder::store::Redis::builder(&self.0);
                if let Some(namespace) = &server.namespace {
                    builder = builder.namespace(namespace);
                }
                if let Some(grace) = server.grace {
                    builder = builder.grace(grace);
                }
                Ok(AnyStore::new(match access {
                    Access::Read => builder.build()?,
                    Access::Write | Access::Create => builder.connect().await?,
                }))
            }
            #[cfg(feature = "mongodb")]
            "mongodb" | "mongodb+srv" => {
                let mut builder = larder::store::MongoDb::builder(&self.0);
                if let Some(namespace) = &server.namespace {
                    builder = builder.namespace(namespace);
                }
                // Another grace than the program's would expire what it still wants to keep.
                builder = match server.grace {
                    Some(grace) => builder.grace(grace),
                    None => builder.keep_grace(),
                };
                Ok(AnyStore::new(match access {
                    Access::Read => builder.build().await?,
                    Access::Write | Access::Create => builder.connect().await?,
                }))
            }
            _ => Err(not_built_in(feature).into()),
        }
    }

    /// Opens the store to read what the program's responses are: bodies that `Compressed` has
    /// written are decompressed.
    pub(crate) async fn open_to_read(&self, server: &Server) -> Result<AnyStore, BoxError> {
        Ok(decompressing(self.open(Access::Read, server).await?))
    }

    /// Whether both name the same place: by their text, or, on disk, by where their paths lead.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let place = |location: &Self| {
            let (kind, path) = location.0.split_once(':')?;
            let is_on_disk = matches!(kind, "redb" | "sqlite" | "files");
            is_on_disk.then(|| Path::new(path).canonicalize().ok())?
        };
        self.0 == other.0 || place(self).is_some_and(|here| place(other) == Some(here))
    }

    /// Whether both are folders of files, and one is inside the other. Neither has to be there.
    pub(crate) fn is_nested(&self, other: &Self) -> bool {
        let folder = |location: &Self| {
            location.0.strip_prefix("files:").map(|path| resolved(Path::new(path)))
        };
        let both = folder(self).zip(folder(other));
        both.is_some_and(|(here, there)| here.starts_with(&there) || there.starts_with(&here))
    }

    /// Whether it is a `files:` store.
    pub(crate) fn is_files(&self) -> bool {
        self.0.starts_with("files:")
    }

    /// Whether it begins as a store of any kind does.
    pub(crate) fn is_store(&self) -> bool {
        self.0.split_once(':').is_some_and(|(kind, _)| feature(kind).is_ok())
    }

    /// What the location is as a path, if it is no store.
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Where a path leads. The part of it that is not there yet is taken as it is written.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for folder in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (folder.canonicalize(), path.strip_prefix(folder)) {
            let up = |mut path: PathBuf, part: Component<'_>| {
                if part == Component::ParentDir {
                    path.pop();
                } else {
                    path.push(part);
                }
                path
            };
            return rest.components().fold(real, up);
        }
    }
    path
}

/// The feature of the stores of this kind. The text of the argument is not repeated in the error,
/// since a URL may contain a password.
fn feature(kind: &str) -> Result<&'static str, BoxError> {
    Ok(match kind {
        "redb" => "redb",
        "sqlite" => "sqlite",
        "files" => "files",
        "redis" | "rediss" | "redis+unix" => "redis",
        "mongodb" | "mongodb+srv" => "mongodb",
        _ => return Err(format!("the argument names no store; write one of {FORMS}").into()),
    })
}

fn not_built_in(feature: &str) -> String {
    format!(
        "this larder was built without {feature}; install it with: cargo install larder --features \
         cli,{feature}"
    )
}

/// Refuses the path of a store on disk that is not there. Only a command that fills a store creates
/// it.
fn check_path(path: &str, access: Access, server: &Server) -> Result<(), BoxError> {
    if path.is_empty() {
        return Err("no path follows the colon; write one, such as redb:http-cache.redb".into());
    }
    if access != Access::Create && !Path::new(path).exists() {
        return Err(format!("{path} does not exist; check the path of the store").into());
    }
    if server.namespace.is_some() {
        let message = "only a cache on a server has a namespace; leave --namespace out, or write \
                       --to-namespace for the TO of `copy`";
        return Err(message.into());
    }
    Ok(())
}

/// The same store, whose compressed bodies are decompressed.
pub(crate) fn decompressing(store: AnyStore) -> AnyStore {
    #[cfg(feature = "compression")]
    let store = AnyStore::new(larder::store::Compressed::new(store));
    store
}

/// Waits until everything is written and synced.
pub(crate) async fn close(store: AnyStore) -> Result<(), BoxError> {
    Ok(store.flush().await?)
}

#[cfg(feature = "redb")]
mod redb {
    //! Opens a `Redb` file, which one program has alone unless all of them share it.

    use std::error::Error as _;

    use larder::{
        BoxError,
        store::{AnyStore, ErrorKind, Redb, Result},
    };

    use super::Access;

    pub(super) fn open(path: &str, access: Access) -> Result<AnyStore, BoxError> {
        let open = |is_shared| {
            Redb::builder(path)
                // A command never evicts: the limit is for the program whose cache it is.
                .max_bytes(u64::MAX)
                .read_only(access == Access::Read)
                .multi_process(is_shared)
                .open()
        };
        let alone = match open(false) {
            Ok(store) => return Ok(AnyStore::new(store)),
            Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error.into()),
            Err(error) => error,
        };
        // Programs that have set `multi_process` let others in that set it, too.
        if let Ok(store) = open(true) {
            return Ok(AnyStore::new(store));
        }
        let cause = alone.source().and_then(|source| source.downcast_ref());
        Err(match cause {
            Some(::redb::Error::RepairAborted) => format!(
                "{path} was not closed: a program that wrote it was killed; run `larder sweep \
                 redb:{path}`, which opens it for writing and makes it whole"
            )
            .into(),
            Some(::redb::Error::DatabaseAlreadyOpen) => format!(
                "{path} is open in another program; stop that program, or let it open the file \
                 with multi_process(true), which lets larder in beside it"
            )
            .into(),
            _ => alone.into(),
        })
    }
}
