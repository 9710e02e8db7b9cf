//! Prints a body: JSON indented, text as text, and the first bytes of anything else as hex.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_ENCODING, header::CONTENT_TYPE};
use larder::store::{Result as StoreResult, StoredBody};

use crate::{pretty, text};

/// How much of a body decides what it is.
const SAMPLE: usize = 8 << 10;
/// The longest JSON that is indented. It is held in memory; a longer one is printed as it is.
const LONGEST_JSON: u64 = 16 << 20;
/// How many bytes of a binary body are printed, in lines of 16.
const HEX: usize = 256;

/// What a body is, as far as printing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
    Binary,
}

impl Kind {
    /// Judges a body by its first bytes and by its header. What it says of itself counts less than
    /// what it is: many servers call everything `text/plain` or `application/octet-stream`.
    pub(crate) fn of(sample: &[u8], headers: &HeaderMap) -> Self {
        let media_type =
            headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
        let media_type = media_type.as_deref().unwrap_or_default();
        // Text in another encoding, such as Latin-1, is readable apart from some letters.
        let is_old_text = || media_type.starts_with(b"text/") && has_no_controls(sample);
        if headers.contains_key(CONTENT_ENCODING) || !(is_text(sample) || is_old_text()) {
            return Self::Binary;
        }
        let essence = media_type.split(|&byte| byte == b';').next().unwrap_or_default();
        let says_json = essence.trim_ascii().ends_with(b"json");
        let looks_so = matches!(sample.trim_ascii_start().first(), Some(b'{' | b'['));
        if says_json || looks_so { Self::Json } else { Self::Text }
    }
}

/// Whether bytes are UTF-8 without the control characters that text does not have. The sample may
/// end within a character.
fn is_text(sample: &[u8]) -> bool {
    let is_utf8 = match str::from_utf8(sample) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && has_no_controls(sample)
}

/// Whether there is no NUL, and next to no other control character. Line breaks, tabs and the
/// escape characters of coloured logs are text.
fn has_no_controls(sample: &[u8]) -> bool {
    let is_odd = |byte: &&u8| {
        byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t' | b'\x0c' | b'\x1b')
    };
    !sample.contains(&0) && sample.iter().filter(is_odd).count() * 50 <= sample.len() + 100
}

/// Prints the body. Control characters are escaped, apart from line breaks and tabs.
pub(crate) async fn print(
    out: &mut dyn Write,
    mut body: StoredBody,
    headers: &HeaderMap,
) -> Result<(), larder::BoxError> {
    let len = body.len();
    let sample = sample(&mut body).await?;
    match Kind::of(&sample, headers) {
        Kind::Json if len <= LONGEST_JSON => {
            let whole = rest(sample, body).await?;
            let json = str::from_utf8(&whole).ok().and_then(pretty::indented);
            let mut printer = Printer::default();
            match json {
                Some(json) => printer.write(out, json.as_bytes())?,
                None => printer.write(out, &whole)?,
            }
            printer.end(out)?;
        }
        Kind::Json | Kind::Text => {
            let mut printer = Printer::default();
            printer.write(out, &sample)?;
            while let Some(chunk) = body.chunk().await {
                printer.write(out, &chunk?)?;
            }
            printer.end(out)?;
        }
        Kind::Binary => hex(out, &sample, len)?,
    }
    Ok(())
}

/// Writes the bytes of the body. If `is_escaped`, they go to a terminal, which must not act on
/// them.
pub(crate) async fn write(
    out: &mut dyn Write,
    mut body: StoredBody,
    is_escaped: bool,
) -> Result<(), larder::BoxError> {
    let mut printer = Printer::default();
    while let Some(chunk) = body.chunk().await {
        if is_escaped {
            printer.write(out, &chunk?)?;
        } else {
            out.write_all(&chunk?)?;
        }
    }
    if is_escaped {
        printer.end(out)?;
    }
    Ok(())
}

/// The first bytes of a body: at least [`SAMPLE`], if it has so many.
async fn sample(body: &mut StoredBody) -> StoreResult<Bytes> {
    let mut sample = BytesMut::new();
    while sample.len() < SAMPLE {
        let Some(chunk) = body.chunk().await else { break };
        sample.extend_from_slice(&chunk?);
    }
    Ok(sample.freeze())
}

/// The whole of a body whose first bytes are `sample`.
async fn rest(sample: Bytes, body: StoredBody) -> StoreResult<Bytes> {
    let mut whole = BytesMut::from(sample);
    whole.extend_from_slice(&body.bytes().await?);
    Ok(whole.freeze())
}

/// Prints text chunk by chunk. A chunk may end within a character.
#[derive(Default)]
struct Printer {
    /// The beginning of a character.
    begun: Vec<u8>,
    ends_line: bool,
}

