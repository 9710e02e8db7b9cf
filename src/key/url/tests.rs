//! Which URLs are one, and what else of them counts.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn normal(uri: &str) -> String {
    RequestUrl::new(&uri.parse().unwrap(), &HeaderMap::new(), Spelling::default())
        .unwrap()
        .text
        .to_string()
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
        assert_eq!(&*url.unwrap().text, expected, "{given}");
    }
}

#[test]
fn invalid_targets_are_refused() {
    for target in ["*", "example.com", "example.com:80"] {
        let url = RequestUrl::new(&target.parse().unwrap(), &HeaderMap::new(), Spelling::default());
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
    assert_eq!(&*url.text, "http://a/x");
    assert_eq!(url.userinfo.as_deref(), Some("me:secret"));
}

#[test]
fn ignored_parameters_are_matched_decoded_and_sorting_is_stable() {
    let keep = &|name: &str| name != "token";
    let uri: Uri = "http://a/?b=2&to%6ben=s&a=2&%74oken&a=1&token=".parse().unwrap();
    let url = |sort, as_sent| {
        let spelling = Spelling { keep: Some(keep), sort, as_sent };
        RequestUrl::new(&uri, &HeaderMap::new(), spelling).unwrap().text.to_string()
    };
    assert_eq!(url(false, false), "http://a/?b=2&a=2&a=1");
    assert_eq!(url(true, false), "http://a/?a=2&a=1&b=2");
    assert_eq!(url(true, true), "http://a/?a=2&a=1&b=2");
    let none_left: Uri = "http://a/?token=1".parse().unwrap();
    let spelling = Spelling { keep: Some(keep), ..Spelling::default() };
    let url = RequestUrl::new(&none_left, &HeaderMap::new(), spelling).unwrap();
    assert_eq!(&*url.text, "http://a/");
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
        assert_eq!((&*few.text, few.sent_query), ("http://a/?q=tea", None));
    }
    let many = url(MAX_IGNORED, "q=tea&utm_b=2");
    let sent = "utm_%61=1&".repeat(MAX_IGNORED) + "q=tea&utm_b=2";
    assert_eq!((&*many.text, many.sent_query), ("http://a/?q=tea", Some(sent)));
    let kept = "a=1&".repeat(100);
    assert_eq!(url(0, &kept).sent_query, None);
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
        assert_eq!(*url.unwrap().text, format!("http://a/?{expected}"), "{given}");
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
        assert_eq!(&*url.unwrap().text, expected, "{given}");
    }
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(path in "/[a-zA-Z0-9./%?&=~é+-]{0,40}") {
        if let Ok(uri) = format!("http://a{path}").parse::<Uri>() {
            let once = RequestUrl::new(&uri, &HeaderMap::new(), Spelling::default()).unwrap().text;
            prop_assert_eq!(normal(&once), &*once);
        }
    }
}
