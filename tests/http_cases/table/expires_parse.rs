//! `Expires` in every valid form of a date, and in some invalid ones.

use crate::{
    case::{Suite, optimal, required},
    exchange::get,
    field::{date, expires},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal(
            "freshness-expires-32bit",
            "reuses a response with an `Expires` that is exactly 32 bits",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Tue, 19 Jan 2038 14:14:08 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-far-future",
            "reuses a response with an `Expires` that is far in the future",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Sun, 21 Nov 2286 04:46:39 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-rfc850",
            "reuses a response with a future `Expires` in obsolete RFC 850 format",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thursday, 18-Aug-50 02:01:18 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-ansi-c",
            "reuses a response with a future `Expires` in ANSI C's asctime() format",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu Aug  8 02:01:18 2050").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-wrong-case-weekday",
            "reuses a response with a future `Expires` using wrong case (weekday)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("THU, 18 Aug 2050 02:01:18 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-wrong-case-month",
            "reuses a response with a future `Expires` using wrong case (month)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18 AUG 2050 02:01:18 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        optimal(
            "freshness-expires-wrong-case-tz",
            "reuses a response with a future `Expires` using wrong case (tz)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18 Aug 2050 02:01:18 gMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "freshness-expires-invalid-utc",
            "must not reuse a response with an invalid `Expires` (UTC)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18 Aug 2050 02:01:18 UTC").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-aest",
            "must not reuse a response with an invalid `Expires` (other tz)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18 Aug 2050 02:01:18 AEST").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-2-digit-year",
            "must not reuse a response with an invalid `Expires` (two-digit year)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18 Aug 50 02:01:18 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-no-comma",
            "must not reuse a response with an invalid `Expires` (missing comma)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu 18 Aug 2050 02:01:18 GMT").unchecked(), date(0)])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-multiple-spaces",
            "must not reuse a response with an invalid `Expires` (multiple spaces)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([expires("Thu, 18  Aug  2050 02:01:18 GMT").unchecked(), date(0)])
                .setup(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-date-dashes",
            "must not reuse a response with an invalid `Expires` (date dashes)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires("Thu, 18-Aug-2050 02:01:18 GMT").unchecked(), date(0)]).setup(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-time-periods",
            "must not reuse a response with an invalid `Expires` (time periods)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires("Thu, 18 Aug 2050 02.01.18 GMT").unchecked(), date(0)]).setup(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-1-digit-hour",
            "must not reuse a response with an invalid `Expires` (1-digit hour)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get().answers([expires("Thu, 18 Aug 2050 2:01:18 GMT").unchecked(), date(0)]).setup(),
            get().not_cached(),
        ]),
        required(
            "freshness-expires-invalid-multiple-lines",
            "must not reuse a response with an invalid `Expires` (multiple lines)",
        )
        .depends_on("freshness-expires-future")
        .plays([
            get()
                .answers([
                    expires("Thu, 18 Aug 2050 2:01:18 GMT").unchecked(),
                    expires("Thu, 18 Aug 2050 2:01:19 GMT").unchecked(),
                    date(0),
                ])
                .setup(),
            get().not_cached(),
        ]),
    ];
    Suite { id: "expires-parse", cases }
}
