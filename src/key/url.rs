//! The URL of a request in one spelling: RFC 3986 §6.2.2 syntax normalisation and §6.2.3 default
//! ports.
//!
//! Scheme and host are in lower case. User information, default port, dot segments and fragment are
//! removed. Characters are percent-encoded only where necessary, with upper-case digits. A server
//! sees only an origin-form target (`/path`) over HTTP/1.1. Such a target takes its authority from
//! `Host`, and gets the scheme `http`. Case in paths, a trailing slash, an empty query and the
//! order of parameters are significant, since origins distinguish them.
//!
//! In a shared cache, path and query stay [as they were sent](Spelling::as_sent). Many servers
//! route the path without normalising it. To them, `/search/../home` is a search, and its result
//! contains the words of the requester. If it shared a key with `/home`, everybody would receive
//! that result. The text of the URL still has its host in one spelling, so that a removal of
//! `example.com` also removes `Example.com:80`. But servers see the host and port as they were
//! sent, and write them into redirects. The key therefore includes both as sent.

use http::{HeaderMap, Uri, header::HOST, uri::Authority};

use super::{
    groups::sorted,
    percent::{decode_parameter, push_normal},
};

/// The normalised URL of a request, and the credentials that were written into it.
#[derive(Clone, Debug)]
pub(crate) struct RequestUrl {
    /// The URL without user information and without the ignored parameters.
    pub(crate) text: String,
    /// `user:password` before the host. Only a digest of it goes into the key, and nothing else
    /// uses it.
    pub(crate) userinfo: Option<String>,
    /// The host in `Host`, if it differs from the host in the URI. Clients of virtual hosts send
    /// such requests, and attackers do. It is part of the key, since the origin may use either
    /// host.
    pub(crate) other_host: Option<String>,
    /// The host and port as they were sent, if spellings matter and this is not the normalised one.
    /// It is part of the key.
    pub(crate) sent_host: Option<String>,
    /// The ignored parameters with a `;`. Some servers split a query there, so that what follows is
    /// a parameter of its own. Only a digest goes into the key, and nothing else uses it.
    pub(crate) divided: Option<String>,
    /// The query as it was sent, if it has more than [`MAX_IGNORED`] ignored parameters. Only a
    /// digest goes into the key, and nothing else uses it.
    pub(crate) crowded: Option<String>,
}

/// The most ignored parameters that do not count. Servers read a number of parameters, such as a
/// thousand, and drop the others. A sender could fill that number with ignored ones, so that the
/// server does not see those that the key has.
const MAX_IGNORED: usize = 32;

/// How URLs are spelled in keys.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spelling<'a> {
    /// Whether a parameter stays, by its decoded name.
    pub(crate) keep: Option<&'a dyn Fn(&str) -> bool>,
    /// Sorts the parameters by name. Parameters that a server may read into one value keep their
    /// order.
    pub(crate) sort: bool,
    /// Leaves path and query as they were sent, except for the two settings above.
    pub(crate) as_sent: bool,
}

/// The request has no valid URL: `Host` is no authority or occurs several times, or the target is
/// neither a path nor an absolute URL (RFC 9112 §3.2.3, §3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTarget;

impl RequestUrl {
    /// Of a response that is stored under a key alone.
    pub(crate) const NONE: Self = Self {
        text: String::new(),
        userinfo: None,
        other_host: None,
        sent_host: None,
        divided: None,
        crowded: None,
    };

    /// Normalises `uri`.
    pub(crate) fn new(
        uri: &Uri,
        headers: &HeaderMap,
        spelling: Spelling<'_>,
    ) -> Result<Self, InvalidTarget> {
        let is_path = uri.authority().is_none() && uri.path().starts_with('/');
        if !is_path && (uri.scheme().is_none() || uri.authority().is_none()) {
            return Err(InvalidTarget);
        }
        let scheme = uri.scheme_str().unwrap_or("http");
        let mut hosts = headers.get_all(HOST).iter();
        let host_field = match (hosts.next(), hosts.next()) {
            (None, _) => None,
            (Some(host), None) if host.is_empty() => None,
            // User information is not allowed in `Host` (RFC 9110 §7.2).
            (Some(host), None) if host.as_bytes().contains(&b'@') => return Err(InvalidTarget),
            (Some(host), None) => {
                Some(Authority::try_from(host.as_bytes()).map_err(|_| InvalidTarget)?)
            }
            (Some(_), Some(_)) => return Err(InvalidTarget),
        };
        let authority = match (uri.authority(), &host_field) {
            (Some(authority), _) => authority.as_str(),
            (None, Some(host)) => host.as_str(),
            (None, None) => "",
        };
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };

        let sent = host;
        let host = without_default_port(scheme, sent);
        let has_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_other_spelling = spelling.as_sent && (sent.len() != host.len() || has_upper);
        let sent_host = is_other_spelling.then(|| sent.to_owned());
        let other_host = host_field.as_ref().map(Authority::as_str);
        let other_host = if spelling.as_sent {
            other_host.filter(|other| *other != sent).map(str::to_owned)
        } else {
            other_host
                .map(|other| without_default_port(scheme, other))
                .filter(|other| !other.eq_ignore_ascii_case(host))
                .map(str::to_ascii_lowercase)
        };

        let path = uri.path();
        let query = uri.query();
        let len = scheme.len() + host.len() + path.len() + query.map_or(0, str::len);
        let mut text = String::with_capacity(len + 8);
        push_lower(&mut text, scheme);
        text.push_str("://");
        push_lower(&mut text, host);
        push_path(&mut text, path, spelling);
        let ignored = query.map(|query| push_query(&mut text, query, spelling)).unwrap_or_default();
        let divided = (!ignored.divided.is_empty()).then_some(ignored.divided);
        let is_crowded = ignored.count > MAX_IGNORED;
        let crowded = query.filter(|_| is_crowded).map(str::to_owned);
        Ok(Self { text, userinfo, other_host, sent_host, divided, crowded })
    }
}

/// The spelling of a URL by which two URLs are compared if the settings of neither are known:
/// normalised, with sorted parameters. `None` if it is no URL of a request.
pub(crate) fn comparable_url(uri: &Uri) -> Option<String> {
    let spelling = Spelling { sort: true, ..Spelling::default() };
    RequestUrl::new(uri, &HeaderMap::new(), spelling).ok().map(|url| url.text)
}

fn push_lower(out: &mut String, text: &str) {
    let start = out.len();
    out.push_str(text);
    out[start..].make_ascii_lowercase();
}

fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    // An IPv6 literal contains colons, but they are inside its brackets.
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    if port.ends_with(']') {
        return host;
    }
    if port.is_empty() || Some(port) == default_port(scheme) { name } else { host }
}

pub(super) fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some("80"),
        _ if scheme.eq_ignore_ascii_case("https") => Some("443"),
        _ => None,
    }
}

/// Applies RFC 3986 §6.2.2.2, then §5.2.4: encoded dots are decoded before dot segments are
/// removed.
fn push_path(out: &mut String, path: &str, spelling: Spelling<'_>) {
    let start = out.len();
    if !path.starts_with('/') {
        out.push('/');
    }
    if spelling.as_sent {
        out.push_str(path);
        return;
    }
    push_normal(out, path);
    if !out[start..].contains("/.") {
        return;
    }
    let normal = out.split_off(start);
    push_without_dots(out, &normal);
}

