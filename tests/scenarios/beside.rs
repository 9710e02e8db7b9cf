//! An answer ends the stored response even if another reason refuses it too, and even if its
//! request has another key: that of a user, a `HEAD`, a part, or a request that bypasses the cache.

use larder::{CacheLayer, StaleLimit, store::AnyStore};

use super::{Scenario, Under, play};
use crate::run::plain;

fn kept_by_a_field(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.store_if(|_, response| response.headers.contains_key("x-keep"))
}

fn small_and_kept_by_a_field(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    kept_by_a_field(layer).max_body(5)
}

fn no_vary_search(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.no_vary_search(true)
}

fn stale_if_error(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.stale_if_error(StaleLimit::Unlimited)
}

const BESIDE: &[Scenario] = &[
    Scenario {
        name: "a 304 to a user that forbids reuse without revalidation",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /a {authorization: alice} {cache-control: no-cache} -> 304 {cache-control: no-cache} {etag: "e"} => 200 all : revalidated
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /b {cookie: a=1} {cache-control: no-cache} -> 304 {cache-control: no-cache} {etag: "e"} => 200 all : revalidated
            GET /b -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /c -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /c {authorization: alice} {cache-control: no-cache} -> 304 {cache-control: max-age=0} {etag: "e"} => 200 all : revalidated
            GET /c -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 to a user that changes the Vary",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /a {authorization: alice} {cache-control: no-cache} -> 304 {vary: *} {etag: "e"} => 200 all : revalidated
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /b {authorization: alice} {cache-control: no-cache} -> 304 {vary: accept} {etag: "e"} => 200 all : revalidated
            GET /b {accept: x} -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie and forbids reuse",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /a {cache-control: no-cache} -> 304 {set-cookie: a=1} {cache-control: no-cache} {etag: "e"} => 200 all : revalidated
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET /b {cache-control: no-cache} -> 304 {set-cookie: a=1} {cache-control: max-age=0} {etag: "e"} => 200 all : revalidated
            GET /b -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie and varies by everything",
        under: &[Under::SharedFixed, Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} all => 200 all : miss, stored
            GET / !refresh -> 304 {set-cookie: a=1} {vary: *} {etag: "e"} => 200 all : revalidated
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that forbids reuse, to a request that forbids storing",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache, no-store} -> 304 {cache-control: no-cache} {etag: "e"} => 200 old : revalidated
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "an answer that the origin and a setting refuse",
        under: Under::HTTP,
        set: kept_by_a_field,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /a {cache-control: no-cache} -> 200 {cache-control: no-store} new => 200 new : miss
            GET /a -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /b {cache-control: no-cache} -> 200 {cache-control: no-store} {content-type: text/event-stream} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /c -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /c {cache-control: no-cache} -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /c -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "an answer with Vary: * that a setting refuses too",
        under: Under::ALL,
        set: small_and_kept_by_a_field,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /a !refresh -> 200 {vary: *} new => 200 new : miss
            GET /a -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /b !refresh -> 200 {cache-control: max-age=60} {x-keep: 1} {vary: *} larger => 200 larger : miss
            GET /b -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /c -> 200 {cache-control: max-age=60} {x-keep: 1} old => 200 old : miss, stored
            GET /c !refresh !no-store -> 200 {cache-control: max-age=60} {x-keep: 1} {vary: *} new => 200 new : miss
            GET /c -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer to a cookie that the origin forbids to store",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET /a {cookie: a=1} {cache-control: no-cache} -> 200 {cache-control: no-cache} mine => 200 mine : miss
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET /b {cookie: a=1} {cache-control: no-cache} -> 200 {set-cookie: a=2} mine => 200 mine : miss
            GET /b -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /c -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
            GET /c {cookie: a=1} {cache-control: no-cache} -> 200 {vary: *} mine => 200 mine : miss
            GET /c -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 404 to a request that bypasses the cache",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            GET /a {if-match: "a"} -> 404 {cache-control: no-store} no => 404 no : bypass
            GET /a -> 404 {cache-control: no-store} no => 404 no : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD /b {range: bytes=0-1} -> 404 {cache-control: no-store} => 404 : bypass
            GET /b -> 404 {cache-control: no-store} no => 404 no : miss
            GET /c -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            GET /c {upgrade: x} -> 200 {cache-control: no-store} new => 200 new : bypass
            GET /c -> 404 {cache-control: no-store} no => 404 no : miss
            GET /d -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            GET /d {if-match: "b"} -> 412 no => 412 no : bypass
            GET /d -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "a 404 for a URL that the response to another URL answers",
        under: Under::HTTP,
        set: no_vary_search,
        script: r#"
            GET /?a=1 -> 200 {cache-control: max-age=60} {no-vary-search: params=("u")} old => 200 old : miss, stored
            GET /?a=1&u=2 -> - => 200 old : hit
            GET /?a=1&u=2 {cache-control: no-cache} -> 404 {cache-control: no-store} no => 404 no : miss
            GET /?a=1&u=2 -> 404 {cache-control: no-store} no => 404 no : miss
        "#,
    },
    Scenario {
        name: "a 404 to one variant, and an answer with another Vary than the stored response",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / {accept: b} -> 200 {cache-control: max-age=60} {vary: accept} b => 200 b : miss, stored
            GET / {accept: a} -> 200 {cache-control: max-age=60} {vary: accept} a => 200 a : miss, stored
            GET / {accept: a} {cache-control: no-cache} -> 404 {vary: accept} {cache-control: no-store} no => 404 no : miss
            GET / {accept: b} -> - => 200 b : hit
            GET / {accept: b} {cache-control: no-cache} -> 404 {cache-control: max-age=10} no => 404 no : miss, stored
            GET / {accept: a} -> - => 404 no : hit
            +20 GET / {accept: b} -> error => error
            GET /plain -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /plain {cache-control: no-cache} -> 301 {cache-control: max-age=60} {vary: accept} => 301 : miss, stored
            GET /plain -> - => 301 : hit
            GET /first {accept: a} -> 200 {cache-control: max-age=60} {vary: accept} a => 200 a : miss, stored
            GET /first {accept: b} -> 200 {cache-control: max-age=60} {vary: accept} b => 200 b : miss, stored
            GET /first {accept: a} {cache-control: no-cache} -> 404 {vary: accept} {cache-control: no-store} no => 404 no : miss
            GET /first {accept: b} -> 200 {cache-control: max-age=60} {vary: accept} new => 200 new : miss, stored
        "#,
    },
    Scenario {
        name: "a HEAD with the same tag that changes the Vary",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD /a {cache-control: no-cache, no-store} -> 200 {cache-control: no-cache} {etag: "a"} => 200 : miss
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD /b {cache-control: no-cache} -> 200 {cache-control: max-age=60} {etag: "a"} {vary: accept} => 200 : miss
            GET /b {accept: x} -> 200 {cache-control: max-age=60} {vary: accept} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a HEAD with the same tag that forbids reuse, to a user",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "a"} old => 200 old : miss, stored
            HEAD / {cookie: a=1} {cache-control: no-cache} -> 200 {cache-control: no-cache} {etag: "a"} => 200 : miss
            GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a response to a HEAD is outdated by a later GET that is stale",
        under: Under::HTTP,
        set: plain,
        script: r#"
            HEAD / -> 200 {cache-control: max-age=600} {etag: "a"} => 200 : miss, stored
            +1 GET / -> 200 {cache-control: max-age=10} {etag: "b"} new => 200 new : miss, stored
            +20 HEAD / -> 200 {cache-control: max-age=10} {etag: "b"} => 200 {etag: "b"} : miss
        "#,
    },
    Scenario {
        name: "a part of another representation than the stored whole",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "a"} aaaa => 200 aaaa : miss, stored
            GET /a {range: bytes=0-1} {cache-control: no-cache} -> 206 {cache-control: max-age=60} {etag: "b"} {content-range: bytes 0-1/4} bb => 206 bb : bypass, stored
            GET /a -> 200 {cache-control: max-age=60} {etag: "b"} bbbb => 200 bbbb : miss
            GET /b -> 200 {cache-control: max-age=60} aaaa => 200 aaaa : miss, stored
            GET /b {range: bytes=0-1} {cache-control: no-cache} -> 206 {cache-control: max-age=60} {content-range: bytes 0-1/5} bb => 206 bb : bypass
            GET /b -> 200 {cache-control: max-age=60} bbbbb => 200 bbbbb : miss
            GET /c -> 200 {cache-control: max-age=60} {etag: "a"} aaaa => 200 aaaa : miss, stored
            GET /c {range: bytes=0-1} {cache-control: no-cache} -> 206 {cache-control: max-age=60} {etag: "a"} {content-range: bytes 0-1/4} aa => 206 aa : bypass
            GET /c -> - => 200 aaaa : hit
        "#,
    },
    Scenario {
        name: "a 404 ends the response to a HEAD although the last GET was not stored either",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 404 {cache-control: no-store} no => 404 no : miss
            HEAD / -> 200 {cache-control: max-age=60} => 200 : miss, stored
            HEAD / -> - => 200 : hit
            GET / -> 404 {cache-control: no-store} no => 404 no : miss
            HEAD / -> 404 {cache-control: no-store} => 404 : miss
        "#,
    },
    Scenario {
        name: "a whole response to a request for a part ends the stale whole",
        under: Under::HTTP,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            +60 GET / {range: bytes=0-1} -> 200 {cache-control: max-age=60} new => 200 new : bypass
            GET / -> error => error
        "#,
    },
];

#[tokio::test]
async fn answer_to_a_request_of_another_kind_ends_the_stored_response() {
    play(BESIDE).await;
}
