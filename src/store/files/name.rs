//! The names of files: `example.com/items/tea~3fa94c1d.json` for the head of an entry, and
//! `tea~3fa94c1d.body.html` beside it for its body.
//!
//! A name is made of what a recording repeats: the host, the path, a method other than `GET`, and a
//! digest. Everything that is not safe on every file system is percent-encoded or cut. Different
//! URLs may become the same text that way; the digest tells them apart.

use http::{HeaderMap, Method, header};

use crate::entry::Head;

/// The folder for unfinished files below the hidden folder.
pub(super) const STAGING: &str = "unfinished";

/// The longest part of a path, without its digest.
const PART: usize = 60;

/// The longest path of a folder below the root. Some systems allow 260 bytes for a whole path.
const FOLDER: usize = 120;

/// The most folders above an entry, with that of its host.
const FOLDERS: usize = 8;

/// The longest method in a name.
const METHOD: usize = 16;

/// The lengths of the digest in a name: the next one is taken if the name belongs to another entry.
pub(super) const DIGITS: [usize; 4] = [8, 16, 32, 64];

/// The path of an entry's files up to its digest, with `/` between the parts.
pub(super) fn stem(head: &Head) -> String {
    let url = head.url();
    let (host, rest) = match url.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", url),
    };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let mut stem = part(&host.replace(':', "_"), PART);
    let path = path.strip_prefix('/').unwrap_or(path);
    let (folders, last) = path.rsplit_once('/').unwrap_or(("", path));
    let above = folders.split('/').filter(|_| !folders.is_empty());
    for folder in above.take(FOLDERS - 1) {
        let folder = part(folder, PART);
        if stem.len() + folder.len() >= FOLDER {
            break;
        }
        stem = stem + "/" + &folder;
    }
    let last = if last.is_empty() { "index".to_owned() } else { part(last, PART) };
    stem = stem + "/" + &last;
    if head.method() != Method::GET {
        stem = stem + "." + &part(head.method().as_str(), METHOD);
    }
    stem
}

/// The path of the head's file.
pub(super) fn head_path(stem: &str, digest: &str) -> String {
    format!("{stem}~{digest}.json")
}

/// The name of the body's file, beside the head at `path`.
pub(super) fn body_name(path: &str, fields: &HeaderMap) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_suffix(".json").unwrap_or(name);
    format!("{name}.body.{}", extension(fields))
}

/// Whether a file of this name is a head: its name ends in a digest and `.json`.
pub(super) fn is_head(name: &str) -> bool {
    digest_of(name).is_some_and(|rest| rest == "json")
}

/// Whether a file of this name is a body.
pub(super) fn is_body(name: &str) -> bool {
    digest_of(name).is_some_and(|rest| rest.starts_with("body."))
}

/// The digest in the path of a head.
pub(super) fn digits(path: &str) -> Option<&str> {
    Some(path.rsplit_once('~')?.1.split_once('.')?.0)
}

/// The path of the head that a body at `path` is named after.
pub(super) fn head_of_body(path: &str) -> Option<String> {
    let (stem, rest) = path.rsplit_once('~')?;
    Some(head_path(stem, rest.split_once('.')?.0))
}

/// What follows the digest of a name.
fn digest_of(name: &str) -> Option<&str> {
    let (digest, rest) = name.rsplit_once('~')?.1.split_once('.')?;
    let is_digest = DIGITS.contains(&digest.len())
        && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then_some(rest)
}

