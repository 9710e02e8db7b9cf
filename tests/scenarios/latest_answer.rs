//! The latest answer of the origin ends the stored response that it supersedes.

use std::time::Duration;

use larder::{CacheLayer, StaleLimit, store::AnyStore};

use super::{Scenario, Under, play};
use crate::run::plain;

fn stale_if_error(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.stale_if_error(StaleLimit::Unlimited)
}

fn while_revalidate(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.stale_while_revalidate(Duration::from_secs(3600))
}

fn key_without_credentials(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.store_credentialed(true).key_with(|request, _body| request.uri.to_string())
}

fn no_large_bodies(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.max_body(5).stale_if_error(StaleLimit::Unlimited)
}

/// A 304 concerns the stored response for any client (RFC 9111 §4.3.4).
const BY_A_304: &[Scenario] = &[
    Scenario {
        name: "a 304 that says private, in a shared cache",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> sees {if-none-match: "e"} 304 {cache-control: private} {etag: "e"} => 200 old : revalidated, private
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that says private, to a private cache",
        under: &[Under::PrivateHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> 304 {cache-control: private, max-age=60} {etag: "e"} => 200 old : revalidated, stored
            GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "a 304 that says no-store",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> 304 {cache-control: no-store} {etag: "e"} => 200 old : revalidated, no-store-directive
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that says no-store is ignored by time alone",
        under: Under::FIXED,
        set: plain,
        script: r#"
            GET / -> 200 {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: no-store} {etag: "e"} => 200 old : revalidated, stored
            GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "a 304 that says no-store in a targeted field",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> 304 {cdn-cache-control: no-store} {etag: "e"} => 200 old : revalidated
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that says Vary: *",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: max-age=60} {vary: *} {etag: "e"} => 200 old : revalidated, vary
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 with a malformed Vary",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: max-age=60} {vary: a b} {etag: "e"} => 200 old : revalidated, vary
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that adds a Vary",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: max-age=60} {vary: accept} {etag: "e"} => 200 old : revalidated, vary
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} {vary: accept} {etag: "e"} new => 200 new : miss, stored
            GET / -> - => 200 new : hit
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie, by time alone",
        under: &[Under::SharedFixed],
        set: plain,
        script: r#"
            GET / -> 200 {etag: "e"} all => 200 all : miss, stored
            +60 GET / -> 304 {set-cookie: sid=2} {etag: "e"} => 200 {set-cookie: sid=2} all : revalidated, set-cookie
            GET / -> sees {if-none-match: "e"} 304 {etag: "e"} => 200 {set-cookie: none} all : revalidated, stored
            GET / -> - => 200 {set-cookie: none} all : hit
        "#,
    },
    Scenario {
        name: "a 304 that forbids storing ends stale use by max-stale too",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +70 GET / {cache-control: max-stale=20} -> - => 200 old : stale (max-stale)
            GET / {cache-control: max-stale=5} -> 304 {cache-control: private} {etag: "e"} => 200 old : revalidated, private
            GET / {cache-control: max-stale=20} -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that forbids storing ends stale use too",
        under: &[Under::SharedHttp],
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: private} {etag: "e"} => 200 old : revalidated, private
            GET / -> error => error
        "#,
    },
    Scenario {
        name: "a 304 to a refresh in the background",
        under: &[Under::SharedHttp],
        set: while_revalidate,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {cache-control: private} {etag: "e"} => 200 old : stale
            settle
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 to a HEAD",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            HEAD / {cache-control: no-cache} -> sees {if-none-match: "e"} 304 {cache-control: private} {etag: "e"} => 200 : revalidated, private
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that no longer allows sharing an answer to Authorization",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / {authorization: alice} -> 200 {cache-control: public, max-age=60} {etag: "e"} alice => 200 alice : miss, stored
            +60 GET / {authorization: alice} -> 304 {cache-control: max-age=60} {etag: "e"} => 200 alice : revalidated, authorization
            GET / {authorization: bob} -> 200 {cache-control: max-age=60} bob => 200 bob : miss
            GET / -> 200 {cache-control: max-age=60} all => 200 all : miss
        "#,
    },
    Scenario {
        name: "a 304 to a user does not end what is stored for all",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET / {authorization: alice} {cache-control: no-cache} -> 304 {cache-control: max-age=60} {etag: "e"} => 200 all : revalidated
            GET / -> - => 200 all : hit
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie does not store it",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET / {cache-control: no-cache} {cookie: sid=1} -> 304 {set-cookie: sid=2} {etag: "e"} => 200 {set-cookie: sid=2} all : revalidated
            GET / -> - => 200 {set-cookie: none} all : hit
        "#,
    },
];

