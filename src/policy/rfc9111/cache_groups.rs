//! Groups of stored responses (RFC 9875): a response says which groups it is in, and the response to an unsafe request
//! which of them it makes stale. Both speak of their own origin alone.
//!
//! A group is a tag among the tags of an entry, so that removing a group is removing a tag.

use http::{HeaderMap, HeaderName, Uri};

use super::{origin::Origin, structured::strings};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// What the tags of groups begin with.
pub(crate) const GROUP_TAG_PREFIX: &str = "larder:group:";

/// More groups than this, and longer names, are ignored: a stored response, and an invalidation, costs one entry in an
/// index, or one search in it, for each. The RFC asks for 32 of 32 characters (§2, §3).
const MAX_GROUPS: usize = 64;
const MAX_NAME: usize = 256;

/// The tags of the groups that the response to a request for `url` (an absolute URL) is in (RFC 9875 §2).
pub(crate) fn group_tags(url: &Uri, response: &HeaderMap) -> Vec<Box<str>> {
    tags(url, response, &CACHE_GROUPS)
}

/// The tags of the groups that the response to an unsafe request for `url` (an absolute URL) makes stale (RFC 9875 §3).
/// To be asked of no other response.
pub(crate) fn invalidated_group_tags(url: &Uri, response: &HeaderMap) -> Vec<Box<str>> {
    tags(url, response, &CACHE_GROUP_INVALIDATION)
}

fn tags(url: &Uri, response: &HeaderMap, field: &HeaderName) -> Vec<Box<str>> {
    let (Some(mut names), Some(origin)) = (strings(response, field), Origin::of(url)) else {
        return Vec::new();
    };
    names.truncate(MAX_GROUPS);
    names.retain(|name| name.len() <= MAX_NAME);
    names.sort_unstable();
    names.dedup();
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
        group_tags(&Uri::from_static(url), &headers)
    }

    #[test]
    fn a_group_is_a_tag_of_its_origin() {
        let tags = of("http://A/x?y", &["\"scripts\";x=1, \"a b\"", "\"scripts\""]);
        assert_eq!(
            tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
            ["larder:group:http://a:80 a b", "larder:group:http://a:80 scripts"]
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
    fn groups_are_bounded_far_above_what_the_rfc_asks_for() {
        let many: Vec<String> = (0..100).map(|n| format!("\"{n:032}\"")).collect();
        assert_eq!(of("http://a/", &[&many.join(",")]).len(), MAX_GROUPS);
        assert_eq!(of("http://a/", &[&format!("\"{}\", \"b\"", "a".repeat(257))]).len(), 1);
        assert_eq!(of("http://a/", &[&format!("\"{}\"", "a".repeat(256))]).len(), 1);
    }

    #[test]
    fn an_invalidation_names_the_tags_that_responses_have() {
        let line = HeaderValue::from_static("\"a\", \"b\"");
        let url = Uri::from_static("http://a/x");
        let stored = HeaderMap::from_iter([(CACHE_GROUPS, line.clone())]);
        let answer = HeaderMap::from_iter([(CACHE_GROUP_INVALIDATION, line)]);
        assert_eq!(invalidated_group_tags(&url, &answer), group_tags(&url, &stored));
        assert!(group_tags(&url, &answer).is_empty());
    }
}
