//! Which entries a command is about: arguments as a filter, and entries by URL or key.
//!
//! An entry is found by URL whatever the settings of the program's layer were, since nothing here
//! makes a key: every stored URL is read and compared. That takes a pass over all heads. Only a
//! whole key is looked up directly.

use std::time::{Duration, SystemTime};

use clap::Args;
use futures_util::{Stream, StreamExt};
use larder::{
    BoxError, CacheLayer, Entries, EntryInfo, Filter, Key,
    store::{AnyStore, Result},
    time::{Clock, ManualClock, SystemClock},
};

use crate::{outcome::say, text};

/// The fewest digits of a key that name an entry.
const SHORTEST_KEY: usize = 4;

/// Conditions on entries. All of them must hold.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Conditions {
    /// Only URLs that match this glob on host and path, such as 'example.com/news/**'
    #[arg(long, value_name = "GLOB")]
    url: Option<String>,
    /// Only responses with this status
    #[arg(long, value_name = "CODE", value_parser = parse_status)]
    status: Option<http::StatusCode>,
    /// Only entries that were stored longer ago than this, such as 90s, 2h or 7d
    #[arg(long, value_name = "AGE", value_parser = text::parse_duration)]
    older_than: Option<Duration>,
    /// Only entries that were stored at most this long ago
    #[arg(long, value_name = "AGE", value_parser = text::parse_duration)]
    newer_than: Option<Duration>,
    /// Only entries with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only entries that have expired
    #[arg(long, conflicts_with = "fresh")]
    expired: bool,
    /// Only entries that have not expired
    #[arg(long)]
    fresh: bool,
}

impl Conditions {
    /// Whether there is no condition.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { url, status, older_than, newer_than, tag, expired, fresh } = self;
        url.is_none()
            && status.is_none()
            && older_than.is_none()
            && newer_than.is_none()
            && tag.is_none()
            && !expired
            && !fresh
    }

    /// Whether only expired entries are meant.
    pub(crate) fn is_for_expired(&self) -> bool {
        self.expired
    }

    /// The filter for these conditions.
    pub(crate) fn filter(&self) -> Result<Filter, BoxError> {
        let mut filter = Filter::new();
        if let Some(url) = &self.url {
            filter = filter.url(url)?;
        }
        if let Some(status) = self.status {
            filter = filter.status(status);
        }
        if let Some(age) = self.older_than {
            filter = filter.older_than(age);
        }
        if let Some(age) = self.newer_than {
            filter = filter.newer_than(age);
        }
        if let Some(tag) = &self.tag {
            filter = filter.tag(tag);
        }
        if self.expired || self.fresh {
            filter = filter.expired(self.expired);
        }
        Ok(filter)
    }
}

fn parse_status(text: &str) -> Result<http::StatusCode, String> {
    text.parse().map_err(|_| "write three digits, such as 404".into())
}

/// A URL, and its path with any query.
#[derive(Clone, Debug)]
pub(crate) struct NamedUrl {
    pub(crate) filter: Filter,
    path: Filter,
}

impl NamedUrl {
    fn parse(url: &str) -> Result<Self, BoxError> {
        let path = url.split_once('?').map_or(url, |(path, _)| path);
        Ok(Self { filter: Filter::new().exact_url(url)?, path: Filter::new().exact_url(path)? })
    }

    /// Whether the entry has the path of the URL, and another query.
    fn is_near(&self, entry: &EntryInfo) -> bool {
        let mut without_query = entry.clone();
        let path = entry.url.split_once('?').map_or(entry.url.len(), |(path, _)| path.len());
        without_query.url.truncate(path);
        self.path.matches(&without_query) && !self.filter.matches(entry)
    }
}

/// What names entries: a URL, or the first digits of a key.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// Every entry of this URL.
    Url(Box<NamedUrl>),
    /// The entry under this key.
    Key(Key),
    /// The entry whose key begins with these digits, in lower case.
    Prefix(String),
}

