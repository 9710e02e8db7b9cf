//! Properties of every response, whatever its fields: no reading is fresher than the safe one.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use proptest::{prelude::*, sample::select};

use super::{
    age::{current_age, initial_age},
    head_update::head_says,
    invalidate::named_urls,
    request_directives::{RequestDirectives, request_directives},
    satisfies::satisfies,
    stale::stale_rules,
    storable::{self, Settings},
    targeted::effective_directives,
};
use crate::{
    entry::{Head, ResponseHead},
    fields::{age_value, response_directives},
    policy::{Scope, Storable},
    status::Refusal,
    time::Timestamp,
};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

const DIRECTIVES: [&str; 22] = [
    "max-age=60",
    "max-age=3600",
    "max-age=0",
    "max-age=\"60\"",
    "max-age=x",
    "MAX-AGE = 5",
    "s-maxage=60",
    "s-maxage=5",
    "no-store",
    "no-cache",
    "no-cache=\"a\"",
    "private",
    "private=\"set-cookie, a\"",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "stale-if-error=60",
    "stale-while-revalidate=60",
    "x=\"no-store, max-age=9\"",
    "x=\"y",
    "a; b c",
];

const FIELDS: [(&str, &str); 11] = [
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
    ("date", "never"),
    ("expires", "Sun, 06 Nov 1994 08:59:37 GMT"),
    ("expires", "0"),
    ("age", "10"),
    ("age", "x"),
    ("etag", "\"a\""),
    ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"),
    ("set-cookie", "a=1"),
    ("a", "1"),
];

fn directives() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(DIRECTIVES.to_vec()), 0..6)
}

fn fields() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec(select(FIELDS.to_vec()), 0..5).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    select(vec![Scope::Private, Scope::Shared])
}

fn status() -> impl Strategy<Value = u16> {
    select(vec![200_u16, 404, 403, 503, 599])
}

/// Arbitrary bytes, with many that have a meaning in the grammar.
fn bytes() -> impl Strategy<Value = HeaderValue> {
    let word = prop_oneof![
        select(DIRECTIVES.to_vec()).prop_map(|it| it.as_bytes().to_vec()),
        select(FIELDS.to_vec()).prop_map(|(_, value)| value.as_bytes().to_vec()),
        prop::collection::vec(select(b"\",;= \\\t-0*(?".to_vec()), 0..4),
        prop::collection::vec(prop_oneof![32..127_u8, 128..=255_u8], 0..8),
    ];
    prop::collection::vec(word, 0..6)
        .prop_map(|words| HeaderValue::from_bytes(&words.concat()).unwrap())
}

fn with(mut headers: HeaderMap, lines: &[&str]) -> HeaderMap {
    for line in lines {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
    }
    headers
}

fn storable_at(scope: Scope, status: u16, headers: &HeaderMap) -> Result<Storable, Refusal> {
    let request = Request::get("http://a/").body(()).unwrap().into_parts().0;
    let mut response = Response::builder().status(status).body(()).unwrap().into_parts().0;
    response.headers = headers.clone();
    let settings = Settings { targets: &[CDN], ..Settings::plain(scope) };
    let response = ResponseHead::new(response, NOW);
    storable::check_storable(&settings, &RequestDirectives::NONE, &request, &response, NOW, NOW)
        .storable()
}

/// When the response expires. `None` if it is not stored.
fn end(scope: Scope, status: u16, headers: &HeaderMap) -> Option<Timestamp> {
    storable_at(scope, status, headers).ok().map(|storable| storable.expires_at.unwrap())
}

