//! A refusal by the user, the request or the store keeps the stored response. A refusal by the
//! origin ends it, even if another reason is reported.

use larder::{CacheLayer, Expiration, StaleLimit, store::AnyStore};

use super::{Scenario, Under, play};
use crate::run::plain;

const SHARED: &[Under] = &[Under::SharedFixed, Under::SharedHttp];

/// Responses with `x-no` are not stored.
fn store_if(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer
        .store_if(|_, response| !response.headers.contains_key("x-no"))
        .stale_if_error(StaleLimit::Unlimited)
}

fn no_large_bodies(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.max_body(5).stale_if_error(StaleLimit::Unlimited)
}

/// Responses with `x-many` have more tags than an entry can have.
fn many_tags(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer
        .tag_with(|_, response| {
            let count = if response.headers.contains_key("x-many") { 2000 } else { 0 };
            (0..count).map(|number| format!("tag-{number}")).collect::<Vec<_>>()
        })
        .stale_if_error(StaleLimit::Unlimited)
}

fn stale_if_error(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.stale_if_error(StaleLimit::Unlimited)
}

fn never_expires(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.expire_after(Expiration::Never)
}

/// The reported reason takes precedence over the origin's own.
const HIDDEN: &[Scenario] = &[
    Scenario {
        name: "a 304 to a user that varies by everything",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {authorization: alice} {cache-control: no-cache} -> 304 {vary: *} {etag: "e"} => 200 old : revalidated, authorization
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 to a user that adds a Vary",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {authorization: alice} {cache-control: no-cache} -> 304 {vary: accept} {etag: "e"} => 200 old : revalidated, authorization
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie and varies by everything",
        under: SHARED,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {set-cookie: a=1} {vary: *} {etag: "e"} => 200 old : revalidated, set-cookie
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 that sets a cookie and adds a Vary",
        under: SHARED,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 304 {set-cookie: a=1} {vary: accept} {etag: "e"} => 200 old : revalidated, set-cookie
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a 304 to a request with a cookie that varies by everything",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {etag: "e"} old => 200 old : miss, stored
            GET / {cookie: sid=1} -> 304 {vary: *} {etag: "e"} => 200 old : revalidated, cookie
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "a full answer to a request with a cookie that varies by everything or sets a cookie",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /a {cookie: sid=1} {cache-control: no-cache} -> 200 {etag: "f"} {vary: *} mine => 200 mine : miss, cookie
            GET /a -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET /b {cookie: sid=1} {cache-control: no-cache} -> 200 {etag: "f"} {set-cookie: a=1} mine => 200 mine : miss, cookie
            GET /b -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "an answer that varies by everything, to a request with no-store",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / !refresh !no-store -> 200 {cache-control: max-age=60} {vary: *} new => 200 new : miss, no-store
            GET / -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "a 304 that varies by everything or adds a Vary, to a request with no-store",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /a !refresh !no-store -> 304 {vary: *} {etag: "e"} => 200 old : revalidated, no-store
            GET /a -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /b !refresh !no-store -> 304 {vary: accept} {etag: "e"} => 200 old : revalidated, no-store
            GET /b -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "an answer with Cache-Control: no-store to a request with no-store, by field",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / {cache-control: no-cache, no-store} -> 304 {cache-control: no-store} {etag: "e"} => 200 old : revalidated, no-store-directive
            GET / -> sees no if-none-match 200 {cache-control: max-age=60} new => 200 new : miss
            GET / {cache-control: no-cache, no-store} -> 200 {cache-control: max-age=60} {vary: *} => 200 : miss, no-store
            GET / -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer that the predicate and the origin refuse",
        under: &[Under::SharedHttp],
        set: store_if,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /a !refresh -> 200 {cache-control: no-store} {x-no: 1} new => 200 new : miss, predicate
            GET /a -> error => error
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /b !refresh -> 200 {cache-control: private, max-age=60} {x-no: 1} new => 200 new : miss, predicate
            GET /b -> error => error
            GET /c -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /c !refresh -> 304 {cache-control: no-store} {etag: "e"} {x-no: 1} => 200 old : revalidated, predicate
            GET /c -> error => error
        "#,
    },
    Scenario {
        name: "an answer that the predicate refuses and that varies by everything",
        under: Under::ALL,
        set: store_if,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / !refresh -> 200 {cache-control: max-age=60} {vary: *} {x-no: 1} new => 200 new : miss, predicate
            GET / -> error => error
        "#,
    },
    Scenario {
        name: "an answer with no-store, and an expiration that forbids storing",
        under: Under::HTTP,
        set: plain,
        script: r#"
            GET /a -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /a !refresh !do-not-store -> 200 {cache-control: no-store} new => 200 new : miss, expiration
            GET /a -> 200 {cache-control: max-age=60} newer => 200 newer : miss
            GET /b -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET /b !refresh !do-not-store -> 304 {cache-control: no-store} {etag: "e"} => 200 old : revalidated, expiration
            GET /b -> 200 {cache-control: max-age=60} newer => 200 newer : miss
        "#,
    },
    Scenario {
        name: "an answer that is too large and varies by everything",
        under: Under::ALL,
        set: no_large_bodies,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / !refresh -> 200 {cache-control: max-age=60} {vary: *} larger => 200 larger : miss, too-large
            GET / -> error => error
        "#,
    },
    Scenario {
        name: "an answer with a status that is not stored, and that varies by everything",
        under: Under::FIXED,
        set: stale_if_error,
        script: r#"
            GET / -> 200 old => 200 old : miss, stored
            GET / !refresh -> 203 {vary: *} new => 203 new : miss, status
            GET / -> error => error
        "#,
    },
];

