//! `Vary` with `*`, in unusual spellings.

use crate::{
    case::{Suite, required},
    exchange::get,
    field::{cc, date, field, last_modified, vary},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        required("vary-syntax-star", "must not reuse `Vary` response with a value of `*`")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("*").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
            ]),
        required("vary-syntax-star-star", "must not reuse `Vary` response with a value of `*, *`")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("*, *").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
            ]),
        required(
            "vary-syntax-star-star-lines",
            "must not reuse `Vary` response with a value of `*, *` on different lines",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Baz", "789")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("*").unchecked(),
                    vary("*").unchecked(),
                ])
                .setup(),
            get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
        ]),
        required("vary-syntax-empty-star", "must not reuse `Vary` response with a value of `, *`")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary(", *").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
            ]),
        required(
            "vary-syntax-empty-star-lines",
            "must not reuse `Vary` response with a value of `, *` on different lines",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Baz", "789")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("").unchecked(),
                    vary("*").unchecked(),
                ])
                .setup(),
            get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
        ]),
        required("vary-syntax-star-foo", "must not reuse `Vary` response with a value of `*, Foo`")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("*, Foo").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
            ]),
        required("vary-syntax-foo-star", "must not reuse `Vary` response with a value of `Foo, *`")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("Foo, *").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
            ]),
    ];
    Suite { id: "vary-parse", cases }
}