/// Appends a path without its dot segments (RFC 3986 §5.2.4).
pub(crate) fn push_without_dots(out: &mut String, path: &str) {
    let start = out.len();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => out.push('/'),
            "." => {}
            ".." => {
                let parent = out[start..].rfind('/').map_or(start, |slash| start + slash);
                out.truncate(parent);
                if last {
                    out.push('/');
                }
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
}

/// The ignored parameters of a query.
#[derive(Default)]
struct Ignored {
    count: usize,
    /// Those that have a `;`.
    divided: String,
}

/// Appends the query without its ignored parameters, and returns these.
fn push_query(out: &mut String, query: &str, spelling: Spelling<'_>) -> Ignored {
    let Spelling { keep, sort, as_sent } = spelling;
    let push = if as_sent { String::push_str } else { push_normal };
    let mut ignored = Ignored::default();
    if keep.is_none() && !sort {
        out.push('?');
        push(out, query);
        return ignored;
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&') {
        let mut normal = String::with_capacity(pair.len());
        push(&mut normal, pair);
        let name = decode_parameter(normal.split('=').next().unwrap_or_default());
        if keep.is_none_or(|keep| keep(&name)) {
            pairs.push((name, normal));
            continue;
        }
        ignored.count += 1;
        if normal.contains(';') {
            ignored.divided.push('&');
            ignored.divided.push_str(&normal);
        }
    }
    if sort && !query.contains(';') && pairs.iter().all(|(name, _)| is_well_formed(name)) {
        // Parameters of one nested object keep their order: `a[][x]=1&a[][y]=2&a[][x]=3` has two.
        pairs = sorted(pairs, |name| name.split('[').next().unwrap_or_default().to_lowercase());
    }
    for (position, (_, pair)) in pairs.iter().enumerate() {
        out.push(if position == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    ignored
}

/// Whether every server reads the whole name as one. PHP ends it at a NUL, and reads `a[b` as
/// `a_b`.
fn is_well_formed(name: &str) -> bool {
    !name.contains('\0') && (!name.contains('[') || name.contains(']'))
}

/// Splits a URL into its path, with everything before it, and its query.
pub(crate) fn split_query(url: &str) -> (&str, Option<&str>) {
    url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn normal(uri: &str) -> String {
        RequestUrl::new(&uri.parse().unwrap(), &HeaderMap::new(), Spelling::default()).unwrap().text
    }

    #[test]
    fn equal_spellings_become_one() {
        for (given, expected) in [
            ("http://a", "http://a/"),
            ("HTTP://A:80/", "http://a/"),
            ("https://a:443/x", "https://a/x"),
            ("https://a:80/x", "https://a:80/x"),
            ("http://[::1]:80/", "http://[::1]/"),
            ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
            ("http://a/%7euser/%2f%3a", "http://a/~user/%2F%3A"),
            ("http://a/b/./c/../d", "http://a/b/d"),
            ("http://a/b/%2e%2e/c", "http://a/c"),
            ("http://a/../../b/..", "http://a/"),
            ("http://a/b/.", "http://a/b/"),
            ("http://a/.b/..c", "http://a/.b/..c"),
            ("http://a/b?x=%61&y=%c3%a9", "http://a/b?x=a&y=%C3%A9"),
            ("http://a/b?x=1#fragment", "http://a/b?x=1"),
            ("http://a/100%", "http://a/100%25"),
        ] {
            assert_eq!(normal(given), expected, "{given}");
        }
    }

    #[test]
    fn urls_that_origins_distinguish_stay_distinct() {
        let urls = [
            "http://a/b",
            "http://a/b/",
            "http://a/B",
            "http://a/b?",
            "http://a/b?x",
            "http://a/b?x=",
            "http://a/b?x=1",
            "http://a/b?x=1&x=1",
            "http://a/b?x=1&x=2",
            "http://a/b?x=2&x=1",
            "http://a/b?x=1%262",
            "http://a/b?x=1&2",
            "https://a/b",
            "http://a:8080/b",
            "http://a//b",
            "http://a/%2Fb",
        ];
        for (position, one) in urls.iter().enumerate() {
            for other in &urls[..position] {
                assert_ne!(normal(one), normal(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn as_sent_urls_keep_the_path_and_normalise_the_host() {
        let spelling = Spelling { as_sent: true, ..Spelling::default() };
        for (given, expected) in [
            ("HTTP://A:80/b/../%7e?%61", "http://a/b/../%7e?%61"),
            ("http://a", "http://a/"),
            ("http://a?b", "http://a/?b"),
        ] {
            let url = RequestUrl::new(&given.parse().unwrap(), &HeaderMap::new(), spelling);
            assert_eq!(url.unwrap().text, expected, "{given}");
        }
    }

    #[test]
    fn invalid_targets_are_refused() {
        for target in ["*", "example.com", "example.com:80"] {
            let url =
                RequestUrl::new(&target.parse().unwrap(), &HeaderMap::new(), Spelling::default());
            assert_eq!(url.unwrap_err(), InvalidTarget, "{target}");
        }
    }

    #[test]
    fn an_origin_form_target_takes_its_authority_from_host() {
        let with = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            RequestUrl::new(&Uri::from_static("/x?y"), &headers, Spelling::default())
                .map(|url| url.text)
        };
        assert_eq!(with("Example.com:80").as_deref(), Ok("http://example.com/x?y"));
        assert_eq!(with("a/b?c"), Err(InvalidTarget));
        assert_eq!(with("me:pw@a"), Err(InvalidTarget));
        assert_eq!(normal("/x"), "http:///x");

        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("a"));
        two.append(HOST, HeaderValue::from_static("b"));
        assert!(RequestUrl::new(&Uri::from_static("/"), &two, Spelling::default()).is_err());
    }

    #[test]
    fn a_host_field_that_differs_from_the_uri_is_recorded() {
        let other = |uri: &str, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            RequestUrl::new(&uri.parse().unwrap(), &headers, Spelling::default())
                .map(|url| url.other_host)
        };
        assert_eq!(other("http://a/", "A:80"), Ok(None));
        assert_eq!(other("http://a:81/", "a:81"), Ok(None));
        assert_eq!(other("http://10.0.0.1/", "B"), Ok(Some("b".into())));
        assert_eq!(other("http://a/", "a:81"), Ok(Some("a:81".into())));
        assert_eq!(other("http://a/", "b c"), Err(InvalidTarget));
        assert_eq!(other("/", "b"), Ok(None));
    }

    #[test]
    fn the_sent_host_is_recorded_if_spellings_matter() {
        let of = |uri: &str, host: &'static str, as_sent| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let spelling = Spelling { as_sent, ..Spelling::default() };
            let url = RequestUrl::new(&uri.parse().unwrap(), &headers, spelling).unwrap();
            assert!(url.text.starts_with("http://a/"), "the text has one spelling: {}", url.text);
            (url.sent_host, url.other_host)
        };
        let some = |text: &str| Some(text.to_owned());
        for host in ["A", "a:80", "a:", "A:80"] {
            assert_eq!(of("/", host, true), (some(host), None));
            assert_eq!(of("/", host, false), (None, None));
            assert_eq!(of("http://a/", host, true), (None, some(host)));
        }
        assert_eq!(of("/", "a", true), (None, None));
        assert_eq!(of("http://A:80/", "A:80", true), (some("A:80"), None));
    }

    #[test]
    fn credentials_in_the_url_are_separated() {
        let uri = "http://me:secret@a/x".parse().unwrap();
        let url = RequestUrl::new(&uri, &HeaderMap::new(), Spelling::default()).unwrap();
        assert_eq!(url.text, "http://a/x");
        assert_eq!(url.userinfo.as_deref(), Some("me:secret"));
    }

    #[test]
    fn ignored_parameters_are_matched_decoded_and_sorting_is_stable() {
        let keep = &|name: &str| name != "token";
        let uri: Uri = "http://a/?b=2&to%6ben=s&a=2&%74oken&a=1&token=".parse().unwrap();
        let url = |sort, as_sent| {
            let spelling = Spelling { keep: Some(keep), sort, as_sent };
            RequestUrl::new(&uri, &HeaderMap::new(), spelling).unwrap().text
        };
        assert_eq!(url(false, false), "http://a/?b=2&a=2&a=1");
        assert_eq!(url(true, false), "http://a/?a=2&a=1&b=2");
        assert_eq!(url(true, true), "http://a/?a=2&a=1&b=2");
        let none_left: Uri = "http://a/?token=1".parse().unwrap();
        let spelling = Spelling { keep: Some(keep), ..Spelling::default() };
        let url = RequestUrl::new(&none_left, &HeaderMap::new(), spelling).unwrap();
        assert_eq!(url.text, "http://a/");
    }

    #[test]
    fn an_ignored_parameter_with_a_semicolon_counts_and_is_not_in_the_text() {
        let keep = &|name: &str| name != "token";
        for (query, text, divided) in [
            ("q=tea&token=x;q=evil", "http://a/?q=tea", Some("&token=x;q=evil")),
            ("token=1;q&token=2;r", "http://a/", Some("&token=1;q&token=2;r")),
            ("q=tea&token=x%3Bq=evil", "http://a/?q=tea", None),
            ("q=tea;x&token=x", "http://a/?q=tea;x", None),
        ] {
            for sort in [false, true] {
                let spelling = Spelling { keep: Some(keep), sort, ..Spelling::default() };
                let uri = format!("http://a/?{query}").parse().unwrap();
                let url = RequestUrl::new(&uri, &HeaderMap::new(), spelling).unwrap();
                assert_eq!((&*url.text, url.divided.as_deref()), (text, divided), "{query}");
            }
        }
    }

    #[test]
    fn a_query_with_many_ignored_parameters_counts_as_it_was_sent() {
        let keep = &|name: &str| !name.starts_with("utm_");
        let url = |count: usize, rest: &str| {
            let uri = format!("http://a/?{}{rest}", "utm_%61=1&".repeat(count)).parse().unwrap();
            let spelling = Spelling { keep: Some(keep), sort: true, ..Spelling::default() };
            RequestUrl::new(&uri, &HeaderMap::new(), spelling).unwrap()
        };
        for count in [0, 1, MAX_IGNORED] {
            let few = url(count, "q=tea");
            assert_eq!((&*few.text, few.crowded), ("http://a/?q=tea", None));
        }
        let many = url(MAX_IGNORED, "q=tea&utm_b=2");
        let sent = "utm_%61=1&".repeat(MAX_IGNORED) + "q=tea&utm_b=2";
        assert_eq!((&*many.text, many.crowded), ("http://a/?q=tea", Some(sent)));
        let kept = "a=1&".repeat(100);
        assert_eq!(url(0, &kept).crowded, None);
    }

    #[test]
    fn sorting_keeps_the_order_of_what_a_server_may_read_into_one_value() {
        let spelling = Spelling { sort: true, ..Spelling::default() };
        for (given, expected) in [
            (
                "b=1&a[][y]=2&a[][x]=3&a[][y]=4",
                "a%5B%5D%5By%5D=2&a%5B%5D%5Bx%5D=3&a%5B%5D%5By%5D=4&b=1",
            ),
            ("b=1&B=2&b=3&a=4", "a=4&b=1&B=2&b=3"),
            ("b=1;a=2&a=3", "b=1;a=2&a=3"),
            // PHP reads `a.b` and `a b` as `a_b`, and others read `a.b` as `a[b]`.
            ("c=0&a.b=1&a_b=2", "a.b=1&a_b=2&c=0"),
            ("c=0&a_b=2&a.b=1", "a_b=2&a.b=1&c=0"),
            ("a_b=2&a+b=1", "a_b=2&a+b=1"),
            ("c=0&a.b=1&a[b]=2", "a.b=1&a%5Bb%5D=2&c=0"),
            ("a[b]=2&a.b=1", "a%5Bb%5D=2&a.b=1"),
            ("a=2&+a=1", "a=2&+a=1"),
            // In PHP, the names are `a_b` and `a`.
            ("a_b=2&a[b=1", "a_b=2&a%5Bb=1"),
            ("b=1&a=2&a%00x=1", "b=1&a=2&a%00x=1"),
        ] {
            let uri = format!("http://a/?{}", given.replace('[', "%5B").replace(']', "%5d"));
            let url = RequestUrl::new(&uri.parse().unwrap(), &HeaderMap::new(), spelling);
            assert_eq!(url.unwrap().text, format!("http://a/?{expected}"), "{given}");
        }
    }

    #[test]
    fn sorting_leaves_empty_parameters() {
        let spelling = Spelling { sort: true, ..Spelling::default() };
        for (given, expected) in [
            ("http://a/?b&a", "http://a/?a&b"),
            ("http://a/?b&a&", "http://a/?&a&b"),
            ("http://a/?", "http://a/?"),
            ("http://a/", "http://a/"),
        ] {
            let url = RequestUrl::new(&given.parse().unwrap(), &HeaderMap::new(), spelling);
            assert_eq!(url.unwrap().text, expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[a-zA-Z0-9./%?&=~é+-]{0,40}") {
            if let Ok(uri) = format!("http://a{path}").parse::<Uri>() {
                let once = RequestUrl::new(&uri, &HeaderMap::new(), Spelling::default()).unwrap().text;
                prop_assert_eq!(normal(&once), once.clone());
            }
        }
    }
}