/// Reasons other than the origin's.
const OTHERS: &[Scenario] = &[
    Scenario {
        name: "a predicate leaves the stored response",
        under: Under::ALL,
        set: store_if,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 200 {cache-control: max-age=60} {x-no: 1} new => 200 new : miss, predicate
            GET / -> error => 200 old : stale
            GET / -> 304 {etag: "e"} {x-no: 1} => 200 old : revalidated, predicate
            GET / -> error => 200 old : stale
        "#,
    },
    Scenario {
        name: "an expiration that forbids storing leaves the stored response",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            GET / !refresh !do-not-store -> 200 {cache-control: max-age=60} new => 200 new : miss, expiration
            GET / !refresh !do-not-store -> 200 newer => 200 newer : miss, expiration
            GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "too many tags leave the stored response",
        under: Under::ALL,
        set: many_tags,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            +60 GET / -> 200 {cache-control: max-age=60} {x-many: 1} new => 200 new : miss, tags
            GET / -> error => 200 old : stale
            GET / -> 304 {etag: "e"} {x-many: 1} => 200 old : revalidated, tags
            GET / -> error => 200 old : stale
        "#,
    },
    Scenario {
        name: "a read-only cache leaves the stored response, whatever the origin says",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            GET / !read-only !refresh -> 200 {cache-control: no-store} {vary: *} new => 200 new : miss, read-only
            GET / !read-only !refresh -> 304 {cache-control: no-store} {vary: *} {etag: "e"} => 200 old : revalidated, read-only
            GET / !read-only !refresh -> 404 no => 404 no : miss, read-only
            GET / -> - => 200 old : hit
        "#,
    },
];

/// The clock is set back.
const TIME: &[Scenario] = &[
    Scenario {
        name: "a clock that is set back by more than five minutes ends what has an end",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            -299 GET / -> - => 200 old : hit
            -2 GET / -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET / -> - => 200 new : hit
        "#,
    },
    Scenario {
        name: "a clock that is set back leaves what never expires",
        under: Under::ALL,
        set: never_expires,
        script: r#"
            GET / -> 200 old => 200 old : miss, stored
            -1000000 GET / -> - => 200 old : hit
        "#,
    },
    Scenario {
        name: "an answer that comes after the clock is set back still ends the stored response",
        under: &[Under::SharedHttp],
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {etag: "e"} old => 200 old : miss, stored
            -100 GET / {cache-control: no-cache} -> 304 {cache-control: private} {etag: "e"} => 200 old : revalidated, private
            GET / -> error => error
        "#,
    },
];

#[tokio::test]
async fn refusal_by_the_origin_counts_besides_the_reported_reason() {
    play(HIDDEN).await;
}

#[tokio::test]
async fn refusals_by_others_keep_the_stored_response() {
    play(OTHERS).await;
}

#[cfg(feature = "conformance")]
#[tokio::test]
async fn full_store_keeps_the_stored_response_unless_the_origin_ends_it() {
    play(&[Scenario {
        name: "a full store",
        under: Under::ALL,
        set: stale_if_error,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} old => 200 old : miss, stored
            store full
            +60 GET / -> 200 {cache-control: max-age=60} new => 200 new : miss, store-failed
            GET / -> error => 200 old : stale
            GET / -> 200 {cache-control: max-age=60} {vary: *} new => 200 new : miss, vary
            GET / -> error => error
            store works
            GET / -> 200 {cache-control: max-age=60} newer => 200 newer : miss, stored
        "#,
    }])
    .await;
}

#[tokio::test]
async fn clock_set_back_ends_only_responses_that_expire() {
    play(TIME).await;
}
