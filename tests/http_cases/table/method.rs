//! Methods other than `GET` whose responses may be reused.

use crate::{
    case::{Suite, optimal},
    exchange::{get, method},
    field::{beneath, cc, date, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        optimal(
            "method-POST",
            "reuses a stored `POST` response (that has `Content-Location` with the same \
             URL and explicit freshness) for subsequent `GET` requests",
        )
        .plays([
            method("POST")
                .sends([field("Content-Type", "text/plain")])
                .sends_text("12345")
                .answers([cc("max-age=3600"), beneath("Content-Location", ""), date(0)])
                .setup()
                .pauses(),
            get().cached(),
        ]),
    ];
    Suite { id: "method", cases }
}
