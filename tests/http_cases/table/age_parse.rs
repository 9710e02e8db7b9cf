//! `Age` in unusual spellings.

use crate::{
    case::{Suite, check, required},
    exchange::get,
    field::{age, cc, date},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        required("age-parse-nonnumeric", "should ignore an `Age` header with a non-numeric value")
            .depends_on("freshness-max-age-age")
            .plays([
                get()
                    .answers([date(0), cc("max-age=3600"), age("abc").unchecked()])
                    .setup()
                    .pauses(),
                get().cached(),
            ]),
        required("age-parse-negative", "should ignore an `Age` header with a negative value")
            .depends_on("freshness-max-age-age")
            .plays([
                get()
                    .answers([date(0), cc("max-age=3600"), age("-7200").unchecked()])
                    .setup()
                    .pauses(),
                get().cached(),
            ]),
        required("age-parse-float", "should ignore an `Age` header with a float value")
            .depends_on("freshness-max-age-age")
            .plays([
                get()
                    .answers([date(0), cc("max-age=3600"), age("7200.0").unchecked()])
                    .setup()
                    .pauses(),
                get().cached(),
            ]),
        required(
            "age-parse-large-minus-one",
            "should consider a response with a `Age` value of 2147483647 to be stale",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("2147483647").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "age-parse-large",
            "should consider a response with a `Age` value of 2147483648 to be stale",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("2147483648").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "age-parse-larger",
            "should consider a response with a `Age` value of 2147483649 to be stale",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("2147483649").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "age-parse-suffix",
            "should consider a response with a single `Age` header line `old, 0` to be \
             stale",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("7200, 0").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "age-parse-prefix",
            "should consider a response with a single `Age` header line `0, old` to be \
             fresh",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("0, 7200").unchecked()])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "age-parse-suffix-twoline",
            "should use the first line in a response with multiple `Age` header lines: \
             `old`, `0`",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([
                    date(0),
                    cc("max-age=3600"),
                    age("7200").unchecked(),
                    age("0").unchecked(),
                ])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        required(
            "age-parse-prefix-twoline",
            "should use the first line in a response with multiple `Age` header lines: \
             `0`, `old`",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([
                    date(0),
                    cc("max-age=3600"),
                    age("0").unchecked(),
                    age("7200").unchecked(),
                ])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "age-parse-dup-0",
            "should consider a response with a single line `Age: 0, 0` to be fresh",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get().answers([date(0), cc("max-age=3600"), age("0, 0").unchecked()]).setup().pauses(),
            get().cached(),
        ]),
        required(
            "age-parse-dup-0-twoline",
            "should consider a response with two `Age: 0` header lines to be fresh",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("0").unchecked(), age("0").unchecked()])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        required(
            "age-parse-dup-old",
            "should consider a response with two `Age: not_old` header lines to be fresh",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([
                    date(0),
                    cc("max-age=10000"),
                    age("3600").unchecked(),
                    age("3600").unchecked(),
                ])
                .setup()
                .pauses(),
            get().cached(),
        ]),
        check(
            "age-parse-parameter",
            "does a cache consider an alphabetic parameter on `Age` header to be valid?",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("7200;foo=bar").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
        check(
            "age-parse-numeric-parameter",
            "does a cache should consider a numeric parameter on `Age` header to be \
             valid?",
        )
        .depends_on("freshness-max-age-age")
        .plays([
            get()
                .answers([date(0), cc("max-age=3600"), age("7200;foo=111").unchecked()])
                .setup()
                .pauses(),
            get().not_cached(),
        ]),
    ];
    Suite { id: "age-parse", cases }
}
