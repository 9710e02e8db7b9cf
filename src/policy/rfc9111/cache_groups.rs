//! Groups of stored responses (RFC 9875): a response says which groups it is in, and the response to an unsafe request
//! which of them it makes stale. Both speak of their own origin alone.
//!
//! A group is a tag among the tags of an entry, so that removing a group is removing a tag.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, Uri};

use super::{origin::Origin, structured::strings};
use crate::status::Refusal;

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// What the tags of groups begin with.
pub(crate) const GROUP_TAG_PREFIX: &str = "larder:group:";

/// The most groups in one field, and the longest name of one, in bytes. The RFC asks for 32 of 32 characters (§2, §3).
const MOST: usize = 256;
const LONGEST: usize = 256;

/// The tags of the groups that the response to a request for `url` (an absolute URL) is in (RFC 9875 §2). All of them or
/// none: a response that lacked one would outlive the invalidation of that group.
pub(crate) fn group_tags(url: &Uri, response: &HeaderMap) -> Result<Vec<Box<str>>, Refusal> {
    let names = names(response, &CACHE_GROUPS);
    if names.len() > MOST || names.iter().any(|name| name.len() > LONGEST) {
        return Err(Refusal::Tags);
    }
    Ok(tags(url, &names))
}

/// The tags of the groups that the response to an unsafe request for `url` (an absolute URL) makes stale (RFC 9875 §3):
/// of the first 256 that it names. To be asked of no other response.
pub(crate) fn invalidated_group_tags(url: &Uri, response: &HeaderMap) -> Vec<Box<str>> {
    let mut names = names(response, &CACHE_GROUP_INVALIDATION);
    names.truncate(MOST);
    // Nothing is stored under a longer one.
    names.retain(|name| name.len() <= LONGEST);
    tags(url, &names)
}

/// The names in the field, in order, each once.
fn names(response: &HeaderMap, field: &HeaderName) -> Vec<String> {
    let mut names = strings(response, field).unwrap_or_default();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn tags(url: &Uri, names: &[String]) -> Vec<Box<str>> {
    let Some(origin) = Origin::of(url) else { return Vec::new() };
    // There is no space in an origin, so no other origin and name make the same tag.
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
        assert!(invalidated_group_tags(&Uri::from_static(url), &headers).is_empty());
        group_tags(&Uri::from_static(url), &headers).unwrap()
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
    fn what_is_no_list_of_strings_names_no_group() {
        for line in ["", "a", "\"a\", b", "1", "(\"a\")", "\"a", "\"a\" \"b\"", "\"\u{e4}\""] {
            assert!(of("http://a/", &[line]).is_empty(), "{line}");
        }
        assert!(of("/x", &["\"a\""]).is_empty(), "no origin");
    }

    #[test]
    fn a_response_in_more_groups_than_are_kept_is_not() {
        let url = Uri::from_static("http://a/");
        let both = |line: &str| {
            let line = HeaderValue::from_str(line).unwrap();
            let stored = HeaderMap::from_iter([(CACHE_GROUPS, line.clone())]);
            let answer = HeaderMap::from_iter([(CACHE_GROUP_INVALIDATION, line)]);
            let groups = group_tags(&url, &stored).map(|tags| tags.len());
            (groups, invalidated_group_tags(&url, &answer).len())
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
    fn an_invalidation_names_the_tags_that_responses_have() {
        let line = HeaderValue::from_static("\"a\", \"b\"");
        let url = Uri::from_static("http://a/x");
        let stored = HeaderMap::from_iter([(CACHE_GROUPS, line.clone())]);
        let answer = HeaderMap::from_iter([(CACHE_GROUP_INVALIDATION, line)]);
        assert_eq!(Ok(invalidated_group_tags(&url, &answer)), group_tags(&url, &stored));
        assert_eq!(group_tags(&url, &answer), Ok(Vec::new()));
    }
}
