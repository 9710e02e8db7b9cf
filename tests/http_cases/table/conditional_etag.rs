//! Conditions with `If-None-Match`, by the client and by the cache.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::{Stage, becomes_stale, fresh, get},
    field::{date, etag, expires, field, last_modified, vary},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal(
            "conditional-etag-strong-respond",
            "responds to `If-None-Match` with a `304` when holding a fresh response \
             with a matching strong `ETag`",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([etag(r#""abcdef""#)]),
            get().sends([field("If-None-Match", r#""abcdef""#)]).cached().gets_status(304),
        ]),
        required("conditional-304-etag", "must include `ETag` in a `304 Not Modified`")
            .depends_on("conditional-etag-strong-respond")
            .plays([
                fresh().answers([etag(r#""abcdef""#)]),
                get()
                    .sends([field("If-None-Match", r#""abcdef""#)])
                    .cached()
                    .gets_status(304)
                    .gets([etag(r#""abcdef""#)]),
            ]),
        required(
            "conditional-etag-precedence",
            "must give precedence to `If-None-Match` over `If-Modified-Since`",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([last_modified(-5000), etag(r#""abcdef""#)]),
            get()
                .sends([field("If-None-Match", r#""abcdef""#), field("If-Modified-Since", -10_000)])
                .cached()
                .gets_status(304),
        ]),
        check(
            "conditional-etag-strong-respond-obs-text",
            "does a cache respond to `If-None-Match` with a `304` when holding a fresh \
             response with a matching strong `ETag` containing obs-text?",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag(r#""abcdefü""#)]),
            get()
                .sends([field("If-None-Match", r#""abcdefü""#)])
                .cached()
                .gets_status(304)
                .gets([etag(r#""abcdefü""#)]),
        ]),
        check(
            "conditional-etag-quoted-respond-unquoted",
            "does a cache respond to an unquoted `If-None-Match` with a `304` when \
             holding a fresh response with a matching strong `ETag` that is quoted?",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag(r#""abcdef""#)]),
            get().sends([field("If-None-Match", "abcdef")]).cached().gets_status(304),
        ]),
        check(
            "conditional-etag-unquoted-respond-unquoted",
            "does a cache respond to an unquoted `If-None-Match` with a `304` when \
             holding a fresh response with a matching strong `ETag` that is unquoted?",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag("abcdef")]),
            get().sends([field("If-None-Match", "abcdef")]).cached().gets_status(304),
        ]),
        check(
            "conditional-etag-unquoted-respond-quoted",
            "does a cache respond to a quoted `If-None-Match` with a `304` when holding \
             a fresh response with a matching strong `ETag` that is unquoted?",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag("abcdef")]),
            get().sends([field("If-None-Match", r#""abcdef""#)]).cached().gets_status(304),
        ]),
        optimal(
            "conditional-etag-weak-respond",
            "responds to `If-None-Match` with a `304` when holding a fresh response \
             with a matching weak `ETag`",
        )
        .depends_on("freshness-max-age")
        .plays([
            fresh().answers([etag(r#"W/"abcdef""#)]),
            get().sends([field("If-None-Match", r#"W/"abcdef""#)]).cached().gets_status(304),
        ]),
        check(
            "conditional-etag-weak-respond-lowercase",
            "does a cache respond to `If-None-Match` with a `304` when holding a fresh \
             response with a matching weak `ETag`, and the entity-tag weakness flag is \
             lowercase?",
        )
        .depends_on("conditional-etag-weak-respond")
        .plays([
            fresh().answers([etag(r#"w/"abcdef""#)]),
            get().sends([field("If-None-Match", r#"w/"abcdef""#)]).cached().gets_status(304),
        ]),
        check(
            "conditional-etag-weak-respond-backslash",
            "does a cache respond to `If-None-Match` with a `304` when holding a fresh \
             response with a matching weak `ETag`, and the entity-tag weakness flag \
             uses `\\` instead of `/`?",
        )
        .depends_on("conditional-etag-weak-respond")
        .plays([
            fresh().answers([etag(r#"W\"abcdef""#)]),
            get().sends([field("If-None-Match", r#"W\"abcdef""#)]).cached().gets_status(304),
        ]),
        check(
            "conditional-etag-weak-respond-omit-slash",
            "does a cache respond to `If-None-Match` with a `304` when holding a fresh \
             response with a matching weak `ETag`, and the entity-tag weakness flag \
             omits `/`?",
        )
        .depends_on("conditional-etag-weak-respond")
        .plays([
            fresh().answers([etag(r#"W"abcdef""#)]),
            get().sends([field("If-None-Match", r#"W"abcdef""#)]).cached().gets_status(304),
        ]),
        optimal(
            "conditional-etag-strong-respond-multiple-first",
            "responds to `If-None-Match` with a `304` when it contains multiple \
             entity-tags (first one)",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag(r#""abcdef""#)]),
            get()
                .sends([field("If-None-Match", r#""abcdef", "1234", "5678""#)])
                .cached()
                .gets_status(304),
        ]),
        optimal(
            "conditional-etag-strong-respond-multiple-second",
            "responds to `If-None-Match` with a `304` when it contains multiple \
             entity-tags (middle one)",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag(r#""abcdef""#)]),
            get()
                .sends([field("If-None-Match", r#""1234", "abcdef", "5678""#)])
                .cached()
                .gets_status(304),
        ]),
        optimal(
            "conditional-etag-strong-respond-multiple-last",
            "responds to `If-None-Match` with a `304` when it contains multiple \
             entity-tags (last one)",
        )
        .depends_on("conditional-etag-strong-respond")
        .plays([
            fresh().answers([etag(r#""abcdef""#)]),
            get()
                .sends([field("If-None-Match", r#""1234", "5678", "abcdef""#)])
                .cached()
                .gets_status(304),
        ]),
        required(
            "conditional-etag-vary-headers",
            "must include stored response headers identified by `Vary` in a conditional \
             request it generates",
        )
        .plays([
            get()
                .sends([field("Abc", "123")])
                .answers([expires(1), etag(r#""abcdef""#), date(0), vary("Abc")])
                .setup()
                .pauses(),
            get()
                .sends([field("Abc", "123")])
                .etag_validated()
                .origin_receives([field("Abc", "123")])
                .setup_of([Stage::Source]),
        ]),
        check(
            "conditional-etag-vary-headers-mismatch",
            "does a cache use a stored `ETag` to validate when the presented `Vary`ing \
             request header differs?",
        )
        .depends_on("conditional-etag-vary-headers")
        .depends_on("vary-no-match")
        .plays([
            get()
                .sends([field("Abc", "123")])
                .answers([expires(10_000), etag(r#""abcdef""#), date(0), vary("Abc")])
                .setup()
                .pauses(),
            get()
                .sends([field("Abc", "456")])
                .origin_receives([field("If-None-Match", r#""abcdef""#)]),
        ]),
        optimal(
            "conditional-etag-strong-generate",
            "generates a `If-None-Match` request when holding a stale response with a \
             matching strong `ETag`",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            becomes_stale().answers([etag(r#""abcdef""#)]),
            get().etag_validated().origin_receives([field("If-None-Match", r#""abcdef""#)]),
        ]),
        optimal(
            "conditional-etag-weak-generate-weak",
            "generates a `If-None-Match` request when holding a stale response with a \
             matching weak `ETag`",
        )
        .depends_on("freshness-max-age-stale")
        .plays([
            becomes_stale().answers([etag(r#"W/"abcdef""#)]),
            get().etag_validated().origin_receives([field("If-None-Match", r#"W/"abcdef""#)]),
        ]),
        check(
            "conditional-etag-strong-generate-unquoted",
            "does a cache generate a quoted `If-None-Match` request when holding a \
             stale response with a matching, unquoted strong `ETag`?",
        )
        .depends_on("conditional-etag-strong-generate")
        .plays([
            becomes_stale().answers([etag("abcdef")]),
            get().etag_validated().origin_receives([field("If-None-Match", r#""abcdef""#)]),
        ]),
        check(
            "conditional-etag-forward",
            "does a cache forward `If-None-Match` request header when no stored \
             response is available?",
        )
        .plays([get()
            .sends([field("If-None-Match", r#""abcdef""#)])
            .origin_receives([field("If-None-Match", r#""abcdef""#)])]),
        check(
            "conditional-etag-forward-unquoted",
            "does a cache add quotes to an unquoted `If-None-Match` request when \
             forwarding it?",
        )
        .depends_on("conditional-etag-forward")
        .plays([get()
            .sends([field("If-None-Match", "abcdef")])
            .origin_receives([field("If-None-Match", r#""abcdef""#)])]),
    ];
    Suite { id: "conditional-inm", cases }
}
