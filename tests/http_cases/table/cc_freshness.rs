//! `Cache-Control` in responses: the freshness by `max-age` and `s-maxage`, together with `Age`,
//! `Date` and `Expires`.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::{becomes_stale, get},
    field::{age, cc, date, expires},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "freshness-none",
            "does a cache avoid reusing a response without explict freshness \
             information or a validator (reuse is allowed, but not common, and many \
             tests rely upon a cache _not_ doing it)?",
        )
        .plays([get().setup().pauses(), get().not_cached()]),
        optimal("freshness-max-age", "reuses a response with positive `Cache-Control: max-age`")
            .depends_on("freshness-none")
            .plays([get().answers([cc("max-age=3600")]).setup().pauses(), get().cached()]),
        required(
            "freshness-max-age-stale",
            "must not reuse a response with `Cache-Control: max-age` after it becomes \
             stale",
        )
        .depends_on("freshness-max-age")
        .plays([becomes_stale(), get().not_cached()]),
        required(
            "freshness-max-age-0",
            "must not reuse a response with `Cache-Control: max-age=0`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=0")]).setup().pauses(), get().not_cached()]),
        optimal(
            "freshness-max-age-max-minus-1",
            "reuses a response with `Cache-Control: max-age: 2147483647`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=2147483647")]).setup().pauses(), get().cached()]),
        optimal(
            "freshness-max-age-max",
            "reuses a response with `Cache-Control: max-age: 2147483648`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=2147483648")]).setup().pauses(), get().cached()]),
        optimal(
            "freshness-max-age-max-plus-1",
            "reuses a response with `Cache-Control: max-age: 2147483649`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=2147483649")]).setup().pauses(), get().cached()]),
        optimal(
            "freshness-max-age-max-plus",
            "reuses a response with `Cache-Control: max-age: 99999999999`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=99999999999")]).setup().pauses(), get().cached()]),
        required(
            "freshness-max-age-age",
            "must not reuse a response when the `Age` header is greater than its \
             `Cache-Control: max-age` freshness lifetime",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([date(0), cc("max-age=3600"), age("7200")]).setup().pauses(),
            get().not_cached(),
        ]),
        check(
            "freshness-max-age-date",
            "does a cache consider `Date` when applying `Cache-Control: max-age` (i.e., \
             is `apparent_age` used)?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([date(-7200), cc("max-age=3600")]).setup().pauses(),
            get().not_cached(),
        ]),
        optimal(
            "freshness-max-age-expires",
            "reuses a response with positive `Cache-Control: max-age` and a past \
             `Expires`",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), expires(-7200), date(0)]).setup().pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-max-age-expires-invalid",
            "reuses a response with positive `Cache-Control: max-age` and an invalid \
             `Expires`",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600"), expires("0").unchecked(), date(0)]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "freshness-max-age-0-expires",
            "must not reuse a response with `Cache-Control: max-age=0` and a future \
             `Expires`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([expires(3600), cc("max-age=0"), date(0)]).setup().pauses(),
            get().not_cached(),
        ]),
        optimal(
            "freshness-max-age-extension",
            "reuses a response with positive `Cache-Control: max-age` and a CC \
             extension present",
        )
        .depends_on("freshness-max-age")
        .plays([get().answers([cc("foobar, max-age=3600")]).setup().pauses(), get().cached()]),
        optimal(
            "freshness-max-age-case-insenstive",
            "reuses a response with positive `Cache-Control: MaX-AgE`",
        )
        .depends_on("freshness-max-age")
        .plays([get().answers([cc("MaX-aGe=3600")]).setup().pauses(), get().cached()]),
        required(
            "freshness-max-age-negative",
            "must not reuse a response with negative `Cache-Control: max-age`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=-3600")]).setup().pauses(), get().not_cached()]),
        required(
            "freshness-s-maxage-shared",
            "shared: reuses a response with positive `Cache-Control: s-maxage`",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("s-maxage=3600")]).setup().pauses(), get().cached()]),
        required(
            "freshness-max-age-s-maxage-shared-longer",
            "shared: must prefer short `Cache-Control: s-maxage` over a longer \
             `Cache-Control: max-age`",
        )
        .depends_on("freshness-s-maxage-shared")
        .plays([
            get().answers([cc("max-age=3600, s-maxage=1")]).setup().pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-max-age-s-maxage-shared-longer-reversed",
            "shared: must prefer short `Cache-Control: s-maxage` over a longer \
             `Cache-Control: max-age` (reversed)",
        )
        .depends_on("freshness-s-maxage-shared")
        .plays([
            get().answers([cc("s-maxage=1, max-age=3600")]).setup().pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-max-age-s-maxage-shared-longer-multiple",
            "shared: must prefer short `Cache-Control: s-maxage` over a longer \
             `Cache-Control: max-age` (multiple headers)",
        )
        .depends_on("freshness-s-maxage-shared")
        .plays([
            get().answers([cc("max-age=3600"), cc("s-maxage=1")]).setup().pauses(),
            get().not_cached(),
        ]),
        optimal(
            "freshness-max-age-s-maxage-shared-shorter",
            "shared: prefers long `Cache-Control: s-maxage` over a shorter \
             `Cache-Control: max-age`",
        )
        .depends_on("freshness-s-maxage-shared")
        .plays([get().answers([cc("max-age=1, s-maxage=3600")]).setup().pauses(), get().cached()]),
        optimal(
            "freshness-max-age-s-maxage-shared-shorter-expires",
            "shared: prefers long `Cache-Control: s-maxage` over `Cache-Control: \
             max-age=0`, even with a past `Expires`",
        )
        .depends_on("freshness-s-maxage-shared")
        .plays([
            get().answers([expires(-10), cc("max-age=0, s-maxage=3600")]).setup().pauses(),
            get().cached(),
        ]),
    ];
    Suite { id: "cc-freshness", cases }
}
