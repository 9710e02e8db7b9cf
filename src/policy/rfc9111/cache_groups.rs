//! Groups of stored responses (RFC 9875). A response names the groups that it belongs to. The
//! response to an unsafe request names the groups that it invalidates. Both apply to their own
//! origin only.
//!
//! A group is stored as a tag of the entry, so invalidating a group is removing a tag.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, Uri};

use super::origin::Origin;
use crate::{fields::strings, status::Refusal};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The prefix of all tags of groups.
pub(crate) const GROUP_TAG_PREFIX: &str = "larder:group:";

/// The limits: groups in one field, and bytes in the name of a group. The RFC requires 32 groups
/// with names of 32 characters (§2, §3).
const MOST: usize = 256;
const LONGEST: usize = 256;

/// The tags of the groups of the response to a request for `url`, an absolute URL (RFC 9875 §2). A
/// response over the limits is refused: without one of its tags, it would survive the invalidation
/// of that group.
pub(crate) fn group_tags(url: &str, response: &HeaderMap) -> Result<Vec<Box<str>>, Refusal> {
    let names = names(response, &CACHE_GROUPS);
    if names.len() > MOST || names.iter().any(|name| name.len() > LONGEST) {
        return Err(Refusal::Tags);
    }
    Ok(tags(url, &names))
}

/// The tags of the groups that the response to an unsafe request for `url`, an absolute URL,
/// invalidates (RFC 9875 §3). Only the first 256 groups count. Call this for responses to unsafe
/// requests only.
pub(crate) fn invalidated_group_tags(url: &str, response: &HeaderMap) -> Vec<Box<str>> {
    let mut names = names(response, &CACHE_GROUP_INVALIDATION);
    names.truncate(MOST);
    // No entry has a longer name.
    names.retain(|name| name.len() <= LONGEST);
    tags(url, &names)
}

/// The names in the field, in order and without duplicates.
fn names(response: &HeaderMap, field: &HeaderName) -> Vec<String> {
    let mut names = strings(response, field).unwrap_or_default();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn tags(url: &str, names: &[String]) -> Vec<Box<str>> {
    if names.is_empty() {
        return Vec::new();
    }
    let origin = url.parse::<Uri>().ok().and_then(|url| Origin::of(&url));
    let Some(origin) = origin else { return Vec::new() };
    // An origin contains no space, so each pair of origin and name makes a different tag.
    let tag = |name| format!("{GROUP_TAG_PREFIX}{origin} {name}").into_boxed_str();
    names.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(url: &'static str, lines: &[&str]) -> Vec<Box<str>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_GROUPS, HeaderValue::from_str(line).unwrap());
        }
        assert!(invalidated_group_tags(url, &headers).is_empty());
        group_tags(url, &headers).unwrap()
    }

    #[test]
    fn a_group_is_a_tag_of_its_origin() {
        let tags = of("http://A/x?y", &["\"scripts\";x=1, \"a b\"", "\"scripts\""]);
        assert_eq!(
            tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
            ["larder:group:http://a:80 scripts", "larder:group:http://a:80 a b"]
        );
        assert_eq!(of("http://a:80/", &["\"x\""]), of("http://me@a/y", &["\"x\""]));
        assert_ne!(of("http://a/", &["\"x\""]), of("https://a/", &["\"x\""]));
        assert_ne!(of("http://a/", &["\"81 x\""]), of("http://a:81/", &["\"x\""]));
        assert_ne!(of("http://a/", &["\"x\""]), of("http://a/", &["\"X\""]));
    }

    #[test]
    fn malformed_fields_name_no_group() {
        for line in ["", "a", "\"a\", b", "1", "(\"a\")", "\"a", "\"a\" \"b\"", "\"\u{e4}\""] {
            assert!(of("http://a/", &[line]).is_empty(), "{line}");
        }
        assert!(of("/x", &["\"a\""]).is_empty(), "no origin");
    }

    #[test]
    fn responses_with_too_many_or_too_long_groups_are_refused() {
        let url = "http://a/";
        let both = |line: &str| {
            let line = HeaderValue::from_str(line).unwrap();
            let stored = HeaderMap::from_iter([(CACHE_GROUPS, line.clone())]);
            let answer = HeaderMap::from_iter([(CACHE_GROUP_INVALIDATION, line)]);
            let groups = group_tags(url, &stored).map(|tags| tags.len());
            (groups, invalidated_group_tags(url, &answer).len())
        };
        let many = |count| (0..count).map(|n| format!("\"{n:032}\"")).collect::<Vec<_>>().join(",");
        assert_eq!(both(&many(256)), (Ok(256), 256));
        assert_eq!(both(&format!("{}, {}", many(256), many(256))), (Ok(256), 256));
        assert_eq!(both(&many(257)), (Err(Refusal::Tags), 256));
        let long = |length| format!("\"{}\", \"b\"", "a".repeat(length));
        assert_eq!(both(&long(256)), (Ok(2), 2));
        assert_eq!(both(&long(257)), (Err(Refusal::Tags), 1));
    }

    #[test]
    fn invalidated_groups_have_the_tags_of_stored_groups() {
        let line = HeaderValue::from_static("\"a\", \"b\"");
        let url = "http://a/x";
        let stored = HeaderMap::from_iter([(CACHE_GROUPS, line.clone())]);
        let answer = HeaderMap::from_iter([(CACHE_GROUP_INVALIDATION, line)]);
        assert_eq!(Ok(invalidated_group_tags(url, &answer)), group_tags(url, &stored));
        assert_eq!(group_tags(url, &answer), Ok(Vec::new()));
    }
}
