//! `Age`, `Date`, queries, cookies and attachments.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::{fresh, get},
    field::{age, cc, date, expires, field, last_modified},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        required(
            "other-age-gen",
            "must generate an `Age` header field when using a stored response.",
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), get().cached().gets_more_than("Age", 2)]),
        check(
            "other-age-delay",
            "does a cache insert an `Age` header field when there is delay generating \
             the response?",
        )
        .plays([get().answers([cc("max-age=3600"), date(0)]).delay(5).gets_more_than("age", 0)]),
        required(
            "other-age-update-expires",
            "must update the `Age` header field when freshness is based upon `Expires`",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires(2_592_000), date(0), age("30")]).setup().pauses(),
            get().cached().gets_more_than("Age", 32),
        ]),
        required(
            "other-age-update-max-age",
            "must update the `Age` header field when freshness is based upon `CC: \
             max-age`",
        )
        .depends_on("freshness-max-age")
        .plays([fresh().answers([age("30")]), get().cached().gets_more_than("Age", 32)]),
        required("other-date-update", "must not update the `Date` header field")
            .depends_on("freshness-max-age")
            .plays([fresh(), get().cached().gets([date(0)])]),
        required(
            "other-date-update-expires",
            "must not update the `Date` header field when `Expires` is present",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires(2_592_000), date(0)]).setup().pauses(),
            get().cached().gets([date(0)]),
        ]),
        check(
            "other-date-update-expires-update",
            "does a cache leave the `Expires` header field alone?",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires(2_592_000), date(0)]).setup().pauses(),
            get().cached().gets([expires(2_592_000)]),
        ]),
        required("query-args-different", "Different query arguments must be different cache keys")
            .depends_on("freshness-max-age")
            .plays([
                fresh().query("test=aywusqomkigecay"),
                get().query("test=azyxwvutsrqponm").not_cached(),
            ]),
        optimal("query-args-same", "should not be affected by the presence of a URL query")
            .depends_on("freshness-max-age")
            .plays([
                fresh().query("test=azyxwvutsrqponm"),
                get().query("test=azyxwvutsrqponm").cached(),
            ]),
        check(
            "other-heuristic-content-disposition-attachment",
            "Does HTTP heuristically cache a response with a `Content-Disposition: \
             attachment` header?",
        )
        .depends_on("heuristic-200-cached")
        .plays([
            get()
                .answers([
                    last_modified(-100_000),
                    date(0),
                    field("Content-Disposition", "attachment; filename=example.txt"),
                ])
                .setup(),
            get().cached(),
        ]),
        check(
            "other-fresh-content-disposition-attachment",
            "Does HTTP reuse a fresh response with a `Content-Disposition: attachment` \
             header?",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([field("Content-Disposition", "attachment; filename=example.txt")]),
            get().cached(),
        ]),
        optimal("other-set-cookie", "reuses a fresh response with a `Set-Cookie` header")
            .depends_on("freshness-max-age")
            .plays([fresh().answers([field("Set-Cookie", "a=b")]), get().cached()]),
        optimal("other-cookie", "reuses a fresh response when the request has a `Cookie` header")
            .depends_on("freshness-max-age")
            .plays([fresh(), get().sends([field("Cookie", "a=b")]).cached()]),
    ];
    Suite { id: "other", cases }
}
