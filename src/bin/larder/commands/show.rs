//! `larder show`: prints a stored response.

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use larder::{
    BoxError, Key,
    entry::Head,
    store::{AnyStore, Hit, Store as _},
    time::{Clock, SystemClock},
};
use serde::Serialize;

use crate::{
    body,
    outcome::{Ended, Outcome, say, stdout},
    record::write_line,
    secret::is_secret,
    select::{Name, entries_to_read, named, now},
    store::{Location, Server},
    table::Table,
    term::Terminal,
    text,
};

/// Print a stored response: its head, and its body
///
/// A URL is compared with every stored URL, normalised and with sorted parameters, so it is found
/// whatever the settings of the program's cache are. Leave out the parameters that the program
/// ignores: stored URLs do not have them. If several entries have the URL (another method, variant
/// or user), they are listed, and you name one by its key.
///
/// Text is printed as text, JSON indented, and of anything else the first 256 bytes as hex. The
/// values of headers that carry secrets, such as Set-Cookie, are masked: with --json, they are
/// null, and "masked" is true.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Show {
    #[arg(value_name = "STORE", help = crate::store::ARGUMENT)]
    store: Location,
    /// The URL with its query, or the first digits of the key (at least four)
    #[arg(value_name = "URL|KEY")]
    name: String,
    /// Print the response as it is stored: all headers, secrets included, and the bytes of the body
    #[arg(long, conflicts_with_all = ["body", "json"])]
    raw: bool,
    /// Print only the bytes of the body
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// Print one JSON object; the whole body is then held in memory
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
On a terminal, control characters are escaped with every option, so that a stored response cannot
change the terminal. Redirect --raw and --body to get every byte as it is. A body with a
Content-Encoding is stored encoded.

Examples:
  larder show redb:http-cache.redb 'http://example.com/news?page=2'
  larder show redb:http-cache.redb 3fa9c2d1
  larder show sqlite:cache.db http://example.com/logo.png --body > logo.png
  larder show redb:http-cache.redb http://example.com/app.js --body | gzip -d
  larder show redis://localhost https://api.example.com/me --json | jq .headers";

pub(crate) async fn run(args: Show, server: &Server) -> Outcome {
    let name = Name::parse(&args.name)?;
    let store = args.store.open_to_read(server).await?;
    let Some(key) = find(&store, &name).await? else {
        return Ok(Ended::Found);
    };
    let Some(hit) = store.get(&key).await? else {
        say(format!("there is no entry of key {key}"));
        return Ok(Ended::Found);
    };
    let (terminal, mut out) = (Terminal::of_stdout(), stdout());
    if args.json {
        write_json(&mut out, &key, hit).await?;
    } else if args.body {
        body::write(&mut out, hit.body, terminal.is_terminal()).await?;
    } else if args.raw {
        if terminal.is_terminal() {
            write_head(&mut out, &hit.head, true)?;
        } else {
            write_raw_head(&mut out, &hit.head)?;
        }
        body::write(&mut out, hit.body, terminal.is_terminal()).await?;
    } else {
        write_facts(&mut out, &key, &hit.head)?;
        write_head(&mut out, &hit.head, false)?;
        if !hit.body.is_empty() {
            body::print(&mut out, hit.body, hit.head.headers()).await?;
        }
        write_trailers(&mut out, &hit.head)?;
    }
    out.flush()?;
    Ok(Ended::Done)
}

/// The key of the entry that is meant. If several are, they are listed, and it is an error.
async fn find(store: &AnyStore, name: &Name) -> Result<Option<Key>, BoxError> {
    if let Name::Key(key) = name {
        return Ok(Some(*key));
    }
    let found = named(&entries_to_read(store.clone()), std::slice::from_ref(name)).await?;
    if found.len() < 2 {
        return Ok(found.first().map(|entry| entry.key));
    }
    let table = Table::new(Terminal::of_stdout());
    let mut lines = Vec::new();
    table.head(&mut lines)?;
    found.iter().try_for_each(|entry| table.row(&mut lines, entry))?;
    let _closed = io::stderr().write_all(&lines);
    Err(format!("{} match; name one by its key", text::entries(found.len() as u64)).into())
}

