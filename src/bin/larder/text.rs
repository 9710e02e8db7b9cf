//! Text for people: sizes, times, and stored text without control characters.
//!
//! Everything that an origin has sent may be hostile. Escape sequences could move the cursor,
//! rename the window or hide lines, so no stored text reaches the terminal without [`escaped`].

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit};

/// `text` on one line, with control characters, line breaks and invisible characters as escapes.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    text.chars().for_each(|character| push_escaped(&mut out, character));
    Cow::Owned(out)
}

/// The value of a header field, escaped. Bytes that are not UTF-8 become escapes as well.
pub(crate) fn header_text(value: &HeaderValue) -> String {
    let mut out = String::new();
    for chunk in value.as_bytes().utf8_chunks() {
        out += &escaped(chunk.valid());
        chunk.invalid().iter().for_each(|byte| out += &format!("\\x{byte:02x}"));
    }
    out
}

/// Appends one character, as an escape if a terminal may act on it.
pub(crate) fn push_escaped(out: &mut String, character: char) {
    if is_unsafe(character) {
        out.extend(character.escape_default());
    } else {
        out.push(character);
    }
}

/// Whether a terminal may act on the character, or show nothing for it: controls, and characters
/// that change the direction of text or have no width.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A number of bytes, such as `512 B` or `3.4 KiB`: at most eight characters.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    // What would be printed as 1024 is one of the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let digits = usize::from(value < 9.95);
    let value = format!("{value:.digits$}");
    format!("{} {}", value.strip_suffix(".0").unwrap_or(&value), UNITS[unit])
}

/// A duration in its largest unit, rounded down, such as `45s`, `3h` or `2y`.
pub(crate) fn duration(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = duration.as_secs();
    let (length, unit) = match seconds {
        0..60 => (1, 's'),
        60..3600 => (60, 'm'),
        3600..DAY => (3600, 'h'),
        _ if seconds < 2 * 365 * DAY => (DAY, 'd'),
        _ => (365 * DAY, 'y'),
    };
    format!("{}{unit}", seconds / length)
}

/// How long ago `time` was.
pub(crate) fn age(time: SystemTime, now: SystemTime) -> String {
    duration(now.duration_since(time).unwrap_or_default())
}

/// When an entry expires: `in 5m`, `2h ago` or `never`.
pub(crate) fn expiry(expires_at: Option<SystemTime>, now: SystemTime) -> String {
    let Some(expires_at) = expires_at else { return "never".into() };
    match expires_at.duration_since(now) {
        Ok(left) if !left.is_zero() => format!("in {}", duration(left)),
        _ => format!("{} ago", age(expires_at, now)),
    }
}

/// A time as RFC 3339, in UTC and to the millisecond. A time that has no such form is the latest
/// one that has.
pub(crate) fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// Reads a duration such as `90s`, `1h30m` or `2 weeks`, for an argument of the command line.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write one such as 90s, 15m, 2h, 7d or 1w".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return Err("months and years differ in length; write days, such as 30d".into());
    }
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours()));
    let seconds = seconds.map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_invisible_characters_are_escaped() {
        for (given, shown) in [
            ("http://a/é?b=c", "http://a/é?b=c"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}"),
        ] {
            assert_eq!(escaped(given), shown);
        }
        let value = HeaderValue::from_bytes(b"caf\xe9 \xc2\x9b \xc3\xa9").unwrap();
        assert_eq!(header_text(&value), "caf\\xe9 \\u{9b} é");
    }

    #[test]
    fn sizes_take_at_most_eight_characters() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (3_500, "3.4 KiB"),
            (10_188, "9.9 KiB"),
            (10_189, "10 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
            assert!(size(bytes).len() <= 8);
        }
    }

    #[test]
    fn times_are_short_and_say_the_direction() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000);
        let at = |seconds: i64| {
            let length = Duration::from_secs(seconds.unsigned_abs());
            Some(if seconds < 0 { now - length } else { now + length })
        };
        for (expires_at, text) in [
            (None, "never"),
            (at(59), "in 59s"),
            (at(300), "in 5m"),
            (at(0), "0s ago"),
            (at(-7_200), "2h ago"),
            (at(-200_000), "2d ago"),
        ] {
            assert_eq!(expiry(expires_at, now), text);
        }
        assert_eq!(duration(Duration::from_secs(3 * 365 * 86_400)), "3y");
        assert_eq!(time(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn durations_are_read_in_the_usual_spellings() {
        for (text, seconds) in
            [("90s", 90), ("1h30m", 5_400), ("2 weeks", 1_209_600), ("7d", 604_800), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "soon", "-5m", "1mo", "2y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
