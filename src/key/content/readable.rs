//! Request bodies as lines of text, for people who read a recording.
//!
//! The lines have what counts in the key, in its canonical form: no ignored field is in them. A
//! body without a canonical form is text if its media type says so, and else a length and a digest.

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use sha2::{Digest, Sha256};

use super::{Normalization, form, joined, json, media_type::MediaType, multipart};
use crate::fields::only;

/// A longer body is summarised.
const MAX: usize = 64 * 1024;

/// The most bytes that the lines of a JSON body have. Deeply nested values are mostly indents.
const MAX_INDENTED: usize = 4 * MAX;

impl Normalization {
    /// The body as lines of text. Empty if there is no body.
    pub(crate) fn readable(&self, headers: &HeaderMap, chunks: &[Bytes]) -> Vec<String> {
        let body = joined(chunks);
        if body.is_empty() {
            return Vec::new();
        }
        let lines = match MediaType::of(headers) {
            _ if headers.contains_key(CONTENT_ENCODING) => None,
            Some(MediaType::Json) => self.json_lines(&body),
            Some(MediaType::Form) => self.form_lines(&body),
            Some(MediaType::Multipart(boundary)) => self.part_lines(&body, boundary),
            // A form or document whose fields cannot be told apart may have ignored ones.
            None if is_text(headers) => {
                let text = str::from_utf8(&body).ok();
                text.map(|text| lines_or_summary(text, text_lines))
            }
            None => None,
        };
        lines.unwrap_or_else(|| vec![summary(&body)])
    }

    fn json_lines(&self, body: &[u8]) -> Option<Vec<String>> {
        let document = json::parse(body, &self.ignored)?;
        let mut text = Vec::new();
        document.each_piece(&mut |piece| text.extend_from_slice(piece));
        Some(lines_or_summary(str::from_utf8(&text).ok()?, indented))
    }

    fn form_lines(&self, body: &[u8]) -> Option<Vec<String>> {
        let form = String::from_utf8(form::canonical(body, &self.ignored)?).ok()?;
        Some(lines_or_summary(&form, |form| {
            Some(form.split_terminator('&').map(str::to_owned).collect())
        }))
    }

    fn part_lines(&self, body: &[u8], boundary: &[u8]) -> Option<Vec<String>> {
        let parts = multipart::parts(body, boundary, &self.ignored)?;
        let line = |part: &[u8]| match multipart::name(part) {
            Some(name) => format!("{}: {}", String::from_utf8_lossy(name), summary(part)),
            None => summary(part),
        };
        Some(parts.into_iter().map(line).collect())
    }
}

/// Whether the media type is one of texts that have no fields.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(field) = only(headers, CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = field.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || ["application/xml", "application/graphql"].contains(&&*essence)
}

/// The lines of a text without ignored fields. A long text is summarised, and one without lines.
fn lines_or_summary(text: &str, lines: impl FnOnce(&str) -> Option<Vec<String>>) -> Vec<String> {
    let lines = if text.len() > MAX { None } else { lines(text) };
    lines.unwrap_or_else(|| vec![summary(text.as_bytes())])
}

fn text_lines(text: &str) -> Option<Vec<String>> {
    Some(text.lines().map(str::to_owned).collect())
}

fn summary(bytes: &[u8]) -> String {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes, SHA-256 {digest}", bytes.len())
}