impl Printer {
    fn write(&mut self, out: &mut dyn Write, chunk: &[u8]) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(chunk);
        let mut line = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        loop {
            match str::from_utf8(rest) {
                Ok(valid) => {
                    push(&mut line, valid);
                    break;
                }
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    push(&mut line, str::from_utf8(valid).unwrap_or_default());
                    let Some(len) = error.error_len() else {
                        self.begun = invalid.to_vec();
                        break;
                    };
                    invalid[..len].iter().for_each(|byte| line += &format!("\\x{byte:02x}"));
                    rest = &invalid[len..];
                }
            }
        }
        if !line.is_empty() {
            self.ends_line = line.ends_with('\n');
        }
        out.write_all(line.as_bytes())
    }

    /// Prints what is left, and ends the last line.
    fn end(self, out: &mut dyn Write) -> io::Result<()> {
        for byte in &self.begun {
            write!(out, "\\x{byte:02x}")?;
        }
        if self.ends_line && self.begun.is_empty() { Ok(()) } else { writeln!(out) }
    }
}

fn push(out: &mut String, valid: &str) {
    let mut characters = valid.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => out.push(character),
            // A line break of another system.
            '\r' if characters.peek() == Some(&'\n') => {}
            character => text::push_escaped(out, character),
        }
    }
}

/// Prints the first bytes as `hexdump -C` does.
fn hex(out: &mut dyn Write, sample: &[u8], len: u64) -> io::Result<()> {
    let shown = &sample[..sample.len().min(HEX)];
    for (number, line) in shown.chunks(16).enumerate() {
        write!(out, "{:08x} ", number * 16)?;
        for position in 0..16 {
            let gap = if position == 8 { " " } else { "" };
            match line.get(position) {
                Some(byte) => write!(out, "{gap} {byte:02x}")?,
                None => write!(out, "{gap}   ")?,
            }
        }
        let visible = |&byte: &u8| if (b' '..=b'~').contains(&byte) { byte as char } else { '.' };
        writeln!(out, "  |{}|", String::from_iter(line.iter().map(visible)))?;
    }
    let more = len.saturating_sub(shown.len() as u64);
    if more > 0 {
        writeln!(out, "({} more; --body writes all bytes to a file or a pipe)", text::size(more))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &[u8], headers: &[(&'static str, &'static str)]) -> Kind {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Kind::of(body, &map)
    }

    #[test]
    fn a_body_is_judged_by_its_bytes_first() {
        let json = [("content-type", "application/problem+json; charset=utf-8")];
        assert_eq!(kind(b"{\"a\":1}", &json), Kind::Json);
        assert_eq!(kind(b" [1]", &[("content-type", "text/plain")]), Kind::Json);
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n\0\0", &json), Kind::Binary);
        assert_eq!(kind(b"{}", &[("content-encoding", "gzip")]), Kind::Binary);
        assert_eq!(kind("täglich".as_bytes(), &[]), Kind::Text);
        assert_eq!(kind(&"tä".as_bytes()[..2], &[]), Kind::Text, "cut within a character");
        assert_eq!(kind(b"t\xe4glich", &[("content-type", "text/plain")]), Kind::Text, "Latin-1");
        assert_eq!(kind(b"t\xe4glich", &[]), Kind::Binary);
        assert_eq!(kind(b"\x1b[31mred\x1b[0m\n", &[]), Kind::Text);
        assert_eq!(kind(b"\x01\x02\x03\x04", &[]), Kind::Binary);
        assert_eq!(kind(b"", &[]), Kind::Text);
    }

    #[test]
    fn text_is_escaped_across_chunks() {
        let mut out = Vec::new();
        let mut printer = Printer::default();
        for chunk in ["a\x1b[2J\r\n\t".as_bytes(), &[0xc3], &[0xa9, 0xff, b'b', 0xc3]] {
            printer.write(&mut out, chunk).unwrap();
        }
        printer.end(&mut out).unwrap();
        assert_eq!(str::from_utf8(&out), Ok("a\\u{1b}[2J\n\té\\xffb\\xc3\n"));
    }

    #[test]
    fn binary_bodies_are_printed_as_hex() {
        let mut out = Vec::new();
        hex(&mut out, b"\x89PNG\r\n\x1a\n\0abcdefghij", 1043).unwrap();
        let expected = "\
00000000  89 50 4e 47 0d 0a 1a 0a  00 61 62 63 64 65 66 67  |.PNG.....abcdefg|
00000010  68 69 6a                                          |hij|
(1 KiB more; --body writes all bytes to a file or a pipe)
";
        assert_eq!(str::from_utf8(&out), Ok(expected));
    }
}
