//! [`Terminal`]: what is known of standard output, and text that fits into it.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal},
};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// The columns of the terminal; `None` if standard output is none, and lines may have any
    /// length.
    pub(crate) width: Option<usize>,
    /// Whether it shows characters beyond ASCII.
    pub(crate) is_utf8: bool,
}

impl Terminal {
    /// The terminal of this process. `COLUMNS` has precedence over what the system says.
    pub(crate) fn of_stdout() -> Self {
        let width = io::stdout().is_terminal().then(|| {
            let asked = || Some(usize::from(terminal_size::terminal_size()?.0.0));
            let set = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
            set.or_else(asked).filter(|&width| width > 0).unwrap_or(80)
        });
        Self { width, is_utf8: is_utf8() }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.width.is_some()
    }

    /// `text`, which has no control characters, in at most `width` columns. The middle is left out,
    /// since a URL is told from others by its beginning and by its end.
    pub(crate) fn shortened(self, text: &str, width: usize) -> Cow<'_, str> {
        if text.width() <= width {
            return Cow::Borrowed(text);
        }
        let gap = if self.is_utf8 { "…" } else { "..." };
        let room = width.saturating_sub(gap.width());
        let end = room / 2;
        let (start, mut used) = (room - end, 0);
        let fits = |limit: usize, used: &mut usize, character: char| {
            *used += character.width().unwrap_or(0);
            *used <= limit
        };
        let first: String =
            text.chars().take_while(|&character| fits(start, &mut used, character)).collect();
        used = 0;
        let mut last: Vec<char> =
            text.chars().rev().take_while(|&character| fits(end, &mut used, character)).collect();
        last.reverse();
        Cow::Owned(format!("{first}{gap}{}", String::from_iter(last)))
    }

    /// A bar of `value` in proportion to `most`, which takes `width` columns. A value that is not
    /// zero shows.
    pub(crate) fn bar(self, value: u64, most: u64, width: usize) -> String {
        // Eighths of a column, from one to seven.
        const PARTS: [&str; 7] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        if most == 0 || value == 0 {
            return String::new();
        }
        let eighths = (value as f64 / most as f64 * width as f64 * 8.0).round() as usize;
        let eighths = eighths.clamp(1, width * 8);
        if !self.is_utf8 {
            return "#".repeat(eighths.div_ceil(8));
        }
        let part = (eighths % 8).checked_sub(1).map_or("", |part| PARTS[part]);
        "█".repeat(eighths / 8) + part
    }
}

/// Whether the locale says so, by the order of POSIX.
fn is_utf8() -> bool {
    let set = |name| env::var(name).ok().filter(|value: &String| !value.is_empty());
    match ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set) {
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }
        None => cfg!(windows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTF8: Terminal = Terminal { width: Some(80), is_utf8: true };
    const ASCII: Terminal = Terminal { width: Some(80), is_utf8: false };

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(UTF8.shortened("http://a/", 9), "http://a/");
        assert_eq!(UTF8.shortened("0123456789", 9), "0123…6789");
        assert_eq!(UTF8.shortened("0123456789", 8), "0123…789");
        assert_eq!(ASCII.shortened("0123456789", 9), "012...789");
        // Each of these takes two columns.
        assert_eq!(UTF8.shortened("茶茶茶茶茶茶", 8), "茶茶…茶");
        for width in 0..8 {
            assert!(UTF8.shortened("a long text", width.max(1)).width() <= width.max(1));
        }
    }

    #[test]
    fn bars_show_each_value_that_is_not_zero() {
        assert_eq!(UTF8.bar(1, 1, 4), "████");
        assert_eq!(UTF8.bar(1, 2, 3), "█▌");
        assert_eq!(UTF8.bar(1, 1_000_000, 10), "▏");
        assert_eq!(ASCII.bar(1, 1_000_000, 10), "#");
        assert_eq!(ASCII.bar(5, 10, 10), "#####");
        assert_eq!(UTF8.bar(0, 10, 10), "");
        assert_eq!(UTF8.bar(0, 0, 10), "");
    }
}
