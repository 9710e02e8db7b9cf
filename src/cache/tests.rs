//! Counts how often the cache parses the fields that decide, from a layer down to the parsers.

#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tower::service_fn;
use tower_layer::Layer;

use super::CacheLayer;
use crate::{
    CacheStatus, StaleLimit,
    fields::Parsed,
    status::{Miss, Outcome, Refusal, Stale, Stored},
    store::Memory,
    time::{ManualClock, Timestamp},
};

type Lines<'a> = &'a [(&'static str, &'static str)];

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

/// As long as [`FULL`] is fresh.
const MINUTE: Duration = Duration::from_secs(60);

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const NO_STORE: (&str, &str) = ("cache-control", "no-store");
const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
const EXPIRES: (&str, &str) = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
const MODIFIED: (&str, &str) = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
const TAG: (&str, &str) = ("etag", "\"a\"");

/// A response that is fresh for a minute, with every field that is parsed.
const FULL: Lines<'_> = &[FRESH, DATE, EXPIRES, MODIFIED, TAG, ("age", "0")];

fn response(status: u16, lines: Lines<'_>) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in lines {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// A cache in front of an origin whose next answer can be chosen.
struct Tested {
    layer: CacheLayer<Memory>,
    clock: ManualClock,
    answer: Arc<Mutex<http::response::Parts>>,
}

impl Tested {
    fn new(layer: CacheLayer<Memory>) -> Self {
        let clock = ManualClock::new(NOW);
        let layer = layer.clock(clock.clone());
        Self { layer, clock, answer: Arc::new(Mutex::new(response(200, FULL).into_parts().0)) }
    }

    fn answers(&self, status: u16, lines: Lines<'_>) {
        *self.answer.lock().unwrap() = response(status, lines).into_parts().0;
    }

    /// Sends a request and reads the body. Returns what became of it, and what was parsed.
    fn get(&self, lines: Lines<'_>) -> (CacheStatus, Parsed) {
        let mut request = Request::get("http://a/");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = self.answer.clone();
        let origin = service_fn(move |_| {
            let head = answer.lock().unwrap().clone();
            let body = if head.status == 304 { "" } else { "body" };
            let response = Response::from_parts(head, Full::from(body));
            async move { Ok::<_, Infallible>(response) }
        });
        Parsed::take();
        let response = self.layer.layer(origin).request(request).now_or_never().unwrap().unwrap();
        let (parts, body) = response.into_parts();
        body.collect().now_or_never().unwrap().unwrap();
        (parts.extensions.get::<CacheStatus>().unwrap().clone(), Parsed::take())
    }

    /// Sends a request and returns what was parsed. The request must have this outcome.
    fn parsed(&self, outcome: Outcome, lines: Lines<'_>) -> Parsed {
        let (status, parsed) = self.get(lines);
        assert_eq!(status.outcome(), outcome);
        parsed
    }
}

fn http() -> Tested {
    Tested::new(CacheLayer::private(Memory::default()).http_rules())
}

/// The directives of the request, and of so many responses with all fields of [`FULL`].
const fn once_for(responses: u32) -> Parsed {
    Parsed { directives: responses, request_directives: 1, structured: 0, dates: 3 * responses }
}

const ABSENT: Outcome = Outcome::Miss(Miss::Absent);
const EXPIRED: Outcome = Outcome::Miss(Miss::Expired);

#[test]
fn a_miss_parses_its_response_once() {
    let cache = http();
    assert_eq!(cache.parsed(ABSENT, &[]), once_for(1));
    let (status, parsed) = http().get(&[NO_STORE]);
    assert_eq!((status.stored(), parsed), (Stored::No(Refusal::NoStore), once_for(1)));
    // Refused, and judged again for what it ends.
    let cache = http();
    cache.answers(200, &[NO_STORE, DATE, EXPIRES, MODIFIED]);
    assert_eq!(cache.parsed(ABSENT, &[]), once_for(1));
    // It varies, and is the resident of its primary key.
    let cache = http();
    cache.answers(200, &[("vary", "a"), FRESH, DATE, EXPIRES, MODIFIED]);
    assert_eq!(cache.parsed(ABSENT, &[("a", "1")]), once_for(1));
}

#[test]
fn hits_of_one_stored_head_parse_it_once() {
    let cache = http();
    cache.get(&[]);
    assert_eq!(cache.parsed(Outcome::Hit, &[]), once_for(1));
    assert_eq!(cache.parsed(Outcome::Hit, &[]), once_for(0));
    assert_eq!(cache.parsed(Outcome::Hit, &[("cache-control", "max-age=9")]), once_for(0));
    // The date of the request.
    let since = [("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")];
    assert_eq!(cache.parsed(Outcome::Hit, &since), Parsed { dates: 1, ..once_for(0) });
}

#[test]
fn a_revalidation_parses_the_stored_and_the_new_response_once() {
    let cache = http();
    cache.get(&[]);
    cache.clock.advance(MINUTE);
    // Without `Date`, the 304 is as old as its arrival.
    cache.answers(304, &[FRESH, TAG]);
    assert_eq!(cache.parsed(Outcome::Revalidated, &[]), once_for(2));
    // The store has a copy of the new head.
    assert_eq!(cache.parsed(Outcome::Hit, &[]), once_for(1));
    assert_eq!(cache.parsed(Outcome::Hit, &[]), once_for(0));
    // Not stored, and judged again for what it ends.
    cache.clock.advance(MINUTE);
    cache.answers(304, &[NO_STORE, TAG]);
    let (status, parsed) = cache.get(&[]);
    assert_eq!(status.stored(), Stored::No(Refusal::NoStoreDirective));
    assert_eq!(parsed, once_for(1), "the stored head has been parsed");
}

#[test]
fn a_stale_response_and_the_one_that_replaces_it_are_parsed_once() {
    let cache = http();
    cache.get(&[]);
    cache.clock.advance(MINUTE);
    assert_eq!(cache.parsed(EXPIRED, &[]), once_for(2));

    let layer = CacheLayer::private(Memory::default()).http_rules();
    let cache = Tested::new(layer.stale_if_error(StaleLimit::Unlimited));
    cache.get(&[]);
    cache.clock.advance(MINUTE);
    cache.answers(503, FULL);
    assert_eq!(cache.parsed(Outcome::Stale(Stale::IfError), &[]), once_for(1));
    let only_if_cached = [("cache-control", "only-if-cached")];
    let stale = Outcome::Stale(Stale::OnlyIfCached);
    assert_eq!(cache.parsed(stale, &only_if_cached), once_for(0));
}

#[test]
fn an_insertion_parses_its_response_once() {
    let cache = http();
    Parsed::take();
    let response = response(200, FULL).map(|()| Full::<Bytes>::from("body"));
    let entries = cache.layer.entries();
    entries.insert("http://a/", response).now_or_never().unwrap().unwrap();
    assert_eq!(Parsed::take(), once_for(1));
}

#[test]
fn a_verdict_parses_a_targeted_field_once() {
    let cache = Tested::new(CacheLayer::shared(Memory::default()).http_rules());
    cache.answers(200, &[("cdn-cache-control", "max-age=60, stale-if-error=60"), DATE]);
    cache.get(&[]);
    for _ in 0..2 {
        assert_eq!(cache.parsed(Outcome::Hit, &[]).structured, 1);
    }
    cache.clock.advance(MINUTE);
    let only_if_cached = [("cache-control", "only-if-cached")];
    let stale = Outcome::Stale(Stale::OnlyIfCached);
    assert_eq!(cache.parsed(stale, &only_if_cached).structured, 1);
}

#[test]
fn time_alone_parses_nothing() {
    let layer = CacheLayer::private(Memory::default()).expire_after(MINUTE);
    let cache = Tested::new(layer);
    assert_eq!(cache.parsed(ABSENT, &[NO_STORE]), Parsed::default());
    assert_eq!(cache.parsed(Outcome::Hit, &[]), Parsed::default());
    cache.clock.advance(MINUTE);
    cache.answers(304, FULL);
    assert_eq!(cache.parsed(Outcome::Revalidated, &[]), Parsed::default());
}
