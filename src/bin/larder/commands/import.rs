//! `larder import`: stores the responses of a HAR file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::Args;
use http::{Request, Response};
use indicatif::ProgressBar;
use larder::{
    BoxError, CacheLayer, CacheStatus, Entries, Key,
    store::{AnyStore, ErrorKind},
    time::{Clock, ManualClock, SystemClock, Timestamp},
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    har::{exchange::Exchange, read},
    outcome::{Ended, Outcome, stdout},
    progress,
    record::write_line,
    select::now,
    store::{Access, Location, Server, close},
    text,
};

/// Store the responses of a HAR file
///
/// Reads what browsers and other programs save, and what `larder export` writes. It stores
/// responses of status 200 to GET and HEAD, as of the time when they arrived. The request headers
/// in the file count for the key and for Vary; a file that was saved without cookies stores
/// responses to requests without cookies. Browsers save decoded bodies, so Content-Encoding is
/// removed.
///
/// The program finds these responses if its cache has the settings that you pass here. What
/// `larder export` wrote keeps its keys, expiries and tags; --http-rules and --shared must be those
/// of the program then, too. Variants (Vary) of an export are left out, since their request headers
/// are not stored: `larder copy` keeps them.
///
/// A response is left out if the store has the same or a newer one, unless you pass --overwrite.
/// The summary says how many of the others have expired by now, by these settings.
///
/// One entry of the file is held in memory at a time. After an error, the summary says what was
/// stored before it.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Import {
    /// The store, which is created if it is missing: redb:PATH, sqlite:PATH, files:DIR, redis://...
    /// or mongodb://...
    #[arg(value_name = "STORE")]
    store: Location,
    /// The HAR file, or - for standard input
    #[arg(value_name = "HAR")]
    har: PathBuf,
    /// Store responses of every status, not only 200
    #[arg(long)]
    all_statuses: bool,
    /// Replace responses that the store has already, newer ones too
    #[arg(long)]
    overwrite: bool,
    /// Print the summary as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// The settings of the program's cache that change keys and expiries.
#[derive(Args)]
#[command(next_help_heading = "Settings of the program's cache")]
struct Settings {
    /// The program uses CacheLayer::shared, not private
    #[arg(long)]
    shared: bool,
    /// The program uses http_rules()
    #[arg(long)]
    http_rules: bool,
    /// expire_after: how long a response is fresh, such as 2h or 7d, from when it arrived
    #[arg(long, value_name = "TIME", value_parser = text::parse_duration)]
    expire_after: Option<Duration>,
    /// add_key_headers: a request header of the key; may be repeated
    #[arg(long = "key-header", value_name = "NAME")]
    key_headers: Vec<String>,
    /// add_ignored_headers: a request header that the key does not have; may be repeated
    #[arg(long = "ignored-header", value_name = "NAME")]
    ignored_headers: Vec<String>,
    /// add_ignored_parameters: a parameter that the key does not have; may be repeated
    #[arg(long = "ignored-parameter", value_name = "NAME")]
    ignored_parameters: Vec<String>,
    /// sort_query(true)
    #[arg(long)]
    sort_query: bool,
    /// add_tag_headers: a response header with tags, such as surrogate-key; may be repeated
    #[arg(long = "tag-header", value_name = "NAME")]
    tag_headers: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  larder import redb:http-cache.redb example.com.har
  larder import sqlite:cache.db example.com.har --http-rules --ignored-parameter 'utm_*'
  larder export redb:old.redb - | larder import redb:new.redb -";

impl Settings {
    /// A layer with these settings, whose time is that of `clock`.
    fn layer(
        &self,
        store: AnyStore,
        clock: &ManualClock,
    ) -> Result<CacheLayer<AnyStore>, BoxError> {
        let layer = match self.shared {
            true => CacheLayer::shared(store),
            false => CacheLayer::private(store),
        };
        let mut layer = layer
            .clock(clock.clone())
            .add_key_headers(&self.key_headers)?
            .add_ignored_headers(&self.ignored_headers)?
            .add_ignored_parameters(&self.ignored_parameters)?
            .add_tag_headers(&self.tag_headers)?
            .sort_query(self.sort_query);
        if self.http_rules {
            layer = layer.http_rules();
        }
        if let Some(time) = self.expire_after {
            layer = layer.expire_after(time);
        }
        Ok(layer)
    }
}

/// The summary as an object. The names are part of the command's interface.
#[derive(Default, Serialize)]
struct Summary {
    imported: u64,
    bytes: u64,
    /// How many of the imported ones have expired already.
    expired: u64,
    skipped: BTreeMap<String, u64>,
}

/// How many reasons are told apart. They depend on the file, which may have any number of them.
const REASONS: usize = 20;

impl Summary {
    /// Counts an entry that is left out.
    fn skip(&mut self, why: String) {
        let is_own = why == ALREADY_THERE;
        let is_told = is_own || self.skipped.len() < REASONS || self.skipped.contains_key(&why);
        let why = if is_told { why } else { "other reasons".to_owned() };
        *self.skipped.entry(why).or_default() += 1;
    }
}

pub(crate) async fn run(args: Import, server: &Server) -> Outcome {
    let mut input = open(&args.har)?;
    let store = args.store.open(Access::Create, server).await?;
    let clock = ManualClock::new(SystemClock.now());
    let entries = args.settings.layer(store.clone(), &clock)?.entries();

    // The file is read on a thread of its own, which waits for each entry to be stored.
    let (sender, receiver) = mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || {
        read::read(&mut input, |item| sender.blocking_send(item).is_ok())
    });
    let mut summary = Summary::default();
    let bar = progress::bar(None);
    let stored = import(&args, &entries, &clock, receiver, &mut summary, &bar).await;
    bar.finish_and_clear();
    // The entries that came before an error are kept, so they are counted, too.
    let closed = close(store).await;
    print(&summary, args.json)?;
    stored.and(closed)?;
    let har = args.har.display();
    reader.await?.map_err(|error| format!("cannot read {har}: {error}"))?;
    Ok(Ended::Done)
}

