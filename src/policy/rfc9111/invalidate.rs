//! What the `Location` and `Content-Location` of the response to an unsafe request mean.
//! [`named_urls`] returns the further URLs that the response invalidates (RFC 9111 §4.4).
//! [`speaks_for_get`] says whether the response to a `POST` may be stored for a `GET`.
//!
//! Only URLs of the same origin count. Otherwise one site could empty the cache of all others.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{CONTENT_LOCATION, LOCATION},
};

use super::{
    freshness::{Lifetime, lifetime},
    origin::{Origin, host_and_port},
    targeted::effective_directives,
};
use crate::{entry::ResponseHead, fields::only, key::push_without_dots, policy::Scope};

/// The URLs of the same origin that the response to a request for `target` (an absolute URL) names.
/// Their scheme, host and port are spelled as in `target`. They have no user information and no
/// fragment. There are at most two, and `target` is not among them.
pub(crate) fn named_urls(target: &Uri, response: &HeaderMap) -> Vec<Uri> {
    let mut urls: Vec<Uri> = Vec::new();
    // These fields have one value. The first line counts.
    for line in [LOCATION, CONTENT_LOCATION].iter().filter_map(|name| response.get(name)) {
        if let Some(url) = named_url(target, line)
            && url != *target
            && !urls.contains(&url)
        {
            urls.push(url);
        }
    }
    urls
}

/// Whether a 200 to a `POST` for `target` may be stored for a `GET` (RFC 9110 §9.3.3). Its
/// `Content-Location` must be the URL itself, and it must state a lifetime.
pub(crate) fn speaks_for_get(
    scope: Scope,
    targets: &[HeaderName],
    target: &Uri,
    response: &ResponseHead,
) -> bool {
    let Some(line) = only(&response.headers, CONTENT_LOCATION) else { return false };
    if named_url(target, line).as_ref() != Some(target) {
        return false;
    }
    let (directives, is_targeted) = effective_directives(targets, response.fields());
    let (facts, now) = (response.fields().facts(), response.received_at());
    let lifetime = lifetime(scope, &directives, is_targeted, StatusCode::OK, facts, now);
    matches!(lifetime, Lifetime::Explicit(lifetime) if !lifetime.is_zero())
}

/// The URL that `line` names, if it has the origin of `target`.
fn named_url(target: &Uri, line: &HeaderValue) -> Option<Uri> {
    let reference = str::from_utf8(line.as_bytes()).ok()?.trim_ascii();
    let reference = reference.split('#').next().unwrap_or_default();
    let origin = Origin::of(target)?;
    let rest = match with_authority(target, reference) {
        Some(absolute) => {
            let absolute: Uri = absolute.parse().ok()?;
            if Origin::of(&absolute)? != origin {
                return None;
            }
            let path_and_query = absolute.path_and_query();
            path_and_query.map_or_else(String::new, |rest| rest.as_str().to_owned())
        }
        // A reference with another scheme has another origin. `http:path` has no known origin.
        None if has_scheme(reference) => return None,
        None => relative(target, reference),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*rest, None),
    };
    let mut url = format!("{}://{}", target.scheme_str()?, host_and_port(target)?);
    push_without_dots(&mut url, path);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url.parse().ok()
}

/// The reference with a scheme, if it has an authority (RFC 3986 §4.2, §4.3).
fn with_authority(target: &Uri, reference: &str) -> Option<String> {
    if reference.starts_with("//") {
        return Some(format!("{}:{reference}", target.scheme_str()?));
    }
    let (_, rest) = reference.split_once(':').filter(|_| has_scheme(reference))?;
    rest.starts_with("//").then(|| reference.to_owned())
}

fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// The path and query of a reference that has no scheme and no authority (RFC 3986 §5.2.2,
/// §5.2.3).
fn relative(target: &Uri, reference: &str) -> String {
    let base = target.path();
    match reference.as_bytes() {
        [] => target.path_and_query().map_or_else(String::new, |base| base.as_str().to_owned()),
        [b'/', ..] => reference.to_owned(),
        [b'?', ..] => format!("{base}{reference}"),
        _ => {
            let directory = base.rfind('/').map_or("/", |slash| &base[..=slash]);
            format!("{directory}{reference}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

    fn named(target: &str, reference: &str) -> Option<String> {
        let line = HeaderValue::from_str(reference).unwrap();
        named_url(&target.parse().unwrap(), &line).map(|url| url.to_string())
    }

    /// The examples of RFC 3986 §5.4 that stay within the origin, and similar ones.
    #[test]
    fn references_are_resolved() {
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("./a:b", "/b/c/a:b"),
            ("?a=http://c/", "/b/c/d;p?a=http://c/"),
            ("http://a/g", "/g"),
            ("HTTP://A:80/g?y", "/g?y"),
            ("http://a", "/"),
            ("http://me:pw@a/g", "/g"),
            ("//a/g", "/g"),
            ("//a?y", "/?y"),
        ] {
            let expected = format!("http://a{expected}");
            let named = named("http://a/b/c/d;p?q", reference);
            assert_eq!(named.as_deref(), Some(&*expected), "{reference}");
        }
        assert_eq!(named("http://a", "g").as_deref(), Some("http://a/g"));
        assert_eq!(named("http://me:pw@A:80/b", "g").as_deref(), Some("http://A:80/g"));
        assert_eq!(named("https://[::1]:8/b", "//[::1]:8/g").as_deref(), Some("https://[::1]:8/g"));
        assert_eq!(named("http://a/b", "https://a:443/g"), None);
    }

    #[test]
    fn urls_of_other_origins_are_ignored() {
        for reference in [
            "http://b/",
            "http://a:81/",
            "https://a/",
            "//b/g",
            "//a:81/g",
            "//a@b/",
            "http://a.b/",
            "http://a@b/",
            "ftp://a/g",
            "http:g",
            "http:/g",
            "mailto:me@a",
            "javascript:x",
            "http://",
            "//",
            "http://a/ g",
            "g h",
            "http://a:x/",
            "///g",
        ] {
            assert_eq!(named("http://a/b/c", reference), None, "{reference}");
        }
        assert_eq!(named("/b", "/g"), None, "the target has no origin");
    }

    /// `invalidation.mjs`.
    #[test]
    fn both_fields_name_urls_and_each_counts_once() {
        let target = Uri::from_static("http://a/b/c");
        let of = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let urls = named_urls(&target, &headers);
            urls.iter().map(|url| url.path().to_owned()).collect::<Vec<_>>()
        };
        let (x, y) = (("location", "x"), ("content-location", "/y"));
        assert_eq!(of(&[x, y]), ["/b/x", "/y"]);
        assert_eq!(of(&[x, ("content-location", "/b/x")]), ["/b/x"]);
        assert_eq!(of(&[("location", "http://b/"), y]), ["/y"]);
        assert_eq!(of(&[x, ("location", "z")]), ["/b/x"]);
        assert!(of(&[("content-location", ""), ("location", "c")]).is_empty());
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn a_post_is_stored_for_get_with_its_own_url_and_a_lifetime() {
        let of = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let mut parts = http::Response::new(()).into_parts().0;
            parts.headers = headers;
            let response = ResponseHead::new(parts, NOW);
            speaks_for_get(Scope::Shared, &[], &Uri::from_static("http://a/x?y"), &response)
        };
        let (own, fresh) = (("content-location", "http://a/x?y"), ("cache-control", "max-age=60"));
        assert!(of(&[own, fresh]));
        assert!(of(&[("content-location", "/x?y"), fresh]));
        assert!(of(&[("content-location", ""), fresh]));
        assert!(!of(&[("content-location", "/x"), fresh]));
        assert!(!of(&[("content-location", "http://b/x?y"), fresh]));
        assert!(!of(&[own, own, fresh]));
        assert!(
            !of(&[fresh])
                && !of(&[own])
                && !of(&[own, ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT")])
        );
        assert!(!of(&[own, ("cache-control", "max-age=0")]));
    }

    proptest! {
        #[test]
        fn named_urls_have_the_same_origin(
            reference in prop_oneof![
                "[a-z:/?#@.%\\[\\]0-9é ]{0,30}",
                "(http:)?//[a-z.@:]{0,6}(/|\\?|#)?[a-z./]{0,10}",
            ],
        ) {
            let target = Uri::from_static("http://a/b/c?d");
            if let Ok(line) = HeaderValue::from_bytes(reference.as_bytes())
                && let Some(url) = named_url(&target, &line)
            {
                prop_assert_eq!(url.authority().map(|it| it.as_str()), Some("a"));
                prop_assert_eq!(url.scheme_str(), Some("http"));
                prop_assert!(!url.path().contains("/../") && !url.path().ends_with("/.."));
            }
        }
    }
}
