//! `Pragma`, which is obsolete.

use crate::{
    case::{Suite, check},
    exchange::{fresh, get},
    field::{cc, date, field, last_modified},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "pragma-request-no-cache",
            "does a cache use a stored fresh response when request contains `Pragma: \
             no-cache`?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().sends([field("Pragma", "no-cache")]).cached()]),
        check(
            "pragma-request-extension",
            "does a cache reuse a stored fresh response when request contains `Pragma: \
             unrecognised-extension`?",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().sends([field("Pragma", "unrecognised-extension")]).cached()]),
        check(
            "pragma-response-no-cache",
            "does a cache reuse a stored and otherwise fresh response when it contains \
             `Pragma: no-cache`?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), field("Pragma", "no-cache")]).setup(),
            get().cached(),
        ]),
        check(
            "pragma-response-no-cache-heuristic",
            "does a cache reuse a stored and heuristically fresh response when it \
             contains `Pragma: no-cache`?",
        )
        .depends_on("heuristic-200-cached")
        .plays([
            get().answers([date(0), last_modified(-10_000), field("Pragma", "no-cache")]).setup(),
            get().cached(),
        ]),
        check(
            "pragma-response-extension",
            "does a cache use a stored and otherwise fresh response when it contains \
             `Pragma: unrecognised-extension`?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), field("Pragma", "unrecognised-extension")]).setup(),
            get().cached(),
        ]),
    ];
    Suite { id: "pragma", cases }
}
