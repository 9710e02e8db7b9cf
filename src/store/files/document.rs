//! The file of a head: JSON with one fact a line, and the checksums of head and body.

use std::path::Path;

use http::{Method, StatusCode, header::CONTENT_LENGTH};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    fault::{STORE, corrupt},
    folder::Folder,
    index::beside,
    name,
};
use crate::{
    Key,
    entry::{COMPRESSED, CacheText, Head, HeadText, RequestText, ResponseText},
    store::{Error, ErrorKind, Result},
};

/// The number of this layout.
const FORMAT: u32 = 1;

/// What the file of a head says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format: u32,
    key: String,
    /// Remove this line to edit the entry. It is not the last member, so that no comma is left
    /// over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<Checksum>,
    request: RequestText,
    response: ResponseText,
    cache: CacheText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<BodyText>,
}

/// Where the body is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BodyText {
    /// The name of the file, which is beside that of the head.
    pub(super) file: String,
    /// Whoever adds a body by hand may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) length: Option<u64>,
}

/// The CRC-32 of the head without its checksum, and of the body: two numbers of eight digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checksum {
    head: u32,
    pub(super) body: u32,
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:08x} {:08x}", self.head, self.body))
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let parsed = text
            .split_once(' ')
            .and_then(|(head, body)| Some(Self { head: number(head)?, body: number(body)? }));
        parsed.ok_or_else(|| de::Error::custom("`checksum` is not two CRC-32s"))
    }
}

/// The body of an entry as its head describes it.
pub(super) struct BodyFacts<'a> {
    /// The name and the length of its file, if it has one.
    pub(super) file: Option<(&'a str, u64)>,
    /// `None` if somebody edits the body by hand.
    pub(super) crc: Option<u32>,
}

impl Document {
    /// The document of an entry.
    pub(super) fn new(key: &Key, head: &Head, body: &BodyFacts<'_>) -> Self {
        let HeadText { request, response, cache } = head.to_text();
        let BodyFacts { file, crc } = *body;
        let body =
            file.map(|(file, length)| BodyText { file: file.to_owned(), length: Some(length) });
        let key = key.to_string();
        let mut document =
            Self { format: FORMAT, key, checksum: None, request, response, cache, body };
        document.checksum = crc.map(|body| Checksum { head: document.crc(), body });
        document
    }

    /// The same for another head of the same body, which has `body_len` bytes.
    pub(super) fn with_head(&self, key: &Key, head: &Head, body_len: u64) -> Self {
        let file = self.body.as_ref().map(|body| (&*body.file, body_len));
        let crc = self.checksum.map(|checksum| checksum.body);
        Self::new(key, head, &BodyFacts { file, crc })
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and sequences are always JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the bytes of the file at `path`, and compares them with their checksum.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let document = Self::parse_known(path, bytes)?;
        match document.checksum {
            Some(checksum) if checksum.head != document.crc() => Err(mismatch(path)),
            _ => Ok(document),
        }
    }

