//! [`Record`]: an entry as `--json` prints it, one object a line.

use std::io::{self, Write};

use larder::EntryInfo;
use serde::Serialize;
use serde_json::ser::Formatter;

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

/// Writes one object and ends the line. Characters that a terminal may act on become escapes of
/// JSON, so a program reads the same text.
pub(crate) fn write_line(out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
    object.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Escaping))?;
    out.write_all(b"\n")
}

/// Writes JSON on one line. JSON itself escapes only the controls below U+0020.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(text::is_unsafe) {
            let (safe, tail) = rest.split_at(at);
            out.write_all(safe.as_bytes())?;
            let mut tail = tail.chars();
            for unit in tail.next().into_iter().flat_map(utf16) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = tail.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// The one or two units of the character in UTF-16, of which escapes of JSON are made.
fn utf16(character: char) -> impl Iterator<Item = u16> {
    let mut units = [0; 2];
    let len = character.encode_utf16(&mut units).len();
    units.into_iter().take(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_may_act_on_is_escaped_and_keeps_its_value() {
        let given = "a\u{1b}\u{7f}\u{9b}31m\u{202e}\u{e0041}\"\\é茶";
        let mut line = Vec::new();
        write_line(&mut line, &given).unwrap();
        let line = str::from_utf8(&line).unwrap();
        assert_eq!(line, "\"a\\u001b\\u007f\\u009b31m\\u202e\\udb40\\udc41\\\"\\\\é茶\"\n");
        assert_eq!(serde_json::from_str::<String>(line).unwrap(), given);
    }
}