/// JSON in canonical form with one value a line. `None` if it has more than [`MAX_INDENTED`] bytes
/// then.
fn indented(json: &str) -> Option<Vec<String>> {
    let (mut lines, mut line, mut depth) = (Vec::new(), String::new(), 0_usize);
    let mut len = 0;
    let (mut is_string, mut is_escaped) = (false, false);
    let mut rest = json.chars().peekable();
    while let Some(char) = rest.next() {
        if is_string {
            line.push(char);
            is_string = is_escaped || char != '"';
            is_escaped = char == '\\' && !is_escaped;
            continue;
        }
        let is_empty = matches!((char, rest.peek()), ('{', Some('}')) | ('[', Some(']')));
        let mut break_line = |depth: usize, line: &mut String| {
            len += line.len() + 1;
            lines.push(std::mem::replace(line, "  ".repeat(depth)));
        };
        match char {
            '{' | '[' if is_empty => {
                line.push(char);
                line.extend(rest.next());
            }
            '{' | '[' => {
                line.push(char);
                depth += 1;
                break_line(depth, &mut line);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(depth, &mut line);
                line.push(char);
            }
            ',' => {
                line.push(char);
                break_line(depth, &mut line);
            }
            ':' => line.push_str(": "),
            char => {
                is_string = char == '"';
                line.push(char);
            }
        }
        if len > MAX_INDENTED {
            return None;
        }
    }
    lines.push(line);
    Some(lines)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn lines(media_type: &'static str, body: &str) -> Vec<String> {
        let mut normalization = Normalization { is_on: true, ..Normalization::default() };
        ["token", "/auth/secret"].iter().for_each(|it| normalization.ignored.add(it).unwrap());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        normalization.readable(&headers, &[Bytes::copy_from_slice(body.as_bytes())])
    }

    #[test]
    fn json_has_one_value_a_line() {
        let body = r#"{"b":[1.0,{}],"a":"x:{\"y\",","e":{"f":null},"auth":{"secret":1},"token":2}"#;
        let expected = r#"{
  "a": "x:{\"y\",",
  "auth": {},
  "b": [
    1.0,
    {}
  ],
  "e": {
    "f": null
  }
}"#;
        assert_eq!(lines("application/json", body).join("\n"), expected);
        assert_eq!(lines("application/json", "\"\\\\\""), ["\"\\\\\""]);
    }

    #[test]
    fn json_that_is_mostly_indents_is_summarised() {
        let nested = |depth: usize, count: usize| {
            let values = ["1"; 20_000][..count].join(",");
            ["[".repeat(depth), values, "]".repeat(depth)].concat()
        };
        for (depth, count, is_summary) in
            [(1, 20_000, false), (100, 1_000, false), (100, 20_000, true)]
        {
            let lines = lines("application/json", &nested(depth, count));
            let len: usize = lines.iter().map(|line| line.len() + 1).sum();
            assert!(len <= MAX_INDENTED + 200, "{len}");
            assert_eq!(lines.len() == 1, is_summary, "{depth} {count}");
        }
    }

    #[test]
    fn forms_have_one_field_a_line() {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(lines(form, "q=a+b&token=s&a=1"), ["a=1", "q=a%20b"]);
        let multipart = lines(
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nalice\r\n--b\r\n\
             Content-Disposition: form-data; name=\"token\"\r\n\r\ns\r\n--b--\r\n",
        );
        assert_eq!(multipart.len(), 1);
        assert!(multipart[0].starts_with("user: 52 bytes, SHA-256 "), "{}", multipart[0]);
    }

    #[test]
    fn a_body_that_may_have_ignored_fields_is_summarised() {
        for (media_type, body) in [
            ("application/json", "{\"token\":\"s\""),
            ("application/x-www-form-urlencoded", "token=s&a=%"),
            ("multipart/form-data; boundary=b", "token=s"),
            ("application/octet-stream", "token=s"),
            ("", "token=s"),
        ] {
            let lines = lines(media_type, body);
            assert!(matches!(&*lines, [line] if line.contains(" bytes, SHA-256 ")), "{lines:?}");
        }
        assert_eq!(lines("text/plain", "a\r\nb\n"), ["a", "b"]);
        assert_eq!(lines("text/plain", ""), Vec::<String>::new());
        assert_eq!(lines("text/plain", &"x\n".repeat(MAX)).len(), 1);
    }

    #[test]
    fn ignored_fields_do_not_change_the_summary_of_a_long_body() {
        let long = "x".repeat(MAX);
        let json = |token: &str| format!("{{\"token\":\"{token}\",\"a\":\"{long}\",\"b\":1}}");
        let form = |token: &str| format!("token={token}&a={long}&b=1");
        let (media_type, form_type) = ("application/json", "application/x-www-form-urlencoded");
        assert_eq!(lines(media_type, &json("s")), lines(media_type, &json("other")));
        assert_eq!(lines(form_type, &form("s")), lines(form_type, &form("other")));
        assert!(lines(media_type, &json("s"))[0].contains(" bytes, SHA-256 "));
    }
}
