//! Parts of responses (`Range`), read from the store and stored.

use crate::{
    case::{Suite, optimal, required},
    exchange::{Stage, get},
    field::{cc, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal("partial-store-partial-reuse-partial", "stores partial content and reuses it")
            .depends_on("freshness-max-age")
            .plays([
                get()
                    .sends([field("Range", "bytes=-5")])
                    .status(206)
                    .answers([cc("max-age=3600"), field("Content-Range", "bytes 4-9/10")])
                    .text("01234")
                    .origin_receives([field("Range", "bytes=-5")])
                    .setup(),
                get()
                    .sends([field("Range", "bytes=-5")])
                    .cached()
                    .gets_status(206)
                    .gets_text("01234"),
            ]),
        optimal(
            "partial-store-complete-reuse-partial",
            "stores complete responses and serves smaller ranges from them \
             (byte-range-spec)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600")]).text("01234567890").setup(),
            get().sends([field("Range", "bytes=0-1")]).cached().gets_status(206).gets_text("01"),
        ]),
        optimal(
            "partial-store-complete-reuse-partial-no-last",
            "stores complete responses and serves smaller ranges from them (absent \
             last-byte-pos)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600")]).text("01234567890").setup(),
            get()
                .sends([field("Range", "bytes=1-")])
                .cached()
                .gets_status(206)
                .gets_text("1234567890"),
        ]),
        optimal(
            "partial-store-complete-reuse-partial-suffix",
            "stores complete responses and serves smaller ranges from them \
             (suffix-byte-range-spec)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get().answers([cc("max-age=3600")]).text("0123456789A").setup(),
            get().sends([field("Range", "bytes=-1")]).cached().gets_status(206).gets_text("A"),
        ]),
        optimal(
            "partial-store-partial-reuse-partial-byterange",
            "stores partial responses and serves smaller ranges from them \
             (byte-range-spec)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get()
                .sends([field("Range", "bytes=-5")])
                .status(206)
                .answers([cc("max-age=3600"), field("Content-Range", "bytes 4-9/10")])
                .text("01234")
                .setup(),
            get().sends([field("Range", "bytes=6-8")]).cached().gets_status(206).gets_text("234"),
        ]),
        optimal(
            "partial-store-partial-reuse-partial-absent",
            "stores partial responses and serves smaller ranges from them (absent \
             last-byte-pos)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get()
                .sends([field("Range", "bytes=-5")])
                .status(206)
                .answers([cc("max-age=3600"), field("Content-Range", "bytes 4-9/10")])
                .text("01234")
                .setup(),
            get().sends([field("Range", "bytes=6-")]).cached().gets_status(206).gets_text("234"),
        ]),
        optimal(
            "partial-store-partial-reuse-partial-suffix",
            "stores partial responses and serves smaller ranges from them \
             (suffix-byte-range-spec)",
        )
        .depends_on("freshness-max-age")
        .plays([
            get()
                .sends([field("Range", "bytes=-5")])
                .status(206)
                .answers([cc("max-age=3600"), field("Content-Range", "bytes 4-9/10")])
                .text("01234")
                .setup(),
            get().sends([field("Range", "bytes=-1")]).cached().gets_status(206).gets_text("4"),
        ]),
        optimal("partial-store-partial-complete", "stores partial content and completes it")
            .depends_on("freshness-max-age")
            .plays([
                get()
                    .sends([field("Range", "bytes=-5")])
                    .status(206)
                    .answers([cc("max-age=3600"), field("Content-Range", "bytes 0-4/10")])
                    .text("01234")
                    .setup(),
                get().origin_receives([field("range", "bytes=5-")]),
            ]),
        required("partial-use-headers", "must use header fields from the new response")
            .depends_on("partial-store-complete-reuse-partial")
            .plays([
                get().answers([cc("max-age=3600"), field("A", "1")]).text("01234567890").setup(),
                get()
                    .sends([field("Range", "bytes=0-1")])
                    .answers([field("A", "2")])
                    .cached()
                    .gets_status(206)
                    .gets_text("01")
                    .setup_of([Stage::Source, Stage::Status, Stage::Text]),
            ]),
        required(
            "partial-use-stored-headers",
            "must preserve unupdated header fields from the stored response",
        )
        .depends_on("partial-store-complete-reuse-partial")
        .plays([
            get().answers([cc("max-age=3600"), field("A", "1")]).text("01234567890").setup(),
            get()
                .sends([field("Range", "bytes=0-1")])
                .cached()
                .gets_status(206)
                .gets_text("01")
                .gets([field("A", "1")])
                .setup_of([Stage::Source, Stage::Status, Stage::Text]),
        ]),
    ];
    Suite { id: "partial", cases }
}
