//! Stale responses: when they may be served, and when they must not.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::{Stage, becomes_stale, get, stale},
    field::{cc, etag, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "stale-close",
            "does a cache serve stale stored response when server closes the connection?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([becomes_stale(), get().disconnects().cached()]),
        check(
            "stale-503",
            "does a cache serve stale stored response when server sends a `503 Service \
             Unavailable`?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([becomes_stale(), get().status(503).cached().gets_status(200)]),
        optimal(
            "stale-while-revalidate",
            "serves stale stored response with `Cache-Control: stale-while-revalidate`",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            get()
                .answers([cc("max-age=1, stale-while-revalidate=3600"), etag(r#""abc""#)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "stale-while-revalidate-window",
            "must not serve stale stored response after the `stale-while-revalidate` \
             window",
        )
        .depends_on("stale-while-revalidate")
        .plays([
            get()
                .answers([cc("max-age=1, stale-while-revalidate=4"), etag(r#""abc""#)])
                .setup()
                .pauses(),
            get()
                .answers([cc("no-cache").unchecked(), etag(r#""def""#).unchecked()])
                .cached()
                .setup()
                .pauses(),
            get().gets([field("client-request-count", "3")]),
        ]),
        check(
            "stale-sie-close",
            "does a cache serve stale stored response when server sends `Cache-Control: \
             stale-if-error` and subsequently closes the connection?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            get().answers([cc("max-age=2, stale-if-error=60")]).setup().pauses(),
            get().disconnects().cached(),
        ]),
        check(
            "stale-sie-503",
            "does a cache serve stale stored response when server sends `Cache-Control: \
             stale-if-error` and subsequently a `503 Service Unavailable`?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            get().answers([cc("max-age=2, stale-if-error=60")]).setup().pauses(),
            get().status(503).cached().gets_status(200),
        ]),
        required(
            "stale-close-must-revalidate",
            "must not serve stale stored response when prohibited by `Cache-Control: \
             must-revalidate`",
        )
        .depends_on("stale-close")
        .plays([
            get().answers([cc("max-age=2, must-revalidate")]).setup().pauses(),
            get().disconnects().gets_any_status().gets_any_text().lacks(["server-request-count"]),
        ]),
        required(
            "stale-close-proxy-revalidate",
            "shared: must not serve stale stored response when prohibited by \
             `Cache-Control: proxy-revalidate`",
        )
        .depends_on("stale-close")
        .plays([
            get().answers([cc("max-age=2, proxy-revalidate")]).setup().pauses(),
            get().disconnects().gets_any_status().gets_any_text().lacks(["server-request-count"]),
        ]),
        required(
            "stale-close-no-cache",
            "must not serve stale stored response when prohibited by `Cache-Control: \
             no-cache`",
        )
        .depends_on("stale-close")
        .plays([
            get().answers([cc("max-age=2, no-cache")]).setup().pauses(),
            get().disconnects().gets_any_status().gets_any_text().lacks(["server-request-count"]),
        ]),
        required(
            "stale-close-s-maxage=2",
            "shared: must not serve stale stored response when prohibited by \
             `Cache-Control: s-maxage`",
        )
        .depends_on("stale-close")
        .plays([
            get().answers([cc("max-age=2, s-maxage=2")]).setup().pauses(),
            get().disconnects().gets_any_status().gets_any_text().lacks(["server-request-count"]),
        ]),
        check(
            "stale-warning-stored",
            "does a cache generate a `Warning` header when using a response that was \
             stored already stale?",
        )
        .depends_on("stale-close")
        .plays([
            stale(),
            get().disconnects().cached().gets_some("warning").setup_of([Stage::Source]),
        ]),
        check(
            "stale-warning-become",
            "does a cache generate a `Warning` header when using a stored response that \
             became stale?",
        )
        .depends_on("stale-close")
        .plays([
            becomes_stale(),
            get().disconnects().cached().gets_some("warning").setup_of([Stage::Source]),
        ]),
    ];
    Suite { id: "stale", cases }
}