/// A full answer that may not be stored ends the response that it supersedes.
const BY_A_FULL_ANSWER: &[Scenario] = &[
    Scenario {
        name: "an answer that says no-store",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> 200 {cache-control: no-store} new => 200 new : miss, no-store-directive
            GET / -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer that says private, no-cache, nothing of freshness, or sets a cookie",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /a {cache-control: no-cache} -> 200 {cache-control: private} new => 200 new : miss, private
            GET /a -> 200 newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +1 GET /b {cache-control: max-age=0} -> 200 {cache-control: no-cache} new => 200 new : miss, no-cache
            GET /b -> 200 newer => 200 newer : miss
            GET /c -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /c {cache-control: no-cache} -> 200 new => 200 new : miss, no-freshness
            GET /c -> 200 newer => 200 newer : miss
            GET /d -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /d {cache-control: no-cache} -> 200 {set-cookie: a=1} {cache-control: max-age=60} new => 200 new : miss, set-cookie
            GET /d -> 200 newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer with must-understand and a status that is unknown",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / {cache-control: no-cache} -> 299 {cache-control: max-age=60, must-understand} new => 299 new : miss, must-understand
            GET / -> 200 {cache-control: no-store, must-understand, max-age=60} newer => 200 newer : miss, stored
            GET / -> - => 200 newer : hit
        "#,
    },
    Scenario {
        name: "an answer to a request with the option refresh or force_refresh",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /a !refresh -> sees {if-none-match: "e"} 200 {cache-control: no-store} new => 200 new : miss, no-store-directive
            GET /a -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /b !force-refresh -> sees no if-none-match 200 {cache-control: no-store} new => 200 new : miss, no-store-directive
            GET /b -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer that is not stored because the request asks for that",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / !refresh !no-store -> 200 {cache-control: max-age=60} new => 200 new : miss, no-store
            GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "an answer that forbids storing, to a request that does so too",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / {cache-control: no-cache, no-store} -> 200 {cache-control: no-store} new => 200 new : miss, no-store-directive
            GET / -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "a 404 ends the stored part after a failure that was refused and ended nothing",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / {range: bytes=0-1} -> 206 {cache-control: max-age=60} {etag: "a"} {content-range: bytes 0-1/4} ab => 206 ab : bypass, stored
            GET / -> 503 {cache-control: no-store} down => 503 down : miss
            GET / {range: bytes=0-1} -> - => 206 ab : hit
            GET / -> 404 {cache-control: no-store} no => 404 no : miss
            GET / {range: bytes=0-1} -> 404 {cache-control: no-store} no => 404 no : bypass
        "#,
    },
    Scenario {
        name: "a 404 ends the stored answer to a HEAD and the stored part",
        under: Under::HTTP,
        set: plain,
        script: r#"
            HEAD / -> 200 {cache-control: max-age=60} {etag: "a"} => 200 : miss, stored
            GET / {range: bytes=0-1} -> 206 {cache-control: max-age=60} {etag: "a"} {content-range: bytes 0-1/4} ab => 206 ab : bypass, stored
            HEAD / -> - => 200 : hit
            GET / {range: bytes=0-1} -> - => 206 ab : hit
            GET / -> 404 {cache-control: no-store} no => 404 no : miss
            HEAD / -> 404 {cache-control: no-store} => 404 : miss
            GET / {range: bytes=0-1} -> 404 {cache-control: no-store} no => 404 no : bypass
        "#,
    },
    Scenario {
        name: "an answer that varies by everything",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET / -> 200 {cache-control: max-age=60} {vary: *} new => 200 new : miss, vary
            GET / -> error => error
        "#,
    },
    Scenario {
        name: "a redirect, a 401, 403, 404, 410 or 451",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET /301 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /301 -> 301 {location: /b} {cache-control: no-store} => 301 : miss
            GET /301 -> error => error
            GET /302 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /302 -> 302 {location: /b} => 302 : miss
            GET /302 -> error => error
            GET /401 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /401 -> 401 {cache-control: no-store} no => 401 no : miss
            GET /401 -> error => error
            GET /403 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /403 -> 403 no => 403 no : miss
            GET /403 -> error => error
            GET /404 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /404 -> 404 {cache-control: no-store} no => 404 no : miss
            GET /404 -> error => error
            GET /410 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /410 -> 410 {cache-control: no-store} no => 410 no : miss
            GET /410 -> error => error
            GET /451 -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /451 -> 451 {cache-control: no-store} no => 451 no : miss
            GET /451 -> error => error
        "#,
    },
    Scenario {
        name: "answers that leave the stored response for stale use",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET / -> 400 {cache-control: no-store} no => 400 no : miss
            GET / -> error => 200 old : stale
            GET / -> 408 {cache-control: no-store} no => 408 no : miss
            GET / -> error => 200 old : stale
            GET / -> 425 {cache-control: no-store} no => 425 no : miss
            GET / -> error => 200 old : stale
            GET / -> 429 {cache-control: no-store} no => 429 no : miss
            GET / -> error => 200 old : stale
            GET / -> 501 {cache-control: no-store} no => 501 no : miss
            GET / -> 503 {cache-control: no-store} no => 200 old : stale
            GET / -> error => 200 old : stale
        "#,
    },
    Scenario {
        name: "a refusal that is the user's own leaves the stored response",
        under: Under::ALL,
        set: no_large_bodies,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET / -> 200 {cache-control: max-age=60} larger => 200 larger : miss, too-large
            GET / -> error => 200 old : stale
        "#,
    },
    Scenario {
        name: "a refresh in the background that may not be stored",
        under: &[Under::SharedHttp],
        set: while_revalidate,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /a -> 200 {cache-control: private} new => 200 old : stale
            settle
            GET /a -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET /b -> 403 no => 200 old : stale
            settle
            GET /b -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer to bad credentials, in a shared cache",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET / {authorization: wrong} {cache-control: no-cache} -> 401 {cache-control: no-store} no => 401 no : miss
            GET / {authorization: wrong} {cache-control: no-cache} -> 403 no => 403 no : miss
            GET / {authorization: right} {cache-control: no-cache} -> 200 {cache-control: private} mine => 200 mine : miss
            GET / -> - => 200 all : hit
        "#,
    },
    Scenario {
        name: "an answer to bad credentials, in a shared cache whose key is without them",
        under: &[Under::SharedFixed, Under::SharedHttp],
        set: key_without_credentials,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET / !refresh {authorization: wrong} -> 401 no => 401 no : miss
            GET / !refresh {authorization: wrong} -> 404 no => 404 no : miss
            GET / -> - => 200 all : hit
        "#,
    },
    Scenario {
        name: "an answer to a bad cookie, in a shared cache",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET / {cookie: sid=bad} {cache-control: no-cache} -> 401 no => 401 no : miss
            GET / {cookie: sid=bad} {cache-control: no-cache} -> 403 {cache-control: no-store} no => 403 no : miss
            GET / -> - => 200 all : hit
            GET / {cookie: sid=bad} {cache-control: no-cache} -> 404 gone => 404 gone : miss
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
];

/// Effects of a HEAD on the stored response to a GET (RFC 9111 §4.3.5).
const BY_A_HEAD: &[Scenario] = &[
    Scenario {
        name: "a HEAD with no-cache that shows another ETag ends the stored GET",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD / {cache-control: no-cache} -> 200 {etag: "b"} {cache-control: max-age=60} => 200 : miss
            GET / -> 200 {cache-control: max-age=60} {etag: "b"} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a HEAD that gets 404 ends the stored GET",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD / {pragma: no-cache} -> 404 {cache-control: no-store} => 404 : miss
            GET / -> 404 {cache-control: no-store} no => 404 no : miss
        "#,
    },
    Scenario {
        name: "a HEAD that gets 404 ends the stored answer to an earlier HEAD",
        under: Under::HTTP,
        set: plain,
        script: r#"
            HEAD / -> 200 {cache-control: max-age=60} {etag: "a"} => 200 : miss, stored
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} a => 200 a : miss, stored
            HEAD / {cache-control: no-cache} -> 404 {cache-control: no-store} => 404 : miss
            HEAD / -> 200 {etag: "b"} => 200 {etag: "b"} : miss
        "#,
    },
    Scenario {
        name: "a HEAD with nothing to compare says nothing",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {x: old} old => 200 old : miss, stored
            +60 HEAD / -> 200 {cache-control: max-age=60} {x: new} => 200 {x: new} : miss
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a HEAD that says nothing at all leaves the stored GET",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD / !refresh -> 200 => 200 : miss
            GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "a HEAD that forbids storing ends the stored GET",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            HEAD / !refresh -> 200 {cache-control: no-store} => 200 : miss, no-store-directive
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a HEAD that shows another ETag says nothing to time alone, and a 404 does",
        under: Under::FIXED,
        set: plain,
        script: r#"
            GET / -> 200 {etag: "a"} old => 200 old : miss, stored
            HEAD / !refresh -> 200 {etag: "b"} => 200 {etag: "b"} : miss, stored
            GET / -> - => 200 old : hit
            HEAD / !refresh -> 404 => 404 : miss, status
            GET / -> 200 new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a HEAD with the same validator freshens",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            +60 HEAD / -> 200 {cache-control: max-age=60} {etag: "a"} => 200 : miss
            GET / -> - => 200 old : hit
        "#,
    },
];

