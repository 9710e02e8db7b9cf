//! The effect of a 304 from the origin on the fields of the stored response.

use super::names::{NAMES, Name, On304};
use crate::{
    case::{Case, Kind, Suite, check, required},
    exchange::{Exchange, Stage, get},
    field::{Field, cc, date, field, last_modified},
};

const STORED: &str = "304-lm-use-stored-Test-Header";
const MODIFIED: &str = "Wed, 01 Jan 2020 00:00:00 GMT";

pub(crate) fn suite() -> Suite {
    let value = super::letters("Test-Header-value-A");
    let stored = required(STORED, "must return the stored `Test-Header` where a `304` omits it")
        .plays([
            get()
                .answers([
                    cc("max-age=2"),
                    last_modified(MODIFIED),
                    date(0),
                    field("Test-Header", value.clone()),
                ])
                .setup()
                .pauses(),
            get()
                .answers([last_modified(MODIFIED), date(0)])
                .lm_validated()
                .gets([field("Test-Header", value)])
                .setup_of([Stage::Source]),
        ]);
    let updates = NAMES.into_iter().filter(|name| name.is_stored).map(updates);
    let cases = [stored].into_iter().chain(updates).collect();
    Suite { id: "update304", cases }
}

fn updates(name: Name) -> Case {
    let (old, new) = (name.first_value("value-A"), name.second_value("value-B"));
    let (kind, verb, expected) = match name.on_304 {
        On304::Updates => (Kind::Required, "must update", new.clone()),
        On304::Undecided => (Kind::Check, "updates", new.clone()),
        On304::Keeps => (Kind::Required, "must not update", old.clone()),
    };
    let etag = format!("\"{}\"", name.letters("etag-1"));
    let case = match kind {
        Kind::Required => required,
        _ => check,
    };
    let result = || field(name.name, expected.clone());
    let judged = |exchange: Exchange| {
        let exchange = exchange.setup_of([Stage::Source]).gets([result()]);
        if name.has_body { exchange } else { exchange.gets_any_text() }
    };
    let first = answer(name, old).setup().pauses();
    let first = if name.has_body { first } else { first.gets_any_text() };
    case(
        format!("304-etag-update-response-{}", name.name),
        format!("{verb} `{}` from a `304`", name.name),
    )
    .depends_on(STORED)
    .plays([
        with_etag(name, first, &etag),
        judged(with_etag(name, answer(name, new), &etag).etag_validated()),
        judged(answer(name, expected.clone()).cached()),
    ])
}

fn answer(name: Name, value: String) -> Exchange {
    let line: Field = field(name.name, value);
    let line = match name.on_304 {
        On304::Keeps => line.unchecked(),
        _ => line,
    };
    let answer = get().answers([date(0), line]);
    match name.name {
        "Cache-Control" => answer,
        _ => answer.answers([cc("max-age=2")]),
    }
}

/// The entity tag of the origin's responses, unless the field is the entity tag itself.
fn with_etag(name: Name, exchange: Exchange, etag: &str) -> Exchange {
    match name.name {
        "ETag" => exchange,
        _ => exchange.answers([field("ETag", etag.to_owned())]),
    }
}
