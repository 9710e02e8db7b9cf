//! Conditions with `If-Modified-Since`, by the client and by the cache.

use crate::{
    case::{Suite, optimal},
    exchange::{Stage, becomes_stale, fresh, get},
    field::{field, last_modified, rfc850},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal(
            "conditional-lm-fresh",
            "responds to `If-Modified-Since` with a `304` when holding a fresh response \
             with a matching `Last-Modified`",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([last_modified(-3000)]),
            get().sends([field("If-Modified-Since", -3000)]).cached().gets_status(304),
        ]),
        optimal(
            "conditional-lm-fresh-earlier",
            "responds to `If-Modified-Since` with a `304` when holding a fresh response \
             with an earlier `Last-Modified`",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([last_modified(-3000)]),
            get().sends([field("If-Modified-Since", -2000)]).cached().gets_status(304),
        ]),
        optimal(
            "conditional-lm-stale",
            "responds to `If-Modified-Since` with a `304` when holding a stale response \
             with a matching `Last-Modified`, after validation",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            becomes_stale().answers([last_modified(-3000)]),
            get().sends([field("If-Modified-Since", -3000)]).lm_validated().gets_status(304),
        ]),
        optimal(
            "conditional-lm-fresh-no-lm",
            "responds to `If-Modified-Since` with a `304` when holding a newer fresh \
             response with no `Last-Modified`",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh(),
            get()
                .sends([field("If-Modified-Since", -3000)])
                .cached()
                .gets_status(304)
                .setup_of([Stage::Source]),
        ]),
        optimal(
            "conditional-lm-fresh-rfc850",
            "responds to `If-Modified-Since` with a `304` when holding a newer fresh \
             response when IMS uses an equivalent rfc850 date",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([last_modified(-3000)]),
            get()
                .sends([rfc850("If-Modified-Since", -3000)])
                .cached()
                .gets_status(304)
                .setup_of([Stage::Source]),
        ]),
    ];
    Suite { id: "conditional-lm", cases }
}
