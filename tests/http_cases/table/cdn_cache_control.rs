//! `CDN-Cache-Control` (RFC 9213): `Cache-Control` for shared caches only.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::get,
    field::{age, cc, cdn_cc, date, expires},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal(
            "cdn-max-age",
            "An optimal CDN reuses a response with positive `CDN-Cache-Control: max-age`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cdn_cc("max-age=3600").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        optimal(
            "cdn-max-age-max",
            "An optimal CDN reuses a response with `CDN-Cache-Control: max-age: \
             2147483648`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cdn_cc("max-age=2147483648").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        optimal(
            "cdn-max-age-max-plus",
            "An optimal CDN reuses a response with `CDN-Cache-Control: max-age: \
             99999999999`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cdn_cc("max-age=99999999999").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "cdn-max-age-age",
            "CDN must not reuse a response when the `Age` header is greater than its \
             `CDN-Cache-Control: max-age` freshness lifetime",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([date(0), cdn_cc("max-age=3600").unchecked(), age("7200")])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        check(
            "cdn-max-age-space-before-equals",
            "Does CDN ignore `CDN-Cache-Control: max-age` with space before the `=`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=1"), cdn_cc("max-age =100").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        check(
            "cdn-max-age-space-after-equals",
            "Does CDN ignore `CDN-Cache-Control: max-age` with space after the `=`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=1"), cdn_cc("max-age= 100").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        required(
            "cdn-max-age-0",
            "CDN must not reuse a response with `CDN-Cache-Control: max-age=0`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cdn_cc("max-age=0").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        optimal(
            "cdn-max-age-extension",
            "An optimal CDN reuses a response with a positive `CDN-Cache-Control: \
             max-age` and an extension cache directive",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cdn_cc("foobar, max-age=3600").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        check(
            "cdn-max-age-case-insensitive",
            "Does CDN reuse a response with a positive `CDN-Cache-Control: MaX-aGe`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cdn_cc("MaX-aGe=3600").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        optimal(
            "cdn-max-age-expires",
            "An optimal CDN reuses a response with a positive `CDN-Cache-Control: \
             max-age` and a past `Expires`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cdn_cc("max-age=3600").unchecked(), expires(-10_000), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "cdn-max-age-cc-max-age-invalid-expires",
            "An optimal CDN reuses a response with a positive `CDN-Cache-Control: \
             max-age` and an invalid `Expires`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cdn_cc("max-age=3600").unchecked(), expires("0").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "cdn-max-age-0-expires",
            "CDN must not reuse a response with a `CDN-Cache-Control: max-age=0` and a \
             future `Expires`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cdn_cc("max-age=0").unchecked(), expires(10_000), date(0)])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        optimal(
            "cdn-max-age-short-cc-max-age",
            "An optimal CDN prefers a long `CDN-Cache-Control: max-age` over a short \
             `Cache-Control: max-age`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=1"), cdn_cc("max-age=3600").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "cdn-max-age-long-cc-max-age",
            "CDN must prefer a short `CDN-Cache-Control: max-age` over a long \
             `Cache-Control: max-age`",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=3600"), cdn_cc("max-age=1").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        required(
            "cdn-private",
            "CDN must not reuse a cached response with `CDN-Cache-Control: private`, \
             even with `Cache-Control: max-age` and `Expires`",
        )
        .plays([
            get()
                .answers([cdn_cc("private"), cc("max-age=10000"), expires(10_000), date(0)])
                .setup(),
            get().not_cached(),
        ]),
        required(
            "cdn-no-cache",
            "CDN must not reuse a cached response with `CDN-Cache-Control: no-cache`, \
             even with `Cache-Control: max-age` and `Expires`",
        )
        .plays([
            get()
                .answers([cdn_cc("no-cache"), cc("max-age=10000"), expires(10_000), date(0)])
                .setup(),
            get().not_cached(),
        ]),
        required(
            "cdn-no-store-cc-fresh",
            "CDN must not store a response with `CDN-Cache-Control: no-store`, even \
             with `Cache-Control: max-age` and `Expires`",
        )
        .depends_on("freshness-none")
        .plays([
            get()
                .answers([
                    cc("max-age=10000"),
                    cdn_cc("no-store").unchecked(),
                    expires(10_000),
                    date(0),
                ])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "cdn-fresh-cc-nostore",
            "An optimal CDN stores a response with a fresh `CDN-Cache-Control: \
             max-age`, even with `Cache-Control: no-store`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("no-store"), cdn_cc("max-age=10000").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "cdn-cc-invalid-sh-type-unknown",
            "CDN should ignore a `CDN-Cache-Control` that's an invalid Structured Field \
             (unknown type)",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cdn_cc("max-age=10000, &&&&&").unchecked(), cc("no-store")])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "cdn-cc-invalid-sh-type-wrong",
            "CDN should ignore a `CDN-Cache-Control` that's an invalid Structured Field \
             (wrong type)",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cdn_cc(r#"max-age="10000""#).unchecked(), cc("no-store")])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        check("cdn-remove-header", "Does the CDN forward the `CDN-Cache-Control` response header?")
            .plays([get()
                .answers([cc("max-age=10000"), cdn_cc("foo").unchecked(), expires(10_000), date(0)])
                .gets([cdn_cc("foo")])]),
        check(
            "cdn-remove-age-exceed",
            "Does the CDN send `Age` when `CDN-Cache-Control: max-age` exceeds \
             `Cache-Control: max-age`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=1"), cdn_cc("max-age=10000"), date(0)]).setup().pauses(),
            get().gets_some("Age"),
        ]),
        check(
            "cdn-date-update-exceed",
            "Does the CDN preserve `Date` when `CDN-Cache-Control: max-age` exceeds \
             `Cache-Control: max-age`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get().answers([cc("max-age=1"), cdn_cc("max-age=10000"), date(0)]).setup().pauses(),
            get().gets([date(0)]),
        ]),
        check(
            "cdn-expires-update-exceed",
            "Does the CDN preserve `Expires` when `CDN-Cache-Control: max-age` exceeds \
             `Cache-Control: max-age`?",
        )
        .depends_on("cdn-max-age")
        .plays([
            get()
                .answers([cc("max-age=1"), expires(1), cdn_cc("max-age=10000"), date(0)])
                .setup()
                .pauses(),
            get().gets([expires(1)]),
        ]),
    ];
    Suite { id: "cdn-cache-control", cases }
}
