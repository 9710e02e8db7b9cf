//! Lines on standard output and standard error.
//!
//! A printing macro panics where nobody reads the stream, such as after `2>&1 | head -1`, and a
//! panic on the way of a request leaves that request without an answer. A line that cannot be
//! written is left out.

use std::{
    fmt::{self, Display, Write as _},
    io::{self, Write},
};

/// Writes a line of the access log to standard output.
pub(crate) fn access(line: &impl Display) {
    write(io::stdout(), format_args!("{line}"));
}

/// Writes a line about the gateway itself to standard error.
pub(crate) fn say(line: &impl Display) {
    write(io::stderr(), format_args!("gateway: {line}"));
}

fn write(mut stream: impl Write, line: fmt::Arguments<'_>) {
    let mut text = String::new();
    // Writing to a string fails only where an implementation of `Display` does.
    let _ = write!(text, "{}", OneLine(&line.to_string()));
    text.push('\n');
    let _ = stream.write_all(text.as_bytes());
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
