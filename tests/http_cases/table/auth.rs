//! Responses to requests with `Authorization`, in a shared cache.

use crate::{
    case::{Suite, optimal, required},
    exchange::{fresh, get},
    field::{cc, date, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        required(
            "other-authorization",
            "HTTP shared cache must not reuse a response to a request that contained \
             `Authorization`, even with explicit freshness",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh()
                .sends([field("Authorization", "FOO")])
                .origin_receives([field("Authorization", "FOO")]),
            get().not_cached(),
        ]),
        optimal(
            "other-authorization-public",
            "An optimal HTTP shared cache reuses a response to a request that contained \
             `Authorization`, if it has `Cache-Control: public`",
        )
        .depends_on("other-authorization")
        .plays([
            get()
                .sends([field("Authorization", "FOO")])
                .answers([cc("max-age=3600, public"), date(0)])
                .origin_receives([field("Authorization", "FOO")])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "other-authorization-must-revalidate",
            "An optimal HTTP shared cache reuses a response to a request that contained \
             `Authorization`, if it has `Cache-Control: must-revalidate`",
        )
        .depends_on("other-authorization")
        .plays([
            get()
                .sends([field("Authorization", "FOO")])
                .answers([cc("max-age=3600, must-revalidate"), date(0)])
                .origin_receives([field("Authorization", "FOO")])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "other-authorization-smaxage",
            "An optimal HTTP shared cache reuses a response to a request that contained \
             `Authorization`, if it has `Cache-Control: s-maxage`",
        )
        .depends_on("other-authorization")
        .plays([
            get()
                .sends([field("Authorization", "FOO")])
                .answers([cc("s-maxage=3600"), date(0)])
                .origin_receives([field("Authorization", "FOO")])
                .setup()
                .pauses(),
            get().cached(),
        ]),
    ];
    Suite { id: "auth", cases }
}