impl Name {
    /// Reads the argument of a command.
    pub(crate) fn parse(text: &str) -> Result<Self, BoxError> {
        if let Ok(key) = text.parse() {
            return Ok(Self::Key(key));
        }
        if text.len() >= SHORTEST_KEY && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Prefix(text.to_ascii_lowercase()));
        }
        if text.contains("://") || text.starts_with('/') {
            return Ok(Self::Url(Box::new(NamedUrl::parse(text)?)));
        }
        let advice = "write a URL such as http://example.com/path?query, or at least four digits \
                      of a key as `larder ls` prints it";
        Err(format!("{:?} names no entry; {advice}", text::escaped(text)).into())
    }

    /// Whether the name means this entry.
    pub(crate) fn matches(&self, entry: &EntryInfo) -> bool {
        match self {
            Self::Url(url) => url.filter.matches(entry),
            Self::Key(key) => entry.key == *key,
            Self::Prefix(digits) => entry.key.to_string().starts_with(digits),
        }
    }
}

/// Whether one of the names means this entry.
pub(crate) fn is_named(entry: &EntryInfo, names: &[Name]) -> bool {
    names.iter().any(|name| name.matches(entry))
}

/// The entries that the names mean. If there is none, the message on standard error says which
/// setting may be the reason.
pub(crate) async fn named(
    entries: &Entries<AnyStore>,
    names: &[Name],
) -> Result<Vec<EntryInfo>, BoxError> {
    let (mut listed, mut found, mut near) = (Listed::new(entries), Vec::new(), 0);
    while let Some(entry) = listed.next().await? {
        if is_named(&entry, names) {
            found.push(entry);
        } else {
            let is_near = |name: &Name| matches!(name, Name::Url(url) if url.is_near(&entry));
            near += u64::from(names.iter().any(is_near));
        }
    }
    match near {
        _ if !found.is_empty() => {}
        0 => say("no entry matches; `larder ls` lists what is stored"),
        near => say(format!(
            "no entry has this URL; with another query, there {} {}; parameters that the program \
             ignores (add_ignored_parameters) are not stored, so leave them out",
            if near == 1 { "is" } else { "are" },
            text::entries(near)
        )),
    }
    Ok(found)
}

/// The management handle of a store. It only finds entries by URL through filters, so that the
/// settings of the layer do not matter. Its time stands still: what expires while a question waits
/// is not removed with what was shown.
pub(crate) fn entries(store: AnyStore) -> Entries<AnyStore> {
    CacheLayer::private(store).clock(ManualClock::new(SystemClock.now())).entries()
}

/// The same for a command that only reads. Nothing is removed, damaged entries included.
pub(crate) fn entries_to_read(store: AnyStore) -> Entries<AnyStore> {
    CacheLayer::private(store).read_only(true).entries()
}

/// The entries of a store, and the number of those among them that cannot be read.
pub(crate) struct Listed {
    entries: std::pin::Pin<Box<dyn Stream<Item = Result<EntryInfo>> + Send>>,
    damaged: u64,
}

impl Listed {
    pub(crate) fn new(entries: &Entries<AnyStore>) -> Self {
        Self { entries: Box::pin(entries.stream()), damaged: 0 }
    }

    /// How many entries that cannot be read were passed over.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next entry that can be read. At the end, the number of the others is reported.
    pub(crate) async fn next(&mut self) -> Result<Option<EntryInfo>> {
        // Entries that are there at once would keep Ctrl-C waiting.
        tokio::task::yield_now().await;
        loop {
            match self.entries.next().await {
                Some(Err(error)) if error.is_of_one_entry() => self.damaged += 1,
                Some(entry) => return entry.map(Some),
                None => {
                    if self.damaged > 0 {
                        let damaged = text::entries(self.damaged);
                        let see = "see `larder check`";
                        say(format!("passed over {damaged} that cannot be read; {see}"));
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The next entry that `is_meant`.
    pub(crate) async fn next_that(
        &mut self,
        is_meant: impl Fn(&EntryInfo) -> bool,
    ) -> Result<Option<EntryInfo>> {
        loop {
            match self.next().await? {
                Some(entry) if !is_meant(&entry) => {}
                found => return Ok(found),
            }
        }
    }
}

/// The moment as of which ages and expiries are printed.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
