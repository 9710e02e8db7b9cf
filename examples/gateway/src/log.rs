//! Lines on standard output and standard error.
//!
//! A printing macro panics if nobody reads the stream, such as after `2>&1 | head -1`, and it waits
//! while a reader does not go on. Either leaves requests without an answer. So a thread of its own
//! writes the lines. A line is left out if it cannot be written, or if too many wait.
//!
//! To wake a thread and to write a line cost more than most answers from the cache do. So the
//! thread sleeps a moment after it has written, and then writes all lines that wait at once.

use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write as _},
    mem,
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

/// The most bytes that wait for a stream.
const MAX_WAITING: usize = 1024 * 1024;
/// How long the thread sleeps after it has written.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the process waits for its last lines before it ends.
const LAST_LINES: Duration = Duration::from_secs(1);

static LOG: Mutex<Log> = Mutex::new(Log {
    waiting: Lines { access: String::new(), own: String::new() },
    is_written: true,
});
/// Wakes the thread that writes.
static IS_WAITING: Condvar = Condvar::new();
/// Wakes the thread that ends the process.
static IS_WRITTEN: Condvar = Condvar::new();
static THREAD: Once = Once::new();

struct Log {
    waiting: Lines,
    /// Whether all lines have been written.
    is_written: bool,
}

/// The lines for each stream.
#[derive(Default)]
struct Lines {
    access: String,
    own: String,
}

/// Writes a line of the access log to standard output.
pub(crate) fn access(line: &impl Display) {
    push(|lines| &mut lines.access, "", line);
}

/// Writes a line about the gateway itself to standard error.
pub(crate) fn say(line: &impl Display) {
    push(|lines| &mut lines.own, "gateway: ", line);
}

fn push(stream: impl Fn(&mut Lines) -> &mut String, start: &str, line: &impl Display) {
    let mut text = OneLine(start.to_owned());
    if write!(text, "{line}").is_err() {
        return;
    }
    text.0.push('\n');
    // Without the thread, lines are left out.
    THREAD.call_once(|| drop(thread::Builder::new().name("log".to_owned()).spawn(write)));
    let mut log = log();
    let waiting = stream(&mut log.waiting);
    if waiting.len() + text.0.len() > MAX_WAITING {
        return;
    }
    waiting.push_str(&text.0);
    if mem::replace(&mut log.is_written, false) {
        drop(log);
        IS_WAITING.notify_one();
    }
}

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what waits, for ever.
fn write() {
    let mut lines = Lines::default();
    loop {
        let is_idle = |log: &mut Log| log.is_written;
        let waited = IS_WAITING.wait_while(log(), is_idle);
        mem::swap(&mut waited.unwrap_or_else(PoisonError::into_inner).waiting, &mut lines);
        // Nobody can be told that lines cannot be written.
        let _ = io::stdout().write_all(lines.access.as_bytes());
        let _ = io::stderr().write_all(lines.own.as_bytes());
        lines.access.clear();
        lines.own.clear();
        let mut log = log();
        log.is_written = log.waiting.access.is_empty() && log.waiting.own.is_empty();
        drop(log);
        IS_WRITTEN.notify_all();
        thread::sleep(PAUSE);
    }
}

/// Waits until the lines so far are written. Does not wait long.
pub(crate) fn flush() {
    // The process ends, whether they are written or not.
    let _ = IS_WRITTEN.wait_timeout_while(log(), LAST_LINES, |log| !log.is_written);
}

/// A text in which nothing ends the line, moves the cursor or turns the direction of reading.
struct OneLine(String);

impl fmt::Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
        if text.bytes().all(is_plain) {
            self.0.push_str(text);
            return Ok(());
        }
        for char in text.chars() {
            match char {
                ' '..='~' => self.0.push(char),
                // It leaves printable characters as they are.
                _ => self.0.extend(char.escape_debug()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_printable_characters_are_written_as_they_are() {
        let escaped = |text| {
            let mut line = OneLine(String::new());
            line.write_str(text).unwrap();
            line.0
        };
        assert_eq!(escaped("GET /a?\"b\\ ü 水"), "GET /a?\"b\\ ü 水");
        assert_eq!(escaped("a\nb\r\u{1b}[2J\u{7f}"), "a\\nb\\r\\u{1b}[2J\\u{7f}");
        assert_eq!(escaped("\u{85}\u{9b}2J"), "\\u{85}\\u{9b}2J");
        assert_eq!(escaped("\u{2028}\u{2029}"), "\\u{2028}\\u{2029}");
        // A text that is shown from right to left, and a character without a width.
        assert_eq!(escaped("\u{202e}\u{200b}\u{feff}"), "\\u{202e}\\u{200b}\\u{feff}");
    }
}
