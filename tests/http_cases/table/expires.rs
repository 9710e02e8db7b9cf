//! `Expires` together with `Date` and `Age`.

use crate::{
    case::{Suite, optimal, required},
    exchange::get,
    field::{age, date, expires},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal("freshness-expires-future", "reuses a response with a future `Expires`")
            .depends_on("freshness-none")
            .plays([get().answers([expires(2_592_000), date(0)]).setup().pauses(), get().cached()]),
        required("freshness-expires-past", "must not reuse a response with a past `Expires`")
            .depends_on("freshness-expires-future")
            .plays([
                get().answers([expires(-2_592_000), date(0)]).setup().pauses(),
                get().not_cached(),
            ]),
        required("freshness-expires-present", "must not reuse a response with a present `Expires`")
            .depends_on("freshness-none")
            .plays([get().answers([expires(0), date(0)]).setup(), get().not_cached()]),
        required(
            "freshness-expires-old-date",
            "must not reuse a response with an `Expires` older than `Date`, both fast",
        )
        .depends_on("freshness-expires-future")
        .plays([get().answers([expires(300), date(400)]).setup().pauses(), get().not_cached()]),
        required(
            "freshness-expires-invalid",
            "must not reuse a response with an invalid `Expires` (0)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires("0").unchecked(), date(0)]).setup().pauses(),
            get().not_cached(),
        ]),
        optimal(
            "freshness-expires-invalid-date",
            "reuses a response with `Expires`, even if `Date` is invalid",
        )
        .depends_on("freshness-expires-future")
        .plays([get().answers([date("foo").unchecked(), expires(10)]).setup(), get().cached()]),
        required(
            "freshness-expires-age-slow-date",
            "must not reuse a response when the `Age` header is greater than its \
             `Expires` minus `Date`, and `Date` is slow",
        )
        .depends_on("freshness-expires-future")
        .plays([get().answers([date(-10), expires(10), age("25")]).setup(), get().not_cached()]),
        required(
            "freshness-expires-age-fast-date",
            "must not reuse a response when the `Age` header is greater than its \
             `Expires` minus `Date`, and `Date` is fast",
        )
        .depends_on("freshness-expires-future")
        .plays([get().answers([date(10), expires(20), age("15")]).setup(), get().not_cached()]),
    ];
    Suite { id: "expires", cases }
}
