//! Writes an archive, entry by entry. One body is held in memory at a time.
//!
//! A body stays as it is stored. Browsers write decoded bodies, but a body with a
//! `Content-Encoding` is what the program would receive, and larder has no decoders. Such a body is
//! base64, and its header stays.

use std::{
    io::{self, Write},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, SET_COOKIE},
};
use larder::{Key, entry::Head, time::Timestamp};
use serde::Serialize;

use super::Extra;
use crate::{secret::is_secret, text};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    started_date_time: String,
    time: u64,
    request: Request<'a>,
    response: Response<'a>,
    /// What the browser's cache knew: nothing.
    cache: Nothing,
    timings: Timings,
    #[serde(rename = "_larder")]
    extra: Extra,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    http_version: String,
    cookies: [(); 0],
    /// Request headers are not stored.
    headers: [(); 0],
    query_string: Vec<Pair<'a>>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    status: u16,
    status_text: &'a str,
    http_version: String,
    cookies: Vec<Pair<'a>>,
    headers: Vec<Line<'a>>,
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: String,
    headers_size: i64,
    body_size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    size: u64,
    mime_type: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
}

#[derive(Serialize)]
struct Timings {
    send: u64,
    wait: u64,
    receive: u64,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: &'a str,
}

/// An archive that is being written.
pub(crate) struct Archive<W> {
    out: W,
    is_first: bool,
    has_secrets: bool,
    /// How many header values were left out since they are not UTF-8.
    left_out: u64,
}

impl<W: Write> Archive<W> {
    /// Begins an archive. Without `has_secrets`, header lines with secrets are left out.
    pub(crate) fn begin(mut out: W, has_secrets: bool) -> io::Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        let creator = format!(r#"{{"name":"larder","version":"{version}"}}"#);
        write!(out, r#"{{"log":{{"version":"1.2","creator":{creator},"pages":[],"entries":["#)?;
        Ok(Self { out, is_first: true, has_secrets, left_out: 0 })
    }

    /// Adds a stored response.
    pub(crate) fn add(&mut self, key: &Key, head: &Head, body: &Bytes) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        self.out.write_all(comma.as_bytes())?;
        serde_json::to_writer(&mut self.out, &entry(key, head, body, self.has_secrets))?;
        let written = written(head.headers(), self.has_secrets);
        self.left_out += written.filter(|(_, value)| utf8(value).is_none()).count() as u64;
        Ok(())
    }

    /// Ends the archive, and returns how many header values were left out since they are not UTF-8.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        self.out.write_all(b"\n]}}\n")?;
        self.out.flush()?;
        Ok(self.left_out)
    }
}

fn entry<'a>(key: &Key, head: &'a Head, body: &Bytes, has_secrets: bool) -> Entry<'a> {
    let wait = head.stored_at().saturating_since(head.requested_at());
    let wait = u64::try_from(wait.min(Duration::from_secs(86_400)).as_millis()).unwrap_or(0);
    let time = |time: Timestamp| text::time(time.into());
    let tags = head.tags().iter().filter(|tag| !tag.starts_with("larder:"));
    Entry {
        started_date_time: time(head.requested_at()),
        time: wait,
        request: Request {
            method: head.method().as_str(),
            url: head.url(),
            http_version: format!("{:?}", head.version()),
            cookies: [],
            headers: [],
            query_string: query(head.url()),
            headers_size: -1,
            body_size: -1,
        },
        response: response(head, body, has_secrets),
        cache: Nothing {},
        timings: Timings { send: 0, wait, receive: 0 },
        extra: Extra {
            key: key.to_string(),
            stored_at: time(head.stored_at()),
            expires_at: head.expires_at().map(time),
            tags: tags.map(ToString::to_string).collect(),
        },
    }
}

fn response<'a>(head: &'a Head, body: &Bytes, has_secrets: bool) -> Response<'a> {
    let headers = head.headers();
    let text = (!headers.contains_key(CONTENT_ENCODING)).then(|| str::from_utf8(body).ok());
    let (text, encoding) = match text.flatten() {
        Some(text) => (text.to_owned(), None),
        None => (STANDARD.encode(body), Some("base64")),
    };
    let first = |name| headers.get(name).map(value_text);
    Response {
        status: head.status().as_u16(),
        status_text: head.status().canonical_reason().unwrap_or_default(),
        http_version: format!("{:?}", head.version()),
        cookies: if has_secrets { cookies(headers) } else { Vec::new() },
        headers: written(headers, has_secrets)
            .filter_map(|(name, value)| Some(Line { name: name.as_str(), value: utf8(value)? }))
            .collect(),
        content: Content {
            size: head.body_len(),
            mime_type: first(CONTENT_TYPE).unwrap_or_else(|| "x-unknown".into()),
            text,
            encoding,
        },
        redirect_url: first(LOCATION).unwrap_or_default(),
        headers_size: -1,
        body_size: head.body_len(),
    }
}

/// The header lines that are meant for the archive.
fn written(
    headers: &HeaderMap,
    has_secrets: bool,
) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(move |(name, _)| has_secrets || !is_secret(name))
}

/// The value, if JSON has a form for it.
fn utf8(value: &HeaderValue) -> Option<&str> {
    str::from_utf8(value.as_bytes()).ok()
}

fn value_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The parameters as they are spelled in the URL.
fn query(url: &str) -> Vec<Pair<'_>> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| Pair { name, value }).collect()
}

/// The names and values of the cookies that the response sets.
fn cookies(headers: &HeaderMap) -> Vec<Pair<'_>> {
    let lines = headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
    pairs.map(|(name, value)| Pair { name: name.trim(), value: value.trim() }).collect()
}