/// Requests for a part when the whole is stored.
const PARTS: &[Scenario] = &[
    Scenario {
        name: "a part of an expired whole where the origin fails",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} 0123456789 => 200 0123456789 : miss, stored
            +60 GET / -> error => 200 0123456789 : stale
            GET / {range: bytes=2-4} -> error => 206 {content-range: bytes 2-4/10} 234 : stale
            GET / {range: bytes=2-4} -> 503 down => 206 234 : stale
        "#,
    },
    Scenario {
        name: "a part of an expired whole that the origin confirms",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} 0123456789 => 200 0123456789 : miss, stored
            +60 GET / {range: bytes=2-4} -> sees {if-none-match: "a"} 304 {etag: "a"} {cache-control: max-age=60} => 206 {content-range: bytes 2-4/10} 234 : revalidated
            GET / -> - => 200 0123456789 : hit
        "#,
    },
    Scenario {
        name: "an answer to a request for a part that ends the whole",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} 0123456789 => 200 0123456789 : miss, stored
            +60 GET /a {range: bytes=2-4} -> 404 {cache-control: no-store} no => 404 no : bypass
            GET /a -> error => error
            GET /b -> 200 {cache-control: max-age=60} 0123456789 => 200 0123456789 : miss, stored
            +60 GET /b {range: bytes=2-4} -> 200 {cache-control: max-age=60} {vary: *} new => 200 new : bypass
            GET /b -> error => error
            GET /c -> 200 {cache-control: max-age=60} 0123456789 => 200 0123456789 : miss, stored
            +60 GET /c {range: bytes=2-4} -> 429 {cache-control: no-store} no => 429 no : bypass
            GET /c -> error => 200 0123456789 : stale
        "#,
    },
    Scenario {
        name: "a part that says nothing of freshness leaves the whole",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {etag: "a"} 0123456789 => 200 0123456789 : miss, stored
            GET / {range: bytes=2-4} -> 206 {etag: "a"} {content-range: bytes 2-4/10} 234 => 206 234 : bypass
            GET / -> sees {if-none-match: "a"} 304 {etag: "a"} => 200 0123456789 : revalidated
        "#,
    },
    Scenario {
        name: "a 304 to a request for a part that forbids storing",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} 0123456789 => 200 0123456789 : miss, stored
            +60 GET / {range: bytes=2-4} -> 304 {etag: "a"} {cache-control: private} => 206 234 : revalidated, private
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "several parts, an unknown unit and an invalid range beside a fresh whole",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} 0123456789 => 200 0123456789 : miss, stored
            GET / {range: bytes=0-1,3-4} -> - => 200 0123456789 : hit
            GET / {range: lines=0-1} -> - => 200 0123456789 : hit
            GET / {range: bytes=4-2} -> - => 200 0123456789 : hit
            GET / {range: bytes=2-4} -> - => 206 234 : hit
        "#,
    },
];

