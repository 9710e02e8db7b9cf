//! `Vary`, and other ways to select a response.

use crate::{
    case::{Suite, optimal, required},
    exchange::get,
    field::{cc, date, field, last_modified, vary},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal("vary-match", "reuses a `Vary` response when the request matches")
            .depends_on("freshness-max-age")
            .plays([
                get()
                    .sends([field("Foo", "1")])
                    .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                    .setup(),
                get().sends([field("Foo", "1")]).cached(),
            ]),
        required("vary-no-match", "must not reuse `Vary` response when request doesn't match")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1")])
                    .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                    .setup(),
                get().sends([field("Foo", "2")]).not_cached(),
            ]),
        required(
            "vary-omit-stored",
            "must not reuse `Vary` response when stored request omits variant request \
             header",
        )
        .depends_on("vary-match")
        .plays([
            get().answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")]).setup(),
            get().sends([field("Foo", "1")]).not_cached(),
        ]),
        required(
            "vary-omit",
            "must not reuse `Vary` response when presented request omits variant \
             request header",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1")])
                .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                .setup(),
            get().not_cached(),
        ]),
        optimal("vary-invalidate", "can store two different variants")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1")])
                    .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                    .text("aaaaaaaaaaaaaaa")
                    .setup(),
                get()
                    .sends([field("Foo", "2")])
                    .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                    .text("abcdefghijklmno")
                    .not_cached()
                    .setup(),
                get().sends([field("Foo", "1")]).text("aaaaaaaaaaaaaaa").cached(),
            ]),
        optimal(
            "vary-cache-key",
            "should not include headers not listed in `Vary` in the cache key",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Other", "2")])
                .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                .setup(),
            get().sends([field("Foo", "1"), field("Other", "3")]).cached(),
        ]),
        optimal("vary-2-match", "reuses a two-way `Vary` response when request matches")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Bar", "abc")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("Foo, Bar").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Bar", "abc")]).cached(),
            ]),
        required(
            "vary-2-no-match",
            "must not reuse two-way `Vary` response when request doesn't match",
        )
        .depends_on("vary-2-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Bar", "abc")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Foo, Bar").unchecked(),
                ])
                .setup(),
            get().sends([field("Foo", "2"), field("Bar", "abc")]).not_cached(),
        ]),
        required(
            "vary-2-match-omit",
            "must not reuse two-way `Vary` response when request omits variant request \
             header",
        )
        .depends_on("vary-2-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Bar", "abc")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Foo, Bar").unchecked(),
                ])
                .setup(),
            get().not_cached(),
        ]),
        optimal("vary-3-match", "reuses a three-way `Vary` response when request matches")
            .depends_on("vary-2-match")
            .plays([
                get()
                    .sends([field("Foo", "1"), field("Bar", "abc"), field("Baz", "789")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("Foo, Bar, Baz").unchecked(),
                    ])
                    .setup(),
                get().sends([field("Foo", "1"), field("Bar", "abc"), field("Baz", "789")]).cached(),
            ]),
        required(
            "vary-3-no-match",
            "must not reuse three-way `Vary` response when request doesn't match",
        )
        .depends_on("vary-3-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Bar", "abc"), field("Baz", "789")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Foo, Bar, Baz").unchecked(),
                ])
                .setup(),
            get().sends([field("Foo", "2"), field("Bar", "abc"), field("Baz", "789")]).not_cached(),
        ]),
        required(
            "vary-3-order",
            "must not reuse three-way `Vary` response when request doesn't match, \
             regardless of header order",
        )
        .depends_on("vary-3-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Bar", "abc"), field("Baz", "789")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Foo, Bar, Baz").unchecked(),
                ])
                .setup(),
            get()
                .sends([field("Foo", "1"), field("Baz", "789"), field("Bar", "abcde")])
                .not_cached(),
        ]),
        optimal(
            "vary-3-omit",
            "reuses a three-way `Vary` response when both request and the original \
             request omited a variant header",
        )
        .depends_on("vary-3-match")
        .plays([
            get()
                .sends([field("Foo", "1"), field("Baz", "789")])
                .answers([
                    cc("max-age=5000"),
                    date(0),
                    last_modified(-3000),
                    vary("Foo, Bar, Baz").unchecked(),
                ])
                .setup(),
            get().sends([field("Foo", "1"), field("Baz", "789")]).cached(),
        ]),
        required("vary-star", "must not reuse `Vary` response with a value of `*`").plays([
            get()
                .sends([field("Foo", "1"), field("Baz", "789")])
                .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("*")])
                .setup(),
            get().sends([field("Foo", "1"), field("Baz", "789")]).not_cached(),
        ]),
        optimal(
            "vary-normalise-combine",
            "normalises unknown selecting headers by combining fields",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1, 2")])
                .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                .setup(),
            get().sends([field("Foo", "1"), field("Foo", "2")]).cached(),
        ]),
        optimal(
            "vary-normalise-lang-order",
            "normalises `Accept-Language` by ignoring language order",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Accept-Language", "en, de")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Accept-Language"),
                ])
                .setup(),
            get().sends([field("Accept-Language", "de, en")]).cached(),
        ]),
        optimal(
            "vary-normalise-lang-case",
            "normalises `Accept-Language` by ignoring language case",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Accept-Language", "en, de")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Accept-Language"),
                ])
                .setup(),
            get().sends([field("Accept-Language", "eN, De")]).cached(),
        ]),
        optimal("vary-normalise-lang-space", "normalises `Accept-Language` by ignoring whitespace")
            .depends_on("vary-match")
            .plays([
                get()
                    .sends([field("Accept-Language", "en, de")])
                    .answers([
                        cc("max-age=5000"),
                        last_modified(-3000),
                        date(0),
                        vary("Accept-Language"),
                    ])
                    .setup(),
                get().sends([field("Accept-Language", " en ,   de")]).cached(),
            ]),
        optimal(
            "vary-normalise-lang-select",
            "selects `Content-Language` by using the qvalue on `Accept-Language`",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Accept-Language", "en, de")])
                .answers([
                    cc("max-age=5000"),
                    last_modified(-3000),
                    date(0),
                    vary("Accept-Language"),
                    field("Content-Language", "de"),
                ])
                .setup(),
            get().sends([field("Accept-Language", "fr;q=0.5, de;q=1.0")]).cached(),
        ]),
        optimal(
            "vary-normalise-space",
            "normalises unknown selecting headers by removing whitespace",
        )
        .depends_on("vary-match")
        .plays([
            get()
                .sends([field("Foo", "1,2")])
                .answers([cc("max-age=5000"), last_modified(-3000), date(0), vary("Foo")])
                .setup(),
            get().sends([field("Foo", " 1, 2 ")]).cached(),
        ]),
    ];
    Suite { id: "vary", cases }
}
