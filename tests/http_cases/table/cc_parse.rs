//! `Cache-Control` in responses, in unusual spellings.

use crate::{
    case::{Suite, check, required},
    exchange::get,
    field::cc,
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "freshness-max-age-two-fresh-stale-sameline",
            "does a cache reuse a response when first `Cache-Control: max-age` is \
             fresh, but second is stale (same line)?",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age=1800, max-age=1").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        check(
            "freshness-max-age-two-fresh-stale-sepline",
            "does a cache reuse a response when first `Cache-Control: max-age` is \
             fresh, but second is stale (separate lines)?",
        )
        .depends_on("freshness-none")
        .plays([
            get()
                .answers([cc("max-age=1800").unchecked(), cc("max-age=1").unchecked()])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        check(
            "freshness-max-age-two-stale-fresh-sameline",
            "does a cache reuse a response when first `Cache-Control: max-age` is \
             stale, but second is fresh (same line)?",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age=1, max-age=1800").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        check(
            "freshness-max-age-two-stale-fresh-sepline",
            "does a cache reuse a response when first `Cache-Control: max-age` is \
             stale, but second is fresh (separate lines)?",
        )
        .depends_on("freshness-none")
        .plays([
            get()
                .answers([cc("max-age=1").unchecked(), cc("max-age=1800").unchecked()])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        check(
            "freshness-max-age-quoted",
            "does a cache reuse a response with a quoted `Cache-Control: max-age`?",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc(r#"max-age="3600""#).unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "freshness-max-age-ignore-quoted",
            "must not reuse a response with `max-age` in a quoted string (before the \
             real `max-age`)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get()
                .answers([cc(r#"extension="max-age=3600", max-age=1"#).unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "freshness-max-age-ignore-quoted-rev",
            "mut not reuse a response with `max-age` in a quoted string (after the real \
             `max-age`)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get()
                .answers([cc(r#"max-age=1, extension="max-age=3600""#).unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        check(
            "freshness-max-age-space-before-equals",
            "does a cache ignore max-age with space before the `=`?",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age =3600").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        check(
            "freshness-max-age-space-after-equals",
            "does a cache ignore max-age with space after the `=`?",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age= 3600").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        required("freshness-max-age-leading-zero", "reuses max-age with the value `003600`")
            .depends_on("freshness-none")
            .plays([
                get().answers([cc("max-age=003600").unchecked()]).setup().pauses(),
                get().cached(),
            ]),
        required(
            "freshness-max-age-single-quoted",
            "must not reuse a response with a single-quoted `Cache-Control: max-age`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age='3600'").unchecked()]).setup().pauses(),
            get().not_cached(),
        ]),
        check("freshness-max-age-decimal-zero", "does a cache reuse max-age with `3600.0` value?")
            .depends_on("freshness-none")
            .plays([
                get().answers([cc("max-age=3600.0").unchecked()]).setup().pauses(),
                get().cached(),
            ]),
        check("freshness-max-age-decimal-five", "does a cache reuse max-age with `3600.5` value?")
            .depends_on("freshness-none")
            .plays([
                get().answers([cc("max-age=3600.5").unchecked()]).setup().pauses(),
                get().cached(),
            ]),
        check(
            "freshness-max-age-a100",
            "does a cache reuse a response with an invalid `Cache-Control: max-age` \
             (leading alpha)?",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=a3600").unchecked()]).setup().pauses(), get().cached()]),
        check(
            "freshness-max-age-100a",
            "does a cache reuse a response with an invalid `Cache-Control: max-age` \
             (trailing alpha)?",
        )
        .depends_on("freshness-none")
        .plays([get().answers([cc("max-age=3600a").unchecked()]).setup().pauses(), get().cached()]),
    ];
    Suite { id: "cc-parse", cases }
}
