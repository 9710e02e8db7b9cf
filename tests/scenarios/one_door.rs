//! Which responses are stored, and which requests they answer.

use larder::{CacheLayer, store::AnyStore};

use super::{Scenario, Under, play};
use crate::run::plain;

fn no_cookies_before_the_rules(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.store_set_cookie(false).http_rules()
}

fn cookies(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.store_set_cookie(true)
}

fn no_credentials(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.store_credentialed(false)
}

fn reuse_post(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer.reuse_post_for_get(true)
}

const STORED: &[Scenario] = &[
    Scenario {
        name: "a part, a 304 and an unasked status are not stored",
        under: Under::ALL,
        set: plain,
        script: r#"
            GET /206 -> 206 {cache-control: max-age=60} {content-range: bytes 0-1/4} ab => 206 ab : miss, status
            GET /206 -> 200 {cache-control: max-age=60} abcd => 200 abcd : miss, stored
            GET /304 -> 304 {cache-control: max-age=60} => 304 : miss, status
            GET /304 -> 200 {cache-control: max-age=60} abcd => 200 abcd : miss, stored
        "#,
    },
    Scenario {
        name: "a cookie in a shared cache",
        under: &[Under::SharedFixed, Under::SharedHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: public, max-age=60} {set-cookie: a=1} one => 200 {set-cookie: a=1} one : miss, set-cookie
            GET / -> 200 {cache-control: public, max-age=60} two => 200 {set-cookie: none} two : miss, stored
        "#,
    },
    Scenario {
        name: "a cookie in a shared cache that is set to store it",
        under: &[Under::SharedFixed, Under::SharedHttp],
        set: cookies,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {set-cookie: a=1} one => 200 one : miss, stored
            GET / -> - => 200 {set-cookie: a=1} one : hit
        "#,
    },
    Scenario {
        name: "a private cache that is set to store no cookies, before the HTTP rules are chosen",
        under: &[Under::PrivateFixed],
        set: no_cookies_before_the_rules,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {set-cookie: a=1} one => 200 one : miss, set-cookie
        "#,
    },
    Scenario {
        name: "requests with credentials go past a cache with store_credentialed(false)",
        under: Under::ALL,
        set: no_credentials,
        script: r#"
            GET / {authorization: x} -> 200 {cache-control: public, max-age=60} one => 200 one : bypass (credentials)
            GET / {cookie: a=1} -> 200 {cache-control: public, max-age=60} two => 200 two : bypass (credentials)
            GET / -> 200 {cache-control: max-age=60} three => 200 three : miss, stored
            GET / {cookie: a=1} -> 200 {cache-control: public, max-age=60} four => 200 four : bypass
        "#,
    },
    Scenario {
        name: "a request with a cookie, and a response that says nothing of freshness",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / {cookie: a=1} -> 200 {etag: "a"} mine => 200 mine : miss, cookie
            GET / {cookie: a=1} -> 200 {cache-control: max-age=60} all => 200 all : miss, stored
        "#,
    },
    Scenario {
        name: "a field that Connection names, in a private cache",
        under: &[Under::PrivateFixed, Under::PrivateHttp],
        set: plain,
        script: r#"
            GET / -> 200 {cache-control: max-age=60} {connection: set-cookie, x-hop} {set-cookie: a=1} {x-hop: 1} one => 200 one : miss, stored
            GET / -> - => 200 {set-cookie: none} {x-hop: none} {connection: none} one : hit
        "#,
    },
    Scenario {
        name: "a quoted string over two lines allows nothing",
        under: &[Under::SharedHttp],
        set: plain,
        script: r#"
            GET / {authorization: x} -> 200 {cache-control: max-age=60, x="a} {cache-control: public, y"} one => 200 one : miss, authorization
        "#,
    },
    Scenario {
        name: "a POST whose Content-Location names its URL does not answer a GET by default",
        under: Under::ALL,
        set: plain,
        script: r#"
            POST / -> 200 {cache-control: max-age=60} {content-location: http://a/} posted => 200 posted : bypass, bypassed
            GET / -> 200 {cache-control: max-age=60} got => 200 got : miss, stored
        "#,
    },
    Scenario {
        name: "a POST whose Content-Location names its URL answers a GET with reuse_post_for_get",
        under: Under::HTTP,
        set: reuse_post,
        script: r#"
            POST / -> 200 {cache-control: max-age=60} {content-location: http://a/} posted => 200 posted : bypass, stored
            GET / -> - => 200 posted : hit
        "#,
    },
];

/// Requests with one key send the same request to the origin.
const KEYS: &[Scenario] = &[
    Scenario {
        name: "spellings of the host, in a shared cache",
        under: &[Under::SharedFixed, Under::SharedHttp],
        set: plain,
        script: r#"
            GET / {host: a} -> 200 {cache-control: max-age=60} plain => 200 plain : miss, stored
            GET / {host: a:80} -> sees {host: a:80} 200 {cache-control: max-age=60} port => 200 port : miss, stored
            GET / {host: A} -> sees {host: A} 200 {cache-control: max-age=60} case => 200 case : miss, stored
            GET / {host: a} -> - => 200 plain : hit
            GET / {host: a:80} -> - => 200 port : hit
            purge /
            GET / {host: a} -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET / {host: a:80} -> 200 {cache-control: max-age=60} new => 200 new : miss
            GET / {host: A} -> 200 {cache-control: max-age=60} new => 200 new : miss
        "#,
    },
    Scenario {
        name: "spellings of the host, in a private cache",
        under: &[Under::PrivateFixed, Under::PrivateHttp],
        set: plain,
        script: r#"
            GET / {host: a} -> 200 {cache-control: max-age=60} plain => 200 plain : miss, stored
            GET / {host: A:80} -> - => 200 plain : hit
        "#,
    },
];

#[tokio::test]
async fn refusals_cookies_and_credentials_follow_the_settings() {
    play(STORED).await;
}

#[tokio::test]
async fn requests_with_one_key_are_the_same_request_to_the_origin() {
    play(KEYS).await;
}
