//! `Cache-Control` in responses: the directives without a time.

use crate::{
    case::{Suite, check, optimal, required},
    exchange::{Stage, get},
    field::{cc, date, etag, expires, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        required(
            "cc-resp-private-shared",
            "shared: must not store a response with `Cache-Control: private`",
        )
        .plays([get().answers([cc("private, max-age=3600")]).setup(), get().not_cached()]),
        required("cc-resp-no-store", "must not store a response with `Cache-Control: no-store`")
            .plays([get().answers([cc("no-store")]).setup(), get().not_cached()]),
        required(
            "cc-resp-no-store-case-insensitive",
            "must not store a response with `Cache-Control: nO-StOrE`",
        )
        .depends_on("cc-resp-no-store")
        .plays([get().answers([cc("No-StOrE")]).setup(), get().not_cached()]),
        required(
            "cc-resp-no-store-fresh",
            "must not store a response with `Cache-Control: no-store`, even with \
             `max-age` and `Expires`",
        )
        .depends_on("cc-resp-no-store")
        .plays([
            get().answers([cc("max-age=10000, no-store"), expires(10_000), date(0)]).setup(),
            get().not_cached(),
        ]),
        required(
            "cc-resp-no-store-old-new",
            "does a cache use older stored response when newer one came with \
             `Cache-Control: no-store`?",
        )
        .depends_on("cc-resp-no-store")
        .plays([
            get()
                .answers([cc("max-age=10000"), expires(10_000), date(0), field("A", "1")])
                .setup()
                .pauses(),
            get().answers([cc("no-store"), date(0), field("A", "2")]).setup().pauses(),
            get().cached().gets([field("a", "1")]),
        ]),
        required(
            "cc-resp-no-store-old-max-age",
            "does a cache use older stored response when newer one came with \
             `Cache-Control: no-store, max-age=0`?",
        )
        .depends_on("cc-resp-no-store")
        .plays([
            get()
                .answers([cc("max-age=10000"), expires(10_000), date(0), field("A", "1")])
                .setup()
                .pauses(),
            get().answers([cc("no-store, max-age=0"), date(0), field("A", "2")]).setup().pauses(),
            get().cached().gets([field("a", "1")]),
        ]),
        required(
            "cc-resp-no-cache",
            "must not use a cached response with `Cache-Control: no-cache`, even with \
             `max-age` and `Expires`",
        )
        .plays([
            get().answers([cc("max-age=10000, no-cache"), expires(10_000), date(0)]).setup(),
            get().not_cached(),
        ]),
        required(
            "cc-resp-no-cache-case-insensitive",
            "must not use a cached response with `Cache-Control: No-CaChE`, even with \
             `max-age` and `Expires`",
        )
        .depends_on("cc-resp-no-cache")
        .plays([
            get().answers([cc("max-age=10000, No-CaChE"), expires(10_000), date(0)]).setup(),
            get().not_cached(),
        ]),
        optimal(
            "cc-resp-no-cache-revalidate",
            "stores a response with `Cache-Control: no-cache`, but revalidates it upon \
             use",
        )
        .depends_on("cc-resp-no-cache")
        .plays([
            get().answers([cc("no-cache"), etag(r#""abcd""#)]).setup(),
            get().etag_validated(),
        ]),
        optimal(
            "cc-resp-no-cache-revalidate-fresh",
            "stores a response with `Cache-Control: no-cache`, but revalidates it upon \
             use, even with `max-age` and `Expires`",
        )
        .depends_on("cc-resp-no-cache")
        .plays([
            get()
                .answers([
                    cc("max-age=10000, no-cache"),
                    expires(10_000),
                    date(0),
                    etag(r#""abcd""#),
                ])
                .setup(),
            get().etag_validated(),
        ]),
        check(
            "headers-omit-headers-listed-in-Cache-Control-no-cache-single",
            "Does `Cache-Control: no-cache` inhibit storing a listed header?",
        )
        .depends_on("cc-resp-no-cache-revalidate")
        .plays([
            get()
                .answers([
                    cc(r#"no-cache="a""#),
                    field("a", "1"),
                    field("b", "2"),
                    cc("max-age=3600"),
                    date(0),
                ])
                .setup()
                .pauses(),
            get().cached().gets([field("b", "2")]).lacks(["a"]).setup_of([Stage::Source]),
        ]),
        check(
            "headers-omit-headers-listed-in-Cache-Control-no-cache",
            "Does `Cache-Control: no-cache` inhibit storing multiple listed headers?",
        )
        .depends_on("cc-resp-no-cache-revalidate")
        .plays([
            get()
                .answers([
                    cc(r#"no-cache="a, b""#),
                    field("a", "1"),
                    field("b", "2"),
                    field("c", "3"),
                    cc("max-age=3600"),
                    date(0),
                ])
                .setup()
                .pauses(),
            get().cached().gets([field("c", "3")]).lacks(["a", "b"]).setup_of([Stage::Source]),
        ]),
        optimal(
            "cc-resp-must-revalidate-fresh",
            "reuses a response with positive `Cache-Control: max-age, must-revalidate`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age=10000, must-revalidate"), etag(r#""abcd""#)]).setup(),
            get().cached(),
        ]),
        required(
            "cc-resp-must-revalidate-stale",
            "must revalidate a stale response with positive `Cache-Control: max-age, \
             must-revalidate`",
        )
        .depends_on("freshness-none")
        .plays([
            get().answers([cc("max-age=2, must-revalidate"), etag(r#""abcd""#)]).setup(),
            get()
                .answers([cc("max-age=2, must-revalidate"), etag(r#""abcd""#)])
                .cached()
                .setup()
                .pauses(),
            get().etag_validated(),
        ]),
    ];
    Suite { id: "cc-response", cases }
}