/// What the cache knows of the entry.
fn write_facts(out: &mut dyn Write, key: &Key, head: &Head) -> io::Result<()> {
    let now = now();
    let moment = |time: std::time::SystemTime| {
        format!("{} ({})", text::expiry(Some(time), now), text::time(time))
    };
    writeln!(out, "{} {}", head.method(), text::escaped(head.url()))?;
    writeln!(out, "key      {key}")?;
    let (stored_at, size) = (head.stored_at().into(), head.body_len());
    writeln!(out, "stored   {} ago ({})", text::age(stored_at, now), text::time(stored_at))?;
    let expires_at = head.expires_at().map(Into::into);
    writeln!(out, "expires  {}", expires_at.map_or("never".into(), moment))?;
    if head.keep_until() != head.expires_at() {
        let keep_until = head.keep_until().map(Into::into);
        writeln!(out, "kept     {}", keep_until.map_or("forever".into(), moment))?;
    }
    let exactly = if size < 1024 { String::new() } else { format!(" ({size} bytes)") };
    writeln!(out, "size     {}{exactly}", text::size(size))?;
    let tags: Vec<_> = public_tags(head).map(text::escaped).collect();
    if !tags.is_empty() {
        writeln!(out, "tags     {}", tags.join(", "))?;
    }
    if let Some(coding) = head.headers().get(CONTENT_ENCODING) {
        writeln!(out, "encoded  {}", text::header_text(coding))?;
    }
    writeln!(out)
}

/// The tags of the program, without those that the cache uses itself.
fn public_tags(head: &Head) -> impl Iterator<Item = &str> {
    head.tags().iter().map(|tag| &**tag).filter(|tag| !tag.starts_with("larder:"))
}

/// The status line and the header lines, escaped.
fn write_head(out: &mut dyn Write, head: &Head, has_secrets: bool) -> io::Result<()> {
    writeln!(out, "{:?} {}", head.version(), head.status())?;
    write_lines(out, head.headers(), has_secrets)?;
    writeln!(out)
}

fn write_lines(out: &mut dyn Write, lines: &HeaderMap, has_secrets: bool) -> io::Result<()> {
    for (name, value) in lines {
        if has_secrets || !is_secret(name) {
            writeln!(out, "{name}: {}", text::header_text(value))?;
        } else {
            writeln!(out, "{name}: {}", mask(value))?;
        }
    }
    Ok(())
}

fn write_trailers(out: &mut dyn Write, head: &Head) -> io::Result<()> {
    let Some(trailers) = head.trailers().filter(|trailers| !trailers.is_empty()) else {
        return Ok(());
    };
    writeln!(out, "\n(trailers)")?;
    write_lines(out, trailers, false)
}

/// The head as HTTP/1.1 writes it.
fn write_raw_head(out: &mut dyn Write, head: &Head) -> io::Result<()> {
    write!(out, "{:?} {}\r\n", head.version(), head.status())?;
    for (name, value) in head.headers() {
        write!(out, "{name}: ")?;
        out.write_all(value.as_bytes())?;
        out.write_all(b"\r\n")?;
    }
    out.write_all(b"\r\n")
}

/// What is printed in place of a secret.
fn mask(value: &HeaderValue) -> String {
    format!("(masked, {} bytes; --raw prints it)", value.len())
}

/// A name and its value, since names repeat. The value is `None` if it is secret.
type Pair = (String, Option<String>);

/// A response as an object. The names and their order are part of the command's interface.
#[derive(Serialize)]
struct Shown<'a> {
    key: String,
    method: &'a str,
    url: &'a str,
    status: u16,
    version: String,
    requested_at: String,
    stored_at: String,
    expires_at: Option<String>,
    keep_until: Option<String>,
    is_expired: bool,
    tags: Vec<&'a str>,
    headers: Vec<Pair>,
    trailers: Vec<Pair>,
    /// Whether there are values that are secret, and `null` here.
    masked: bool,
    size: u64,
    /// The body, if it is UTF-8.
    body: Option<&'a str>,
    /// The body, if it is not.
    body_base64: Option<String>,
}

async fn write_json(out: &mut dyn Write, key: &Key, hit: Hit) -> Result<(), BoxError> {
    let Hit { head, body, .. } = hit;
    let bytes: Bytes = body.bytes().await?;
    let time = |time: larder::time::Timestamp| text::time(time.into());
    let text = str::from_utf8(&bytes).ok();
    let headers = pairs(head.headers());
    let trailers = head.trailers().map(pairs).unwrap_or_default();
    let shown = Shown {
        key: key.to_string(),
        method: head.method().as_str(),
        url: head.url(),
        status: head.status().as_u16(),
        version: format!("{:?}", head.version()),
        requested_at: time(head.requested_at()),
        stored_at: time(head.stored_at()),
        expires_at: head.expires_at().map(time),
        keep_until: head.keep_until().map(time),
        is_expired: head.is_expired(SystemClock.now()),
        tags: public_tags(&head).collect(),
        masked: headers.iter().chain(&trailers).any(|(_, value)| value.is_none()),
        headers,
        trailers,
        size: head.body_len(),
        body: text,
        body_base64: text.is_none().then(|| STANDARD.encode(&bytes)),
    };
    Ok(write_line(out, &shown)?)
}

fn pairs(lines: &HeaderMap) -> Vec<Pair> {
    let value = |name, value: &HeaderValue| {
        (!is_secret(name)).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    lines.iter().map(|(name, line)| (name.to_string(), value(name, line))).collect()
}
