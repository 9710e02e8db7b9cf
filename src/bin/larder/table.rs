//! [`Table`]: entries as lines that fit into the terminal.
//!
//! The columns have fixed widths, so that the first line is printed before the last entry is read.
//! Only the URL, which is last, takes the room that is left.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use larder::EntryInfo;

use crate::{select, term::Terminal, text};

/// The columns before the URL.
const BEFORE_URL: usize = 8 + 1 + 6 + 1 + 4 + 1 + 8 + 1 + 4 + 1 + 8 + 1;
/// The fewest columns for a URL. In a narrower terminal, lines wrap.
const LEAST_URL: usize = 16;

/// Prints entries.
pub(crate) struct Table {
    terminal: Terminal,
    now: SystemTime,
}

impl Table {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, now: select::now() }
    }

    /// Prints the names of the columns.
    pub(crate) fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        self.line(out, ["KEY", "METHOD", "CODE", "SIZE", "AGE", "EXPIRES"], "URL")
    }

    /// Prints the line of an entry.
    pub(crate) fn row(&self, out: &mut dyn Write, entry: &EntryInfo) -> io::Result<()> {
        let cells = [
            &format!("{:.8}", entry.key),
            entry.method.as_str(),
            entry.status.as_str(),
            &text::size(entry.body_len),
            &text::age(entry.stored_at, self.now),
            &text::expiry(entry.expires_at, self.now),
        ];
        self.line(out, cells, &text::escaped(&entry.url))
    }

    fn line(&self, out: &mut dyn Write, cells: [&str; 6], url: &str) -> io::Result<()> {
        let [key, method, status, size, age, expires] = cells;
        let room = self.terminal.width.map(|width| width.saturating_sub(BEFORE_URL).max(LEAST_URL));
        let url = room.map_or(url.into(), |room| self.terminal.shortened(url, room));
        writeln!(out, "{key:<8} {method:<6} {status:<4} {size:>8} {age:>4} {expires:<8} {url}")
    }
}
