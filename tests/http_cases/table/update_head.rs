//! The effect of the response to a `HEAD` on a stored response.

use crate::{
    case::{Suite, check},
    exchange::{Stage, becomes_stale, get, method},
    field::{cc, field},
};

pub(crate) fn suite() -> Suite {
    let cases = vec![
        check(
            "head-writethrough",
            "does a cache write through a HEAD when stored response is stale?",
        )
        .depends_on("freshness-max-age-stale")
        .plays([becomes_stale(), method("HEAD").origin_receives_method("HEAD")]),
        check(
            "head-200-retain",
            "does a cache preserve stored fields not received in a `200` response to a \
             `HEAD`?",
        )
        .depends_on("head-writethrough")
        .plays([
            becomes_stale(),
            method("HEAD").gets([field("Template-A", "1")]).origin_receives_method("HEAD"),
        ]),
        check(
            "head-200-freshness-update",
            "does a cache update freshness lifetime recieved in a `200` response to a \
             `HEAD`?",
        )
        .depends_on("head-writethrough")
        .plays([
            becomes_stale(),
            method("HEAD").answers([cc("max-age=1000")]).origin_receives_method("HEAD"),
            get().cached(),
        ]),
        check(
            "head-200-update",
            "does a cache update stored fields recieved in a `200` response to a `HEAD`?",
        )
        .depends_on("head-200-freshness-update")
        .plays([
            becomes_stale(),
            method("HEAD")
                .answers([field("Template-A", "2"), cc("max-age=1000")])
                .origin_receives_method("HEAD"),
            get().cached().gets([field("Template-A", "2")]).setup_of([Stage::Source]),
        ]),
        check(
            "head-410-update",
            "does a cache update stored fields recieved in a `410` response to a `HEAD`?",
        )
        .depends_on("head-200-freshness-update")
        .plays([
            becomes_stale(),
            method("HEAD")
                .status(410)
                .answers([field("Template-A", "2"), cc("max-age=1000")])
                .origin_receives_method("HEAD"),
            get().cached().gets([field("Template-A", "2")]).setup_of([Stage::Source]),
        ]),
    ];
    Suite { id: "updateHEAD", cases }
}