/// Stores the entries that the reader gives away.
async fn import(
    args: &Import,
    entries: &Entries<AnyStore>,
    clock: &ManualClock,
    mut receiver: mpsc::Receiver<read::Item>,
    summary: &mut Summary,
    bar: &ProgressBar,
) -> Result<(), BoxError> {
    while let Some(item) = receiver.recv().await {
        let exchange = item
            .ok_or_else(|| "not an entry of a HAR file".to_owned())
            .and_then(|entry| Exchange::of(*entry, SystemClock.now(), args.all_statuses));
        let skipped = match exchange {
            Err(why) => Some(why),
            Ok(Exchange { request, response, at, len }) => {
                clock.set(SystemClock.now());
                if !args.overwrite && is_there(entries, &request, at).await? {
                    Some(ALREADY_THERE.to_owned())
                } else {
                    clock.set(at);
                    match entries.insert(&request, response).await {
                        Ok(key) => {
                            summary.imported += 1;
                            summary.bytes += len;
                            clock.set(SystemClock.now());
                            summary.expired += u64::from(has_expired(entries, key).await?);
                            None
                        }
                        Err(error) if is_refusal(error.kind()) => Some(reason(&error)),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        };
        if let Some(why) = skipped {
            summary.skip(why);
        }
        bar.set_position(summary.imported);
        bar.set_message(text::size(summary.bytes));
    }
    Ok(())
}

/// Why a response is left out that is there.
const ALREADY_THERE: &str =
    "the same or a newer response is there already (--overwrite replaces it)";

/// Whether a response to `request` is stored that is not older than `at`. A request that the cache
/// does not take has none: its response is refused.
async fn is_there(
    entries: &Entries<AnyStore>,
    request: &Request<()>,
    at: Timestamp,
) -> Result<bool, BoxError> {
    let stored_at = match entries.get(request).await {
        Ok(response) => response.and_then(|response| status(&response)?.stored_at()),
        Err(error) if is_refusal(error.kind()) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(stored_at.is_some_and(|stored_at| stored_at >= SystemTime::from(at)))
}

/// Whether the entry that was just stored has expired by now.
async fn has_expired(entries: &Entries<AnyStore>, key: Key) -> Result<bool, BoxError> {
    // What is of no more use counts as no entry.
    let Some(response) = entries.get(key).await? else { return Ok(true) };
    let expires_at = status(&response).and_then(CacheStatus::expires_at);
    Ok(expires_at.is_some_and(|end| end <= now()))
}

fn status<B>(response: &Response<B>) -> Option<&CacheStatus> {
    response.extensions().get()
}

/// Whether the error is about this response, and not about the store.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::TooLarge)
}

/// Why a response was refused, without the name of what refused it.
fn reason(error: &larder::store::Error) -> String {
    let text = error.to_string();
    let name = format!("{}: ", error.store());
    text.strip_prefix(&name).unwrap_or(&text).to_owned()
}

fn open(path: &Path) -> Result<BufReader<Box<dyn io::Read + Send>>, BoxError> {
    let input: Box<dyn io::Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let failed = |error| format!("cannot read {}: {error}", path.display());
        Box::new(File::open(path).map_err(failed)?)
    };
    Ok(BufReader::with_capacity(64 << 10, input))
}

fn print(summary: &Summary, is_json: bool) -> io::Result<()> {
    let mut out = stdout();
    if is_json {
        write_line(&mut out, summary)?;
    } else {
        let Summary { imported, bytes, expired, skipped } = summary;
        writeln!(out, "imported {} ({})", text::entries(*imported), text::size(*bytes))?;
        if *expired > 0 {
            writeln!(
                out,
                "expired already: {expired} of them; `larder sweep` removes what is of no use"
            )?;
        }
        for (why, count) in skipped {
            writeln!(out, "skipped {count}: {}", text::escaped(why))?;
        }
    }
    out.flush()
}