    /// The same for bytes that have been compared before.
    pub(super) fn parse_known(path: &Path, bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(document) if document.format == FORMAT => Ok(document),
            Ok(document) => Err(other_format(path, document.format)),
            Err(error) => Err(unreadable(path, bytes, error)),
        }
    }

    /// The length of the body. That of a body without a checksum is the length of its file, since
    /// somebody may have edited it.
    pub(super) fn body_len(&self, folder: &Folder, path: &str) -> u64 {
        match (&self.body, self.checksum) {
            (None, _) => 0,
            (Some(BodyText { length: Some(length), .. }), Some(_)) => *length,
            // A lookup refuses it.
            (Some(body), _) if !name::is_beside(&body.file) => 0,
            (Some(body), _) => {
                let opened = folder.open(&beside(path, &body.file));
                opened.ok().flatten().map_or(0, |(_, metadata)| metadata.len())
            }
        }
    }

    /// The key and the name of the body in a head that may be damaged.
    pub(super) fn outline(bytes: &[u8]) -> Option<(Key, Option<String>)> {
        #[derive(Deserialize)]
        struct Outline {
            key: String,
            #[serde(default)]
            body: Option<Body>,
        }
        #[derive(Deserialize)]
        struct Body {
            file: String,
        }
        let Outline { key, body } = serde_json::from_slice(bytes).ok()?;
        Some((key.parse().ok()?, body.map(|body| body.file)))
    }

    /// The head, for a body of this length. `family` is what a response without other variants
    /// has.
    pub(super) fn into_head(self, path: &Path, body_len: u64, family: u64) -> Result<Head> {
        let is_edited = self.checksum.is_none() && self.body.is_some();
        let Self { request, response, cache, .. } = self;
        let text = HeadText { request, response, cache };
        let parse = |text| {
            Head::from_text(text, body_len, family)
                .map_err(|error| no_head(path).with_source(error))
        };
        let head = parse(text)?;
        if !is_edited || !has_wrong_length(&head, body_len) {
            return Ok(head);
        }
        let HeadText { request, response, cache } = head.to_text();
        match with_length(&response, body_len) {
            Ok(response) => parse(HeadText { request, response, cache }),
            Err(error) => Err(no_head(path).with_source(error)),
        }
    }

    /// The checksum of the content, whatever the layout of the text: line endings and indents
    /// change with editors and version control.
    fn crc(&self) -> u32 {
        let content = Self { checksum: None, ..self.clone() };
        crc32fast::hash(&serde_json::to_vec(&content).unwrap_or_default())
    }
}

/// Whether `Content-Length` differs from the length of an edited body. A client would wait for more
/// bytes, or read the rest as the next response. In a response without a body, the length is that
/// of another response. In one that `Compressed` has stored, it is that of the whole body.
fn has_wrong_length(head: &Head, body_len: u64) -> bool {
    let is_of_another = *head.method() == Method::HEAD
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status())
        || head.trailers().is_some_and(|trailers| trailers.contains_key(COMPRESSED));
    let expected = body_len.to_string();
    let mut lengths = head.headers().get_all(CONTENT_LENGTH).iter();
    !is_of_another && lengths.any(|length| length != expected.as_str())
}

/// The response with this `Content-Length`, in the place of the first one.
fn with_length(response: &ResponseText, len: u64) -> serde_json::Result<ResponseText> {
    let mut response = serde_json::to_value(response)?;
    if let Some(lines) = response["headers"].as_array_mut() {
        // A value that is not UTF-8 is an object.
        let is_length = |line: &serde_json::Value| {
            let line = line.as_str().or_else(|| line["name"].as_str()).unwrap_or_default();
            line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("content-length"))
        };
        let first = lines.iter().position(is_length);
        lines.retain(|line| !is_length(line));
        lines.insert(first.unwrap_or(lines.len()), format!("content-length: {len}").into());
    }
    serde_json::from_value(response)
}

/// The error for a file that has the name of a head, and is none.
fn no_head(path: &Path) -> Error {
    corrupt(path, "is not a valid head; restore it, or remove it and its body")
}

fn other_format(path: &Path, format: u32) -> Error {
    let message = format!(
        "{} has format {format}, and this version of larder reads {FORMAT}; use the version that \
         wrote it, or remove the file",
        path.display()
    );
    Error::new(ErrorKind::Incompatible, STORE, message)
}

/// Why a head does not parse: another version wrote it, or it is damaged.
fn unreadable(path: &Path, bytes: &[u8], error: serde_json::Error) -> Error {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    if let Ok(Format { format }) = serde_json::from_slice(bytes)
        && format != FORMAT
    {
        return other_format(path, format);
    }
    // A later version may have added it. The text is serde's, which has no other way to tell.
    if error.is_data() && error.to_string().starts_with("unknown field") {
        if !has_own_checksum(bytes) {
            return mismatch(path).with_source(error);
        }
        let message = format!(
            "{} has a member that this version of larder does not know; use the version that wrote \
             it, or remove the member",
            path.display()
        );
        return Error::new(ErrorKind::Incompatible, STORE, message).with_source(error);
    }
    no_head(path).with_source(error)
}

