//! [`Record`]: an entry as `--json` prints it, one object a line.

use std::io::{self, Write};

use larder::EntryInfo;
use serde::Serialize;

use crate::text;

/// An entry as an object. The names and their order are part of the command's interface.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    key: String,
    method: &'a str,
    url: &'a str,
    status: u16,
    /// The length of the body in bytes.
    size: u64,
    stored_at: String,
    expires_at: Option<String>,
    keep_until: Option<String>,
    is_expired: bool,
    tags: &'a [String],
}

impl<'a> From<&'a EntryInfo> for Record<'a> {
    fn from(entry: &'a EntryInfo) -> Self {
        Self {
            key: entry.key.to_string(),
            method: entry.method.as_str(),
            url: &entry.url,
            status: entry.status.as_u16(),
            size: entry.body_len,
            stored_at: text::time(entry.stored_at),
            expires_at: entry.expires_at.map(text::time),
            keep_until: entry.keep_until.map(text::time),
            is_expired: entry.is_expired(),
            tags: &entry.tags,
        }
    }
}

/// Writes one object and ends the line.
pub(crate) fn write_line(out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