/// A client's own condition, when the response is not stored.
const OWN_CONDITIONS: &[Scenario] = &[Scenario {
    name: "a client's own condition gets its 304 each time",
    under: Under::HTTP,
    set: plain,
    script: r#"
        GET / -> 200 {cache-control: no-store} {etag: "a"} x => 200 x : miss
        GET / {if-none-match: "a"} -> sees {if-none-match: "a"} 304 {etag: "a"} {cache-control: no-store} => 304 : miss
        GET / {if-none-match: "a"} -> sees {if-none-match: "a"} 304 {etag: "a"} {cache-control: no-store} => 304 : miss
        GET / {if-none-match: "a"} -> sees {if-none-match: "a"} 304 {etag: "a"} {cache-control: no-store} => 304 : miss
    "#,
}];

#[tokio::test]
async fn a_304_that_forbids_storing_or_reuse_ends_the_stored_response() {
    play(BY_A_304).await;
}

#[tokio::test]
async fn a_full_answer_ends_the_response_that_it_supersedes() {
    play(BY_A_FULL_ANSWER).await;
}

#[tokio::test]
async fn a_head_ends_or_freshens_the_stored_get_by_validators_and_length() {
    play(BY_A_HEAD).await;
}

#[tokio::test]
async fn parts_are_served_from_the_stored_whole() {
    play(PARTS).await;
}

#[tokio::test]
async fn a_clients_conditions_reach_the_origin_if_nothing_is_stored() {
    play(OWN_CONDITIONS).await;
}