/// Whether a head may name this file as its body: a file beside it, and not a hidden one.
pub(super) fn is_beside(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// Whether this is the path of a file below the root that is not hidden.
fn is_path(path: &str) -> bool {
    path.split('/').all(is_beside)
}

/// Whether this is the path of a head.
pub(super) fn is_head_path(path: &str) -> bool {
    is_path(path) && path.rsplit('/').next().is_some_and(is_head)
}

/// Whether this is the path of a head or a body.
pub(super) fn is_entry_path(path: &str) -> bool {
    let is_entry = |name| is_head(name) || is_body(name);
    is_path(path) && path.rsplit('/').next().is_some_and(is_entry)
}

/// Whether this is the path of an unfinished file below the hidden folder.
pub(super) fn is_unfinished(path: &str) -> bool {
    is_path(path) && path.strip_prefix(STAGING).is_some_and(|rest| rest.starts_with('/'))
}

/// The ending of a body: that of its media type, and that of its coding.
fn extension(fields: &HeaderMap) -> String {
    let value = |name| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value(header::CONTENT_TYPE).to_ascii_lowercase();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let suffix = || match media_type.rsplit_once('+')?.1 {
        "json" => Some("json"),
        "xml" => Some("xml"),
        _ => None,
    };
    let text = || media_type.starts_with("text/").then_some("txt");
    let known = mime2ext::mime2ext(media_type).filter(|text| text.len() <= METHOD);
    let extension = known.or_else(suffix).or_else(text).unwrap_or("bin");
    match value(header::CONTENT_ENCODING).trim() {
        "gzip" | "x-gzip" => format!("{extension}.gz"),
        "br" => format!("{extension}.br"),
        "zstd" => format!("{extension}.zst"),
        _ => extension.to_owned(),
    }
}

/// One part of a path, of at most about `max` bytes, that every file system takes as it is.
fn part(text: &str, max: usize) -> String {
    let mut part = String::with_capacity(text.len().min(max));
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        if part.len() >= max {
            break;
        }
        let is_safe = match byte {
            // A leading dot hides a file, and Windows drops a dot at the end. `..` has both.
            b'.' => at != 0 && at != last && part.len() + 1 < max,
            // `%` is there as it was sent. Nobody decodes a name.
            b'-' | b'_' | b'+' | b'=' | b',' | b'@' | b'%' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if is_safe {
            part.push(byte as char);
        } else {
            part += &format!("%{byte:02X}");
        }
    }
    if part.is_empty() || is_reserved(&part) {
        part.insert(0, '_');
    }
    part
}

/// Whether Windows takes the name for a device, whatever follows a dot.
fn is_reserved(part: &str) -> bool {
    let name = part.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_numbered = |prefix| {
        let number = name.strip_prefix(prefix).unwrap_or_default();
        matches!(number.as_bytes(), [b'0'..=b'9'])
    };
    matches!(&*name, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || is_numbered("COM")
        || is_numbered("LPT")
}

#[cfg(test)]
mod tests {
    use http::Response;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn head(method: Method, url: &str) -> Head {
        Head::new(method, url, Response::new(()).into_parts().0, Timestamp::MIN)
    }

    fn stem_of(url: &str) -> String {
        stem(&head(Method::GET, url))
    }

    #[test]
    fn names_show_host_and_path() {
        for (url, expected) in [
            ("http://example.com/", "example.com/index"),
            ("http://example.com", "example.com/index"),
            ("http://example.com?a=b", "example.com/index"),
            ("http://example.com/items/tea?a=/b", "example.com/items/tea"),
            ("http://example.com/items/", "example.com/items/index"),
            ("http://127.0.0.1:8080/a.html", "127.0.0.1_8080/a.html"),
            ("http://[::1]:80/a", "%5B__1%5D_80/a"),
            ("/no/host", "_/no/host"),
            ("", "_/index"),
        ] {
            assert_eq!(stem_of(url), expected, "{url}");
        }
        let post = head(Method::POST, "http://a/items");
        assert_eq!(stem(&post), "a/items.POST");
    }

    #[test]
    fn hostile_urls_become_safe_names() {
        for (url, expected) in [
            ("http://a/../../etc/passwd", "a/%2E%2E/%2E%2E/etc/passwd"),
            ("http://a/./b", "a/%2E/b"),
            ("http://a/%2e%2e%2fb", "a/%2e%2e%2fb"),
            ("http://a/..\\b", "a/%2E.%5Cb"),
            ("http://a/b\0c", "a/b%00c"),
            ("http://a//b", "a/b"),
            ("http://a/b//c", "a/b/_/c"),
            ("http://a/CON/aux.txt/com1/lpt10", "a/_CON/_aux.txt/_com1/lpt10"),
            ("http://a/.git/config.", "a/%2Egit/config%2E"),
            ("http://a/.larder/index", "a/%2Elarder/index"),
            ("http://a/b~c", "a/b%7Ec"),
            ("http://a/é", "a/%C3%A9"),
            ("http://a/C:/b", "a/C%3A/b"),
        ] {
            assert_eq!(stem_of(url), expected, "{url}");
        }
        let long = format!("http://a/{}", "b/".repeat(5_000) + &"c".repeat(10_000));
        assert!(stem_of(&long).len() < 200);
        assert_eq!(stem_of(&long).matches('/').count(), FOLDERS);
    }

    #[test]
    fn bodies_have_the_ending_of_their_media_type() {
        for (media_type, coding, expected) in [
            ("text/html; charset=utf-8", "", "html"),
            ("Application/JSON", "", "json"),
            ("application/problem+json", "", "json"),
            ("image/png", "", "png"),
            ("text/plain", "gzip", "txt.gz"),
            ("text/x-unknown", "br", "txt.br"),
            ("x/../y", "../z", "bin"),
            ("", "", "bin"),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
            fields.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            assert_eq!(extension(&fields), expected, "{media_type} {coding}");
            let body = body_name("a/tea~3fa94c1d.json", &fields);
            assert_eq!(body, format!("tea~3fa94c1d.body.{expected}"));
            assert!(is_body(&body) && !is_head(&body) && is_beside(&body));
        }
        assert!(is_head("tea~3fa94c1d.json") && !is_body("tea~3fa94c1d.json"));
        for other in ["tea.json", "tea~3fa94c1.json", "tea~3fa94c1g.json", "tea~3fa94c1d.txt"] {
            assert!(!is_head(other) && !is_body(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_part_of_a_name_is_safe(method in "[!-~]{1,30}", url in "(http://)?.{0,300}") {
            let method = Method::try_from(&*method).unwrap_or_default();
            let stem = stem(&head(method, &url));
            let path = head_path(&stem, &"0".repeat(64));
            prop_assert!(path.len() < 330, "{}", path);
            for part in path.split('/') {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+=,@%.~".contains(&byte);
                prop_assert!(part.bytes().all(is_plain), "{}", part);
                prop_assert!(!part.is_empty() && part.len() < 255, "{}", part);
                prop_assert!(!part.starts_with('.') && !part.ends_with('.'), "{}", part);
                prop_assert!(!is_reserved(part), "{}", part);
            }
            prop_assert!(is_head_path(&path));
        }
    }
}