fn mismatch(path: &Path) -> Error {
    let why = "does not match its checksum; if it was edited by hand, remove the line `checksum`";
    corrupt(path, why)
}

/// Whether a head with members that are not known here has the checksum of its content, or none.
/// What a later version has written is not damaged.
fn has_own_checksum(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Sum {
        #[serde(default)]
        checksum: Option<Checksum>,
    }
    let Ok(Sum { checksum }) = serde_json::from_slice(bytes) else { return false };
    let Some(checksum) = checksum else { return true };
    let member = format!("\"checksum\":\"{:08x} {:08x}\"", checksum.head, checksum.body);
    let content = without_member(&compact(bytes), member.as_bytes());
    crc32fast::hash(&content) == checksum.head
}

/// JSON without the white space between its tokens.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        let is_kept = is_text || !byte.is_ascii_whitespace();
        is_text ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_kept
    };
    json.iter().copied().filter(is_kept).collect()
}

/// A compact object without this member, and without the comma that divides it from another.
fn without_member(object: &[u8], member: &[u8]) -> Vec<u8> {
    let at = object.windows(member.len()).position(|bytes| bytes == member);
    let Some(at) = at else { return object.to_vec() };
    let (before, after) = (&object[..at], &object[at + member.len()..]);
    match before.strip_suffix(b",") {
        Some(before) => [before, after].concat(),
        None => [before, after.strip_prefix(b",").unwrap_or(after)].concat(),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;
    use crate::time::Timestamp;

    fn document() -> Document {
        let parts =
            Response::builder().header("content-type", "text/html").body(()).unwrap().into_parts();
        let head = Head::new(Method::GET, "http://a/tea", parts.0, Timestamp::from_millis(1_000))
            .with_tags(vec!["page".into()])
            .seal(5, None);
        let body = BodyFacts { file: Some(("tea~01020304.body.html", 5)), crc: Some(0x3610_a686) };
        Document::new(&Key::from_bytes([1; 32]), &head, &body)
    }

    #[test]
    fn a_head_is_one_fact_a_line() {
        let text = String::from_utf8(document().to_bytes()).unwrap();
        let (before, rest) = text.split_once("  \"checksum\": \"").unwrap();
        let (checksum, after) = rest.split_once("\",\n").unwrap();
        assert!(checksum.len() == 17 && checksum.ends_with(" 3610a686"), "{checksum}");
        let expected = r#"{
  "format": 1,
  "key": "0101010101010101010101010101010101010101010101010101010101010101",
  "request": {
    "method": "GET",
    "url": "http://a/tea"
  },
  "response": {
    "status": 200,
    "version": "HTTP/1.1",
    "headers": [
      "content-type: text/html"
    ]
  },
  "cache": {
    "requested_at": "1970-01-01T00:00:01.000Z",
    "stored_at": "1970-01-01T00:00:01.000Z",
    "expires_at": null,
    "keep_until": null,
    "tags": [
      "page"
    ]
  },
  "body": {
    "file": "tea~01020304.body.html",
    "length": 5
  }
}
"#;
        assert_eq!(before.to_owned() + after, expected);
    }

    fn without_checksum(text: &str) -> String {
        let lines = text.split_inclusive('\n');
        lines.filter(|line| !line.contains("\"checksum\"")).collect()
    }

    #[test]
    fn edits_are_refused_unless_the_checksum_is_removed() {
        let text = String::from_utf8(document().to_bytes()).unwrap();
        assert!(Document::parse(Path::new("a"), text.as_bytes()).is_ok());
        assert!(Document::parse(Path::new("a"), text.replace('\n', "\r\n").as_bytes()).is_ok());
        let edited = text.replace("200", "404");
        let error = Document::parse(Path::new("a"), edited.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("remove the line `checksum`"), "{error}");
        let accepted = without_checksum(&edited);
        let head = Document::parse(Path::new("a"), accepted.as_bytes())
            .unwrap()
            .into_head(Path::new("a"), 7, 0)
            .unwrap();
        assert_eq!((head.status().as_u16(), head.body_len()), (404, 7));
    }

    /// The header lines of a document for a body of seven bytes, whose text `edit` has changed.
    fn lines(
        (method, status): (&str, &str),
        fields: &str,
        edit: fn(&str) -> String,
    ) -> Vec<String> {
        let text = String::from_utf8(document().to_bytes()).unwrap();
        let text = text
            .replace("GET", method)
            .replace("200", status)
            .replace("\"content-type: text/html\"", fields);
        let document: Document = serde_json::from_str(&edit(&text)).unwrap();
        let head = document.into_head(Path::new("a"), 7, 0).unwrap();
        let lines = head.headers().iter();
        lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn an_edited_body_has_its_own_length() {
        let edited = |method, status, fields| lines((method, status), fields, without_checksum);
        let length = "\"content-length: 5\"";
        let hex = "{\"name\": \"content-length\", \"hex\": \"3530\"}";
        for fields in [length, hex, "\"content-length: x\"", "\"Content-Length: 7, 5\""] {
            assert_eq!(edited("POST", "404", fields), ["content-length: 7"], "{fields}");
        }
        let two = "\"a: 1\", \"Content-Length: 5\", \"content-length: 5\", \"b: 2\"";
        assert_eq!(edited("GET", "200", two), ["a: 1", "content-length: 7", "b: 2"]);
        let other = "\"a: content-length: 5\"";
        assert_eq!(edited("GET", "200", other), ["a: content-length: 5"]);
        for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
            assert_eq!(edited(method, status, length), ["content-length: 5"], "{method} {status}");
        }
        let without_body = |text: &str| {
            let (before, _) = text.split_once(",\n  \"body\"").unwrap();
            without_checksum(before) + "}"
        };
        for edit in [str::to_owned, without_body] {
            assert_eq!(lines(("GET", "200"), length, edit), ["content-length: 5"]);
        }
    }

    #[test]
    fn what_is_no_head_is_corrupt_and_a_newer_one_incompatible() {
        let text = String::from_utf8(document().to_bytes()).unwrap();
        let missing = text.replace("    \"expires_at\": null,\n", "").replace("\"tags\"", "\"t\"");
        let missing = missing.replace("\"t\": [\n      \"page\"\n    ]", "\"notes\": []");
        for bytes in ["", "{", "[]", "\0", &text[..text.len() - 3], &missing] {
            let error = Document::parse(Path::new("a"), bytes.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes}");
        }
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        // The checksum that a newer version gives to what it writes.
        let sealed = |newer: &str| {
            let value: Document = serde_json::from_str(&text).unwrap();
            let old = serde_json::to_string(&value.checksum).unwrap();
            let (member, body) = (format!("\"checksum\":{old}"), &old[10..18]);
            let content = without_member(&compact(newer.as_bytes()), member.as_bytes());
            newer.replace(&old, &format!("\"{:08x} {body}\"", crc32fast::hash(&content)))
        };
        assert_eq!(sealed(&text), text);
        let of = ["\"key\"", "\"url\"", "\"status\"", "\"tags\"", "\"length\""];
        let members = of.map(|of| text.replacen(of, &format!("\"a b\": \" \\\"{{ \",\n{of}"), 1));
        for damaged in &members {
            let error = Document::parse(Path::new("a"), damaged.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged}");
        }
        let is_checksum = |line: &&str| line.starts_with("  \"checksum\"");
        let unsealed = members.each_ref().map(|text| {
            text.split_inclusive('\n').filter(|line| !is_checksum(line)).collect::<String>()
        });
        let members = members.each_ref().map(|text| sealed(text));
        for newer in members.iter().chain(&unsealed).chain([&newer]) {
            let error = Document::parse(Path::new("a"), newer.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{newer}");
            assert!(Document::outline(newer.as_bytes()).is_some());
        }
    }
}