proptest! {
    #[test]
    fn restrictions_never_lengthen_freshness(
        scope in scope(),
        status in status(),
        fields in fields(),
        mut lines in directives(),
        more in select(vec![
            "no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate", "No-Store=1",
            "no-cache; x", "\"private\"", "private=a", "no-cache=\"a",
        ]),
        at in any::<prop::sample::Index>(),
    ) {
        let before = with(fields.clone(), &lines);
        lines.insert(at.index(lines.len() + 1), more);
        let after = with(fields, &lines);
        // If the response is stored for its validator, it is stale on arrival.
        let was_stale = end(scope, status, &before).is_none_or(|end| end <= NOW);
        let ends = (end(scope, status, &before), end(scope, status, &after));
        prop_assert!(ends.1 <= ends.0 || (was_stale && ends.1 <= Some(NOW)), "{ends:?}");
        let rules = |headers: &HeaderMap| stale_rules(scope, &response_directives(headers));
        prop_assert!(rules(&after).is_forbidden || !rules(&before).is_forbidden);
    }

    #[test]
    fn a_second_value_never_lengthens_freshness(
        scope in scope(),
        status in status(),
        fields in fields(),
        mut lines in directives(),
        (again, first) in select(vec![
            ("max-age", "max-age=3600"), ("max-age", "max-age=x"), ("max-age", "MAX-AGE = 5"),
            ("s-maxage", "s-maxage=60"), ("stale-if-error", "stale-if-error=60"),
            ("stale-while-revalidate", "stale-while-revalidate=60"),
        ]),
        value in prop_oneof![Just(String::new()), "=[0-9]{1,25}", "=\"?[0-9.x-]{0,4}\"?"],
        places in any::<[prop::sample::Index; 2]>(),
    ) {
        let [place, at] = places;
        lines.insert(place.index(lines.len() + 1), first);
        let before = with(fields.clone(), &lines);
        let line = format!("{again}{value}");
        lines.insert(at.index(lines.len() + 1), &line);
        let after = with(fields, &lines);
        // If the response is stored for its validator, it is stale on arrival.
        let was_stale = end(scope, status, &before).is_none_or(|end| end <= NOW);
        let ends = (end(scope, status, &before), end(scope, status, &after));
        prop_assert!(ends.1 <= ends.0 || (was_stale && ends.1 <= Some(NOW)), "{ends:?}");
        let rules = |headers: &HeaderMap| stale_rules(scope, &response_directives(headers));
        prop_assert!(rules(&after).if_error <= rules(&before).if_error);
        prop_assert!(rules(&after).while_revalidate <= rules(&before).while_revalidate);
    }

    #[test]
    fn the_order_of_lines_does_not_matter(
        scope in scope(),
        status in status(),
        fields in fields(),
        (lines, shuffled) in directives().prop_flat_map(|lines| {
            (Just(lines.clone()), Just(lines).prop_shuffle())
        }),
    ) {
        let (lines, shuffled) = (with(fields.clone(), &lines), with(fields, &shuffled));
        let judged = (storable_at(scope, status, &lines), storable_at(scope, status, &shuffled));
        prop_assert_eq!(judged.0, judged.1);
        let rules = |headers: &HeaderMap| stale_rules(scope, &response_directives(headers));
        prop_assert_eq!(rules(&lines), rules(&shuffled));
    }

    #[test]
    fn joined_lines_mean_the_same_as_separate_ones(
        scope in scope(),
        fields in fields(),
        lines in directives(),
    ) {
        // An open string extends to the end of its line.
        let lines: Vec<&str> = lines.into_iter().filter(|line| *line != "x=\"y").collect();
        let one = with(fields.clone(), &[&lines.join(",")]);
        prop_assert_eq!(storable_at(scope, 200, &one), storable_at(scope, 200, &with(fields, &lines)));
    }

    #[test]
    fn age_never_lengthens_freshness(
        scope in scope(),
        mut fields in fields(),
        lines in directives(),
        age in "[0-9]{1,22}",
    ) {
        fields.remove(header::AGE);
        let before = with(fields, &lines);
        let mut after = before.clone();
        after.append(header::AGE, HeaderValue::from_str(&age).unwrap());
        prop_assert!(end(scope, 200, &after) <= end(scope, 200, &before));
    }

    #[test]
    fn a_second_expires_never_lengthens_freshness(
        scope in scope(),
        mut fields in fields(),
        lines in directives(),
        first in select(vec!["Sun, 06 Nov 1994 08:59:37 GMT", "0"]),
        expires in select(vec!["Sun, 06 Nov 1994 10:49:37 GMT", "0", "Sun, 06 Nov 1994 08:50:37 GMT"]),
    ) {
        fields.append(header::EXPIRES, HeaderValue::from_static(first));
        let before = with(fields, &lines);
        let mut after = before.clone();
        after.append(header::EXPIRES, HeaderValue::from_static(expires));
        prop_assert!(end(scope, 200, &after) <= end(scope, 200, &before));
    }

    #[test]
    fn nothing_panics(
        lines in prop::collection::vec((0..16_usize, bytes()), 0..10),
        scope in scope(),
        status in 100..1000_u16,
        times in any::<[u64; 3]>(),
    ) {
        const NAMES: [HeaderName; 16] = [
            header::CACHE_CONTROL, header::CACHE_CONTROL, CDN, header::EXPIRES, header::DATE,
            header::AGE, header::LAST_MODIFIED, header::ETAG, header::PRAGMA, header::LOCATION,
            header::CONTENT_LOCATION, header::CONTENT_LENGTH, header::ACCEPT_LANGUAGE,
            header::VARY, header::SET_COOKIE, header::AUTHORIZATION,
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(&NAMES[name], value);
        }
        let [requested_at, received_at, now] = times.map(Timestamp::from_millis);
        let mut request = Request::get("http://a/b").body(()).unwrap().into_parts().0;
        request.headers = headers.clone();
        let mut response = Response::builder().status(status).body(()).unwrap().into_parts().0;
        response.headers = headers.clone();
        let settings = Settings { targets: &[CDN], ..Settings::plain(scope) };
        let received = ResponseHead::new(response.clone(), received_at);
        let asked = request_directives(&headers);
        let judged =
            storable::check_storable(&settings, &asked, &request, &received, requested_at, received_at);
        let storable = judged.storable();
        let expires_at = storable.ok().and_then(|storable| storable.expires_at);
        let head = Head::new(request.method.clone(), "http://a/b", response.clone(), received_at)
            .with_requested_at(requested_at)
            .with_expires_at(expires_at);
        let (directives, _) = effective_directives(&[CDN], head.fields());
        let _ = satisfies(&asked, &stale_rules(scope, &directives), &head, now);
        let _ = (current_age(&head, now), head_says(&head, &response), age_value(&headers));
        for url in named_urls(&request.uri, &headers) {
            prop_assert_eq!(url.host(), Some("a"));
        }
    }

    #[test]
    fn the_age_grows_with_the_time(
        fields in fields(),
        resident in 0..1_000_000_u64,
        later in 0..1_000_000_u64,
    ) {
        let mut response = Response::new(()).into_parts().0;
        response.headers = fields.clone();
        let head = Head::new(http::Method::GET, "http://a/", response, NOW);
        let at = |millis| Timestamp::from_millis(NOW.as_millis() + millis);
        let (young, old) = (current_age(&head, at(resident)), current_age(&head, at(resident + later)));
        prop_assert_eq!((old - young).as_millis(), u128::from(later));
        prop_assert!(young >= initial_age(head.fields().facts(), NOW, NOW));
    }
}

#[test]
fn long_hostile_lines_are_read_and_refused() {
    for piece in
        ["a,", "\"", "a=\"", ",", " ,", "\\", ";", "private=a,", "no-cache=\"a\",", "a=(\"\")"]
    {
        let line = HeaderValue::from_str(&piece.repeat(200_000 / piece.len())).unwrap();
        let of = |name: HeaderName| HeaderMap::from_iter([(name, line.clone())]);
        for name in [header::CACHE_CONTROL, CDN, header::AGE, header::DATE, header::LAST_MODIFIED] {
            assert!(storable_at(Scope::Shared, 403, &of(name)).is_err(), "{piece}");
        }
        assert_eq!(end(Scope::Shared, 200, &of(header::EXPIRES)), Some(NOW), "{piece}");
        assert!(!request_directives(&of(header::CACHE_CONTROL)).no_store, "{piece}");
        let url = http::Uri::from_static("http://a/");
        assert!(named_urls(&url, &of(header::LOCATION)).is_empty(), "{piece}");
    }
}
