//! Lines on standard output and standard error.
//!
//! A printing macro panics if nobody reads the stream, such as after `2>&1 | head -1`, and it waits
//! while a reader does not go on. Either leaves requests without an answer. So a thread of its own
//! writes the lines. A line is left out if it cannot be written, or if too many wait.

use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write},
    sync::{
        LazyLock,
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

/// The most lines that wait.
const MAX_WAITING: usize = 1_000;
/// How long the process waits for its last lines before it ends.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Line {
    Access(String),
    Own(String),
    /// Asks for a word when all lines before it are written.
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
static LINES: LazyLock<SyncSender<Line>> = LazyLock::new(|| {
    let (sender, lines) = mpsc::sync_channel(MAX_WAITING);
    let write = move || {
        for line in lines {
            // Nobody can be told that a line cannot be written.
            let _ = match line {
                Line::Access(line) => io::stdout().write_all(line.as_bytes()),
                Line::Own(line) => io::stderr().write_all(line.as_bytes()),
                Line::Flush(done) => {
                    let _ = done.try_send(());
                    Ok(())
                }
            };
        }
    };
    // Without the thread, each line is left out.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(write);
    sender
});

/// Writes a line of the access log to standard output.
pub(crate) fn access(line: &impl Display) {
    let _ = LINES.try_send(Line::Access(format!("{}\n", OneLine(&line.to_string()))));
}

/// Writes a line about the gateway itself to standard error.
pub(crate) fn say(line: &impl Display) {
    let _ = LINES.try_send(Line::Own(format!("gateway: {}\n", OneLine(&line.to_string()))));
}

/// Waits until the lines so far are written. Does not wait long.
pub(crate) fn flush() {
    let (done, is_done) = mpsc::sync_channel(1);
    if LINES.try_send(Line::Flush(done)).is_ok() {
        let _ = is_done.recv_timeout(LAST_LINES);
    }
}

/// A text in which nothing ends the line, moves the cursor or turns the direction of reading.
struct OneLine<'a>(&'a str);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                ' '..='~' => f.write_char(char)?,
                // It leaves printable characters as they are.
                _ => char.escape_debug().try_for_each(|char| f.write_char(char))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_characters_are_written_as_they_are() {
        let escaped = |text| OneLine(text).to_string();
        assert_eq!(escaped("GET /a?\"b\\ ü 水"), "GET /a?\"b\\ ü 水");
        assert_eq!(escaped("a\nb\r\u{1b}[2J\u{7f}"), "a\\nb\\r\\u{1b}[2J\\u{7f}");
        assert_eq!(escaped("\u{85}\u{9b}2J"), "\\u{85}\\u{9b}2J");
        assert_eq!(escaped("\u{2028}\u{2029}"), "\\u{2028}\\u{2029}");
        // A text that is shown from right to left, and a character without a width.
        assert_eq!(escaped("\u{202e}\u{200b}\u{feff}"), "\\u{202e}\\u{200b}\\u{feff}");
    }
}
