//! `Cache-Control` in requests. A cache may ignore it.

use crate::{
    case::{Suite, check},
    exchange::{becomes_stale, fresh, get},
    field::{age, cc, date, etag, last_modified},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "ccreq-ma0",
            "does a cache honor request `Cache-Control: max-age=0` when it holds a \
             fresh response?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().sends([cc("max-age=0")]).not_cached()]),
        check(
            "ccreq-ma1",
            "does a cache honour request `Cache-Control: max-age=1` when it holds a \
             fresh response?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().sends([cc("max-age=1")]).not_cached()]),
        check(
            "ccreq-magreaterage",
            "does a cache honour request `Cache-Control: max-age` when it holds a fresh \
             but `Age`d response that is not fresh enough?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh().answers([age("1800")]), get().sends([cc("max-age=600")]).not_cached()]),
        check(
            "ccreq-max-stale",
            "does a cache reuse a stale response when request `Cache-Control: \
             max-stale` allows it?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([becomes_stale(), get().sends([cc("max-stale=1000")]).cached()]),
        check(
            "ccreq-max-stale-age",
            "does a cache reuse a stale `Age`d response when request `Cache-Control: \
             max-stale` allows it?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=1500"), age("2000")]).setup(),
            get().sends([cc("max-stale=1000")]).cached(),
        ]),
        check(
            "ccreq-min-fresh",
            "does a cache honour request `Cache-Control: min-fresh` when the response \
             it holds is not fresh enough?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=1500")]).setup(),
            get().sends([cc("min-fresh=2000")]).not_cached(),
        ]),
        check(
            "ccreq-min-fresh-age",
            "does a cache honour request `Cache-Control: min-fresh` when the `Age`d \
             response it holds is not fresh enough?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=1500"), age("1000")]).setup(),
            get().sends([cc("min-fresh=1000")]).not_cached(),
        ]),
        check(
            "ccreq-no-cache",
            "does a cache honour request `Cache-Control: no-cache` when it holds a \
             fresh response?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600")]).setup(),
            get().sends([cc("no-cache")]).not_cached(),
        ]),
        check(
            "ccreq-no-cache-lm",
            "does a cache honour request `Cache-Control: no-cache` by validating a \
             response with `Last-Modified`?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), last_modified(-10_000), date(0)]).setup(),
            get().sends([cc("no-cache")]).lm_validated(),
        ]),
        check(
            "ccreq-no-cache-etag",
            "does a cache honour request `Cache-Control: no-cache` by validating a \
             response with an `ETag`?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), etag(r#""aiqygowemucksai""#)]).setup(),
            get().sends([cc("no-cache")]).etag_validated(),
        ]),
        check(
            "ccreq-no-store",
            "does a cache honour request `Cache-Control: no-store` when it holds a \
             fresh response?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().sends([cc("no-store")]).not_cached()]),
        check(
            "ccreq-oic",
            "does a cache honour request `Cache-Control: only-if-cached` by generating \
             a `504` response when it does not have a stored response?",
        )
        .plays([get().sends([cc("only-if-cached")]).gets_status(504).gets_any_text()]),
    ];
    Suite { id: "cc-request", cases }
}
